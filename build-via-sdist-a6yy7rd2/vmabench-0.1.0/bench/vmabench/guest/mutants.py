# SPDX-License-Identifier: GPL-2.0-only
"""Deliberate faults in the series, and which tests of the audit catch each of them.

A mutant is a patch on top of the series, ``kernel/audit/mutants/NAME.patch``. Its head has a line
``Fault:`` that says what is wrong and a line ``Run:`` with the programs that are let loose on it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import KernelBuildError, UsageError
from vmabench.guest import audit, cache
from vmabench.guest.plan import Plan

#: What waits for something that a mutant never does has said enough after this long.
MOST_S = 150.0


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    name: str
    patch: Path
    fault: str
    run: tuple[str, ...]


@dataclass(frozen=True)
class Catch:
    """What noticed a mutant: tests by name, complaints of the kernel, a guest that was lost."""

    mutant: Mutant
    tests: tuple[str, ...]
    complaints: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def caught(self) -> bool:
        """Whether anything noticed it."""
        return bool(self.tests or self.complaints or self.lost)


def find(directory: Path, names: Sequence[str] = ()) -> list[Mutant]:
    """All mutants, or those that are named; UsageError for one that is not there."""
    known = {path.stem: _read(path) for path in sorted(directory.glob("*.patch"))}
    for name in names:
        if name not in known:
            raise UsageError(f"no mutant {name!r}: there are {', '.join(known)}")
    return [known[name] for name in names or known]


def hunt(mutant: Mutant, kernel: cache.Kernel, plan: Plan, accel: str = "auto") -> Catch:
    """Run the mutant's programs on its kernel."""
    options = audit.Options(names=mutant.run, accel=accel, most_s=MOST_S)
    verdicts = audit.run(kernel, plan, options, lambda _: None)
    tests = [
        f"{verdict.program.name}: {result.name}"
        for verdict in verdicts
        for result in verdict.report.results
        if result.verdict == "failed"
    ]
    unfinished = [v.program.name for v in verdicts if v.report.problem and not v.lost]
    return Catch(
        mutant,
        tuple(tests + [f"{name}: did not get to its end" for name in unfinished]),
        complaints(verdicts),
        tuple(verdict.program.name for verdict in verdicts if verdict.lost),
    )


def complaints(verdicts: Sequence[audit.Verdict]) -> tuple[str, ...]:
    """What the kernel said while the programs ran, without what is another one in each run."""
    return tuple(_brief(splat.text) for verdict in verdicts for splat in verdict.splats)


def table(catches: Sequence[Catch]) -> Iterator[str]:
    """The lines of a table in Markdown, one mutant each."""
    yield "| fault | caught by | the log |"
    yield "|---|---|---|"
    for catch in catches:
        log = [f'"{text}"' for text in dict.fromkeys(catch.complaints)]
        log += [f"guest lost in {name}" for name in catch.lost]
        by = _by_program(catch.tests) or ("the log" if log else "**nothing**")
        yield f"| {catch.mutant.fault} | {by} | {'; '.join(log[:3]) or 'clean'} |"


def _by_program(tests: Sequence[str], most: int = 4) -> str:
    """``program: `a`, `b` and 3 more``, for each program."""
    names: dict[str, list[str]] = {}
    for test in tests:
        program, _, name = test.partition(": ")
        names.setdefault(program, []).append(f"`{name}`" if "." in name else name)
    parts = []
    for program, found in names.items():
        more = f" and {len(found) - most} more" if len(found) > most else ""
        parts.append(f"{program}: {', '.join(found[:most])}{more}")
    return "; ".join(parts)


def _brief(text: str) -> str:
    """A complaint without its time, address, process and the like."""
    text = re.sub(r"^\[ *[\d.]+\](?:\[[^\]]*\])? ?", "", text)
    text = re.sub(r"CPU: \d+ PID: \d+ .*?\bat (\S+:\d+).*$", r"at \1", text)
    text = re.sub(r"\s*(?:mm:|addr:|pfn:|CPU: \d+ ).*$", "", text)
    return re.sub(r"\+0x[0-9a-f]+/0x[0-9a-f]+.*$", "", text).replace("|", "/")


def _read(path: Path) -> Mutant:
    head = path.read_text().split("\n---\n", 1)[0]
    fields = dict(re.findall(r"^(\w+): (.*)$", head, re.MULTILINE))
    try:
        return Mutant(path.stem, path, fields["Fault"], tuple(fields["Run"].split()))
    except KeyError as error:
        raise KernelBuildError(f"{path.name} has no line {error}") from error
