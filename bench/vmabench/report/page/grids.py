# SPDX-License-Identifier: GPL-2.0-only
"""Tables of a page: cells as people read them, each with the number that it is sorted by."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.costs import COUNTERS
from vmabench.analysis.frame import CONDITIONS
from vmabench.report.scenarios import PERCENTILES
from vmabench.report.tables import time_cell
from vmabench.report.words import approximate_size, condition_words, label, three_digits
from vmabench.units import format_size, format_time


@dataclass(frozen=True, slots=True)
class Cell:
    """``key`` is the number to sort by; without one, cells are sorted by their text."""

    text: str
    key: float | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: ``name`` is its caption, ``head`` the names of the columns."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def cases(summary: pd.DataFrame) -> Grid:
    """Every case, measured or not: what became of it."""
    whole = summary[summary["phase"] == "total"]
    head = [*_AXES, "time", "GB/s", "rounds", "outcome", "remark"]
    rows = [
        [
            *_axes(row),
            _time(row),
            _number(row["bytes_per_s"], three_digits(row["bytes_per_s"] / 1e9)),
            Cell(str(row["processes"]), float(row["processes"])),
            Cell(str(row["outcome"])),
            Cell(_remark(row)),
        ]
        for row in whole.to_dict("records")
    ]
    return Grid("All cases", head, rows)


def parts(summary: pd.DataFrame) -> Grid:
    """The phases of each case that has some."""
    timed = summary[summary["median_ns"].notna()]
    by_case: dict[str, dict[str, dict[Any, Any]]] = {}
    for row in timed.to_dict("records"):
        by_case.setdefault(str(row["case_id"]), {})[str(row["phase"])] = row
    rows = [
        [*_axes(found["total"]), *(_time(found.get(name)) for name in levels.PHASES)]
        for found in by_case.values()
        if len(found) > 1 and "total" in found
    ]
    return Grid("Phases", [*_AXES, *levels.PHASES], rows)


def side_effects(costs: pd.DataFrame) -> Grid:
    """The counters of each case; what was not measured is empty."""
    counters = [name for name in COUNTERS if (costs["counter"] == name).any()]
    by_case: dict[str, dict[str, dict[Any, Any]]] = {}
    for row in costs.to_dict("records"):
        by_case.setdefault(str(row["case_id"]), {})[str(row["counter"])] = row
    rows = [
        [*_axes(next(iter(found.values()))), *(_count(found.get(name), name) for name in counters)]
        for found in by_case.values()
    ]
    return Grid("Costs of one operation", [*_AXES, *(COUNTERS[name] for name in counters)], rows)


def latencies(found: pd.DataFrame) -> Grid:
    """Single operations of each case: percentiles, and the longest of all rounds."""
    head = [*_AXES, "operations", *PERCENTILES]
    rows = [
        [
            *_axes(row),
            Cell(f"{row['count']}", float(row["count"])),
            *(_time_of(row[column]) for column in PERCENTILES.values()),
        ]
        for row in found.to_dict("records")
    ]
    return Grid("Single operations", head, rows)


def listing(name: str, head: Sequence[str], rows: Iterable[Iterable[object]]) -> Grid:
    """A table of words and plain numbers."""
    return Grid(name, head, [[_plain(value) for value in row] for row in rows])


def facts(known: Mapping[str, Any]) -> Grid:
    """The machine: what is nested is written as a path, what is a list with commas."""
    return listing("Machine", ["fact", "value"], _flat(known))


_AXES = ("mechanism", "scenario", "page", "size", "conditions")


def _axes(row: Mapping[Any, Any]) -> list[Cell]:
    conditions = {name: row[name] for name in CONDITIONS}
    return [
        Cell(label(str(row["mechanism"]))),
        Cell(str(row["scenario"])),
        Cell(str(row["page"])),
        Cell(format_size(int(row["size_bytes"])), float(row["size_bytes"])),
        Cell(condition_words(conditions).removeprefix(", ")),
    ]


def _time(row: Mapping[Any, Any] | None) -> Cell:
    if row is None or math.isnan(row["median_ns"]):
        return Cell("")
    return Cell(time_cell(dict(row)), float(row["median_ns"]))


def _time_of(time_ns: float) -> Cell:
    return Cell("") if math.isnan(time_ns) else Cell(format_time(time_ns), float(time_ns))


def _number(value: float, text: str) -> Cell:
    return Cell("") if math.isnan(value) else Cell(text, float(value))


def _count(row: Mapping[Any, Any] | None, counter: str) -> Cell:
    if row is None:
        return Cell("")
    value = float(row["median"])
    is_size = counter.endswith("_bytes") and value
    return Cell(approximate_size(value) if is_size else f"{value:g}", value)


def _remark(row: Mapping[Any, Any]) -> str:
    return "; ".join(str(row[name]) for name in ("reason", "note") if not pd.isna(row[name]))


def _plain(value: object) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(f"{value}", float(value))
    return Cell("" if value is None else str(value))


def _flat(known: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in known.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{name}", "unknown" if value is None else str(value)
