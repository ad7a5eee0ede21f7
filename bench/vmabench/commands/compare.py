# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench compare A B``: what got slower, what faster, and what can't be compared."""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmabench.analysis.intervals import fewest_for_interval
from vmabench.commands.output import say, say_json, warn
from vmabench.errors import UsageError
from vmabench.matrix.axes import AXES, OF_SOURCE_AND_BUFFER
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.store.boots import boots_of, order_of
from vmabench.store.format import Result
from vmabench.store.reader import machine_facts, read

DONE, UNSTABLE, FAIL_ON_STATUS = 0, 2, 3

#: what two machines must have in common, and how a person calls it
_SAME_MACHINE = {
    "cpu_model": "processor",
    "memory_bytes": "memory",
    "cpus": "CPUs",
    "arch": "architecture",
    "base_page_bytes": "base page",
}
_SAME_HEADER = {"thp": "THP setting", "source_cpu": "source CPU", "receiver_cpu": "receiver CPU"}


@dataclass(frozen=True, slots=True)
class View:
    """How a comparison is shown and judged.

    ``forced`` is what speaks against it, ``fail_on`` has names of cli.FAIL_ON; what follows
    ``forced`` is that of a letter's Extras.
    """

    format: str = "text"
    base: str | None = None
    patched: str | None = None
    forced: tuple[str, ...] = ()
    appendix: bool = False
    images: tuple[str, str] | None = None
    paths: tuple[Result, Result] | None = None
    fail_on: tuple[str, ...] = ()


def compare(args: argparse.Namespace) -> int:
    if (args.appendix or args.vmlinux) and args.format != "cover-letter":
        raise UsageError("--appendix and --vmlinux go with --format cover-letter only")
    a, b = (_read(path, name, args.partial) for path, name in ((args.a, "A"), (args.b, "B")))
    found = _differences(a, b, args.force)
    for difference in found:
        warn(f"compared by force: {difference}")
    view = View(
        args.format,
        args.base,
        args.patched,
        found,
        args.appendix,
        tuple(args.vmlinux) if args.vmlinux else None,
        _theory(args),
        tuple(args.fail_on),
    )
    return compare_results(a, b, view)


def compare_results(a: Result, b: Result, view: View | None = None) -> int:
    """Print the comparison of two results of one clock; return the exit status."""
    shown = view or View(forced=_differences(a, b, force=False))
    verdicts = _paths(shown, a, b) if _is_counted(b) else _times(shown, a, b)
    return _status(shown.fail_on, verdicts, b)


def _status(fail_on: Sequence[str], verdicts: Sequence[str], b: Result) -> int:
    """Return 3 where B has an outcome of ``--fail-on``, 2 where a case is unstable."""
    failed = {record["case"] for record in b.of_kind("case") if record["outcome"] == "failed"}
    found = {
        "slower": sum(verdict in ("slower", "longer") for verdict in verdicts),
        "failed": len(failed),
        "unstable": sum(verdict == "unstable" for verdict in verdicts),
    }
    hits = [f"{found[name]} {name}" for name in fail_on if found[name]]
    if hits:
        warn(f"--fail-on: {', '.join(hits)}")
        return FAIL_ON_STATUS
    return UNSTABLE if found["unstable"] else DONE


def _is_counted(result: Result) -> bool:
    return bool(result.header.get("clock") == "instructions")


def _differences(a: Result, b: Result, force: bool) -> tuple[str, ...]:
    """What speaks against comparing the two; raises UsageError, unless it is forced."""
    clocks = [str(result.header.get("clock", "raw")) for result in (a, b)]
    if clocks[0] != clocks[1]:
        raise UsageError(f"A is measured by the clock {clocks[0]}, B by {clocks[1]}: never mixed")
    found = tuple(differences(a, b))
    if found and not force:
        raise UsageError(
            f"not comparable: {'; '.join(found)} (--force compares all the same, and marks it)"
        )
    return found


def _theory(args: argparse.Namespace) -> tuple[Result, Result] | None:
    """Two results of the instruction clock, for a letter."""
    if not args.paths:
        return None
    if args.format != "cover-letter":
        raise UsageError("--paths goes with --format cover-letter only")
    a, b = (
        _read(path, f"{name} of --paths", args.partial)
        for path, name in zip(args.paths, "AB", strict=True)
    )
    if not (_is_counted(a) and _is_counted(b)):
        raise UsageError("--paths takes two results of the instruction clock")
    _differences(a, b, force=False)
    return a, b


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


def _whole_boots(result: Result) -> int:
    """Boots with a round to compare."""
    return sum(1 for record in boots_of(result) if record["rounds"])


def _rounds(result: Result) -> int:
    return sum(1 for record in result.of_kind("round") if record["complete"])


def differences(a: Result, b: Result) -> Iterator[str]:
    """Yield each condition, other than the kernel's sources, in which two results differ."""
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
    yield from _unlike_axes(a, b)
    yield from _unlike_emulators(a, b)
    yield from _unlike_runs(a, b)


def _unlike_axes(a: Result, b: Result) -> Iterator[str]:
    """Yield the axes of source and buffer of which the two results have no text in common."""
    for name in OF_SOURCE_AND_BUFFER:
        here, there = (_texts(result, name) for result in (a, b))
        if here and there and not here & there:
            yield f"{name} {', '.join(sorted(here))} in A and {', '.join(sorted(there))} in B"


