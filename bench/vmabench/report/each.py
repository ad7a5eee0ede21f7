# SPDX-License-Identifier: GPL-2.0-only
"""Format which patch of a series changed which path: as text, for robots, and for b4.

The robot's lines have fields separated by tabs; the first names the kind of the line. Fields are
only ever added at the end of a kind:

``base``     commit, subject
``patch``    number, commit, paths longer, shorter, failed, gone, new and the same, subject
``path``     number, commit, case, phase, verdict, instructions before and after, their difference,
             the change in per cent, commit before, functions (``NAME=DIFFERENCE,..``) or a reason
``missing``  number, commit, reason: it was not measured
``series``   first and last measured commit, paths longer, shorter and the same between these two
``gradual``  case, phase, verdict, instructions before and after: no single patch shows it
"""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from vmabench.analysis.compare import MIN_PATH_EFFECT, bare_name
from vmabench.analysis.each import FAILED, GONE, NEW, Attribution, Change, Step
from vmabench.matrix.case import Case
from vmabench.report.paths import number
from vmabench.report.verdicts import functions_of, origin, rows_of
from vmabench.report.words import wrapped
from vmabench.units import format_size

#: of a patch in the text; the other forms have all
MOST_PATHS = 12

TOOL = "vmabench"
#: in the order in which they are told
VERDICTS = ("longer", "shorter", FAILED, GONE, NEW)

_RULE = (
    f"Instructions of one operation. A path has changed where two neighbouring kernels differ by"
    f" more than {100 * MIN_PATH_EFFECT:g} % and by more than the processes of either differ among"
    " themselves. failed, gone: it has no count after the patch; new: none before."
)


def each_text(found: Attribution, head: Sequence[str], command: Sequence[str]) -> str:
    """Return the changed paths of each patch, the patches without any, totals and a command.

    ``command`` measures all; the last line restricts it to the first changed path.
    """
    parts = ["\n".join(head), f"{summary(found)}."]
    parts += [_section(found, change) for change in found.changes if _told(change).size]
    parts += list(_quiet(found))
    parts += list(_totals(found))
    parts += [wrapped(_RULE)] if found.changes else []
    parts += list(_again(found, command))
    return "\n\n".join(parts) + "\n"


def summary(found: Attribution) -> str:
    """Return one line: how many patches change how many paths, and what was not measured."""
    changing = [change for change in found.changes if len(change.changed)]
    if not found.changes:
        what = "nothing was compared"
    elif changing:
        paths = ", ".join(_counts(found))
        what = f"{_plural(len(changing), 'patch', 'patches')} of {len(found.steps) - 1}: {paths}"
    else:
        what = f"no path changed in {_plural(len(found.changes), 'comparison', 'comparisons')}"
    missing = found.missing
    return f"{what}; {len(missing)} of {len(found.steps)} kernels not measured" if missing else what


def robot_text(found: Attribution) -> str:
    """Return one line for each path that changed, and for each patch (see above)."""
    base = found.steps[0]
    lines: list[list[object]] = [["base", base.commit, base.subject]]
    changes = {change.after.number: change for change in found.changes}
    for step in found.steps[1:]:
        if step.missing:
            lines.append(["missing", step.number, step.commit, step.missing])
        elif step.number in changes:
            lines += _robot_lines(changes[step.number])
    if found.whole:
        counts = [found.whole.count(verdict) for verdict in ("longer", "shorter", "~")]
        lines.append(["series", found.whole.before.commit, found.whole.after.commit, *counts])
    for row in rows_of(found.gradual()):
        lines.append(["gradual", *_of(row, "case_id", "phase", "verdict"), *_numbers(row)[:2]])
    return "".join(_robot_line(line) for line in lines)


