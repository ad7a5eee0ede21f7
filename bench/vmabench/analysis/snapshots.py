# SPDX-License-Identifier: GPL-2.0-only
"""What a source that goes on writing feels of being copied or cloned: from the tidy frame."""

import pandas as pd

from vmabench.analysis import latency
from vmabench.analysis.samples import samples
from vmabench.matrix.case import Case
from vmabench.store.format import Result

#: medians over rounds; of the longest stall and of the torn pages the worst round is told
_MEDIANS = ("time_ns", "stopped_ns", "cow_ns", "writer_faults", "writes")
_WORST = ("stall_ns", "torn_pct")

#: percentiles of the gaps against the schedule
DUE = tuple(f"due_{name}" for name in latency.PERCENTILES)


def stalls(result: Result, frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each case of ``snapshot`` that has values.

    Its axes, ``time_ns`` (until the receiver had it), ``stopped_ns`` (the source's own part
    of it), ``stall_ns`` (the longest time between two
    writes, of all rounds), ``p50_ns``, ``p99_ns`` and ``p999_ns`` of these times, the same with
    ``due_`` before the name against the schedule (see ``on_schedule``), ``cow_ns`` (what the writes
    beside it took beyond plain ones), ``writer_faults``, ``writes`` and ``torn_pct``
    (NaN where there was no snapshot).
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
    names = list(latency.PERCENTILES)
    found = axes.join(found)
    if gaps.empty:
        return found.reindex(columns=[*found, *names, *DUE]).reset_index()
    found = found.join(gaps.set_index("case_id")[names])
    return found.join(on_schedule(result)).reset_index()


def on_schedule(result: Result) -> pd.DataFrame:
    """Return ``due_p50_ns``, ``due_p99_ns`` and ``due_p999_ns`` of each case of ``snapshot``.

    The writer waits for each write, so one long gap hides all writes that were due meanwhile. These
    percentiles count them: see ``latency.corrected``. The interval is that of the rate; without one
    (``max``) it is the median gap of the round. Medians over rounds; the index is ``case_id``. A
    percentile above which a round has not one gap is NaN.
    """
    rows = []
    for record in result.latencies:
        case = Case.parse(record["case"])
        if case.scenario != "snapshot":
            continue
        buckets, longest_ns = latency.buckets_of(record), record["max_ns"]
        interval_ns = (
            1e9 / int(case.rate)
            if case.rate.isdigit()
            else latency.percentile_ns(buckets, longest_ns, 0.5)
        )
        due = latency.corrected(buckets, interval_ns)
        rows.append(
            {"case_id": record["case"]}
            | {
                name: latency.percentile_ns(due, longest_ns, share)
                for name, share in zip(DUE, latency.PERCENTILES.values(), strict=True)
                if sum(due.values()) * (1 - share) >= 1
            }
        )
    return pd.DataFrame(rows, columns=["case_id", *DUE]).groupby("case_id").median()
