# SPDX-License-Identifier: GPL-2.0-only
"""Measure the kernel of each commit of a series by the instruction clock.

Each commit has a result of its own below one directory. A kernel is booted once, and once more
where it or its successor has a path of another length than its neighbour: two boots of one kernel
differ in some paths, and the noise floor of a path is only known with both.
"""

import random
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vmabench import guest
from vmabench.analysis.each import Step, compare_steps
from vmabench.api.boots import (
    Conditions,
    NothingMeasured,
    can_watch,
    measure_boot,
    plan_of_boots,
)
from vmabench.api.in_guest import obtain, result_directory, scratch_bytes
from vmabench.api.options import Guest, RunOptions
from vmabench.api.output import warn
from vmabench.atomic import make_directories
from vmabench.errors import KernelBuildError, LostGuest, UsageError, VmabenchError
from vmabench.guest.commits import Commit, commits_of
from vmabench.runner.lock import only_run
from vmabench.signals import uninterrupted
from vmabench.store.boots import MOST_BOOTS, Boots, boots_of
from vmabench.store.reader import read

#: a boot that takes longer is lost: one hung kernel must not end the series
LIMIT_S = 3600.0
_LONGEST_NAME = 52


@dataclass(frozen=True, slots=True)
class Series:
    """The commits to measure, the base first, and the settings of all boots.

    ``boots`` is their number for each kernel; None is one, and a second one to confirm a change.
    """

    tree: str
    commits: tuple[Commit, ...]
    boots: int | None
    seed: int
    conditions: Conditions

    @property
    def directory(self) -> Path:
        """Return where the results of all commits lie."""
        return self.conditions.directory


@dataclass(frozen=True, slots=True)
class Measured:
    """The steps that were done; ``ended_by`` is what ended the series early."""

    steps: tuple[Step, ...]
    ended_by: BaseException | None

    @property
    def lost_boots(self) -> int:
        """Return how many boots of steps with a result were lost with their guests."""
        results = [step.result for step in self.steps if step.result]
        return sum(boot["status"] == "lost" for result in results for boot in boots_of(result))


def prepare(options: RunOptions, where: Guest, tree: str, span: str, boots: int | None) -> Series:
    """Read the commits of ``span`` (``A..B``) and choose machine and directory.

    Raises UsageError and MachineError, before a kernel is built.
    """
    if boots is not None and not 1 <= boots <= MOST_BOOTS:
        raise UsageError(f"--boots {boots}: 1 to {MOST_BOOTS} of each kernel")
    commits = commits_of(tree, span)
    machine = replace(where.machine(), scratch_bytes=scratch_bytes(options))
    plan = plan_of_boots(options, "tcg")
    names = f"each-{commits[0].short}-{commits[-1].short}"
    directory = result_directory(options.output, "guest-tcg", names)
    watched = can_watch()
    make_directories(directory)
    return Series(
        tree=tree,
        commits=commits,
        boots=boots,
        seed=options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31),
        conditions=Conditions(
            plan=plan,
            machine=machine,
            accel="tcg",
            watched=watched,
            directory=directory,
            streamed=False,
            limit_s=LIMIT_S + plan.budget_s,
        ),
    )


def measure(series: Series) -> Measured:
    """Build and measure all commits in order; an interrupt or error keeps what was measured.

    A commit that does not build, or whose guest is lost, has a step without a result. Raises the
    error of the base: without it there is nothing to compare with.
    """
    measuring = _Measuring(series)
    ended_by: BaseException | None = None
    try:
        with only_run():  # of the whole series: a run between two boots would end it
            for number in range(len(series.commits)):
                measuring.step(number)
    except (KeyboardInterrupt, VmabenchError) as error:
        ended_by = error
    finally:
        with uninterrupted():
            measuring.close()
    steps = measuring.steps()
    if ended_by and not any(step.result for step in steps):
        with suppress(OSError):  # not empty: whole rounds of an interrupted boot are kept
            series.directory.rmdir()
        raise ended_by
    return Measured(steps, ended_by)


class _Measuring:
    """The state of a series that is being measured; only the newest results are open."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._kernels: dict[int, guest.Kernel] = {}
        self._open: dict[int, Boots] = {}
        self._boots: dict[int, int] = {}  # whole ones of each step
        self._missing: dict[int, str] = {}
        self._booted = 0

    def step(self, number: int) -> None:
        """Build and measure one commit; raise the error of the base."""
        commit = self._series.commits[number]
        warn(f"{number} of {len(self._series.commits) - 1}: {commit.short} {commit.subject}")
        try:
            self._kernels[number] = _kernel_of(self._series, commit)
            self._open[number] = Boots(self._directory(number))
            for _ in range(self._series.boots or 1):
                self._boot(number)
        except (KernelBuildError, LostGuest, NothingMeasured) as error:
            if number == 0:
                raise
            self._boots.pop(number, None)
            self._missing[number] = _reason(error)
            warn(f"{commit.short} is not measured: {_reason(error)}")
            return
        if self._series.boots is None and number:
            self._confirm(number)
        self.close(but=number)

    def steps(self) -> tuple[Step, ...]:
        """Return the steps so far; one that was interrupted before a whole boot is left out."""
        return tuple(map(self._step, sorted(self._missing.keys() | self._boots.keys())))

    def close(self, but: int | None = None) -> None:
        """End the open results, but for that of one step."""
        for number in [number for number in self._open if number != but]:
            self._open.pop(number).close("done" if number in self._boots else "interrupted")

    def _step(self, number: int) -> Step:
        commit = self._series.commits[number]
        missing = self._missing.get(number, "")
        directory = self._directory(number)
        result = None if missing else read(directory)
        return Step(number, commit.short, commit.subject, directory, result, missing)

    def _directory(self, number: int) -> Path:
        return self._series.directory / _name(number, self._series.commits[number])

    def _boot(self, number: int) -> None:
        """Measure one boot; raise LostGuest where the step has no whole one yet."""
        self._booted += 1
        whole = self._boots.get(number, 0)
        lost = measure_boot(
            self._series.conditions,
            self._kernels[number],
            self._open[number],
            self._booted,
            self._series.seed + whole,
        )
        if lost is None:
            self._boots[number] = whole + 1
        elif not whole:
            raise lost
        else:
            warn(f"boot {self._booted} is lost and left out: {lost}")

    def _confirm(self, number: int) -> None:
        """Boot a step and the one before it again where a path differs between them."""
        before = max(one for one in self._boots if one < number)
        change = compare_steps(self._step(before), self._step(number))
        count = change.count("longer", "shorter")
        if count:
            warn(f"paths that differ from {change.before.commit}: {count}; booting both again")
            for one in (before, number):
                if self._boots[one] == 1:
                    self._boot(one)


def _kernel_of(series: Series, commit: Commit) -> guest.Kernel:
    """Return the kernel of a commit as it is; raises KernelBuildError."""
    return obtain("bench", kernel=guest.Spec(f"{series.tree}@{commit.sha}", "none"))


def _reason(error: VmabenchError) -> str:
    """``does not build: ...``, or why its guest has no result."""
    return f"does not build: {error}" if isinstance(error, KernelBuildError) else str(error)


def _name(number: int, commit: Commit) -> str:
    """``0002-mm-drain-before-reading``, as git format-patch names a patch."""
    if number == 0:
        return "0000-base"
    words = re.sub(r"[^A-Za-z0-9._]+", "-", commit.subject)[:_LONGEST_NAME].strip("-.")
    return f"{number:04}-{words}" if words else f"{number:04}"