def check_results(
    found: Attribution, status: str, head: Sequence[str], command: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what ``b4 review`` reads of a check (``b4.review-series-check-cmd``).

    That is a list of ``tool``, ``status`` (pass, warn or fail), ``summary`` and ``details``; b4
    keeps one object of a tool. ``commits``, ``paths``, ``series`` and ``command`` are for other
    programs: b4 ignores them.
    """
    return [
        {
            "tool": TOOL,
            "status": status,
            "summary": summary(found),
            "details": each_text(found, head, command),
            "command": shlex.join(command),
            "commits": [_commit(step) for step in found.steps],
            "paths": [row for change in found.changes for row in _path_rows(change)],
            "series": rows_of(found.whole.changed) if found.whole else [],
        }
    ]


def title(step: Step) -> str:
    """``0002 1a2b3c4d5e6f mm: drain before reading``."""
    return f"{step.number:04} {step.commit} {step.subject}"


def _told(change: Change) -> pd.DataFrame:
    """Return the paths that have a row in the text: a new one has nothing to compare."""
    return change.changed[change.changed["verdict"] != NEW]


def _section(found: Attribution, change: Change) -> str:
    rows = rows_of(_told(change))
    shown = rows[:MOST_PATHS]
    name = max(len(_path(row)) for row in shown)
    lines = [*_heading(found, change)]
    for row in shown:
        lines += _lines_of_path(row, change.functions, name)
    if len(rows) > len(shown):
        results = (change.before.directory, change.after.directory)
        rest = shlex.join(["vmabench", "compare", *map(str, results)])
        lines.append(f"  and {len(rows) - len(shown)} more: {rest}")
    return "\n".join(lines)


def _heading(found: Attribution, change: Change) -> Iterator[str]:
    yield title(change.after)
    for step in found.across(change):
        yield f"  or {title(step)}, which was not measured"
    yield f"  {', '.join(_counts(change))}, {change.count('~')} the same"


def _lines_of_path(row: dict[str, Any], functions: pd.DataFrame, name: int) -> Iterator[str]:
    if row["verdict"] in (FAILED, GONE):
        yield f"  {_path(row):{name}}  {row['verdict']}: {row['reason']}"
        return
    before, after = number(row["a_call"]), number(row["b_call"])
    change = f"{100 * (row['ratio'] - 1):+.2f}%"
    yield f"  {_path(row):{name}}  {before:>11}  {after:>11}  {change:>8}  {row['verdict']}"
    yield wrapped(f"      {_functions(row, functions)}", "        ")


def _functions(row: dict[str, Any], functions: pd.DataFrame) -> str:
    if functions.empty:
        return f"{row['call']:+,.0f}: functions were not counted"
    return origin(row["call"], functions_of(functions, row))


def _quiet(found: Attribution) -> Iterator[str]:
    """Yield the patches that change nothing, and those without a result."""
    lines = [
        f"{title(change.after)}: no path changed ({change.count('~')} compared{_new(change)})"
        for change in found.changes
        if _told(change).empty
    ]
    if lines:
        yield "\n".join(lines)
    if found.missing:
        yield "\n".join(f"{title(step)}: not measured: {step.missing}" for step in found.missing)


def _new(change: Change) -> str:
    return f", {change.count(NEW)} new" if change.count(NEW) else ""


def _totals(found: Attribution) -> Iterator[str]:
    """Yield what the series changes as a whole, and the paths that only grow by many patches."""
    if found.whole is None:
        return
    whole = found.whole
    counts = ", ".join([*_counts(whole), f"{whole.count('~')} the same"])
    yield f"The whole series, {whole.before.commit} to {whole.after.commit}: {counts}"
    rows = rows_of(found.gradual())
    if rows:
        lines = ["In steps that are each below the noise floor:"]
        name = max(len(_path(row)) for row in rows[:MOST_PATHS])
        for row in rows[:MOST_PATHS]:
            lines += _lines_of_path(row, whole.functions, name)
        yield "\n".join(lines)


def _again(found: Attribution, command: Sequence[str]) -> Iterator[str]:
    """Yield the command that measures the first changed path again, on its two kernels."""
    for change in found.changes:
        for row in rows_of(_told(change)):
            case = Case.parse(row["case_id"])
            axes = ["--mechanism", case.mechanism, "--scenario", case.scenario]
            axes += ["--page", case.page, "--size", format_size(case.size_bytes)]
            commits = f"{change.before.commit}..{change.after.commit}"
            line = list(command)
            line[line.index("--each") + 1] = commits
            yield f"The first of these paths again:\n  {shlex.join([*line, *axes])}"
            return


def _counts(of: Attribution | Change) -> list[str]:
    """``3 paths longer``, ``1 shorter``; only what there is."""
    found = [(of.count(verdict), verdict) for verdict in VERDICTS]
    words = [f"{count} {verdict}" for count, verdict in found if count]
    if words:
        count, _, verdict = words[0].partition(" ")
        words[0] = f"{_plural(int(count), 'path', 'paths')} {verdict}"
    return words or ["no path changed"]


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _path(row: dict[str, Any]) -> str:
    return f"{bare_name(row['case_id'])} {row['phase']}"


def _robot_lines(change: Change) -> list[list[object]]:
    step = change.after
    counts = [change.count(verdict) for verdict in (*VERDICTS, "~")]
    lines: list[list[object]] = [["patch", step.number, step.commit, *counts, step.subject]]
    for row in _path_rows(change):
        words = ",".join(f"{one['function']}={one['call']:.3f}" for one in row["functions"])
        path = _of(row, "case_id", "phase", "verdict")
        numbers, last = _numbers(row), words or row["reason"]
        before = change.before.commit
        lines.append(["path", step.number, step.commit, *path, *numbers, before, last])
    return lines


def _robot_line(fields: Sequence[object]) -> str:
    """Return the fields between tabs; none of them may have one, or begin a new line."""
    return "\t".join(" ".join(str(field).split()) for field in fields) + "\n"


def _of(row: dict[str, Any], *names: str) -> list[object]:
    return [row[name] for name in names]


def _numbers(row: dict[str, Any]) -> list[object]:
    """Return the instructions before and after, their difference, and the change in per cent."""
    change = None if row["ratio"] is None else 100 * (row["ratio"] - 1)
    values = [row["a_call"], row["b_call"], row["call"], change]
    return ["-" if value is None else f"{value:.3f}" for value in values]


def _path_rows(change: Change) -> list[dict[str, Any]]:
    """Return the rows of the changed paths; ``functions`` are those that differ steadily."""
    of = {
        "number": change.after.number,
        "commit": change.after.commit,
        "before": change.before.commit,
    }
    rows = rows_of(change.changed)
    return [row | of | {"functions": _steady(row, change.functions)} for row in rows]


def _steady(row: dict[str, Any], functions: pd.DataFrame) -> list[dict[str, Any]]:
    mine = functions_of(functions, row)
    return rows_of(mine[mine["steady"]][["function", "call"]])


def _commit(step: Step) -> dict[str, Any]:
    return {
        "number": step.number,
        "commit": step.commit,
        "subject": step.subject,
        "result": str(step.directory) if step.result else None,
        "missing": step.missing or None,
    }
