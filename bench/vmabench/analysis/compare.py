# SPDX-License-Identifier: GPL-2.0-only
"""Compare two runs: a verdict for each case, or the reason why there is none.

A verdict needs three things. The 95 % interval of the ratio excludes 1, the effect is at least
``MIN_EFFECT``, and the case is still significant when the number of cases is allowed for
(Benjamini and Hochberg 1995, at a false discovery rate of 5 %). The negative controls, which no
kernel changes, are a family of their own: where one of them moves, the machine changed.

Where both runs are of several boots, the boot is the sample: the median of its processes' medians.
Test and interval are then those of the moderated t test (see moderated.py), the estimator is the
ratio of geometric means. Of single boots the process is the sample; test and interval are those of
Mann and Whitney, and the estimator is that of Hodges and Lehmann: they hold for any distribution,
and a few processes that a neighbour disturbed change them little. They cannot tell a difference of
the kernels from a difference of the two boots.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.instructions import path_lengths
from vmabench.analysis.intervals import Floats, shift_interval, smallest_p
from vmabench.analysis.moderated import moderated_shift
from vmabench.analysis.samples import Unit, samples, unit_of
from vmabench.analysis.stats import summarize
from vmabench.matrix.case import Case

MIN_EFFECT = 0.02
FALSE_DISCOVERIES = 0.05
#: A verdict on kernels takes so many boots of each: with fewer, no change of one case is shown.
FEWEST_BOOTS = 3
#: The least change of a path. Two boots of results/published/paths-base differ by more than this
#: in 4 of 82 paths, so each path has a floor of its own as well (see ``compare_paths``).
MIN_PATH_EFFECT = 0.005

VERDICTS = ("failed", "slower", "faster", "unstable", "~", "same", "not comparable")

#: what ``ratio`` is, by sample
ESTIMATORS = {
    "boot": "the ratio of the geometric means over boots, A and B",
    "process": "the Hodges-Lehmann estimate, the median of the ratios of all pairs of a process of"
    " B and one of A; it differs a little from the ratio of the medians A and B",
}

COLUMNS = (
    "case_id", "phase", "a_ns", "b_ns", "a_spread", "b_spread", "a_deviation", "b_deviation",
    "a_processes", "b_processes", "ratio", "lo", "hi", "p", "q", "verdict", "reason", "sample",
    "a_failed", "b_failed", "a_tried", "b_tried",
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
    """Return one row for each case that either frame has, in the columns COLUMNS; failures first.

    ``ratio`` is the time of B over that of A: above 1 B is slower. ESTIMATORS says which estimate
    it is, by ``sample``: ``boot`` where both frames have boots, and else ``process``.
    ``a_processes`` and ``b_processes`` are the numbers of samples. ``lo`` and ``hi`` are NaN where
    the samples are too few for an interval. ``a_deviation`` is the standard deviation over samples
    as a share of their mean; nothing is decided by it. ``a_failed`` of ``a_tried`` rounds failed.

    The verdicts: ``failed`` (in a larger share of B's rounds than of A's; the times of the others
    are biased), ``slower``, ``faster``, ``same`` (the interval lies within ``min_effect`` of 1),
    ``~`` (no difference was shown), ``unstable`` (none was shown, and the samples vary by more than
    ``target_width`` or are too few, so that little could have been), ``not comparable``.
    """
    unit = unit_of(a, b)
    sides = [_by_case(frame, phase, target_width, unit) for frame in (a, b)]
    cases = list(dict.fromkeys([*sides[0], *sides[1]]))
    pairs = [(sides[0].get(case), sides[1].get(case)) for case in cases]
    rows = [_row(case, phase, unit, *pair) for case, pair in zip(cases, pairs, strict=True)]
    compared = pd.DataFrame(rows, columns=list(COLUMNS))
    _add_ratios(compared, pairs, unit)
    _correct(compared)
    compared["verdict"] = [
        _verdict({str(name): value for name, value in row.items()}, target_width, min_effect)
        for row in compared.to_dict("records")
    ]
    return in_order(compared)


def moved_controls(compared: pd.DataFrame) -> list[str]:
    """Return the negative controls that got a verdict, as names of cases.

    No kernel changes them. Where one moves, the machine or the boot changed, and the comparison of
    the kernels is void.
    """
    moved = compared["verdict"].isin(["failed", "slower", "faster"])
    return [str(name) for name in compared.loc[moved & _are_controls(compared), "case_id"]]


def is_control(case_id: str) -> bool:
    """Return whether it is a negative control: in other scenarios they fault memory in, or map."""
    case = Case.parse(case_id)
    return case.mechanism in levels.CONTROLS and case.scenario == "transfer"


def _are_controls(compared: pd.DataFrame) -> "pd.Series[bool]":
    controls = [is_control(str(name)) for name in compared["case_id"]]
    return pd.Series(controls, compared.index, dtype=bool)


def bare_name(case_id: str) -> str:
    """``readv/transfer/4K/64K`` for people; the names of the axes say nothing new in a table."""
    return "/".join(part.rpartition(":")[2] for part in str(case_id).split("/"))


def in_order(compared: pd.DataFrame) -> pd.DataFrame:
    """Return failed cases first, then slower ones, the largest change first among them."""
    rank = compared["verdict"].map({name: place for place, name in enumerate(VERDICTS)})
    change = -np.abs(np.log(compared["ratio"].astype("float64")))
    order = pd.DataFrame({"rank": rank, "change": change, "case": compared["case_id"]})
    return compared.loc[order.sort_values(["rank", "change", "case"]).index].reset_index(drop=True)


def compare_paths(
    a: pd.DataFrame, b: pd.DataFrame, *, min_effect: float = MIN_PATH_EFFECT
) -> pd.DataFrame:
    """Compare counts of instructions: ``compare_lengths`` of two frames' path lengths."""
    return compare_lengths(path_lengths(a), path_lengths(b), min_effect=min_effect)


