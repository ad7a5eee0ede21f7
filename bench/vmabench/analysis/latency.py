# SPDX-License-Identifier: GPL-2.0-only
"""Single operations: from stored histograms and run charts to frames.

A percentile is that of all operations of a case in one round; what is reported is the median over
rounds with its interval, as for any other number: the round is the sample. The longest operation
is exact, and what is reported of it is the longest of all rounds, since the median of maxima would
be no maximum.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vmabench.analysis.intervals import Floats, median_interval
from vmabench.matrix.case import OPTIONAL_FIELDS, Case
from vmabench.store.format import LATENCY_BITS, Record, Result

#: name of a column -> the share of the operations that are not longer
PERCENTILES = {"p50_ns": 0.5, "p99_ns": 0.99, "p999_ns": 0.999}

Ints = npt.NDArray[np.int64]

_PARTS = 1 << LATENCY_BITS


def bucket_bounds_ns(indices: Sequence[int] | Ints) -> tuple[Floats, Floats]:
    """The shortest time of each bucket, and that of the bucket behind it."""
    index = np.asarray(indices, dtype=np.int64)
    return _start_ns(index), _start_ns(index + 1)


def _start_ns(index: Any) -> Floats:
    octave = np.maximum(index // _PARTS - 1, 0)
    start_ns: Floats = ((index - octave * _PARTS) << octave).astype(np.float64)
    return start_ns


def percentile_ns(buckets: Mapping[int, int], max_ns: int, share: float) -> float:
    """Return the shortest time that at least ``share`` of the operations do not exceed.

    It is the middle of a bucket, off by at most ``error_pct``. NaN without operations.
    """
    if not buckets:
        return float("nan")
    index = np.array(sorted(buckets), dtype=np.int64)
    counts = np.cumsum([buckets[int(one)] for one in index])
    rank = max(1, int(np.ceil(share * counts[-1] - 1e-9)))
    place = int(np.searchsorted(counts, rank))
    start_ns, end_ns = bucket_bounds_ns(index[place : place + 1])
    middle = (start_ns[0] + end_ns[0] - 1) / 2
    return min(float(middle), float(max_ns))


def corrected(buckets: Mapping[int, int], interval_ns: float) -> dict[int, int]:
    """Add the operations that were due while a long one held up those behind it.

    An operation of ``t`` ns stands for further ones of ``t - interval_ns``, ``t - 2 * interval_ns``
    and so on, down to ``interval_ns``: a loop that waits for each operation leaves them out
    (coordinated omission). This is what HdrHistogram's copyCorrectedForCoordinatedOmission does.
    """
    found = dict(buckets)
    if not interval_ns > 0:
        return found
    for index, count in buckets.items():
        start_ns, end_ns = bucket_bounds_ns([index])
        longest_ns = (start_ns[0] + end_ns[0] - 1) / 2
        missed_ns = longest_ns - interval_ns * np.arange(1, int(longest_ns // interval_ns))
        indices, counts = np.unique(_buckets_of(missed_ns), return_counts=True)
        for missed, times in zip(indices.tolist(), counts.tolist(), strict=True):
            found[missed] = found.get(missed, 0) + count * times
    return found


def _buckets_of(times_ns: Floats) -> Ints:
    """Return ``bucket_of`` each time."""
    whole = times_ns.astype(np.int64)
    octave = np.maximum(np.frexp(whole.astype(np.float64))[1] - 1 - LATENCY_BITS, 0)
    indices: Ints = octave * _PARTS + (whole >> octave)
    return indices


def error_pct(time_ns: float, step_ns: int) -> float:
    """Return the most that a percentile of ``time_ns`` may be off, in percent of it.

    This is half a bucket, at most 0.4 %, and one step of the clock (``mechanisms.clock_step_ns``),
    as a time is the difference of two readings.
    """
    index = bucket_of(int(time_ns))
    start_ns, end_ns = bucket_bounds_ns([index])
    half_ns = float(end_ns[0] - 1 - start_ns[0]) / 2
    return 100 * (step_ns + half_ns) / time_ns


def bucket_of(time_ns: int) -> int:
    """Return the index of the bucket that a time goes into, as ``vmb_latency_bucket`` does."""
    octave = max(time_ns.bit_length() - 1 - LATENCY_BITS, 0)
    return octave * _PARTS + (time_ns >> octave)


def by_round(result: Result) -> pd.DataFrame:
    """One row a case and round: its axes, ``count``, ``mean_ns``, percentiles, ``max_ns``.

    A percentile above which there is not one operation is NaN: it would be the maximum.
    """
    rows = []
    for record in result.latencies:
        buckets = buckets_of(record)
        rows.append(
            _axes(record["case"])
            | {"round": record["round"], "count": record["count"]}
            | {"mean_ns": record["sum_ns"] / record["count"]}
            | {
                name: percentile_ns(buckets, record["max_ns"], share)
                if record["count"] * (1 - share) >= 1
                else np.nan
                for name, share in PERCENTILES.items()
            }
            | {"max_ns": float(record["max_ns"])}
        )
    return pd.DataFrame(rows)


def of_cases(result: Result) -> dict[tuple[str, int], dict[str, float]]:
    """Return (case, round) -> ``op_p50_ns``, ``op_p99_ns`` and ``op_max_ns`` of its operations.

    A percentile above which there is not one operation is absent.
    """
    return {
        (record["case"], record["round"]): {
            f"op_{name}": percentile_ns(buckets_of(record), record["max_ns"], share)
            for name, share in PERCENTILES.items()
            if name != "p999_ns" and record["count"] * (1 - share) >= 1
        }
        | {"op_max_ns": float(record["max_ns"])}
        for record in result.latencies
    }


def percentiles(result: Result) -> pd.DataFrame:
    """Return one row a case: axes, ``rounds``, ``count`` of all rounds, percentiles, ``max_ns``.

    Each percentile has its interval, ``lo_p50_ns`` and ``hi_p50_ns`` and so on; NaN with one round.
    """
    rounds = by_round(result)
    if rounds.empty:
        return rounds
    rows = []
    for case, mine in rounds.groupby("case_id", sort=False):
        row = _axes(str(case)) | {"rounds": len(mine), "count": int(mine["count"].sum())}
        for name in PERCENTILES:
            median, lo, hi = median_interval(mine[[name]].to_numpy(dtype=np.float64).T)
            row |= {name: median[0], f"lo_{name}": lo[0], f"hi_{name}": hi[0]}
        rows.append(row | {"max_ns": mine["max_ns"].max()})
    return pd.DataFrame(rows)


def run_chart(result: Result, case_id: str) -> pd.DataFrame:
    """All operations of a case in order: a row for each point of each round.

    ``round``, ``operation`` (the first of the point, from 0), ``operations`` (in it), ``max_ns``
    (the longest of them) and ``mean_ns``.
    """
    frames = []
    for record in result.latencies:
        if record["case"] != case_id:
            continue
        points = len(record["chart_max_ns"])
        first = np.arange(points) * record["stride"]
        frames.append(
            pd.DataFrame(
                {
                    "round": record["round"],
                    "operation": first,
                    "operations": np.minimum(record["stride"], record["count"] - first),
                    "max_ns": record["chart_max_ns"],
                    "mean_ns": record["chart_mean_ns"],
                }
            )
        )
    columns = ["round", "operation", "operations", "max_ns", "mean_ns"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def distribution(result: Result, case_id: str) -> pd.DataFrame:
    """The histogram of a case over all rounds: ``from_ns``, ``below_ns``, ``count``, ``share``.

    ``share`` is that of the operations below ``below_ns``: the curve of all percentiles.
    """
    counts: dict[int, int] = {}
    for record in result.latencies:
        if record["case"] == case_id:
            for index, count in buckets_of(record).items():
                counts[index] = counts.get(index, 0) + count
    indices = sorted(counts)
    start_ns, end_ns = bucket_bounds_ns(indices)
    frame = pd.DataFrame({"from_ns": start_ns, "below_ns": end_ns})
    frame["count"] = [counts[one] for one in indices]
    frame["share"] = frame["count"].cumsum() / max(1, sum(counts.values()))
    return frame


def buckets_of(record: Record) -> dict[int, int]:
    """JSON has made texts of the indices."""
    return {int(index): count for index, count in record["buckets"].items()}


def _axes(name: str) -> dict[str, Any]:
    case = Case.parse(name)
    return {
        "case_id": name,
        "mechanism": case.mechanism,
        "scenario": case.scenario,
        "page": case.page,
        "size_bytes": case.size_bytes,
        **{axis: getattr(case, axis) for axis in OPTIONAL_FIELDS},
    }
