# SPDX-License-Identifier: GPL-2.0-only
"""A comparison as text, in the layout that kernel developers read daily, and as data."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pandas as pd

from vmabench.analysis.compare import (
    FALSE_DISCOVERIES,
    MIN_EFFECT,
    MIN_PATH_EFFECT,
    VERDICTS,
    bare_name,
)
from vmabench.analysis.functions import by_function
from vmabench.report.layout import layout
from vmabench.report.paths import number
from vmabench.report.words import bracketed, three_digits, wrapped
from vmabench.units import format_time

#: of a path, before the rest is one number
MOST_FUNCTIONS = 6
MOST_LISTED = 20
#: what functions may leave of a difference, which is a mean of medians as theirs are
UNEXPLAINED = 0.05

_DECIDED = ("slower", "faster")


def verdict_text(compared: pd.DataFrame, head: Sequence[str], *, marked: bool = False) -> str:
    """Counts, then each case with a verdict, then those without; ``marked`` puts ! on each line.

    That is for a comparison that was forced, so that no line of it can be quoted without its mark.
    """
    counts = [f"{int((compared['verdict'] == name).sum())} {name}" for name in VERDICTS]
    parts = ["\n".join(head), ", ".join(counts)]
    decided = compared[compared["verdict"].isin(_DECIDED)]
    if len(decided):
        parts.append(_decided_table(decided))
    parts.append(_rule())
    for verdict, title in (("unstable", "unstable"), ("~", "~"), ("not comparable", "")):
        rows = compared[compared["verdict"] == verdict]
        if len(rows):
            parts.append(_others(rows, title or verdict))
    return _marked("\n\n".join(parts) + "\n", marked)


def _marked(text: str, marked: bool) -> str:
    return re.sub(r"^(?=.)", "! ", text, flags=re.MULTILINE) if marked else text


def robot_text(compared: pd.DataFrame, names: tuple[str, str], *, marked: bool = False) -> str:
    """``%stddev  %change  %stddev``: ns of one operation; ``~`` where no difference was shown."""
    left, right = (name[:24] for name in names)
    lines = [
        f"{left:>24}  {right:>24}",
        f"{'-' * 24}  {'-' * 35}",
        f"{'%stddev':>24}  {'%change':>9}  {'%stddev':>24}",
        f"{chr(92):>24}  {'|':>9}  {chr(92):>24}",
    ]
    for row in _dicts(compared[compared["verdict"] != "not comparable"]):
        change = f"{100 * (row['ratio'] - 1):+.1f}%" if row["verdict"] in _DECIDED else "~"
        a, b = (_with_deviation(row, side) for side in "ab")
        lines.append(f"{a:>24}  {change:>9}  {b:>24}  {bare_name(row['case_id'])}")
    return _marked("\n".join(lines) + "\n", marked)


def rows_of(compared: pd.DataFrame, forced: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows for JSON, where there is no NaN: such a value is null.

    Each row of a comparison that was forced has ``forced``, with what speaks against it.
    """
    mark = {"forced": list(forced)} if forced else {}
    return [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
        | mark
        for row in _dicts(compared)
    ]


