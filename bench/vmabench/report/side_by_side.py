# SPDX-License-Identifier: GPL-2.0-only
"""Format several runs compared with one base: a line for each case, a column for each run."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from vmabench.analysis.compare import bare_name
from vmabench.report.layout import layout
from vmabench.report.paths import number
from vmabench.report.verdicts import void_reason
from vmabench.report.words import three_digits, wrapped
from vmabench.units import format_time

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
    marked: bool = False,
) -> str:
    """Return the head, the counts of verdicts of each run, and a line for each case.

    ``table`` is that of ``analysis.side_by_side``, ``compared`` the comparisons it is made of.
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
    parts += [layout(["case", "A", *compared], rows), wrapped(LEGEND)]
    text = "\n\n".join(parts) + "\n"
    return re.sub(r"^(?=.)", "! ", text, flags=re.MULTILINE) if marked or void else text


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
