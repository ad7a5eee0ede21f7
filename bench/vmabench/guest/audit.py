# SPDX-License-Identifier: GPL-2.0-only
"""Run the programs of the audit in guests; judge each by its output and the kernel's log.

A lost guest fails the program that was running. The remaining programs run in a new guest.
"""

import math
import random
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmabench.errors import LostGuest
from vmabench.guest import boot, cache, programs, scratch, tap
from vmabench.guest.plan import Plan, Program, guests
from vmabench.guest.splats import Splat, find

BOOT_S = 300.0  # a debug kernel under emulation, on a busy machine
_MARK = "vmabench-audit: program "
_SPLIT = re.compile(rf"^.*{re.escape(_MARK)}(\S+)\n?", re.MULTILINE)
_DONE = re.compile(r"^vmabench-audit: done (\d+) after (\d+) s\n?", re.MULTILINE)
Report = Callable[["Verdict"], None]


@dataclass(frozen=True)
class Options:
    """The extent of an audit: ``minutes`` of stress runs in total, None for the short form."""

    names: tuple[str, ...] = ()
    minutes: float | None = None
    seed: int | None = None
    accel: str = "auto"
    most_s: float = math.inf  # no program runs longer, whatever its limit


@dataclass(frozen=True)
class Verdict:
    """The result of one program; ``lost`` is the reason if its guest was lost."""

    program: Program
    report: tap.Report
    splats: tuple[Splat, ...] = ()
    seconds: float = 0.0
    seed: int = 0
    lost: str = ""
    output: str = field(default="", repr=False)

    @property
    def good(self) -> bool:
        """Whether it completed, no test failed, and the kernel log is clean."""
        return self.report.good and not self.splats and not self.lost


def run(kernel: cache.Kernel, plan: Plan, options: Options, say: Report) -> list[Verdict]:
    """Run the chosen programs of the plan; call ``say`` with each verdict."""
    chosen = plan.chosen(options.names, short=options.minutes is None)
    seed = random.SystemRandom().randrange(1, 2**31) if options.seed is None else options.seed
    verdicts: list[Verdict] = []
    with scratch.directory() as directory:
        paths = programs.build(chosen, kernel, directory)
        for _, group in guests(chosen):
            waiting = group
            while waiting:
                found = _one_guest(kernel, plan, waiting, paths, options, seed)
                for verdict in found:
                    say(verdict)
                verdicts += found
                waiting = waiting[len(found) :]
    return verdicts


def _one_guest(  # noqa: PLR0913, PLR0917 - what a guest is started with
    kernel: cache.Kernel,
    plan: Plan,
    group: Sequence[Program],
    paths: dict[str, Path],
    options: Options,
    seed: int,
) -> list[Verdict]:
    """Return the verdicts of one guest: of the whole group, or up to the program that killed it."""
    limits = [
        min(p.limit_s + plan.stress_s(p, options.minutes) * bool(p.minutes), options.most_s)
        for p in group
    ]
    script = "".join(
        _step(program, paths[program.name], limit, seed, plan.stress_s(program, options.minutes))
        for program, limit in zip(group, limits, strict=True)
    )
    try:
        outcome = boot.run(
            ["sh", "-c", script],
            kernel,
            machine=plan.machines[group[0].machine],
            accel=options.accel,
            timeout=BOOT_S + sum(limits),
        )
    except LostGuest as lost:
        return judge(group, lost.stdout, lost.log, seed, str(lost), lost.log_tail)
    return judge(group, outcome.stdout, outcome.log, seed)


def _step(program: Program, path: Path, limit_s: float, seed: int, stress_s: float) -> str:
    """Return shell lines that mark the program in both logs, run it, and report its end."""
    line = shlex.join(program.command(path, seed, stress_s))
    mark = shlex.quote(_MARK + program.name)
    return (
        f"echo {mark}; echo {mark} seed {seed} >/dev/kmsg; t=$(date +%s)\n"
        f"timeout -k 10 {limit_s:.0f} {line} 2>&1; s=$?\n"
        f'echo; echo "vmabench-audit: done $s after $(($(date +%s) - t)) s"\n'
    )


def judge(  # noqa: PLR0913, PLR0917 - all that a guest leaves
    group: Sequence[Program],
    stdout: str,
    log: str,
    seed: int,
    lost: str = "",
    log_tail: str = "",
) -> list[Verdict]:
    """Return a verdict for each program that started, or for the first if none did."""
    outputs, logs = _split(stdout), _split(log)
    verdicts = []
    for program in group:
        output = outputs.get(program.name, "")
        done = _DONE.search(output)
        here = lost if not done else ""
        verdicts.append(
            Verdict(
                program,
                tap.parse(output),
                tuple(find(logs.get(program.name, ""))),
                float(done[2]) if done else 0.0,
                seed,
                f"{here}\n{log_tail}" if here else "",
                output,
            )
        )
        if here:
            break
    return verdicts


def _split(text: str) -> dict[str, str]:
    """Return program -> its output; text before the first program belongs to the first."""
    parts = _SPLIT.split(text)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    if len(parts) > 1:
        found[parts[1]] = parts[0] + found[parts[1]]
    return found
