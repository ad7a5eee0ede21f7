# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench compare A B``: what got slower, what faster, and what can't be compared."""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from vmabench.analysis.intervals import fewest_for_interval
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
    if (args.appendix or args.vmlinux) and args.format != "cover-letter":
        raise UsageError("--appendix and --vmlinux go with --format cover-letter only")
    a, b = (_read(path, name, args.partial) for path, name in ((args.a, "A"), (args.b, "B")))
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
    judge = _paths if clocks[0] == "instructions" else _times
    return judge(args, a, b, found)


def _read(path: str, name: str, partial: bool) -> Result:
    """A whole result; or what is whole of one, where that is asked for."""
    result = read(path)
    fault = result.damage
    if not fault and not result.of_kind("end"):
        fault = f"it was cut off after {_rounds(result)} whole rounds"
    if fault and not partial:
        raise UsageError(f"{name} is not whole: {fault} (--partial compares what is)")
    if fault:
        warn(f"of {name} only a part is compared: {fault}")
    return result


def _rounds(result: Result) -> int:
    return sum(1 for record in result.of_kind("round") if record["complete"])


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
    hashes = [str(fact.get("kernel_config_sha256") or "unknown")[:8] for fact in facts]
    if hashes[0] != hashes[1]:
        yield f"kernel configurations {hashes[0]} and {hashes[1]}"
    for name, result in (("A", a), ("B", b)):
        if result.header.get("injected"):
            yield f"in {name} a delay was injected on purpose ({result.header['injected']})"


def _shown(name: str, value: object) -> object:
    """A value as it is compared: a machine's memory varies by what firmware and kernel keep."""
    if name == "memory_bytes" and isinstance(value, int):
        return f"{round(value / (1 << 30))}G"
    if name == "cpus" and isinstance(value, list):
        return len(value)
    return value


def _times(args: argparse.Namespace, a: Result, b: Result, forced: Sequence[str]) -> int:
    from vmabench.analysis.compare import compare as compare_frames
    from vmabench.analysis.compare import out_of_reach
    from vmabench.analysis.frame import tidy
    from vmabench.report.letter import LETTERS, Extras, letter, side
    from vmabench.report.verdicts import robot_text, rows_of, verdict_text

    target = max(float(result.plan.get("target_width", 0.3)) or math.inf for result in (a, b))
    compared = compare_frames(tidy(a), tidy(b), target_width=target)
    if args.format == "json":
        say_json(rows_of(compared, forced))
    elif args.format in LETTERS:
        sides = [side(a, args.base), side(b, args.patched)]
        extras = Extras(args.appendix, tuple(args.vmlinux) if args.vmlinux else None)
        text = letter(args.format, sides, compared, forced, extras)
        say(text.rstrip("\n"))
    elif args.format == "robot":
        say(robot_text(compared, (_name(a), _name(b)), marked=bool(forced)).rstrip("\n"))
    else:
        head = [*_head(a, b), *_notices(a, b, out_of_reach(compared), len(compared))]
        say(verdict_text(compared, head, marked=bool(forced)).rstrip("\n"))
    return UNSTABLE if (compared["verdict"] == "unstable").any() else DONE


def _notices(
    a: Result, b: Result, unreachable: tuple[int, int] | None, cases: int
) -> Iterator[str]:
    """What the numbers of rounds don't permit to be shown."""
    few = [(name, _rounds(result)) for name, result in (("A", a), ("B", b))]
    least = fewest_for_interval()
    for name, rounds in few:
        if rounds == 1:
            yield f"{name} has one round only: there is no interval, and so no verdict"
        elif rounds < least:
            yield f"{name} has {rounds} rounds: its medians have intervals from {least} on"
    if unreachable and min(rounds for _, rounds in few) > 1:
        yield (
            f"{unreachable[0]} rounds against {unreachable[1]} can't show that one case of {cases}"
            " has changed, however much, only that several have: measure more rounds"
        )


def _paths(args: argparse.Namespace, a: Result, b: Result, forced: Sequence[str]) -> int:
    from vmabench.analysis.compare import compare_paths
    from vmabench.analysis.frame import tidy
    from vmabench.report.verdicts import path_verdict_text, rows_of

    compared = compare_paths(tidy(a), tidy(b))
    if args.format == "json":
        say_json(rows_of(compared, forced))
    else:
        say(path_verdict_text(compared, _head(a, b), marked=bool(forced)).rstrip("\n"))
    return DONE


def _name(result: Result) -> str:
    return str(result.header.get("kernel", "unknown"))


def _head(a: Result, b: Result) -> list[str]:
    lines = []
    for name, result in (("A", a), ("B", b)):
        rounds = _rounds(result)
        started = str(result.header.get("started", ""))[:16].replace("T", " ")
        lines.append(
            f"{name}  {Path(result.directory).name}: kernel {_name(result)}, plan"
            f" {result.header.get('plan', 'unnamed')}, {rounds} rounds, {started} UTC"
        )
    return lines
