# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench guest`` and ``vmabench run --guest``: commands and plans in the patched kernel."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vmabench import guest
from vmabench.atomic import make_directories, replacing
from vmabench.commands.output import new_directory, say, short, warn
from vmabench.commands.progress import make_build_progress
from vmabench.commands.run import finish
from vmabench.errors import LostGuest, UsageError
from vmabench.machine.facts import read_facts
from vmabench.matrix.axes import AXES, SWEEP_AXES
from vmabench.matrix.plans import Vocabulary, expand, load_plan, override
from vmabench.matrix.rules import swap_bytes
from vmabench.mechanisms import MECHANISMS
from vmabench.runner.lock import only_run
from vmabench.runner.process import PYTHON
from vmabench.store.format import PLAN, REPORT, SAMPLES, Result
from vmabench.store.places import default_directory
from vmabench.store.reader import read
from vmabench.store.suite import mechanisms_with_values
from vmabench.units import format_duration, format_size, parse_duration, parse_size

COMPLAINED = 1

#: the options that replace an axis of a plan
_PLAN_AXES = (*SWEEP_AXES, *AXES)

#: A plan in a guest ends by its own budget, and a guest without an end is a hung one.
PLAN_LIMIT_S = 12 * 3600.0

DEFAULT_MEMORY = 2 << 30
#: beside the samples of a run whose guest was lost
GUEST_LOG = "guest.log"
LEAST_MEMORY = 256 << 20
MOST_CPUS = 16  # CONFIG_NR_CPUS of kernel/config/base.config


def build(args: argparse.Namespace) -> int:
    kernel = obtain(args.flavour)
    say(f"{kernel.flavour} kernel {kernel.release}, {kernel.compiler}")
    say(str(kernel.image))
    return 0


def run(args: argparse.Namespace) -> int:
    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    if not words:
        raise UsageError("no command: write it as vmabench guest run -- COMMAND")
    machine, timeout_s = make_machine(args), parse_duration(args.timeout)
    outcome = guest.run(
        words,
        obtain(args.flavour),
        machine=machine,
        accel=args.accel,
        timeout=timeout_s,
        stream=True,
        say=warn,
    )
    return _status(outcome)


def test(args: argparse.Namespace) -> int:
    timeout_s = parse_duration(args.timeout)
    kernel = obtain(args.flavour)
    result = guest.selftests(kernel, accel=args.accel, timeout=timeout_s)
    for line in result.lines():
        say(line)
    say(f"{'passed' if result.good else 'FAILED'} in {format_duration(result.seconds)}")
    return 0 if result.good else 1


def shell(args: argparse.Namespace) -> int:
    machine = make_machine(args)
    if not sys.stdin.isatty():
        raise UsageError("guest shell needs a terminal: use vmabench guest run -- COMMAND")
    return guest.shell(obtain(args.flavour), machine=machine, accel=args.accel)


def run_plan(args: argparse.Namespace) -> int:
    """``vmabench run --guest``: the samples are taken in the guest, the rest is made here."""
    status, directory = _measure(args)
    return status or finish(directory)


def bench(args: argparse.Namespace) -> int:
    """The plan of a result once more in the guest, its path lengths, and one report of all."""
    host = read(args.directory)
    if "clone" in mechanisms_with_values(host):
        say("the running kernel has process_vm_mmap(): no guest is needed")
        return 0
    by_time = {"plan": str(Path(args.directory).resolve() / PLAN), "clock": "time"}
    by_instructions = {"plan": "paths", "clock": "instructions", "accel": "tcg"}
    results, worst = [host], 0
    for options in (by_time, by_instructions):
        status, directory = _measure(argparse.Namespace(**vars(args) | options))
        if status:
            return status
        worst = max(worst, finish(directory, announce=False))
        results.append(read(directory))
    _show(results)
    return worst


def _show(results: Sequence[Result]) -> None:
    """Stores the report of all; prints what the first result's own has not said yet."""
    from vmabench.report.joint import joint_parts, joint_report

    path = Path(results[1].directory) / REPORT / "joint.txt"
    with replacing(path) as unfinished:
        unfinished.write_text(joint_report(results), encoding="utf-8")
    for part in joint_parts(results)[1:]:
        say(f"\n{part}".rstrip("\n"))
    say("")
    for result in results:
        say(f"results  {short(Path(result.directory).resolve())}")
    say(f"report   {short(path)}")


