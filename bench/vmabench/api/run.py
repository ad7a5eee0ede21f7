# SPDX-License-Identifier: GPL-2.0-only
"""Measure from Python: the same runs and the same directories as those of ``vmabench run``."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from vmabench.api import against, in_guest
from vmabench.api.measure import measure
from vmabench.api.options import PLAN_AXES, Guest, RunOptions
from vmabench.api.reports import derive
from vmabench.api.result import RunResult
from vmabench.errors import MachineError, UsageError
from vmabench.signals import interruptible
from vmabench.store.places import point_latest

Values = str | Sequence[str]


def run(  # noqa: PLR0913 - each is an option of the command
    plan: str | Path = "quick",
    *,
    guest: Guest | None = None,
    budget: str | None = None,
    seed: int | None = None,
    output: str | Path | None = None,
    progress: bool = True,
    **axes: Values,
) -> RunResult:
    """Measure a plan, here or in a guest, and return its result.

    ``plan`` is a name of ``vmabench list plans`` or the path of a file that ends in .toml.
    ``budget`` is the most time it takes, as in ``"90s"`` or ``"15m"``. ``output`` is a new
    directory, by default one below ``results``. Other arguments replace axes of the plan: a text
    or a list of them, as in ``mechanism=["readv", "memfd"]`` or ``page="4K"``.

    Progress is shown on standard error, or below the cell of a notebook. An interrupt (Ctrl-C, or
    the stop button of a notebook) ends the workers; the whole rounds before it are stored, and
    KeyboardInterrupt names the directory. Raises UsageError for a bad argument, MachineError where
    the machine cannot measure or another run measures on it, and LostGuest. Cases that cannot run
    here are rows of the result with their reason.

    >>> import vmabench as vb
    >>> result = vb.run("smoke", mechanism=["readv", "memfd"], size="64K", budget="3s",
    ...                 progress=False)
    >>> sorted(result.frame().query("outcome == 'ok'")["mechanism"].unique())
    ['memfd', 'readv']
    """
    options = replace(_options(plan, budget, seed, output, axes), progress=progress)
    with _interruptible():
        if guest is not None:
            return _run_in_guest(options, guest)
        measured = measure(options)
        return _finished(measured.directory, interrupted=measured.interrupted)


def run_against(  # noqa: PLR0913 - each is an option of the command
    plan: str | Path = "quick",
    *,
    a: str = "base",
    b: str | None = None,
    boots: int | None = None,
    detect: float | None = None,
    guest: Guest | None = None,
    budget: str | None = None,
    seed: int | None = None,
    output: str | Path | None = None,
    **axes: Values,
) -> tuple[RunResult, RunResult]:
    """Measure the kernels ``a`` and ``b`` in turns, and return both results.

    ``b`` is a kernel as ``Guest.kernel`` describes it, by default that of ``guest``. ``a`` is
    ``base`` (``b`` without its series), a directory of patches (``b`` with these instead), or a
    kernel like ``b``, without a series. ``boots`` is the number of each kernel; by default it is 2
    by the instruction clock, and else as many as find a relative change of ``detect`` (0.05, with
    at most 10 boots, unless it is given). ``budget`` and ``plan`` are those of all boots of one
    kernel. The other arguments, interrupts and errors are those of ``run``; also raises
    MachineError where no boot of a kernel left a result::

        a, b = vb.run_against("standard", a="base", boots=8)
        vb.compare(a.frame(), b.frame())
    """
    options = _options(plan, budget, seed, output, axes)
    with _interruptible():
        contest = against.prepare(options, _with_kernel(guest or Guest(), b), a, boots, detect)
        whole = against.measure_boots(contest)
        kept = [side for side in contest.sides if not side.store.empty]
        for side in kept:
            derive(side.store.directory)
        if not whole:
            raise KeyboardInterrupt(f"interrupted: what was measured is in {contest.directory}")
        if len(kept) < len(contest.sides):
            raise MachineError("no boot of one of the kernels left a result: see the messages")
        first, second = (RunResult(side.store.directory) for side in contest.sides)
        return first, second


def _options(
    plan: str | Path,
    budget: str | None,
    seed: int | None,
    output: str | Path | None,
    axes: Mapping[str, Values],
) -> RunOptions:
    return RunOptions(
        plan=str(plan),
        axes=_checked(axes),
        budget=budget,
        seed=seed,
        output=None if output is None else str(output),
    )


def _with_kernel(guest: Guest, kernel: str | None) -> Guest:
    """Return the guest with another kernel; raises UsageError where it has one."""
    if kernel is None:
        return guest
    if guest.kernel is not None:
        raise UsageError(f"b={kernel!r} and Guest(kernel={guest.kernel!r}) are both kernel B")
    return replace(guest, kernel=kernel)


def _run_in_guest(options: RunOptions, where: Guest) -> RunResult:
    prepared = in_guest.prepare(options, where)
    try:
        status = in_guest.measure(prepared)
    except KeyboardInterrupt:
        if not prepared.has_samples:
            raise
        return _finished(prepared.directory, interrupted=True)
    if not prepared.has_samples:
        raise MachineError(f"the plan can't be measured in the guest (status {status})")
    return _finished(prepared.directory, interrupted=False)


def _finished(directory: Path, *, interrupted: bool) -> RunResult:
    """Return a result with its report; raise KeyboardInterrupt if the run was interrupted."""
    derive(directory)
    point_latest(directory)
    if interrupted:
        raise KeyboardInterrupt(f"interrupted: what was measured is in {directory}")
    return RunResult(directory)


def _checked(axes: Mapping[str, Values]) -> dict[str, tuple[str, ...]]:
    """Return the axes with tuples for values; raises UsageError."""
    if unknown := [name for name in axes if name not in PLAN_AXES]:
        raise UsageError(f"{unknown[0]} is no axis of a plan: there are {', '.join(PLAN_AXES)}")
    return {
        name: tuple(values.split(",") if isinstance(values, str) else values)
        for name, values in axes.items()
    }


def _interruptible() -> AbstractContextManager[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt too, where signals can be handled."""
    main = threading.current_thread() is threading.main_thread()
    return interruptible() if main else nullcontext()