def compare_lengths(
    a: pd.DataFrame, b: pd.DataFrame, *, min_effect: float = MIN_PATH_EFFECT
) -> pd.DataFrame:
    """Compare lengths of paths: differences of a call, an entry and a KiB.

    Return the columns ``case_id``, ``phase``, ``a_call``, ``b_call``, ``ratio``, ``call``,
    ``entry``, ``kib`` (B less A), ``floor`` and ``verdict``: longer, shorter or ``~`` where the
    change is below ``floor``, that is ``min_effect`` or the range of one side's processes over
    their mean, whichever is larger.
    """
    keys = ["case_id", "phase"]
    values = ["per_call", "per_entry", "per_kib", "spread"]
    left, right = (
        lengths.astype({"case_id": "object", "phase": "object"})[[*keys, *values]]
        for lengths in (a, b)
    )
    both = left.merge(right, on=keys, suffixes=("_a", "_b"))
    both = both[(both["per_call_a"] > 0) & (both["per_call_b"] > 0)].copy()
    both["ratio"] = both["per_call_b"] / both["per_call_a"]
    for name, column in (("call", "per_call"), ("entry", "per_entry"), ("kib", "per_kib")):
        both[name] = both[f"{column}_b"] - both[f"{column}_a"]
    both["floor"] = np.maximum(min_effect, both[["spread_a", "spread_b"]].max(axis=1))
    above, below = both["ratio"] > 1 + both["floor"], both["ratio"] < 1 / (1 + both["floor"])
    both["verdict"] = np.select([above, below], ["longer", "shorter"], "~")
    rank = both["verdict"].map({"longer": 0, "shorter": 1, "~": 2})
    order = pd.DataFrame(
        {"rank": rank, "change": -np.abs(np.log(both["ratio"])), "case": both["case_id"]}
    )
    both = both.loc[order.sort_values(["rank", "change", "case"], kind="stable").index]
    renamed = both.rename(columns={"per_call_a": "a_call", "per_call_b": "b_call"})
    columns = [*keys, "a_call", "b_call", "ratio", "call", "entry", "kib", "floor", "verdict"]
    return renamed[columns].reset_index(drop=True)


@dataclass(frozen=True, slots=True)
class _Side:
    """One run's part of a case; ``samples`` are in ns, ``failed`` of ``tried`` rounds failed."""

    outcome: str
    reason: str
    median_ns: float
    spread: float
    samples: Floats
    proofs: dict[str, float]
    failed: int
    tried: int
    why_failed: str

    @property
    def deviation(self) -> float:
        if len(self.samples) < 2 or not (self.samples > 0).all():
            return math.nan
        return float(np.std(self.samples, ddof=1) / np.mean(self.samples))

    def typical_ns(self, unit: Unit) -> float:
        """Return what the estimator of that unit compares: a geometric mean, or the median."""
        if unit == "process" or not len(self.samples) or not (self.samples > 0).all():
            return self.median_ns
        return float(np.exp(np.mean(np.log(self.samples))))

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
    fates = _failures(frame)
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
            **fates.get(case, {"failed": 0, "tried": 0, "why_failed": ""}),
        )
        found.setdefault(case, side)
    return found


