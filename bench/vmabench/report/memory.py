# SPDX-License-Identifier: GPL-2.0-only
"""What memory the cases take: page tables, peaks, swap."""

from collections.abc import Iterator
from typing import cast

import pandas as pd

from vmabench.analysis.frame import CONDITIONS
from vmabench.report.layout import layout
from vmabench.report.words import condition_words, label, three_digits
from vmabench.units import format_size

#: a clone, a shared mapping and a copy: whose page tables a reviewer asks for
TABLES = ("clone", "fork", "memfd-inplace", "readv")

#: the scenarios whose cases are told by their memory
SCENARIOS = ("swapped", "handoff", "pageserver")

_PEAK = "peak_bytes"
_KEYS = [*CONDITIONS, "size_bytes", "mechanism"]


def memory_tables(frame: pd.DataFrame) -> Iterator[str]:
    """Page tables, then swap and peak of the scenarios that are about memory."""
    rows = frame[(frame["phase"] == "total") & (frame["outcome"] == "ok")]
    yield from _page_tables(rows)
    for (scenario, words), of_table in _by_conditions(rows[rows["scenario"].isin(SCENARIOS)]):
        columns = _COLUMNS[scenario]
        lines = [
            [
                format_size(cast(int, size)),
                label(str(name)),
                *(_cell(group, one) for one in columns),
            ]
            for (size, name), group in of_table.groupby(["size_bytes", "mechanism"], observed=True)
        ]
        header = ["size", "mechanism", *columns.values()]
        notes = sorted(set(of_table["peak_how"].dropna().astype(str)))
        told = f" (peak: {', '.join(notes)})" if notes else ""
        yield f"{scenario}{words}: memory of one operation{told}\n{layout(header, lines)}"


def memory_findings(frame: pd.DataFrame) -> list[str]:
    """Sentences on peaks, and on what a call reads back."""
    rows = frame[frame["outcome"] == "ok"]
    return [*_peaks(rows), *_read_back(rows)]


_SWAP = {
    "swap_in_bytes": "swapped in",
    "swap_out_bytes": "swapped out",
    "major_faults": "major faults",
}
_COLUMNS = {
    "swapped": {
        "call_swap_in_bytes": "in, by the call",
        "use_swap_in_bytes": "in, by the use",
        "swap_out_bytes": "out",
    },
    "handoff": {"ratio": "peak / payload", _PEAK: "peak"},
    "pageserver": {_PEAK: "peak", **_SWAP},
}


def _cell(rows: pd.DataFrame, column: str) -> str:
    if column == "ratio":
        return _rounded(rows[_PEAK] / rows["size_bytes"])
    values = rows[column].dropna()
    if values.empty:
        return ""
    value = float(values.median())
    return f"{value:.0f}" if column == "major_faults" else format_size(round(value / 4096) * 4096)


def _rounded(values: "pd.Series[float]") -> str:
    known = values.dropna()
    return "" if known.empty else three_digits(float(known.median()))


def _page_tables(rows: pd.DataFrame) -> Iterator[str]:
    """VmPTE of both processes together while the data is delivered: sizes down."""
    fresh = (rows["scenario"] == "deliver") & (rows["buffer"] == "fresh")
    chosen = rows[rows["mechanism"].isin(TABLES) & fresh]
    chosen = chosen[chosen["page_table_bytes"].notna()]
    for page, of_page in chosen.groupby("page", observed=True):
        names = [name for name in TABLES if (of_page["mechanism"] == name).any()]
        medians = of_page.groupby(["size_bytes", "mechanism"], observed=True)[
            "page_table_bytes"
        ].median()
        lines = [
            [format_size(int(size)), *(_table_cell(medians, size, name) for name in names)]
            for size in sorted(of_page["size_bytes"].unique())
        ]
        head = f"deliver, {page} pages: page tables of both processes while the data is delivered"
        yield f"{head}\n{layout(['size', *map(label, names)], lines)}"


def _table_cell(medians: "pd.Series[float]", size: int, name: str) -> str:
    found = medians.get((size, name))
    return "-" if found is None or pd.isna(found) else format_size(int(found))


def _by_conditions(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    for key, of_table in rows.groupby(list(CONDITIONS), observed=True):
        conditions = dict(zip(CONDITIONS, key, strict=True))
        words = f", {conditions['page']} pages{condition_words(conditions)}"
        yield (str(conditions["scenario"]), words), of_table


def _peaks(rows: pd.DataFrame) -> Iterator[str]:
    """The peak of a handoff at its largest size, as a multiple of the payload."""
    known = rows[(rows["scenario"] == "handoff") & rows[_PEAK].notna()]
    known = known[known["peak_how"] != "sampled-pss"]
    for page, of_page in known.groupby("page", observed=True):
        largest = of_page[of_page["size_bytes"] == of_page["size_bytes"].max()]
        parts = [
            f"{label(str(name))} {_rounded(of_name[_PEAK] / of_name['size_bytes'])}"
            for name, of_name in largest.groupby("mechanism", observed=True)
            if str(name) != "null"
        ]
        if parts:
            size = format_size(int(largest["size_bytes"].iloc[0]))
            yield (
                f"Handing over {size} of {page} pages, the peak of both processes as a multiple"
                f" of it: {', '.join(parts)}."
            )


def _read_back(rows: pd.DataFrame) -> Iterator[str]:
    """Of a source that is paged out whole: what the call reads back and what the use does."""
    chosen = rows[(rows["scenario"] == "swapped") & (rows["swapped_pct"] == 100)]
    chosen = chosen[(chosen["phase"] == "total") & chosen["call_swap_in_bytes"].notna()]
    for (device, size), group in chosen.groupby(["swap_device", "size_bytes"], observed=True):
        parts = []
        for name, of_name in group.groupby("mechanism", observed=True):
            if str(name) == "null":
                continue
            call, use = (_cell(of_name, f"{part}_swap_in_bytes") for part in ("call", "use"))
            parts.append(f"{label(str(name))} {call} and {use}")
        if parts:
            yield (
                f"{format_size(cast(int, size))} that are paged out to {device}: read back by the"
                f" call, and by the use after it: {', '.join(parts)}."
            )
