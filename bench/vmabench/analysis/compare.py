# SPDX-License-Identifier: GPL-2.0-only
"""Two runs against each other: a verdict for each case, or the reason why there is none.

A verdict needs three things. The 95 % interval of the ratio excludes 1, the effect is at least
``MIN_EFFECT``, and the case is still significant when the number of cases is allowed for
(Benjamini and Hochberg 1995, at a false discovery rate of 5 %, on Welch's t test of the logs of the
processes' medians).
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats as scipy_stats

from vmabench.analysis.bootstrap import percentile_interval, resamples
from vmabench.analysis.instructions import path_lengths
from vmabench.analysis.stats import summarize

Floats = npt.NDArray[np.float64]

#: of logs of times in nanoseconds
_ROUNDING = 1e-9

MIN_EFFECT = 0.02
FALSE_DISCOVERIES = 0.05
#: By the instruction clock two boots agree to 0.25 %; what differs by more is another path.
MIN_PATH_EFFECT = 0.005

VERDICTS = ("slower", "faster", "unstable", "~", "not comparable")

COLUMNS = (
    "case_id", "phase", "a_ns", "b_ns", "a_spread", "b_spread", "a_deviation", "b_deviation",
    "a_processes", "b_processes", "ratio", "lo", "hi", "p", "q", "verdict", "reason",
)  # fmt: skip

#: In which the two runs of one case may differ by no more than rounding, or are of other memory.
_PROOFS = ("src_backed_pct", "dst_backed_pct")


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    target_width: float,
    min_effect: float = MIN_EFFECT,
    phase: str = "total",
) -> pd.DataFrame:
    """One row for each case that either frame has, in the columns COLUMNS; slower ones first.

    ``ratio`` is what B takes as a share of A: above 1 it is slower. Its interval comes from
    resampling the processes of both sides independently, as nothing pairs them. ``a_deviation``
    is the standard deviation over processes as a share of their mean, which kernel developers
    are used to; nothing is decided by it. ``~``: no difference was shown. ``unstable``: none was
    shown, and one side's interval is wider than ``target_width`` times its median, so that little
    could have been.
    """
    sides = [_by_case(frame, phase, target_width) for frame in (a, b)]
    cases = list(dict.fromkeys([*sides[0], *sides[1]]))
    rows = [_row(case, phase, sides[0].get(case), sides[1].get(case)) for case in cases]
    compared = pd.DataFrame(rows, columns=list(COLUMNS))
    _correct(compared)
    compared["verdict"] = [
        _verdict({str(name): value for name, value in row.items()}, target_width, min_effect)
        for row in compared.to_dict("records")
    ]
    return in_order(compared)


def bare_name(case_id: str) -> str:
    """``readv/transfer/4K/64K`` for people; the names of the axes say nothing new in a table."""
    return "/".join(part.rpartition(":")[2] for part in str(case_id).split("/"))


def in_order(compared: pd.DataFrame) -> pd.DataFrame:
    """Slower cases first, the largest change first among them."""
    rank = compared["verdict"].map({name: place for place, name in enumerate(VERDICTS)})
    change = -np.abs(np.log(compared["ratio"].astype("float64")))
    order = pd.DataFrame({"rank": rank, "change": change, "case": compared["case_id"]})
    return compared.loc[order.sort_values(["rank", "change", "case"]).index].reset_index(drop=True)


def compare_paths(
    a: pd.DataFrame, b: pd.DataFrame, *, min_effect: float = MIN_PATH_EFFECT
) -> pd.DataFrame:
    """The same for counts of instructions: exact differences, a call, an entry and a KiB.

    Columns ``case_id``, ``phase``, ``a_call``, ``b_call``, ``ratio``, ``call``, ``entry``,
    ``kib`` (B less A), ``verdict``: longer, shorter or ``~`` below ``min_effect``.
    """
    keys = ["case_id", "phase"]
    values = ["per_call", "per_entry", "per_kib", "spread"]
    left, right = (
        path_lengths(frame).astype({"case_id": "object", "phase": "object"})[[*keys, *values]]
        for frame in (a, b)
    )
    both = left.merge(right, on=keys, suffixes=("_a", "_b"))
    both = both[(both["per_call_a"] > 0) & (both["per_call_b"] > 0)].copy()
    both["ratio"] = both["per_call_b"] / both["per_call_a"]
    for name, column in (("call", "per_call"), ("entry", "per_entry"), ("kib", "per_kib")):
        both[name] = both[f"{column}_b"] - both[f"{column}_a"]
    # a count that is not even the same in two processes of one boot shows no small difference
    least = np.maximum(min_effect, both[["spread_a", "spread_b"]].max(axis=1))
    both["verdict"] = np.select(
        [both["ratio"] > 1 + least, both["ratio"] < 1 / (1 + least)], ["longer", "shorter"], "~"
    )
    rank = both["verdict"].map({"longer": 0, "shorter": 1, "~": 2})
    order = pd.DataFrame(
        {"rank": rank, "change": -np.abs(np.log(both["ratio"])), "case": both["case_id"]}
    )
    both = both.loc[order.sort_values(["rank", "change", "case"], kind="stable").index]
    renamed = both.rename(columns={"per_call_a": "a_call", "per_call_b": "b_call"})
    columns = [*keys, "a_call", "b_call", "ratio", "call", "entry", "kib", "verdict"]
    return renamed[columns].reset_index(drop=True)


@dataclass(frozen=True, slots=True)
class _Side:
    """What one run has of a case; ``samples`` are the processes' medians in ns."""

    outcome: str
    reason: str
    median_ns: float
    spread: float
    samples: Floats
    proofs: dict[str, float]

    @property
    def deviation(self) -> float:
        if len(self.samples) < 2:
            return math.nan
        return float(np.std(self.samples, ddof=1) / np.mean(self.samples))

    @property
    def why_not(self) -> str | None:
        """Why nothing can be said of it."""
        if self.outcome in ("skipped", "failed"):
            return f"{self.outcome}: {self.reason}"
        if not len(self.samples):
            return "it has no such phase"
        return None if (self.samples > 0).all() else "it has a value of 0"


