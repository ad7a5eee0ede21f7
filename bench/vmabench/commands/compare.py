# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench compare A B``: what got slower, what faster, and what can't be compared."""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

from vmabench.commands.output import say, say_json, warn
from vmabench.errors import UsageError
from vmabench.store.format import Result
from vmabench.store.reader import machine_facts, read

DONE, UNSTABLE = 0, 2

#: what two machines must have in common, and how a person calls it
_SAME_MACHINE = {
    "cpu_model": "processor",
    "memory_bytes": "memory",
    "cpus": "CPUs",
    "arch": "architecture",
    "base_page_bytes": "base page",
}
_SAME_HEADER = {"thp": "THP setting", "source_cpu": "source CPU", "receiver_cpu": "receiver CPU"}


def compare(args: argparse.Namespace) -> int:
    a, b = read(args.a), read(args.b)
    clocks = [str(result.header.get("clock", "raw")) for result in (a, b)]
    if clocks[0] != clocks[1]:
        raise UsageError(f"A is measured by the clock {clocks[0]}, B by {clocks[1]}: never mixed")
    found = list(differences(a, b))
    if found and not args.force:
        raise UsageError(
            f"not comparable: {'; '.join(found)} (--force compares all the same, and marks it)"
        )
    for difference in found:
        warn(f"compared by force: {difference}")
    if clocks[0] == "instructions":
        return _paths(args, a, b)
    return _times(args, a, b, marked=bool(found))


def differences(a: Result, b: Result) -> Iterator[str]:
    """What makes the two no comparison of kernels; one sentence each."""
    virts = [str(result.header.get("virt", "unknown")) for result in (a, b)]
    if virts[0] != virts[1]:
        kinds = ["emulated" if virt == "emulated" else f"real ({virt})" for virt in virts]
        yield f"A is {kinds[0]}, B is {kinds[1]}"
    facts = [machine_facts(result) for result in (a, b)]
    for name, what in _SAME_MACHINE.items():
        here, there = (_shown(name, fact.get(name)) for fact in facts)
        if here != there:
            yield f"another machine: {what} {here} and {there}"
    for name, what in _SAME_HEADER.items():
        if a.header.get(name) != b.header.get(name):
            yield f"{what} {a.header.get(name)} and {b.header.get(name)}"
    debug = [fact.get("kernel_debug") or [] for fact in facts]
    if bool(debug[0]) != bool(debug[1]):
        which, options = ("A", debug[0]) if debug[0] else ("B", debug[1])
        yield f"{which} is a debug kernel ({', '.join(options)})"
    hashes = [str(fact.get("kernel_config_sha256") or "")[:8] for fact in facts]
    if all(hashes) and hashes[0] != hashes[1]:
        yield f"kernel configurations {hashes[0]} and {hashes[1]}"


def _shown(name: str, value: object) -> object:
    """A value as it is compared: a machine's memory varies by what firmware and kernel keep."""
    if name == "memory_bytes" and isinstance(value, int):
        return f"{round(value / (1 << 30))}G"
    if name == "cpus" and isinstance(value, list):
        return len(value)
    return value


def _times(args: argparse.Namespace, a: Result, b: Result, *, marked: bool) -> int:
    from vmabench.analysis.compare import compare as compare_frames
    from vmabench.analysis.frame import tidy
    from vmabench.report.verdicts import robot_text, rows_of, verdict_text

    target = max(float(result.plan.get("target_width", 0.3)) or math.inf for result in (a, b))
    compared = compare_frames(tidy(a), tidy(b), target_width=target)
    if args.format == "json":
        say_json(rows_of(compared))
    elif args.format == "robot":
        say(robot_text(compared, (_name(a), _name(b))).rstrip("\n"))
    else:
        say(verdict_text(compared, _head(a, b), marked=marked).rstrip("\n"))
    return UNSTABLE if (compared["verdict"] == "unstable").any() else DONE


def _paths(args: argparse.Namespace, a: Result, b: Result) -> int:
    from vmabench.analysis.compare import compare_paths
    from vmabench.analysis.frame import tidy
    from vmabench.report.verdicts import path_verdict_text, rows_of

    compared = compare_paths(tidy(a), tidy(b))
    if args.format == "json":
        say_json(rows_of(compared))
    else:
        say(path_verdict_text(compared, _head(a, b)).rstrip("\n"))
    return DONE


def _name(result: Result) -> str:
    return str(result.header.get("kernel", "unknown"))


def _head(a: Result, b: Result) -> list[str]:
    lines = []
    for name, result in (("A", a), ("B", b)):
        rounds = sum(1 for record in result.of_kind("round") if record["complete"])
        started = str(result.header.get("started", ""))[:16].replace("T", " ")
        lines.append(
            f"{name}  {Path(result.directory).name}: kernel {_name(result)}, plan"
            f" {result.header.get('plan', 'unnamed')}, {rounds} rounds, {started} UTC"
        )
    return lines
