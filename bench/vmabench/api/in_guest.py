# SPDX-License-Identifier: GPL-2.0-only
"""Measure a plan in a guest: the guest takes the samples, the host has the directory."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmabench import guest
from vmabench.api.options import PLAN_AXES, Guest, RunOptions
from vmabench.api.output import new_directory, short, warn
from vmabench.api.progress import make_build_progress
from vmabench.atomic import make_directories, replacing
from vmabench.errors import LostGuest
from vmabench.guest.spec import DEFAULT
from vmabench.machine.facts import read_facts
from vmabench.matrix.axes import option_of
from vmabench.matrix.plans import Vocabulary, expand, load_plan
from vmabench.matrix.rules import swap_bytes
from vmabench.mechanisms import MECHANISMS
from vmabench.runner.lock import only_run
from vmabench.runner.process import PYTHON
from vmabench.store.format import SAMPLES
from vmabench.store.places import default_directory

#: the status of a command whose kernel complained
COMPLAINED = 1

#: A plan in a guest ends by its own budget, and a guest without an end is a hung one.
PLAN_LIMIT_S = 12 * 3600.0

#: beside the samples of a run whose guest was lost
GUEST_LOG = "guest.log"


@dataclass(frozen=True, slots=True)
class GuestRun:
    """A run in a guest that is ready to start; ``directory`` appears with its first samples."""

    options: RunOptions
    kernel: guest.Kernel
    machine: guest.Machine
    accel: str
    directory: Path

    @property
    def has_samples(self) -> bool:
        return (self.directory / SAMPLES).exists()


def prepare(options: RunOptions, where: Guest) -> GuestRun:
    """Build the kernel and choose machine and directory.

    Raises UsageError, MachineError and KernelBuildError.
    """
    machine = where.machine()
    kernel = obtain("bench", kernel=where.kernel_spec())
    accel = guest.choose(where.accel, kernel, machine, warn)
    directory = result_directory(options.output, f"guest-{accel}", kernel.release)
    machine = replace(machine, shares=(directory.parent,), scratch_bytes=scratch_bytes(options))
    return GuestRun(options, kernel, machine, accel, directory)


def measure(run: GuestRun) -> int:
    """Boot the guest, measure the plan in it, and return the exit status of that command.

    Raises LostGuest; the samples before that are stored, and the log of the guest beside them.
    """
    command = _plan_command(run.options, run.directory)
    try:
        with only_run():
            outcome = guest.run(
                command,
                run.kernel,
                machine=run.machine,
                accel=run.accel,
                timeout=PLAN_LIMIT_S,
                stream=True,
            )
    except LostGuest as lost:
        if lost.log:
            _keep_log(run.directory, lost.log)
        raise
    return status_of(outcome)


def status_of(outcome: guest.Outcome) -> int:
    """Return the exit status of the command; a complaint of the kernel fails any command."""
    if not outcome.splats:
        return outcome.status
    for splat in outcome.splats:
        warn(f"the guest's kernel complained (line {splat.line} of its log):\n{splat.context}")
    return outcome.status or COMPLAINED


def obtain(
    flavour: str, *, kernel: guest.Spec = DEFAULT, extra: Sequence[Path] = ()
) -> guest.Kernel:
    """Return a kernel, by default that of this checkout; a build shows its progress."""
    progress = make_build_progress(sys.stderr)
    try:
        return guest.build(flavour, kernel=kernel, extra=extra, say=warn, progress=progress.made)
    finally:
        progress.close()


def result_directory(output: str | None, kind: str, release: str) -> Path:
    """Return the path of a new directory and make its parent, which the guest gets as a share.

    Raises UsageError and MachineError.
    """
    directory = new_directory(output, default_directory(kind, release))
    make_directories(directory.parent)
    return directory.absolute()


def scratch_bytes(options: RunOptions) -> int:
    """Return the room for the swap files of the plan's cases; 0 where it has none."""
    plan = options.with_axes(load_plan(options.plan))
    cases = expand(plan, Vocabulary(tuple(MECHANISMS), read_facts().all_pages))
    files = [swap_bytes(case) for case in cases if case.swap_device == "file"]
    return 2 * max(files) if files else 0


def _keep_log(directory: Path, log: str) -> None:
    path = make_directories(directory) / GUEST_LOG
    with replacing(path) as unfinished:
        unfinished.write_text(log, encoding="utf-8")
    warn(f"the log of the guest is in {short(path)}")


def _plan_command(options: RunOptions, directory: Path) -> list[str]:
    """Return the command line of the same run, for the guest."""
    line = [*PYTHON, "-m", "vmabench", "run", options.plan, "--samples-only"]
    return [*line, "-o", str(directory), *option_words(options)]


def option_words(options: RunOptions) -> list[str]:
    """Return axes, budget and seed as the options of a command line."""
    words = []
    for axis in PLAN_AXES:
        if values := options.axes.get(axis):
            words += [option_of(axis), ",".join(values)]
    if options.budget:
        words += ["--budget", options.budget]
    if options.seed is not None:
        words += ["--seed", str(options.seed)]
    return words
