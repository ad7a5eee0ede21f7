# SPDX-License-Identifier: GPL-2.0-only
"""Compute what several receivers or pairs reach together, and each of them."""

from typing import Any, cast

import numpy as np
import pandas as pd

from vmabench.analysis.intervals import Floats, median_interval
from vmabench.analysis.samples import samples

#: what the curve of a mechanism over the number of receivers or pairs has in common
CURVE = ("mechanism", "page", "thp", "size_bytes")


def scaling(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each case of ``contention`` that has values.

    CURVE, ``receivers``, ``pairs``, ``processes`` (rounds); ``bytes_per_s``, of all together,
    with ``lo_`` and ``hi_``; ``slowest_bytes_per_s`` and ``fastest_bytes_per_s``, of single ones;
    and ``speedup``: together, against one alone in the same round, with ``lo_`` and ``hi_``. NaN
    where there is no such round. ``null`` moves nothing and has no rates.
    ``lock_wait_ns``: what all of them waited for their mmap_lock in one operation; NaN where it
    could not be traced.
    """
    rows = frame[(frame["scenario"] == "contention") & frame["time_ns"].notna()]
    curves = rows.groupby(list(CURVE), observed=True, dropna=False)
    found = [row for _, curve in curves for row in _of_curve(curve)]
    return pd.DataFrame(found)


def _of_curve(curve: pd.DataFrame) -> list[dict[str, Any]]:
    alone = curve[(curve["receivers"] == 1) & (curve["pairs"] == 1)]
    single = _by_process(alone, "time_ns")
    found = []
    for key, rows in curve.groupby(["receivers", "pairs"]):
        receivers, pairs = cast(tuple[int, int], key)
        at_once = max(int(receivers), int(pairs))
        together = _by_process(rows, "time_ns")
        first = rows.iloc[0]
        row = {name: first[name] for name in CURVE} | {"receivers": receivers, "pairs": pairs}
        row["processes"] = len(together)
        row["lock_wait_ns"] = _by_process(rows, "lock_wait_ns").median()
        if first["mechanism"] != "null":
            work = float(first["size_bytes"]) * at_once * 1e9
            row |= _with_interval("bytes_per_s", work / together)
            for name in ("slowest", "fastest"):
                times_ns = _by_process(rows, f"{name}_receiver_ns")
                row[f"{name}_bytes_per_s"] = float(first["size_bytes"]) * 1e9 / times_ns.median()
        row |= _with_interval("speedup", (at_once * single / together).dropna())
        found.append(row)
    return found


def _by_process(rows: pd.DataFrame, column: str) -> "pd.Series[float]":
    """Return the samples of rows that are all of one case."""
    table = samples(rows, ["case_id"], column)
    return table.iloc[0] if len(table) else pd.Series(dtype="float64")


def _with_interval(name: str, series: "pd.Series[float]") -> dict[str, float]:
    row: Floats = np.asarray(series, dtype=np.float64)
    if not len(row):
        return {name: np.nan, f"lo_{name}": np.nan, f"hi_{name}": np.nan}
    median, lo, hi = median_interval(row[np.newaxis])
    return {name: float(median[0]), f"lo_{name}": float(lo[0]), f"hi_{name}": float(hi[0])}
