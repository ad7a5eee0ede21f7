# SPDX-License-Identifier: GPL-2.0-only
"""Tables of a summary as plain text: sizes down, mechanisms across, at most WIDTH columns wide."""

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.frame import CONDITIONS
from vmabench.errors import UsageError
from vmabench.report.findings import typical_size
from vmabench.report.layout import layout
from vmabench.report.words import condition_words, label, three_digits
from vmabench.units import format_size, format_time

Row = dict[str, Any]
Cell = Callable[[Row], str]

#: the bare null is an empty operation, the same at each size, and told in one line
_NULL = "null"


def latency_tables(summary: pd.DataFrame) -> Iterator[str]:
    """The whole operation: a table for each set of conditions."""
    whole = (summary["phase"] == "total") & (summary["scenario"] != "scatter")
    for (scenario, page, words), rows in _tables(summary[whole]):
        if _has_numbers(rows):
            head = f"{scenario}, {page} pages{words}: time of one operation"
            yield f"{head}\n{_by_mechanism(rows, time_cell)}"


def scatter_tables(summary: pd.DataFrame) -> Iterator[str]:
    """A table for each size, page and setting: segments down, mechanisms across."""
    rows = summary[(summary["scenario"] == "scatter") & (summary["phase"] == "total")]
    places = [name for name in (*CONDITIONS, "size_bytes") if name != "segments"]
    for key, of_table in rows.groupby(places, observed=True):
        conditions = dict(zip(places, cast(tuple[Any, ...], key), strict=True))
        if _has_numbers(of_table):
            words = condition_words(conditions | {"segments": 1}, _varying(summary))
            size = format_size(conditions["size_bytes"])
            head = f"scatter, {conditions['page']} pages{words}, {size}: time of all segments"
            yield f"{head}\n{_by_mechanism(of_table, time_cell, 'segments')}"


def rate_tables(summary: pd.DataFrame) -> Iterator[str]:
    """The throughput of the bare operation: a table for each page."""
    bare = summary[(summary["scenario"] == "transfer") & (summary["phase"] == "total")]
    for (scenario, page, words), rows in _tables(bare):
        if _has_numbers(rows):
            head = f"{scenario}, {page} pages{words}: throughput in GB/s (10^9 bytes)"
            yield f"{head}\n{_by_mechanism(rows, rate_cell)}"


def phase_tables(summary: pd.DataFrame) -> Iterator[str]:
    """The parts of a delivery at one size: mechanisms down, phases across."""
    for (scenario, page, words), rows in _tables(summary[summary["scenario"] == "deliver"]):
        if not _has_numbers(rows):
            continue
        size_bytes = typical_size(rows.loc[rows["median_ns"].notna(), "size_bytes"])
        at_size = rows[(rows["size_bytes"] == size_bytes) & rows["median_ns"].notna()]
        head = f"{scenario}, {page} pages{words}, {format_size(size_bytes)}: where the time goes"
        yield f"{head}\n{_by_phase(at_size)}"


def times(summary: pd.DataFrame, down: str, across: str) -> pd.DataFrame:
    """The time of one operation as words, for a notebook: levels of two columns of ``summary``.

    Takes rows that differ in nothing else; raises UsageError where two of them have one place.
    ``-`` is no case.
    """
    whole = summary[summary["phase"] == "total"]
    rows, columns = (_levels(whole[name]) for name in (down, across))
    cells: dict[tuple[Any, Any], str] = {}
    for row in _dicts(whole):
        place = row[down], row[across]
        if place in cells:
            raise UsageError(
                f"{down} {place[0]} and {across} {place[1]} are two cases or more: select first"
            )
        cells[place] = time_cell(row)
    table = [[cells.get((row, column), "-") for column in columns] for row in rows]
    return pd.DataFrame(
        table,
        index=pd.Index([_level(down, row) for row in rows], name=down),
        columns=pd.Index([_level(across, column) for column in columns], name=across),
    )


