# SPDX-License-Identifier: GPL-2.0-only
"""Measure two kernels in turns, boot by boot.

B is the kernel of the guest, A the other one. They are booted in the order A B B A A B ..., so
that drift affects both alike. Each boot measures the plan with its share of the budget. A boot
decides where the kernel lies in memory, so the boot is the sample of a comparison.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vmabench import guest
from vmabench.api.boots import Conditions, can_watch, measure_boot, plan_of_boots
from vmabench.api.detection import choose_boots
from vmabench.api.in_guest import obtain, result_directory, scratch_bytes
from vmabench.api.options import Guest, RunOptions
from vmabench.api.output import say, warn
from vmabench.atomic import make_directories
from vmabench.errors import UsageError
from vmabench.guest import against
from vmabench.matrix.plans import Plan, load_plan
from vmabench.runner.lock import only_run
from vmabench.signals import uninterrupted
from vmabench.store.boots import MOST_BOOTS, Boots
from vmabench.store.reader import read

COUNTED_BOOTS = 2


@dataclass(frozen=True)
class Side:
    """One of the two kernels, and the store of its boots."""

    name: str
    kernel: guest.Kernel
    store: Boots


@dataclass(frozen=True)
class Contest:
    """Both kernels, and the settings of all boots."""

    sides: tuple[Side, Side]
    boots: int
    seed: int
    conditions: Conditions

    @property
    def directory(self) -> Path:
        """Return where both results lie."""
        return self.conditions.directory


def measure_boots(contest: Contest) -> bool:
    """Boot and measure all turns; return False where an interrupt ended them early."""
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
    return status == "done"


def lost_boots(contest: Contest) -> int:
    """Return how many boots of both sides were lost with their guests."""
    records = [one for side in contest.sides for one in read(side.store.directory).of_kind("boot")]
    return sum(record["status"] == "lost" for record in records)


def prepare(
    options: RunOptions, where: Guest, other: str, boots: int | None, detect: float | None = None
) -> Contest:
    """Build both kernels and divide the plan among the boots.

    ``boots`` is their number for each kernel; None takes as many as find a relative change of
    ``detect``. Raises UsageError for kernels that differ in more than their sources, MachineError,
    and KernelBuildError.
    """
    _check_boots(boots, detect, where)
    machine = replace(where.machine(), scratch_bytes=scratch_bytes(options))
    load_plan(options.plan)  # its mistakes are found before a kernel is built
    own = where.kernel_spec()
    kernels = (obtain("bench", kernel=against.spec_of(other, own)), obtain("bench", kernel=own))
    found = against.differences(*kernels)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise UsageError(f"A and B differ in more than their sources: {', '.join(found[:3])}{more}")
    accel = guest.choose(where.accel, kernels[1], machine, warn)
    plan = plan_of_boots(options, accel)
    boots = _boots(boots, detect, plan, accel, where)
    directory = result_directory(options.output, f"guest-{accel}", kernels[1].release)
    make_directories(directory)
    sides = tuple(
        Side(name, kernel, Boots(directory / name))
        for name, kernel in zip("AB", kernels, strict=True)
    )
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    return Contest(
        sides=(sides[0], sides[1]),
        boots=boots,
        seed=seed,
        conditions=Conditions(
            plan=_of_a_boot(plan, boots, counted=where.counted),
            machine=machine,
            accel=accel,
            watched=where.counted and can_watch(),
            directory=directory,
        ),
    )


def _check_boots(boots: int | None, detect: float | None, where: Guest) -> None:
    if boots is not None and not 1 <= boots <= MOST_BOOTS:
        raise UsageError(f"--boots {boots}: 1 to {MOST_BOOTS} of each kernel")
    if detect and (boots is not None or where.counted):
        raise UsageError("--detect chooses the boots of a comparison by time: leave out --boots")


def _boots(boots: int | None, detect: float | None, plan: Plan, accel: str, where: Guest) -> int:
    """Return the boots of each kernel: as given, or as many as find a change."""
    if boots is not None:
        return boots
    if where.counted:
        return COUNTED_BOOTS
    chosen, why = choose_boots(plan, f"guest-{accel}", detect)
    say(why)
    return chosen


def _of_a_boot(plan: Plan, boots: int, *, counted: bool) -> Plan:
    """Return the plan of a boot, which has its part of the budget and of the rounds.

    A count repeats itself, so by the instruction clock each boot does the rounds of the plan.
    """
    rounds = plan.rounds if counted else math.ceil(plan.rounds / boots)
    return replace(plan, budget_s=plan.budget_s / boots, rounds=rounds)


def _order(contest: Contest) -> Iterator[tuple[Side, int]]:
    """Yield the side of each boot, and the seed that the two of a pair have in common."""
    for pair in range(contest.boots):
        sides = contest.sides if pair % 2 == 0 else contest.sides[::-1]
        for side in sides:
            yield side, contest.seed + pair


def _boot(contest: Contest, number: int, side: Side, seed: int) -> None:
    """Measure one boot; a lost one is named and left out."""
    of_all = 2 * contest.boots
    say(f"boot {number} of {of_all}: {side.name}, kernel {side.kernel.release}")
    lost = measure_boot(contest.conditions, side.kernel, side.store, number, seed)
    if lost:
        warn(f"boot {number} of {of_all} ({side.name}) is lost and left out: {lost}")
