# SPDX-License-Identifier: GPL-2.0-only
"""What a source that goes on writing feels of being copied or cloned: from the tidy frame."""

import pandas as pd

from vmabench.analysis import latency
from vmabench.analysis.samples import samples
from vmabench.store.format import Result

#: medians over rounds; of the longest stall and of the torn pages the worst round is told
_MEDIANS = ("time_ns", "stopped_ns", "cow_ns", "writer_faults", "writes")
_WORST = ("stall_ns", "torn_pct")


def stalls(result: Result, frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each case of ``snapshot`` that has values.

    Its axes, ``time_ns`` (until the receiver had it), ``stopped_ns`` (the source's own part of it),
    ``stall_ns`` (the longest time between two writes, of all rounds), ``p50_ns``, ``p99_ns`` and
    ``p999_ns`` of these times, ``cow_ns`` (what the writes beside it took beyond plain ones),
    ``writer_faults``, ``writes`` and ``torn_pct`` (NaN where there was no snapshot).
    """
    rows = frame[(frame["scenario"] == "snapshot") & frame["time_ns"].notna()]
    if rows.empty:
        return pd.DataFrame()
    # by the names of the cases: a result of before "stopped_ns" has no sample of it at all
    medians = {
        name: samples(rows, ["case_id"], name).median(axis=1).rename(index=str) for name in _MEDIANS
    }
    worst = rows.astype(dict.fromkeys(_WORST, "float64")).groupby("case_id", observed=True)
    found = pd.DataFrame(medians).join(worst[list(_WORST)].max().rename(index=str))
    axes = rows.drop_duplicates("case_id").assign(case_id=lambda one: one["case_id"].astype(str))
    axes = axes.set_index("case_id")[["mechanism", "page", "size_bytes", "rate"]]
    gaps = latency.percentiles(result)
    percentiles = list(latency.PERCENTILES)
    if gaps.empty:
        return axes.join(found).reindex(columns=[*axes, *found, *percentiles]).reset_index()
    return axes.join(found).join(gaps.set_index("case_id")[percentiles]).reset_index()
