# SPDX-License-Identifier: GPL-2.0-only
"""Format several runs compared with one base: a line for each case, a column for each run."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from vmabench.analysis.compare import bare_name
from vmabench.analysis.functions import by_function
from vmabench.report.layout import layout
from vmabench.report.paths import number
from vmabench.report.verdicts import void_reason
from vmabench.report.words import three_digits, wrapped
from vmabench.units import format_time

#: of a run, before the rest is one number
MOST_FUNCTIONS = 12

LEGEND = (
    "A: time of one operation, or instructions of a call. Other columns: the ratio to A and its"
    " verdict (~: no difference shown). Each column allows for the number of its cases only;"
    " vmabench compare A C gives intervals, failures and reasons."
)


def side_by_side_text(
    table: pd.DataFrame,
    compared: Mapping[str, pd.DataFrame],
    head: Sequence[str],
    *,
    functions: Mapping[str, pd.DataFrame] | None = None,
    marked: bool = False,
) -> str:
    """Return the head, the counts of verdicts of each run, and a line for each case.

    ``table`` is that of ``analysis.side_by_side``, ``compared`` the comparisons it is made of.
    ``functions`` has those of ``compare_functions`` by name, where instructions were counted: the
    functions that differ most follow the table.
    ``!`` begins each line where a comparison was forced (``marked``) or a negative control moved.
    """
    voids = {name: void_reason(one) for name, one in compared.items() if "q" in one}
    void = [f"{name}: {reason}" for name, reason in voids.items() if reason]
    counts = [f"{name}  {_counts(one)}" for name, one in compared.items()]
    counted = not voids
    several = table["phase"].nunique() > 1
    rows = [
        [_case(row, several), *_cells(row, list(compared), counted)]
        for row in table.to_dict("records")
    ]
    parts = [*map(wrapped, void), "\n".join(head), "\n".join(counts)]
    parts.append(layout(["case", "A", *compared], rows))
    parts += [_causes(name, one) for name, one in (functions or {}).items() if len(one)]
    parts.append(wrapped(LEGEND))
    text = "\n\n".join(parts) + "\n"
    return re.sub(r"^(?=.)", "! ", text, flags=re.MULTILINE) if marked or void else text


def _causes(name: str, functions: pd.DataFrame) -> str:
    """Return the functions of a run that differ from A's in every process, the largest first."""
    found = by_function(functions)
    words = [
        f"{row['function']} {_range(row['least'], row['most'])} ({row['cases']})"
        for row in found.iloc[:MOST_FUNCTIONS].to_dict("records")
    ]
    more = [f"{len(found) - len(words)} more"] if len(found) > len(words) else []
    said = ", ".join([*words, *more]) or "none"
    return wrapped(f"{name} less A, instructions of a call, by function (cases): {said}")


def _range(least: float, most: float) -> str:
    """``+120``, or ``+8..+120`` where cases differ."""
    ends = dict.fromkeys(f"{'+' if end > 0 else ''}{number(end)}" for end in (least, most))
    return "..".join(ends)


def _counts(compared: pd.DataFrame) -> str:
    found = compared["verdict"].value_counts()
    return ", ".join(f"{count} {verdict}" for verdict, count in found.items())


def _case(row: Mapping[Any, Any], several: bool) -> str:
    phase = f" {row['phase']}" if several else ""
    return f"{bare_name(row['case_id'])}{phase}"


def _cells(row: Mapping[Any, Any], names: Sequence[str], counted: bool) -> list[str]:
    base = row["base"]
    shown = number if counted else format_time
    return [
        "-" if math.isnan(base) else shown(base),
        *(_cell(row[f"{name}_ratio"], row[f"{name}_verdict"]) for name in names),
    ]


def _cell(ratio: float, verdict: str) -> str:
    if math.isnan(ratio):
        return verdict or "-"
    return f"{three_digits(ratio)} {verdict}"
