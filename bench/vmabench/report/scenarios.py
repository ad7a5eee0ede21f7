# SPDX-License-Identifier: GPL-2.0-only
"""Tables of the scenarios whose answer is more than the time of one operation."""

import math
from collections.abc import Iterator
from typing import Any, cast

import pandas as pd

from vmabench.analysis import latency, levels
from vmabench.analysis.branches import branches
from vmabench.analysis.contention import scaling
from vmabench.analysis.snapshots import stalls
from vmabench.report.findings import typical_size
from vmabench.report.layout import layout
from vmabench.report.words import label, three_digits
from vmabench.store.format import Result
from vmabench.units import format_size, format_time

#: they are left out of the tables of times
OWN_TABLES = ("pingpong", "contention", "snapshot", "vmbranch")

Row = dict[str, Any]

#: name in the text -> column
PERCENTILES = {"p50": "p50_ns", "p99": "p99_ns", "p99.9": "p999_ns", "max": "max_ns"}
_OF_OPERATION = {name: column for name, column in PERCENTILES.items() if name != "p99.9"}

#: scenarios whose operations are timed one by one; of touch, the maps say more than percentiles
OPERATIONS = ("transfer", "deliver", "handoff")

_OF_GAPS = """\
taken: until the receiver had it. stopped: the source's own part of that. gap: from the end of one
write of the source to that of the next. due p99.9: the same with the writes that a long gap left
out, against the schedule of the rate, or the median gap. copies: what its writes took beyond plain
ones, all together. torn: pages that are not of one moment; a case whose pages may not be
has failed."""


_OF_BRANCHES = """\
pause: the source stands still. first page, all read: from the start of the pause until the first
child has read one page, and until every child has read everything. stall: what writing each page
once takes the source beyond plain writes. memory: PSS that each child adds when it has read all,
and after the source has written all. huge: pages of source and child that are still huge then."""


_GAPS = ("time_ns", "stopped_ns", "stall_ns", "p50_ns", "p999_ns", "due_p999_ns")


def scenario_tables(result: Result, frame: pd.DataFrame) -> Iterator[str]:
    yield from operation_tables(result)
    yield from pingpong_tables(result)
    yield from contention_tables(frame)
    yield from snapshot_tables(result, frame)
    yield from branch_tables(frame)


def operation_tables(result: Result) -> Iterator[str]:
    """Return a table for each scenario, page and touch, at one size: the tail of one operation."""
    summary = latency.percentiles(result)
    if summary.empty:
        return
    touch = summary["touch_mode"] + "-" + summary["touch_pct"].astype(str)
    summary = summary.assign(touch=touch.where(summary["touch_mode"] != "none", ""))
    mine = summary[summary["scenario"].isin(OPERATIONS) & (summary["touch_order"] != "random")]
    mine = mine.assign(
        scenario=pd.Categorical(mine["scenario"], OPERATIONS),
        page=pd.Categorical(mine["page"], levels.page_order(mine["page"])),
    )
    for key, rows in mine.groupby(["scenario", "page", "touch"], observed=True):
        scenario, page, touched = cast(tuple[str, str, str], key)
        at_size = rows[rows["size_bytes"] == typical_size(rows["size_bytes"])]
        order = levels.with_strangers(levels.MECHANISMS, at_size["mechanism"])
        lines = [
            [label(str(row["mechanism"])), *(_time(row[name]) for name in _OF_OPERATION.values())]
            for row in sorted(_dicts(at_size), key=lambda row: order.index(row["mechanism"]))
        ]
        size = format_size(int(at_size["size_bytes"].iloc[0]))
        head = f"{scenario}, {page} pages, {size}{f', {touched}' * bool(touched)}"
        note = "single operations, median of the rounds, max of all"
        yield f"{head}: {note}\n{layout(['mechanism', *_OF_OPERATION], lines)}"


def pingpong_tables(result: Result) -> Iterator[str]:
    """A table for each size: mechanism and way to wait down, percentiles of round trips across."""
    summary = latency.percentiles(result)
    if summary.empty:
        return
    for key, rows in of_scenario(summary, "pingpong").groupby(["page", "size_bytes"]):
        page, size = cast(tuple[str, int], key)
        lines = [
            [row_words(row), *(_time(row[column]) for column in PERCENTILES.values())]
            for row in _dicts(rows)
        ]
        count = int(rows["count"].min())
        head = (
            f"pingpong, {page} pages, {format_size(int(size))} there and back: {count} round trips"
            " or more; median of the rounds, max of all"
        )
        yield f"{head}\n{layout(['mechanism', *PERCENTILES], lines)}"


def contention_tables(frame: pd.DataFrame) -> Iterator[str]:
    """A table for each size: mechanisms down, who works at once across."""
    summary = scaling(frame)
    if summary.empty:
        return
    for key, rows in summary.groupby(["page", "size_bytes"], observed=True):
        page, size = cast(tuple[str, int], key)
        cells = {(row["mechanism"], _crowd(row)): _together(row) for row in _dicts(rows)}
        crowds = sorted({crowd for _, crowd in cells}, key=_crowd_order)
        names = levels.with_strangers(levels.MECHANISMS, {name for name, _ in cells})
        lines = [
            [label(name), *(cells.get((name, crowd), "-") for crowd in crowds)]
            for name in names
            if any((name, crowd) in cells for crowd in crowds)
        ]
        head = (
            f"contention, {page} pages, {format_size(int(size))}: GB/s of all together, times what"
            " one alone reaches (slowest of them)"
        )
        yield f"{head}\n{layout(['mechanism', *crowds], lines)}"


