# SPDX-License-Identifier: GPL-2.0-only
"""Two runs against each other: a verdict for each case, or the reason why there is none.

A verdict needs three things. The 95 % interval of the ratio excludes 1, the effect is at least
``MIN_EFFECT``, and the case is still significant when the number of cases is allowed for
(Benjamini and Hochberg 1995, at a false discovery rate of 5 %). Test and interval are those of
Mann and Whitney, on the logs of the processes' medians: they hold for any distribution, and a few
processes that a neighbour disturbed change them little. Their price is that few processes can't
make a p value small, so that a lone change among hundreds of cases takes 8 rounds to be shown.

Where both runs are of several boots, the boot is the sample: the median of its processes' medians.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from vmabench.analysis.instructions import path_lengths
from vmabench.analysis.intervals import Floats, shift_interval, smallest_p
from vmabench.analysis.samples import Unit, samples, unit_of
from vmabench.analysis.stats import summarize

MIN_EFFECT = 0.02
FALSE_DISCOVERIES = 0.05
#: By the instruction clock two boots agree to 0.25 %; what differs by more is another path.
MIN_PATH_EFFECT = 0.005

VERDICTS = ("slower", "faster", "unstable", "~", "not comparable")

COLUMNS = (
    "case_id", "phase", "a_ns", "b_ns", "a_spread", "b_spread", "a_deviation", "b_deviation",
    "a_processes", "b_processes", "ratio", "lo", "hi", "p", "q", "verdict", "reason", "sample",
)  # fmt: skip

#: In which the two runs of one case may differ by no more than rounding, and what it means.
_PROOFS = {
    "src_backed_pct": "other memory",
    "dst_backed_pct": "other memory",
    "moved_bytes": "another size was really transferred",
}


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    target_width: float,
    min_effect: float = MIN_EFFECT,
    phase: str = "total",
) -> pd.DataFrame:
    """One row for each case that either frame has, in the columns COLUMNS; slower ones first.

    ``ratio`` is what B takes as a share of A: above 1 it is slower. It is the median of the ratios
    of all pairs of a process of B and one of A, as nothing pairs them, and so a little different
    from the ratio of the medians ``a_ns`` and ``b_ns``. ``lo`` and ``hi`` are NaN where the
    processes are too few for an interval. ``a_deviation`` is the standard deviation over processes
    as a share of their mean, which kernel developers are used to; nothing is decided by it.
    ``~``: no difference was shown. ``unstable``: none was shown, and one side's interval is wider
    than ``target_width`` times its median, or there is none, so that little could have been.
    ``sample`` is ``boot`` where both frames have boots, and else ``process``; ``a_processes``
    are as many samples.
    """
    unit = unit_of(a, b)
    sides = [_by_case(frame, phase, target_width, unit) for frame in (a, b)]
    cases = list(dict.fromkeys([*sides[0], *sides[1]]))
    pairs = [(sides[0].get(case), sides[1].get(case)) for case in cases]
    rows = [_row(case, phase, *pair) for case, pair in zip(cases, pairs, strict=True)]
    compared = pd.DataFrame(rows, columns=list(COLUMNS))
    _add_ratios(compared, pairs)
    _correct(compared)
    compared["verdict"] = [
        _verdict({str(name): value for name, value in row.items()}, target_width, min_effect)
        for row in compared.to_dict("records")
    ]
    compared["sample"] = unit
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


def _by_case(frame: pd.DataFrame, phase: str, target_width: float, unit: Unit) -> dict[str, _Side]:
    summary = summarize(frame, target_width=target_width, unit=unit)
    mine = summary[(summary["phase"] == phase) | summary["median_ns"].isna()]
    valued = frame[(frame["phase"] == phase) & frame["time_ns"].notna()]
    times = samples(valued, ["case_id"], unit=unit)
    measured = {
        str(name): row[~np.isnan(row)]
        for name, row in zip(times.index, times.to_numpy(dtype=np.float64), strict=True)
    }
    proofs = valued.groupby("case_id", observed=True)[list(_PROOFS)].median()
    known = {
        str(name): {str(proof): _number(value) for proof, value in row.items()}
        for name, row in proofs.to_dict("index").items()
    }
    found: dict[str, _Side] = {}
    for row in mine.to_dict("records"):
        case = str(row["case_id"])
        side = _Side(
            outcome=str(row["outcome"]),
            reason=str(row["reason"]),
            median_ns=float(row["median_ns"]),
            spread=float(row["spread"]),
            samples=measured.get(case, np.empty(0)),
            proofs=known.get(case, {}),
        )
        found.setdefault(case, side)
    return found


def _row(case: str, phase: str, a: _Side | None, b: _Side | None) -> list[object]:
    if a is None or b is None:
        why: str | None = f"{'A' if a is None else 'B'} does not have this case"
    else:
        why = _why_not(a, b)
    return [case, phase, *_measured(a, b), *[math.nan] * 5, "", why, ""]


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
    for name, what in _PROOFS.items():
        here, there = (side.proofs.get(name, math.nan) for side in (a, b))
        if abs(here - there) > 1:
            return f"{name} is {here:.0f} in A and {there:.0f} in B: {what}"
    return None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _add_ratios(compared: pd.DataFrame, pairs: list[tuple[_Side | None, _Side | None]]) -> None:
    """Fill in ``ratio``, ``lo``, ``hi`` and ``p`` where nothing speaks against it."""
    chosen = np.flatnonzero(compared["reason"].isna())
    sides = [[pairs[row][side] for row in chosen] for side in (0, 1)]
    a, b = (_matrix([side.samples if side else np.empty(0) for side in some]) for some in sides)
    shift, lo, hi, p = shift_interval(np.log(a), np.log(b))
    numbers = {"ratio": np.exp(shift), "lo": np.exp(lo), "hi": np.exp(hi), "p": p}
    for name, values in numbers.items():
        column = compared[name].to_numpy(dtype=np.float64, copy=True)
        column[chosen] = values
        compared[name] = column
    compared["q"] = np.nan


def _matrix(rows: list[Floats]) -> Floats:
    """Rows of unequal length as one array, filled up with NaN."""
    filled = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = row
    return filled


def _correct(compared: pd.DataFrame) -> None:
    """Add ``q``: the p value, corrected for the number of cases that have one."""
    tested = compared["p"].notna()
    if tested.any():
        corrected = scipy_stats.false_discovery_control(compared.loc[tested, "p"].astype("float64"))
        compared.loc[tested, "q"] = corrected


def out_of_reach(compared: pd.DataFrame) -> tuple[int, int] | None:
    """The numbers of processes with which a lone change could get no verdict; None if it could.

    Those of the case that has most. However different the two sides are, the p value of a rank
    test is bounded by how many ways there are to order so few.
    """
    tested = compared[compared["p"].notna()]
    if tested.empty:
        return None
    most = int(np.argmax((tested["a_processes"] * tested["b_processes"]).to_numpy()))
    here, there = (int(tested[f"{side}_processes"].iloc[most]) for side in "ab")
    lone = smallest_p(here, there) * len(tested)
    return (here, there) if lone > FALSE_DISCOVERIES else None


def enough_samples(cases: int) -> int:
    """How many samples a side must have so that one changed case of ``cases`` can get a verdict."""
    return next(n for n in itertools.count(2) if smallest_p(n, n) * cases <= FALSE_DISCOVERIES)


def _verdict(row: dict[str, Any], target_width: float, min_effect: float) -> str:
    if isinstance(row["reason"], str):
        return "not comparable"
    ratio, lo, hi, q = (float(row[name]) for name in ("ratio", "lo", "hi", "q"))
    if q <= FALSE_DISCOVERIES:
        if lo > 1 and ratio >= 1 + min_effect:
            return "slower"
        if hi < 1 and ratio <= 1 / (1 + min_effect):
            return "faster"
    # not <=: a spread that is not known is no small one
    tight = all(row[name] <= target_width for name in ("a_spread", "b_spread"))
    return "~" if tight and not math.isnan(lo) else "unstable"
