# SPDX-License-Identifier: GPL-2.0-only
"""Fit the cost of a mechanism with three constants: a call, a page-table entry, a KiB.

``time = call + entry * entries + kib * size``, all three not negative. On pages of one size the
entries are proportional to the bytes and no fit could tell them apart, so the constants of a
mechanism come from base pages and the pages that a PMD entry maps together; where only one of them
was measured, ``entry_ns`` is not known and ``kib_ns`` holds the entries' share. That takes an entry
for the same work on both levels; where it is not, the residuals show it. Relative errors
are minimised, since times span six decades, with the weights of Huber, so that a size at which a
cache ends bends the line but little. Where the residuals are large, there is no such line.

Most sizes fit into a cache, so the line says little of the bandwidth of long messages. That one is
fitted on long messages alone, with the call of the line subtracted.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.intervals import Floats
from vmabench.units import parse_size

#: what the pages and sizes of one fit have in common
GROUP = ("mechanism", *(name for name in CONDITIONS if name != "page"), "phase")

COLUMNS = (*GROUP, "call_ns", "entry_ns", "kib_ns", "points", "from_bytes", "to_bytes",
           "residual_pct", "worst_pct", "worst_case", "long_bytes_per_s", "long_from_bytes",
           "long_to_bytes")  # fmt: skip

#: a message is long that is at least this fraction of the largest one measured
LONG_FRACTION = 1 / 16

#: what copies into memory that both sides map, the first that was measured
SHARED = ("shm", "memfd")

#: with fewer sizes three constants would fit anything
FEWEST_POINTS = 5
_ROUNDS = 30
_HUBER = 1.345  # times the spread of the residuals: 95 % as good as least squares without outliers
_SPREAD = 1.4826  # of a normal distribution, over its median absolute deviation


@dataclass(frozen=True, slots=True)
class Fit:
    """Constants in ns, and the relative residuals: what was measured over the line, less 1."""

    call_ns: float
    entry_ns: float
    kib_ns: float
    residuals: Floats


def models(summary: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each group of the summary with enough sizes, in its order.

    ``points`` sizes from ``from_bytes`` to ``to_bytes`` were fitted. ``residual_pct`` is the median
    of the absolute residuals, ``worst_pct`` the largest one with its sign, at ``worst_case``.
    ``long_bytes_per_s`` is the throughput of long messages on base pages, from ``long_from_bytes``
    to ``long_to_bytes``; NaN where no base pages were measured.
    Hugetlb pages and multi-size THP are left out: their entries are of other kinds.
    """
    plain = {_plain_bytes(page) for page in summary["page"].dropna().unique()} - {0}
    base = min(plain, default=0)
    pages = {base, base**2 // 8} - {0}
    timed = summary[(summary["median_ns"] > 0) & summary["page"].map(_plain_bytes).isin(pages)]
    rows = []
    for key, points in timed.groupby(list(GROUP), observed=True, dropna=False):
        if len(points) < FEWEST_POINTS:
            continue
        sizes = points["size_bytes"].to_numpy(dtype=np.float64)
        page_bytes = np.array([_plain_bytes(page) for page in points["page"]], dtype=np.float64)
        found = fit(points["median_ns"].to_numpy(dtype=np.float64), sizes / page_bytes, sizes)
        worst = int(np.argmax(np.abs(found.residuals)))
        of_base = points[page_bytes == base]
        rows.append(
            (
                *key, found.call_ns, found.entry_ns, found.kib_ns, len(points),
                int(sizes.min()), int(sizes.max()),
                100 * float(np.median(np.abs(found.residuals))),
                100 * float(found.residuals[worst]), str(points["case_id"].iloc[worst]),
                *_long_rate(of_base, found.call_ns),
            )
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


@dataclass(frozen=True, slots=True)
class Threshold:
    """The smallest measured size from which one readv beats two copies through shared memory.

    ``from_bytes`` is None where there is none up to ``to_bytes``, the largest size measured.
    ``above_bytes`` is the largest size at which it does not, None where it does at every size.
    ``shared`` is the mechanism that copies twice; ``handshake_ns`` is what the readv pays first.
    """

    shared: str
    handshake_ns: float
    from_bytes: int | None
    above_bytes: int | None
    to_bytes: int


def threshold(summary: pd.DataFrame, handshake_ns: float = 0.0) -> Threshold | None:
    """Return the threshold on base pages; None where no size was measured of both.

    A sender copies into shared memory and a receiver out of it, which takes twice the time that
    was measured of one of them. readv beats that where the upper bound of its time and the
    handshake lies below twice the lower bound, at that size and at every larger one.
    """
    plain = {size for page in summary["page"].dropna().unique() if (size := _plain_bytes(page))}
    base = summary["page"].map(_plain_bytes) == min(plain, default=0)
    bare = summary[base & (summary["scenario"] == "transfer") & (summary["phase"] == "total")]
    readv = _bounds(bare, "readv")
    shared = next((name for name in SHARED if not _bounds(bare, name).empty), SHARED[0])
    both = readv.merge(
        _bounds(bare, shared), left_index=True, right_index=True, suffixes=("_one", "_two")
    )
    if both.empty:
        return None
    wins = (both["hi_ns_one"] + handshake_ns < 2 * both["lo_ns_two"]).to_numpy()
    sizes = [int(size) for size in both.index]
    first = len(wins) - int(np.argmin(wins[::-1])) if not wins.all() else 0
    return Threshold(
        shared,
        handshake_ns,
        sizes[first] if first < len(sizes) else None,
        sizes[first - 1] if first else None,
        sizes[-1],
    )


def handshake_ns(summary: pd.DataFrame) -> float | None:
    """Return the round trip of the smallest message through shared memory that is polled."""
    polled = summary[
        (summary["scenario"] == "pingpong")
        & (summary["wait"] == "busy")
        & (summary["phase"] == "total")
        & summary["mechanism"].isin(SHARED)
        & summary["median_ns"].notna()
    ]
    if polled.empty:
        return None
    return float(polled.sort_values("size_bytes", kind="stable")["median_ns"].iloc[0])


def _bounds(bare: pd.DataFrame, mechanism: str) -> pd.DataFrame:
    """Return the bounds of the medians by size; cases without an interval are left out."""
    mine = bare[(bare["mechanism"] == mechanism) & bare["lo_ns"].notna()]
    return mine.set_index("size_bytes")[["lo_ns", "hi_ns"]].astype("float64").sort_index()


def _long_rate(points: pd.DataFrame, call_ns: float) -> tuple[float, float, float]:
    """Return bytes/s of the long messages among ``points``, and the shortest and longest of them.

    It is the median over sizes of the size over the time beyond the call.
    """
    sizes = points["size_bytes"].to_numpy(dtype=np.float64)
    beyond = points["median_ns"].to_numpy(dtype=np.float64) - call_ns
    long = (sizes >= sizes.max(initial=0) * LONG_FRACTION) & (beyond > 0)
    if not long.any():
        return math.nan, math.nan, math.nan
    rate = float(np.median(sizes[long] / beyond[long])) * 1e9
    return rate, float(sizes[long].min()), float(sizes[long].max())


def fit(times_ns: Floats, entries: Floats, sizes: Floats) -> Fit:
    """Return the constants of one group; times are above 0."""
    columns = [np.ones_like(times_ns), sizes / 1024]
    page_sizes = np.unique(sizes / entries)
    if len(page_sizes) > 1:
        columns.append(entries)
    design = np.column_stack(columns) / times_ns[:, np.newaxis]
    weights = np.ones_like(times_ns)
    constants = np.zeros(len(columns))
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        constants, _ = nnls(design * root[:, np.newaxis], root)
        residuals = 1 - design @ constants
        scale = max(_SPREAD * float(np.median(np.abs(residuals))), 1e-12)
        weights = np.minimum(1, _HUBER * scale / np.maximum(np.abs(residuals), 1e-15))
    entry_ns = float(constants[2]) if len(columns) > 2 else float("nan")
    line = np.maximum(1 - residuals, 1e-12)
    return Fit(float(constants[0]), entry_ns, float(constants[1]), 1 / line - 1)


def _plain_bytes(page: str) -> int:
    """Return the size of a base or transparent page in bytes; 0 for a hugetlb page."""
    return parse_size(page) if re.fullmatch(r"\d+[KMGT]?", page) else 0