def snapshot_tables(result: Result, frame: pd.DataFrame) -> Iterator[str]:
    """A table for each size and rate of writing."""
    summary = stalls(result, frame)
    if summary.empty:
        return
    header = [
        "mechanism",
        "taken",
        "stopped",
        "longest gap",
        "gap p50",
        "gap p99.9",
        "due p99.9",
        "copies",
        "faults",
        "torn",
    ]
    groups = summary.groupby(["page", "size_bytes", "rate"], observed=True)
    for key, rows in groups:
        page, size, rate = cast(tuple[str, int, str], key)
        lines = [
            [
                label(str(row["mechanism"])),
                *(_time(row[name]) for name in _GAPS),
                _time(row["cow_ns"]),
                f"{row['writer_faults']:.0f}",
                "-" if math.isnan(row["torn_pct"]) else f"{row['torn_pct']:.1f} %",
            ]
            for row in _dicts(rows.sort_values("mechanism"))
        ]
        head = f"snapshot, {page} pages, {format_size(int(size))}, the source writes {rate} pages/s"
        yield f"{head}\n{layout(header, lines)}\n{_OF_GAPS}"


def branch_tables(frame: pd.DataFrame) -> Iterator[str]:
    """Return a table for each size, number of children and rate of writing."""
    summary = branches(frame)
    if summary.empty:
        return
    header = [
        "mechanism", "pause", "first page", "all read", "stall", "memory", "written", "huge",
    ]  # fmt: skip
    tables = []
    groups = summary.groupby(["page", "size_bytes", "receivers", "rate"], observed=True)
    for key, rows in groups:
        page, size, count, rate = cast(tuple[str, int, int, str], key)
        lines = [
            [
                label(str(row["mechanism"])),
                _with_half(row, "pause_ns"),
                *(_time(row[name]) for name in ("first_ns", "all_ns")),
                _with_half(row, "cow_ns"),
                *(_bytes(row[name]) for name in ("child_read_bytes", "child_written_bytes")),
                _huge(row),
            ]
            for row in _dicts(rows.sort_values("mechanism"))
        ]
        children = "1 child" if count == 1 else f"{count} children"
        head = (
            f"vmbranch, {page} pages, {format_size(int(size))}: {children}, the source writes"
            f" {rate} pages/s"
        )
        tables.append(f"{head}\n{layout(header, lines)}")
    yield from tables[:-1]
    yield f"{tables[-1]}\n{_OF_BRANCHES}"


def _with_half(row: Row, name: str) -> str:
    """A time that may be negative or nothing, and the larger half of its interval."""
    half = max(row[f"hi_{name}"] - row[name], row[name] - row[f"lo_{name}"])
    if math.isnan(half) or row[name] <= 0:
        return _time(row[name])
    return f"{_time(row[name])} ±{half / row[name] * 100:.0f}%"


def _bytes(count: float) -> str:
    if math.isnan(count):
        return "-"
    return f"{count / 1024:.0f}K" if count < 1 << 20 else f"{three_digits(count / (1 << 20))}M"


def _huge(row: Row) -> str:
    """Of source and child."""
    sides = [row["source_huge_bytes"], row["child_huge_bytes"]]
    if math.isnan(sum(sides)):
        return "-"
    return " / ".join(f"{100 * side / row['size_bytes']:.0f} %" for side in sides)


def of_scenario(summary: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """Its rows of ``analysis.latency.percentiles``, in the order of the levels."""
    rows = summary[summary["scenario"] == scenario].copy()
    for name, order in (("mechanism", levels.MECHANISMS), ("wait", levels.WAITS)):
        known = levels.with_strangers(order, rows[name])
        rows[name] = pd.Categorical(rows[name], categories=known, ordered=True)
    return rows.sort_values(["page", "size_bytes", "mechanism", "wait"])


def row_words(row: dict[Any, Any]) -> str:
    """A mechanism, and how its sides wait: ``readv, futex``."""
    return f"{label(str(row['mechanism']))}, {row['wait']}"


def _crowd(row: Row) -> str:
    for kind in ("receivers", "pairs"):
        if row[kind] > 1:
            return f"{row[kind]} {kind}"
    return "alone"


def _crowd_order(crowd: str) -> tuple[str, int]:
    count, _, kind = crowd.partition(" ")
    return ("", 0) if crowd == "alone" else ({"receivers": "a"}.get(kind, "b"), int(count))


def _together(row: Row) -> str:
    if "bytes_per_s" not in row or math.isnan(row["bytes_per_s"]):
        return "-"
    text = three_digits(row["bytes_per_s"] / 1e9)
    if _crowd(row) == "alone":
        return text
    times = "" if math.isnan(row["speedup"]) else f" x{row['speedup']:.2f}"
    waited = row["lock_wait_ns"]
    waits = "" if math.isnan(waited) else f", {_time(waited)} in locks"
    return f"{text}{times} ({three_digits(row['slowest_bytes_per_s'] / 1e9)}{waits})"


def _time(time_ns: float) -> str:
    return "-" if math.isnan(time_ns) else format_time(time_ns).replace(" ", "")


def _dicts(rows: pd.DataFrame) -> list[Row]:
    return cast(list[Row], rows.to_dict("records"))