def backing(frame: pd.DataFrame) -> pd.DataFrame:
    """What memory is proved to be, a row for each page: percent of the bytes that huge pages map.

    The least and the largest share of each side, of the cases that have values.
    """
    proved = frame[frame["outcome"].isin(["ok", "unstable"])]
    sides = {"src_backed_pct": "source", "dst_backed_pct": "receiver"}
    shares = proved.groupby("page", observed=True)[list(sides)].agg(["min", "max"])
    return shares.rename(columns=sides)


def _levels(column: "pd.Series[Any]") -> list[Any]:
    """Those that occur, in their order."""
    return list(column.drop_duplicates().sort_values())


def _level(name: str, value: Any) -> str:
    if name.endswith("_bytes"):
        return format_size(int(value))
    return label(str(value)) if name == "mechanism" else str(value)


def time_cell(row: Row) -> str:
    """``64.2us ±3%``, the larger half of the interval; ``!`` marks an unstable one."""
    if math.isnan(row["median_ns"]):
        return str(row["outcome"])
    text = "0" if row["median_ns"] == 0 else format_time(row["median_ns"]).replace(" ", "")
    half = max(row["hi_ns"] - row["median_ns"], row["median_ns"] - row["lo_ns"])
    if math.isnan(half) or row["median_ns"] == 0:
        return text
    return f"{text} ±{half / row['median_ns'] * 100:.0f}%" + _mark(row)


def rate_cell(row: Row) -> str:
    """Three significant digits of GB/s."""
    if math.isnan(row["bytes_per_s"]):
        return str(row["outcome"])
    return three_digits(row["bytes_per_s"] / 1e9) + _mark(row)


def _tables(summary: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    bare_null = (summary["mechanism"] == _NULL) & (summary["scenario"] == "transfer")
    without_null = summary[~bare_null]
    varying = _varying(summary)
    for key, rows in without_null.groupby(list(CONDITIONS), observed=True):
        of_table = dict(zip(CONDITIONS, cast(tuple[Any, ...], key), strict=True))
        yield (of_table["scenario"], of_table["page"], condition_words(of_table, varying)), rows


def _varying(summary: pd.DataFrame) -> tuple[str, ...]:
    measured = summary[summary["median_ns"].notna()]
    return tuple(name for name in ("thp", "placement") if measured[name].nunique() > 1)


def _by_mechanism(rows: pd.DataFrame, cell: Cell, axis: str = "size") -> str:
    """The product of the sizes, or of another axis, and of the mechanisms with a number in it.

    ``-`` is no case.
    """
    numbers = set(rows.loc[rows["median_ns"].notna(), "mechanism"])
    order = levels.with_strangers(levels.MECHANISMS, map(str, numbers))
    mechanisms = [name for name in order if name in numbers]
    column, write = ("size_bytes", format_size) if axis == "size" else (axis, str)
    cells = {(row[column], row["mechanism"]): cell(row) for row in _dicts(rows)}
    lines = [
        [write(int(value)), *(cells.get((value, name), "-") for name in mechanisms)]
        for value in sorted(rows[column].unique())
    ]
    return layout([axis, *map(label, mechanisms)], lines)


def _by_phase(rows: pd.DataFrame) -> str:
    cells = {(row["mechanism"], row["phase"]): time_cell(row) for row in _dicts(rows)}
    mechanisms = list(dict.fromkeys(name for name, _ in cells))
    phases = [phase for phase in levels.PHASES if any(phase == other for _, other in cells)]
    lines = [
        [label(str(name)), *(cells.get((name, phase), "-") for phase in phases)]
        for name in mechanisms
    ]
    return layout(["mechanism", *phases], lines)


def _dicts(rows: pd.DataFrame) -> list[Row]:
    return cast(list[Row], rows.to_dict("records"))


def _has_numbers(rows: pd.DataFrame) -> bool:
    return bool(rows["median_ns"].notna().any())


def _mark(row: Row) -> str:
    return "!" if row["outcome"] == "unstable" else ""