def _failures(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return for each case that was tried how many of its rounds failed, and why most did."""
    tried = frame[frame["process"].notna()]
    failed = tried[tried["outcome"] == "failed"]
    # By plain strings: pandas looks up a key that an index of categories lacks in its int8 codes,
    # and raises OverflowError from 128 cases on.
    rounds = tried.groupby(tried["case_id"].astype(str))["process"].nunique()
    by_case = failed.groupby(failed["case_id"].astype(str))
    counts = by_case["process"].nunique().to_dict()
    reasons = by_case["reason"].agg(lambda texts: texts.value_counts().index[0]).to_dict()
    return {
        str(case): {
            "failed": int(counts.get(case, 0)),
            "tried": int(count),
            "why_failed": str(reasons.get(case, "")),
        }
        for case, count in rounds.items()
    }


def _row(case: str, phase: str, unit: Unit, a: _Side | None, b: _Side | None) -> list[object]:
    if a is None or b is None:
        why: str | None = f"{'A' if a is None else 'B'} does not have this case"
    else:
        why = _more_failures(a, b) or _why_not(a, b)
    rounds = [side.failed if side else 0 for side in (a, b)]
    rounds += [side.tried if side else 0 for side in (a, b)]
    return [case, phase, *_measured(unit, a, b), *[math.nan] * 5, "", why, unit, *rounds]


def _measured(unit: Unit, *sides: _Side | None) -> list[object]:
    return [
        *(side.typical_ns(unit) if side else math.nan for side in sides),
        *(side.spread if side else math.nan for side in sides),
        *(side.deviation if side else math.nan for side in sides),
        *(len(side.samples) if side else 0 for side in sides),
    ]


def _more_failures(a: _Side, b: _Side) -> str | None:
    if not b.tried or b.failed / b.tried <= (a.failed / a.tried if a.tried else 0):
        return None
    there = f"in {a.failed} of {a.tried} of A" if a.tried else "was not tried in A"
    return f"failed in {b.failed} of {b.tried} rounds of B, {there}: {b.why_failed}"


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


def _add_ratios(
    compared: pd.DataFrame, pairs: list[tuple[_Side | None, _Side | None]], unit: Unit
) -> None:
    """Fill in ``ratio``, ``lo``, ``hi`` and ``p`` where nothing speaks against it."""
    chosen = np.flatnonzero(compared["reason"].isna())
    sides = [[pairs[row][side] for row in chosen] for side in (0, 1)]
    a, b = (_matrix([side.samples if side else np.empty(0) for side in some]) for some in sides)
    if unit == "boot":
        shift, lo, hi, p = moderated_shift(np.log(a), np.log(b), FEWEST_BOOTS)
    else:
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
    """Add ``q``: the p value, corrected for the number of cases of its family that have one."""
    from scipy.stats import false_discovery_control  # a second

    controls = _are_controls(compared)
    for family in (controls, ~controls):
        tested = family & compared["p"].notna()
        if tested.any():
            p = compared.loc[tested, "p"].astype("float64")
            compared.loc[tested, "q"] = false_discovery_control(p)


def out_of_reach(compared: pd.DataFrame) -> tuple[int, int] | None:
    """Return the numbers of processes with which a lone change gets no verdict; None if it can.

    Those of the case that has most. The p value of a rank test is bounded by how many ways there
    are to order so few; boots are compared by another test.
    """
    tested = compared[compared["p"].notna() & (compared["sample"] == "process")]
    tested = tested[~_are_controls(tested)]
    if tested.empty:
        return None
    most = int(np.argmax((tested["a_processes"] * tested["b_processes"]).to_numpy()))
    here, there = (int(tested[f"{side}_processes"].iloc[most]) for side in "ab")
    lone = smallest_p(here, there) * len(tested)
    return (here, there) if lone > FALSE_DISCOVERIES else None


def enough_samples(cases: int) -> int:
    """Return how many processes a side must have to show one changed case of ``cases``."""
    return next(n for n in itertools.count(2) if smallest_p(n, n) * cases <= FALSE_DISCOVERIES)


def _verdict(row: dict[str, Any], target_width: float, min_effect: float) -> str:
    if isinstance(row["reason"], str):
        return "failed" if row["reason"].startswith("failed in ") else "not comparable"
    ratio, lo, hi, q = (float(row[name]) for name in ("ratio", "lo", "hi", "q"))
    if q <= FALSE_DISCOVERIES:
        if lo > 1 and ratio >= 1 + min_effect:
            return "slower"
        if hi < 1 and ratio <= 1 / (1 + min_effect):
            return "faster"
    if lo >= 1 / (1 + min_effect) and hi <= 1 + min_effect:
        return "same"
    if row["sample"] == "boot":
        return "~" if (hi - lo) <= target_width * ratio else "unstable"
    # not <=: a spread that is not known is no small one
    tight = all(row[name] <= target_width for name in ("a_spread", "b_spread"))
    return "~" if tight and not math.isnan(lo) else "unstable"
