# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench run PLAN --guest --against KERNEL``: two kernels in turns, boot by boot.

B is the kernel of this checkout, A the other one. They are booted in the order A B B A A B ..., so
that whatever drifts meanwhile is the same for both, and each boot does the plan with its share of
the budget: how a kernel lies in memory and what it has done before is decided once a boot, so the
boot is what is compared.
"""

import argparse
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w

from vmabench import guest
from vmabench.atomic import make_directories
from vmabench.commands.compare import compare_results
from vmabench.commands.guest import (
    PLAN_LIMIT_S,
    make_machine,
    obtain,
    result_directory,
    scratch_bytes,
)
from vmabench.commands.output import say, short, warn
from vmabench.commands.progress import make_build_progress
from vmabench.commands.run import DONE, FAILED_OR_UNSTABLE, INTERRUPTED, finish
from vmabench.errors import LostGuest, MachineError, UsageError
from vmabench.guest import against, functions
from vmabench.matrix.axes import AXES, SWEEP_AXES
from vmabench.matrix.plans import Plan, load_plan, override, scaled
from vmabench.runner.lock import only_run
from vmabench.runner.process import PYTHON
from vmabench.signals import uninterrupted
from vmabench.store.boots import Boots
from vmabench.store.format import SAMPLES
from vmabench.store.functions import function_records
from vmabench.store.places import point_latest
from vmabench.store.reader import read
from vmabench.units import parse_duration

BOOTS, COUNTED_BOOTS, MOST_BOOTS = 5, 2, 99


@dataclass(frozen=True)
class Side:
    """One of the two kernels, and where its boots are kept."""

    name: str
    kernel: guest.Kernel
    store: Boots


@dataclass(frozen=True)
class Contest:
    """Everything that is the same for all boots. ``watched``: functions are counted too."""

    sides: tuple[Side, Side]
    boots: int
    plan: Plan
    seed: int
    machine: guest.Machine
    accel: str
    directory: Path
    watched: bool


def run_against(args: argparse.Namespace) -> int:
    """Both results, the comparison of them, and the exit status."""
    boots = _boots(args)
    contest = _prepare(args, boots)
    status = "failed"
    try:
        with only_run():
            for number, (side, seed) in enumerate(_order(contest), start=1):
                _boot(contest, number, side, seed)
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
        warn("interrupted: what was measured is saved")
    finally:
        with uninterrupted():
            for side in contest.sides:
                side.store.close(status)
    return _finish(contest, status)


def _boots(args: argparse.Namespace) -> int:
    counted = args.clock == "instructions"
    if args.boots is None:
        return COUNTED_BOOTS if counted else BOOTS
    if not 1 <= args.boots <= MOST_BOOTS:
        raise UsageError(f"--boots {args.boots}: 1 to {MOST_BOOTS} of each kernel")
    return int(args.boots)


def _prepare(args: argparse.Namespace, boots: int) -> Contest:
    machine = replace(make_machine(args), scratch_bytes=scratch_bytes(args))
    load_plan(args.plan)  # its mistakes are found before a kernel is built
    kernels = (_obtain_other(args.against), obtain("bench"))
    found = against.differences(*kernels)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise UsageError(f"A and B differ in more than their sources: {', '.join(found[:3])}{more}")
    accel = guest.choose(args.accel, kernels[1], machine, warn)
    directory = result_directory(args.output, f"guest-{accel}", kernels[1].release)
    make_directories(directory)
    sides = tuple(
        Side(name, kernel, Boots(directory / name))
        for name, kernel in zip("AB", kernels, strict=True)
    )
    return Contest(
        sides=(sides[0], sides[1]),
        boots=boots,
        plan=_plan(args, accel, boots),
        seed=args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 31),
        machine=machine,
        accel=accel,
        directory=directory,
        watched=machine.clock == "instructions" and _can_watch(),
    )


def _obtain_other(name: str) -> guest.Kernel:
    progress = make_build_progress(sys.stderr)
    try:
        return against.obtain(name, say=warn, progress=progress.made)
    finally:
        progress.close()


def _can_watch() -> bool:
    why_not = functions.why_not()
    if why_not:
        warn(f"functions are not counted: {why_not}")
    return why_not is None


def _plan(args: argparse.Namespace, accel: str, boots: int) -> Plan:
    """The plan as each boot does it: the budget and the rounds of a result are those of all boots.

    A count repeats itself, so by the instruction clock each boot does the rounds of the plan.
    """
    plan = load_plan(args.plan)
    if accel == "tcg":
        plan = scaled(plan)
    plan = override(plan, {axis: getattr(args, axis) for axis in (*SWEEP_AXES, *AXES)})
    budget_s = parse_duration(args.budget) if args.budget else plan.budget_s
    rounds = plan.rounds if args.clock == "instructions" else math.ceil(plan.rounds / boots)
    return replace(plan, budget_s=budget_s / boots, rounds=rounds, emulated=None)


def _order(contest: Contest) -> Iterator[tuple[Side, int]]:
    """The side of each boot, and the seed that the two of a pair have in common."""
    for pair in range(contest.boots):
        sides = contest.sides if pair % 2 == 0 else contest.sides[::-1]
        for side in sides:
            yield side, contest.seed + pair


def _boot(contest: Contest, number: int, side: Side, seed: int) -> None:
    """One boot, whose whole rounds are kept also where it is interrupted."""
    of_all = 2 * contest.boots
    say(f"boot {number} of {of_all}: {side.name}, kernel {side.kernel.release}")
    with tempfile.TemporaryDirectory(prefix=".boot-", dir=contest.directory) as scratch_name:
        scratch = Path(scratch_name)
        try:
            _measure(contest, side, seed, scratch)
        except LostGuest as lost:
            warn(f"boot {number} of {of_all} ({side.name}) is lost and left out: {lost}")
            side.store.lose(number, str(lost))
        except KeyboardInterrupt:
            with uninterrupted():
                _keep(contest, number, side, scratch, "interrupted")
            raise
        else:
            _keep(contest, number, side, scratch, "done")


def _measure(contest: Contest, side: Side, seed: int, scratch: Path) -> None:
    """The plan in a guest, its samples below ``scratch``; raises LostGuest."""
    (scratch / "plan.toml").write_text(tomli_w.dumps(contest.plan.to_toml()))
    command = [*PYTHON, "-m", "vmabench", "run", str(scratch / "plan.toml")]
    command += ["--samples-only", "--seed", str(seed), "-o", str(scratch / "result")]
    machine = replace(contest.machine, shares=(scratch,))
    if contest.watched:
        machine = functions.watched(machine, side.kernel, scratch / "functions")
    outcome = guest.run(
        command,
        side.kernel,
        machine=machine,
        accel=contest.accel,
        timeout=PLAN_LIMIT_S,
        stream=True,
    )
    if outcome.splats:
        splat = outcome.splats[0]
        raise LostGuest(f"its kernel complained: {splat.text}", splat.context, outcome.log, "")
    if outcome.status != DONE or not (scratch / "result" / SAMPLES).exists():
        raise MachineError(f"the plan can't be measured in the guest (status {outcome.status})")


def _keep(contest: Contest, number: int, side: Side, scratch: Path, status: str) -> None:
    if not (scratch / "result" / SAMPLES).exists():
        return
    result = read(scratch / "result")
    counted = scratch / "functions"
    counts = functions.read_counts(counted) if counted.exists() else {}
    side.store.add(number, result, function_records(result, counts), status)


def _finish(contest: Contest, status: str) -> int:
    """The reports of both, and what their comparison says."""
    kept = [side for side in contest.sides if not side.store.empty]
    worst = DONE
    for side in kept:
        worst = max(worst, finish(side.store.directory, announce=False))
    if len(kept) < len(contest.sides):
        lost = " and ".join(side.name for side in contest.sides if side.store.empty)
        if not kept:
            shutil.rmtree(contest.directory)
        if status == "interrupted":
            return INTERRUPTED
        raise MachineError(f"no boot of {lost} left a result: see above")
    if unlinked := point_latest(contest.sides[1].store.directory):
        warn(unlinked)
    a, b = (read(side.store.directory) for side in contest.sides)
    worst = max(worst, compare_results(a, b))
    where = [short(side.store.directory) for side in contest.sides]
    say(f"\nresults  {where[0]} {where[1]}")
    if status == "interrupted":
        return INTERRUPTED
    lost_boots = sum(len(_lost(side)) for side in contest.sides)
    if lost_boots:
        warn(f"{lost_boots} of {2 * contest.boots} boots were lost: see above")
        return FAILED_OR_UNSTABLE
    return worst


def _lost(side: Side) -> Sequence[object]:
    result = read(side.store.directory)
    return [record for record in result.of_kind("boot") if record["status"] == "lost"]