def _by_case(frame: pd.DataFrame, phase: str, target_width: float) -> dict[str, _Side]:
    summary = summarize(frame, target_width=target_width)
    mine = summary[(summary["phase"] == phase) | summary["median_ns"].isna()]
    valued = frame[(frame["phase"] == phase) & frame["time_ns"].notna()]
    samples: dict[str, Floats] = {}
    proofs: dict[str, dict[str, float]] = {}
    for name, values in valued.groupby("case_id", observed=True):
        times = values.astype({"time_ns": "float64"}).groupby("process")["time_ns"].median()
        samples[str(name)] = times.to_numpy(dtype=np.float64)
        proofs[str(name)] = {proof: _median(values[proof]) for proof in _PROOFS}
    found: dict[str, _Side] = {}
    for row in mine.to_dict("records"):
        case = str(row["case_id"])
        found.setdefault(
            case,
            _Side(
                outcome=str(row["outcome"]),
                reason=str(row["reason"]),
                median_ns=float(row["median_ns"]),
                spread=float(row["spread"]),
                samples=samples.get(case, np.empty(0)),
                proofs=proofs.get(case, {}),
            ),
        )
    return found


def _median(values: "pd.Series[float]") -> float:
    numbers = values.dropna().to_numpy(dtype=np.float64)
    return float(np.median(numbers)) if len(numbers) else math.nan


def _row(case: str, phase: str, a: _Side | None, b: _Side | None) -> list[object]:
    if a is None or b is None:
        why = f"{'A' if a is None else 'B'} does not have this case"
        return [case, phase, *_measured(a, b), *[math.nan] * 5, "", why]
    why_not = _why_not(a, b)
    if why_not:
        return [case, phase, *_measured(a, b), *[math.nan] * 5, "", why_not]
    ratio, lo, hi = ratio_interval(a.samples, b.samples)
    p = p_value(a.samples, b.samples)
    return [case, phase, *_measured(a, b), ratio, lo, hi, p, math.nan, "", None]


def _measured(a: _Side | None, b: _Side | None) -> list[object]:
    sides = (a, b)
    return [
        *(side.median_ns if side else math.nan for side in sides),
        *(side.spread if side else math.nan for side in sides),
        *(side.deviation if side else math.nan for side in sides),
        *(len(side.samples) if side else 0 for side in sides),
    ]


def _why_not(a: _Side, b: _Side) -> str | None:
    for name, side in (("A", a), ("B", b)):
        if side.why_not:
            return f"{name}: {side.why_not}"
    for name in _PROOFS:
        here, there = a.proofs[name], b.proofs[name]
        if abs(here - there) > 1:
            return f"{name} is {here:.0f} in A and {there:.0f} in B: other memory"
    return None


def ratio_interval(a: Floats, b: Floats) -> tuple[float, float, float]:
    """Ratio of the medians, B over A, and its interval; NaN bounds with one process on a side."""
    ratio = float(np.median(b) / np.median(a))
    if min(len(a), len(b)) < 2:
        return ratio, math.nan, math.nan
    medians = [
        np.median(np.log(side)[resamples(len(side), stream)], axis=1)
        for stream, side in enumerate((a, b))
    ]
    lo, hi = percentile_interval(np.exp(medians[1] - medians[0]))
    return ratio, lo, hi


def p_value(a: Floats, b: Floats) -> float:
    """Of Welch's test on the logs; NaN with one process on a side, 1 where all are equal."""
    if min(len(a), len(b)) < 2:
        return math.nan
    left, right = np.log(a), np.log(b)
    # a spread that is rounding alone would be no less than a proof to the test
    if max(np.ptp(left), np.ptp(right)) < _ROUNDING:
        return 1.0 if abs(left[0] - right[0]) < _ROUNDING else 0.0
    with warnings.catch_warnings():
        # it remarks on samples that are nearly equal, for which its answer is as good as any
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(scipy_stats.ttest_ind(left, right, equal_var=False).pvalue)


def _correct(compared: pd.DataFrame) -> None:
    """Add ``q``: the p value, corrected for the number of cases that have one."""
    tested = compared["p"].notna()
    if tested.any():
        corrected = scipy_stats.false_discovery_control(compared.loc[tested, "p"].astype("float64"))
        compared.loc[tested, "q"] = corrected


def _verdict(row: dict[str, Any], target_width: float, min_effect: float) -> str:
    if isinstance(row["reason"], str):
        return "not comparable"
    ratio, lo, hi, q = (float(row[name]) for name in ("ratio", "lo", "hi", "q"))
    if q <= FALSE_DISCOVERIES:
        if lo > 1 and ratio >= 1 + min_effect:
            return "slower"
        if hi < 1 and ratio <= 1 / (1 + min_effect):
            return "faster"
    wide = max(row["a_spread"], row["b_spread"]) > target_width
    return "unstable" if wide or math.isnan(q) else "~"
