# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench guest``: build a kernel, and run commands and tests in it."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vmabench import guest
from vmabench.api import in_guest
from vmabench.api.in_guest import obtain, status_of
from vmabench.api.options import Guest, RunOptions
from vmabench.api.output import say, short, warn
from vmabench.atomic import replacing
from vmabench.commands.run import finish, measure_in_guest
from vmabench.errors import UsageError
from vmabench.store.format import PLAN, REPORT, Result
from vmabench.store.reader import read
from vmabench.store.suite import mechanisms_with_values
from vmabench.units import format_duration, parse_size


def build(flavour: str, spec: guest.Spec) -> int:
    """Build the kernel, or find it in the cache, and print its path."""
    kernel = obtain(flavour, kernel=spec)
    say(f"{kernel.flavour} kernel {kernel.release}, {kernel.compiler}")
    say(str(kernel.image))
    return 0


def run(  # noqa: PLR0913, PLR0917 - each is an option of the command
    words: Sequence[str],
    flavour: str,
    spec: guest.Spec,
    machine: guest.Machine,
    accel: str,
    timeout_s: float,
) -> int:
    """Run a command in the guest and return its status."""
    if not words:
        raise UsageError("no command: write it as vmabench guest run -- COMMAND")
    outcome = guest.run(
        words,
        obtain(flavour, kernel=spec),
        machine=machine,
        accel=accel,
        timeout=timeout_s,
        stream=True,
        say=warn,
    )
    return status_of(outcome)


def test(flavour: str, spec: guest.Spec, accel: str, timeout_s: float) -> int:
    """Run the selftests of the call; return 1 if one fails."""
    kernel = obtain(flavour, kernel=spec)
    result = guest.selftests(kernel, built_from=spec, accel=accel, timeout=timeout_s)
    for line in result.lines():
        say(line)
    say(f"{'passed' if result.good else 'FAILED'} in {format_duration(result.seconds)}")
    return 0 if result.good else 1


def shell(flavour: str, spec: guest.Spec, machine: guest.Machine, accel: str) -> int:
    """Start a shell in the guest, on this terminal."""
    if not sys.stdin.isatty():
        raise UsageError("guest shell needs a terminal: use vmabench guest run -- COMMAND")
    return guest.shell(obtain(flavour, kernel=spec), machine=machine, accel=accel)


def with_devices(
    machine: guest.Machine, *, swap: str, swap_size: str, shares: Sequence[str]
) -> guest.Machine:
    """Return a machine with a swap device and shared directories; raises UsageError."""
    paths = tuple(Path(name).absolute() for name in shares)
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"--share {path} is no directory")
    return replace(machine, swap=swap, swap_bytes=parse_size(swap_size), shares=paths)


def bench(directory: str, accel: str) -> int:
    """Measure the plan of a result in the guest, and path lengths; write one report of all."""
    host = read(directory)
    if "clone" in mechanisms_with_values(host):
        say("the running kernel has process_vm_mmap(): no guest is needed")
        return 0
    by_time = RunOptions(str(Path(directory).resolve() / PLAN)), Guest(accel=accel)
    by_instructions = RunOptions("paths"), Guest(accel="tcg", clock="instructions")
    results, worst = [host], 0
    for options, where in (by_time, by_instructions):
        prepared = in_guest.prepare(options, where)
        if status := measure_in_guest(prepared):
            return status
        worst = max(worst, finish(prepared.directory, announce=False))
        results.append(read(prepared.directory))
    _show(results)
    return worst


def _show(results: Sequence[Result]) -> None:
    """Store the report of all; print the parts that the first result's own report lacks."""
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
