# SPDX-License-Identifier: GPL-2.0-only
"""The report of a result of the instruction clock: path lengths, and not one time."""

import math
from collections.abc import Iterator
from typing import Any, cast

import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.frame import CONDITIONS
from vmabench.matrix.axes import OF_SOURCE_AND_BUFFER
from vmabench.report.layout import layout
from vmabench.report.words import bulleted, condition_words, label, listed, three_digits
from vmabench.units import format_size

NOTES = """\
Counted by the emulator's instruction clock: exact path lengths, which no cache, TLB miss or
memory bandwidth is part of. They are no times, and their ratios are no ratios of times.
an entry: what each further page-table entry adds to the smallest size of its table."""

#: what a table shows: column of the frame, and how the heading names it
_MEASURES = (("per_call", "a call"), ("per_entry", "an entry"), ("per_kib", "a KiB"))

_TABLE = (*CONDITIONS, "phase")
_PHASES = ("attach", "touch", "total")


def findings(lengths: pd.DataFrame) -> list[str]:
    """What attaching a range costs, for each page: clone against its proxy."""
    attached = lengths[(lengths["phase"] == "attach") & lengths["mechanism"].isin(levels.ENTRIES)]
    found = []
    for key, rows in attached.groupby(["page", *OF_SOURCE_AND_BUFFER], observed=True):
        page, *paying = cast(tuple[Any, ...], key)
        words = condition_words(dict(zip(OF_SOURCE_AND_BUFFER, paying, strict=True)))
        parts = []
        slopes = {}
        for name, mine in rows.groupby("mechanism", observed=True):
            by_size = mine.sort_values("size_bytes")
            smallest, largest = by_size.iloc[0], by_size.iloc[-1]
            if math.isnan(largest["per_entry"]):
                continue
            slopes[str(name)] = float(largest["per_entry"])
            parts.append(
                f"{label(str(name))} {number(smallest['per_call'])} instructions at"
                f" {format_size(int(smallest['size_bytes']))} and"
                f" {number(largest['per_entry'])} for each further entry"
            )
        if len(slopes) == len(levels.ENTRIES):
            ratio = slopes["clone"] / slopes["fork"]
            parts[-1] += f"; an entry of clone is {three_digits(ratio)} times one of fork"
        if parts:
            found.append(f"Attaching {page} pages{words}: {listed(parts)}.")
    return found


def tables(lengths: pd.DataFrame) -> Iterator[str]:
    """A table for each set of conditions and phase: a call, an entry, a KiB."""
    shown = lengths[lengths["phase"].isin(_PHASES)]
    varying = ("thp",) if lengths["thp"].nunique() > 1 else ()
    for key, rows in shown.groupby(list(_TABLE), observed=True):
        of_table = dict(zip(_TABLE, cast(tuple[Any, ...], key), strict=True))
        if not (rows["per_call"] > 0).any():
            continue
        scenario, page = of_table["scenario"], of_table["page"]
        which = "" if scenario == "transfer" else f"; {of_table['phase']}"
        head = f"{scenario}, {page} pages{condition_words(of_table, varying)}{which}: instructions"
        yield f"{head}\n{_table(rows)}"


def number(value: float) -> str:
    """``1,413,086``, ``117.8``, and ``-`` for what there is not."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else three_digits(value)


def _table(rows: pd.DataFrame) -> str:
    present = set(rows["mechanism"].astype(str))
    names = [n for n in levels.with_strangers(levels.MECHANISMS, present) if n in present]
    cells = {(r["size_bytes"], r["mechanism"]): r for r in cast(list[Any], rows.to_dict("records"))}
    lines = []
    for size in sorted(rows["size_bytes"].unique()):
        for column, what in _MEASURES:
            found = [cells.get((size, name)) for name in names]
            values = [number(row[column]) if row else "-" for row in found]
            if any(value != "-" for value in values):
                lines.append([f"{format_size(int(size))}, {what}", *values])
    return layout(["size", *map(label, names)], lines)


def found_text(lengths: pd.DataFrame) -> str:
    found = findings(lengths)
    return bulleted("Findings", found) if found else ""