def _texts(result: Result, name: str) -> set[str]:
    """Return the texts of an axis in the names of the measured cases."""
    cases = {Case.parse(record["case"]) for record in result.of_kind("case")}
    return {AXES[name].write(case) for case in cases if name in SCENARIOS[case.scenario].axes}


def _unlike_emulators(a: Result, b: Result) -> Iterator[str]:
    """Yield the differences of two emulators: counts depend on the CPU that is emulated."""
    if any(result.header.get("virt") != "emulated" for result in (a, b)):
        return
    guests = [machine_facts(result).get("guest") or {} for result in (a, b)]
    for name, what in (("qemu", "QEMU"), ("cpu", "emulated CPU")):
        here, there = (str(guest.get(name, "unknown")) for guest in guests)
        if here != there:
            yield f"{what} {here} and {there}"


def _unlike_runs(a: Result, b: Result) -> Iterator[str]:
    boots = [len(boots_of(result)) for result in (a, b)]
    if bool(boots[0]) != bool(boots[1]):
        several, one = ("A", "B") if boots[0] else ("B", "A")
        yield f"{several} is of {max(boots)} boots and {one} of one, whose processes are no boots"
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


def _times(view: View, a: Result, b: Result) -> list[str]:
    """Print the comparison of times; return the verdicts."""
    from vmabench.analysis.compare import compare as compare_frames
    from vmabench.analysis.compare import out_of_reach
    from vmabench.analysis.frame import tidy
    from vmabench.report.letter import LETTERS, Extras, letter, side
    from vmabench.report.verdicts import robot_text, rows_of, verdict_text

    target = max(float(result.plan.get("target_width", 0.3)) or math.inf for result in (a, b))
    compared = compare_frames(tidy(a), tidy(b), target_width=target)
    forced = view.forced
    if view.format == "json":
        say_json(rows_of(compared, forced))
    elif view.format in LETTERS:
        sides = [side(a, view.base), side(b, view.patched)]
        extras = Extras(view.appendix, view.images, view.paths)
        say(letter(view.format, sides, compared, forced, extras).rstrip("\n"))
    elif view.format == "robot":
        say(robot_text(compared, (_name(a), _name(b)), marked=bool(forced)).rstrip("\n"))
    else:
        head = [*_head(a, b), *_notices(a, b, out_of_reach(compared), len(compared))]
        say(verdict_text(compared, head, marked=bool(forced)).rstrip("\n"))
    return [str(verdict) for verdict in compared["verdict"]]


def _notices(
    a: Result, b: Result, unreachable: tuple[int, int] | None, cases: int
) -> Iterator[str]:
    """Yield what the numbers of samples cannot show, and which number would."""
    from vmabench.analysis.compare import FEWEST_BOOTS, enough_samples

    what = "boot" if boots_of(a) and boots_of(b) else "round"
    count, least = (
        (_whole_boots, FEWEST_BOOTS) if what == "boot" else (_rounds, fewest_for_interval())
    )
    for name, result in (("A", a), ("B", b)):
        if (samples := count(result)) < least:
            few = f"one {what} only" if samples == 1 else f"{samples} {what}s"
            yield f"{name} has {few}: there is no interval, and so no verdict, below {least}"
    if unreachable:
        yield (
            f"{_counted(unreachable[0], what)} against {unreachable[1]} can't show that one case of"
            f" {cases} has changed, however much, only that several have:"
            f" {enough_samples(cases)} {what}s of each would do"
        )


def _paths(view: View, a: Result, b: Result) -> list[str]:
    """Print the comparison of path lengths; return the verdicts."""
    from vmabench.analysis.compare import compare_paths
    from vmabench.analysis.frame import tidy
    from vmabench.analysis.functions import compare_functions
    from vmabench.report.verdicts import path_rows, path_verdict_text

    compared = compare_paths(tidy(a), tidy(b))
    functions = compare_functions(a.functions, b.functions)
    if view.format == "json":
        say_json(path_rows(compared, functions, view.forced))
    else:
        marked = bool(view.forced)
        text = path_verdict_text(compared, _head(a, b), functions, marked=marked)
        say(text.rstrip("\n"))
    return [str(verdict) for verdict in compared["verdict"]]


def _name(result: Result) -> str:
    return str(result.header.get("kernel", "unknown"))


def _boots_words(result: Result) -> str:
    """``4 boots (boot 3 was lost: ...), ``, or nothing for a result of one."""
    boots = boots_of(result)
    lost = [
        f"boot {boot['boot']} was lost: {boot.get('reason', '')}"
        for boot in boots
        if boot["status"] == "lost"
    ]
    named = f" ({'; '.join(lost)})" if lost else ""
    return f"{_counted(_whole_boots(result), 'boot')}{named}, " if boots else ""


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _head(a: Result, b: Result) -> list[str]:
    from vmabench.report.words import rounds_words

    lines = []
    for name, result in (("A", a), ("B", b)):
        started = str(result.header.get("started", ""))[:16].replace("T", " ")
        lines.append(
            f"{name}  {Path(result.directory).name}: kernel {_name(result)}, plan"
            f" {result.header.get('plan', 'unnamed')}, {_boots_words(result)}"
            f"{rounds_words(result)}, {started} UTC"
        )
    order = order_of((a, b))
    if order:
        lines.append(f"boots in the order {order}")
    return lines
