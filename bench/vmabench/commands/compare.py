# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench compare A B``: what got slower, what faster, and what can't be compared."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmabench.analysis.intervals import fewest_for_interval
from vmabench.api.comparable import differences
from vmabench.api.output import say, say_json, warn
from vmabench.errors import UsageError
from vmabench.store.boots import boots_of, order_of
from vmabench.store.format import Result
from vmabench.store.reader import read

DONE, UNSTABLE, FAIL_ON_STATUS = 0, 2, 3


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


@dataclass(frozen=True, slots=True)
class Choices:
    """The results to compare and how: the options of ``vmabench compare``."""

    results: tuple[str, ...]
    format: str = "text"
    base: str | None = None
    patched: str | None = None
    appendix: bool = False
    images: tuple[str, str] | None = None
    paths: tuple[str, str] | None = None
    force: bool = False
    partial: bool = False
    fail_on: tuple[str, ...] = ()


def compare(chosen: Choices) -> int:
    """Print the comparison of two result directories; return the exit status.

    ``commands.side_by_side`` handles more results, and CSV.
    """
    if (chosen.appendix or chosen.images) and chosen.format != "cover-letter":
        raise UsageError("--appendix and --vmlinux go with --format cover-letter only")
    a, b = (
        read_result(path, name, chosen.partial)
        for path, name in zip(chosen.results, "AB", strict=True)
    )
    found = check_comparable(a, b, chosen.force)
    for difference in found:
        warn(f"compared by force: {difference}")
    view = View(
        format=chosen.format,
        base=chosen.base,
        patched=chosen.patched,
        forced=found,
        appendix=chosen.appendix,
        images=chosen.images,
        paths=_theory(chosen),
        fail_on=chosen.fail_on,
    )
    return compare_results(a, b, view)


def compare_results(a: Result, b: Result, view: View | None = None) -> int:
    """Print the comparison of two results of one clock; return the exit status."""
    shown = view or View(forced=check_comparable(a, b, force=False))
    verdicts = _paths(shown, a, b) if is_counted(b) else _times(shown, a, b)
    return status_for(shown.fail_on, verdicts, b)


def status_for(fail_on: Sequence[str], verdicts: Sequence[str], b: Result) -> int:
    """Return 3 where B has an outcome of ``--fail-on``, 2 where a case is unstable."""
    failed = {record["case"] for record in b.of_kind("case") if record["outcome"] == "failed"}
    found = {
        "slower": sum(verdict in ("slower", "longer") for verdict in verdicts),
        "failed": len(failed),
        "unstable": sum(verdict == "unstable" for verdict in verdicts),
    }
    return FAIL_ON_STATUS if hits(fail_on, found) else UNSTABLE if found["unstable"] else DONE


def hits(fail_on: Sequence[str], found: Mapping[str, int]) -> bool:
    """Return whether an outcome of ``--fail-on`` was found, and warn which and how often."""
    named = [f"{found[name]} {name}" for name in fail_on if found[name]]
    if named:
        warn(f"--fail-on: {', '.join(named)}")
    return bool(named)


def is_counted(result: Result) -> bool:
    """Return whether a result counts instructions in place of the time."""
    return bool(result.header.get("clock") == "instructions")


def check_comparable(a: Result, b: Result, force: bool) -> tuple[str, ...]:
    """Return the differences of two results; raises UsageError for one, unless it is forced."""
    clocks = [str(result.header.get("clock", "raw")) for result in (a, b)]
    if clocks[0] != clocks[1]:
        raise UsageError(f"A is measured by the clock {clocks[0]}, B by {clocks[1]}: never mixed")
    found = tuple(differences(a, b))
    if found and not force:
        raise UsageError(
            f"not comparable: {'; '.join(found)} (--force compares all the same, and marks it)"
        )
    return found


def _theory(chosen: Choices) -> tuple[Result, Result] | None:
    """Return two results of the instruction clock, for a letter."""
    if not chosen.paths:
        return None
    if chosen.format != "cover-letter":
        raise UsageError("--paths goes with --format cover-letter only")
    a, b = (
        read_result(path, f"{name} of --paths", chosen.partial)
        for path, name in zip(chosen.paths, "AB", strict=True)
    )
    if not (is_counted(a) and is_counted(b)):
        raise UsageError("--paths takes two results of the instruction clock")
    check_comparable(a, b, force=False)
    return a, b


def read_result(path: str, name: str, partial: bool) -> Result:
    """Return a result, which must be whole unless ``partial``."""
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


def head_line(name: str, result: Result) -> str:
    """Return a line on a result: its directory, kernel, plan, boots, rounds and time."""
    from vmabench.report.words import rounds_words

    started = str(result.header.get("started", ""))[:16].replace("T", " ")
    return (
        f"{name}  {Path(result.directory).name}: kernel {_name(result)}, plan"
        f" {result.header.get('plan', 'unnamed')}, {_boots_words(result)}"
        f"{rounds_words(result)}, {started} UTC"
    )


def _head(a: Result, b: Result) -> list[str]:
    lines = [head_line("A", a), head_line("B", b)]
    order = order_of((a, b))
    if order:
        lines.append(f"boots in the order {order}")
    return lines