def path_rows(
    compared: pd.DataFrame, functions: pd.DataFrame, forced: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The rows for JSON; a changed path has ``functions``, those that differ, largest first."""
    rows = rows_of(compared, forced)
    for row in rows:
        if row["verdict"] != "~":
            mine = functions_of(functions, row)
            row["functions"] = _dicts(mine[["function", "a_call", "b_call", "call", "steady"]])
    return rows


def path_verdict_text(
    compared: pd.DataFrame,
    head: Sequence[str],
    functions: pd.DataFrame,
    *,
    marked: bool = False,
) -> str:
    """Differences of path lengths: of a call, an entry, a KiB; and the functions they are in."""
    changed = compared[compared["verdict"] != "~"]
    same = len(compared) - len(changed)
    parts = ["\n".join(head), f"{len(changed)} paths changed, {same} the same"]
    if len(changed):
        lines = [
            [
                f"{row['case_id']} {row['phase']}",
                number(row["a_call"]),
                number(row["b_call"]),
                f"{100 * (row['ratio'] - 1):+.2f}%",
                _signed(row["call"]),
                _signed(row["entry"]),
                _signed(row["kib"]),
                row["verdict"],
            ]
            for row in _dicts(changed)
        ]
        header = ["case and phase", "A", "B", "change", "a call", "an entry", "a KiB", "verdict"]
        parts.append(layout(header, lines))
        parts += list(_origins(changed, functions))
    parts += list(_all_functions(functions))
    limit = 100 * MIN_PATH_EFFECT
    parts.append(f"Instructions. Below {limit:g} % two boots of one kernel differ as much.")
    return _marked("\n\n".join(parts) + "\n", marked)


def _origins(changed: pd.DataFrame, functions: pd.DataFrame) -> Iterator[str]:
    """A paragraph with the functions of each changed path."""
    if functions.empty:
        yield "The functions were not counted: vmabench run PLAN --guest --against KERNEL does it."
        return
    lines = ["Where it comes from: functions with instructions of a call, B less A"]
    for row in _dicts(changed):
        found = origin(row["call"], functions_of(functions, row))
        lines.append(wrapped(f"{bare_name(row['case_id'])} {row['phase']}: {found}", "    "))
    yield "\n".join(lines)


def _all_functions(functions: pd.DataFrame) -> Iterator[str]:
    """Also of paths that are too little longer for a verdict: exact is exact."""
    found = by_function(functions)
    if found.empty:
        return
    shown = found.iloc[:MOST_LISTED]
    lines = [
        [row["function"], str(row["cases"]), _signed(row["least"]), _signed(row["most"])]
        for row in _dicts(shown)
    ]
    head = "Functions that differ in every process, in all paths: instructions of a call, B less A"
    text = f"{head}\n{layout(['function', 'cases', 'least', 'most'], lines)}"
    yield text + (f"\nand {len(found) - len(shown)} more" if len(found) > len(shown) else "")


def origin(call: float, functions: pd.DataFrame, most: int = MOST_FUNCTIONS) -> str:
    """``+128: copy_pte_range +120, 3 others +8`` of the functions of one path, largest first.

    Named are those that differ steadily; what of ``call`` is left is unsteady: in functions whose
    share differs from process to process as much as between the two kernels.
    """
    steady = functions[functions["steady"]]
    words = [f"{row['function']} {_signed(row['call'])}" for row in _dicts(steady.iloc[:most])]
    rest = steady.iloc[most:]
    if len(rest):
        words.append(f"{len(rest)} others {_signed(float(rest['call'].sum()))}")
    left = call - float(steady["call"].sum())
    if not words or abs(left) > max(1.0, abs(call) * UNEXPLAINED):
        words.append(f"unsteady {_signed(left)}")
    return f"{_signed(call)}: {', '.join(words)}"


def functions_of(functions: pd.DataFrame, row: dict[str, Any]) -> pd.DataFrame:
    """Those of a path that differ."""
    mine = (functions["case_id"] == row["case_id"]) & (functions["phase"] == row["phase"])
    found: pd.DataFrame = functions[mine & (functions["call"] != 0)]
    return found


def _decided_table(rows: pd.DataFrame) -> str:
    lines = [
        [
            bare_name(row["case_id"]),
            format_time(row["a_ns"]).replace(" ", ""),
            format_time(row["b_ns"]).replace(" ", ""),
            f"{100 * (row['ratio'] - 1):+.1f}%",
            bracketed(three_digits(row["lo"]), three_digits(row["hi"])),
            row["verdict"],
        ]
        for row in _dicts(rows)
    ]
    return layout(["case", "A", "B", "change", "B/A", "verdict"], lines)


def _others(rows: pd.DataFrame, title: str) -> str:
    """Those without a verdict, each reason once."""
    reasons: dict[str, list[str]] = {}
    for row in _dicts(rows):
        reasons.setdefault(str(row["reason"] or ""), []).append(bare_name(row["case_id"]))
    lines = [
        wrapped(f"- {reason}{': ' if reason else ''}{', '.join(cases)}", "    ")
        for reason, cases in reasons.items()
    ]
    return f"{title} ({len(rows)})\n" + "\n".join(lines)


def _rule() -> str:
    return wrapped(
        "Time of one operation, lower is better. A verdict: the 95 % interval of B/A excludes 1,"
        f" the change is at least {100 * MIN_EFFECT:g} %, and by the correction for their number at"
        f" most {100 * FALSE_DISCOVERIES:g} % of all verdicts are false. ~: no difference was"
        " shown. unstable: none was shown, and the intervals are too wide for that to mean much."
    )


def _with_deviation(row: dict[str, Any], side: str) -> str:
    value, deviation = row[f"{side}_ns"], row[f"{side}_deviation"]
    return f"{value:.5g}" + ("" if math.isnan(deviation) else f" ± {100 * deviation:2.0f}%")


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else ("+" if value > 0 else "") + number(value)


def _dicts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], rows.to_dict("records"))