def _measure(args: argparse.Namespace) -> tuple[int, Path]:
    """The exit status of the run in the guest, and where its samples are."""
    kernel = obtain("bench")
    machine = make_machine(args)
    accel = guest.choose(args.accel, kernel, machine, warn)
    directory = result_directory(args.output, f"guest-{accel}", kernel.release)
    machine = replace(machine, shares=(directory.parent,), scratch_bytes=scratch_bytes(args))
    command = _plan_command(args, directory)
    try:
        with only_run():
            outcome = guest.run(
                command, kernel, machine=machine, accel=accel, timeout=PLAN_LIMIT_S, stream=True
            )
    except (LostGuest, KeyboardInterrupt) as error:
        if isinstance(error, LostGuest) and error.log:
            _keep_log(directory, error.log)
        # What was stored before is whole, so it gets its report, and then comes the error.
        if (directory / SAMPLES).exists():
            finish(directory)
        raise
    return _status(outcome), directory


def _keep_log(directory: Path, log: str) -> None:
    path = make_directories(directory) / GUEST_LOG
    with replacing(path) as unfinished:
        unfinished.write_text(log, encoding="utf-8")
    warn(f"the log of the guest is in {short(path)}")


def obtain(flavour: str, extra: Sequence[Path] = ()) -> guest.Kernel:
    """The kernel of this checkout; a build shows how far it is."""
    progress = make_build_progress(sys.stderr)
    try:
        return guest.build(flavour, extra=extra, say=warn, progress=progress.made)
    finally:
        progress.close()


def make_machine(args: argparse.Namespace) -> guest.Machine:
    """What the options ask for; raises UsageError."""
    counted = args.clock == "instructions"
    if counted and args.accel == "kvm":
        raise UsageError("the instruction clock exists under emulation only: use --accel tcg")
    cpus = args.cpus if args.cpus is not None else (1 if counted else 2)
    if counted and cpus != 1:
        raise UsageError("the instruction clock needs --cpus 1: its counts repeat with one alone")
    if not 1 <= cpus <= MOST_CPUS:
        raise UsageError(f"--cpus {cpus}: a guest has 1 to {MOST_CPUS}")
    memory = parse_size(args.memory) if args.memory else DEFAULT_MEMORY
    if memory < LEAST_MEMORY:
        raise UsageError(f"--memory {args.memory}: a guest needs {format_size(LEAST_MEMORY)}")
    machine = guest.Machine(memory=memory, cpus=cpus, cmdline=args.append, clock=args.clock)
    if args.command == "run" or args.action == "bench":
        return machine
    shares = tuple(Path(name).absolute() for name in args.share)
    for path in shares:
        if not path.is_dir():
            raise UsageError(f"--share {path} is no directory")
    return replace(machine, swap=args.swap, swap_bytes=parse_size(args.swap_size), shares=shares)


def result_directory(output: str | None, kind: str, release: str) -> Path:
    """Return the path of a new directory whose parent is there, so that the guest can be given it.

    Raises UsageError and MachineError.
    """
    directory = new_directory(output, default_directory(kind, release))
    make_directories(directory.parent)
    return directory.absolute()


def scratch_bytes(args: argparse.Namespace) -> int:
    """Room for the swap files of the plan's cases; 0 where it has none."""
    plan = override(load_plan(args.plan), {axis: getattr(args, axis) for axis in _PLAN_AXES})
    cases = expand(plan, Vocabulary(tuple(MECHANISMS), read_facts().all_pages))
    files = [swap_bytes(case) for case in cases if case.swap_device == "file"]
    return 2 * max(files) if files else 0


def _plan_command(args: argparse.Namespace, directory: Path) -> list[str]:
    """The command line of the same run, as the guest is to do it."""
    line = [*PYTHON, "-m", "vmabench", "run", args.plan, "--samples-only"]
    line += ["-o", str(directory)]
    for axis in _PLAN_AXES:
        if values := getattr(args, axis):
            line += [f"--{axis}", ",".join(values)]
    if args.budget:
        line += ["--budget", args.budget]
    if args.seed is not None:
        line += ["--seed", str(args.seed)]
    return line


def _status(outcome: guest.Outcome) -> int:
    """The exit status of the command, unless the kernel complained, which fails any command."""
    if not outcome.splats:
        return outcome.status
    for splat in outcome.splats:
        warn(f"the guest's kernel complained (line {splat.line} of its log):\n{splat.context}")
    return outcome.status or COMPLAINED


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "build": build,
    "run": run,
    "test": test,
    "shell": shell,
    "bench": bench,
}
