# SPDX-License-Identifier: GPL-2.0-only
"""Compute how many times as long a case takes when its size doubles."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.ratios import ratio_of_cases
from vmabench.analysis.samples import samples


@dataclass(frozen=True, slots=True)
class Growth:
    """From ``size_bytes`` to twice that: ``ratio`` of the times within a process, with its bounds.

    The bounds are NaN with fewer than 5 ``processes`` that have both, of ``tried`` that began
    both. ``from_ns`` and ``to_ns`` are the medians of these processes.
    """

    mechanism: str
    size_bytes: int
    ratio: float
    lo: float
    hi: float
    processes: int
    tried: int
    from_ns: float
    to_ns: float


def growths(frame: pd.DataFrame) -> list[Growth]:
    """For each mechanism and size of a frame of one scenario, in the order of the levels.

    Cases that differ in anything but their size are not held against each other.
    """
    totals = frame[frame["phase"] == "total"]
    keys = ["mechanism", *CONDITIONS]
    found: list[Growth] = []
    for (mechanism, *_), rows in totals.groupby(keys, observed=True):
        found += _of_case(str(mechanism), rows)
    return found


def _of_case(mechanism: str, rows: pd.DataFrame) -> Iterator[Growth]:
    names = rows.drop_duplicates("size_bytes").set_index("size_bytes")["case_id"].astype(str)
    for size_bytes in sorted(int(size) for size in names.index):
        if 2 * size_bytes not in names.index:
            continue
        pair = rows[rows["size_bytes"].isin([size_bytes, 2 * size_bytes])]
        times = samples(pair, ["size_bytes"]).reindex([size_bytes, 2 * size_bytes])
        both = times.T.dropna()
        if both.empty:
            continue
        yield Growth(
            mechanism,
            size_bytes,
            *ratio_of_cases(rows, names[2 * size_bytes], names[size_bytes]),
            processes=len(both),
            tried=_tried_both(pair),
            from_ns=float(both[size_bytes].median()),
            to_ns=float(both[2 * size_bytes].median()),
        )


def _tried_both(pair: pd.DataFrame) -> int:
    """Return in how many rounds both sizes were tried: a round may tighten one of them alone."""
    sizes = pair[pair["process"].notna()].groupby("process")["size_bytes"].nunique()
    return int((sizes == 2).sum())
