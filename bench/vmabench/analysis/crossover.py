# SPDX-License-Identifier: GPL-2.0-only
"""Find where the curve of a time ratio crosses 1: crossovers over sizes, break-evens over touches.

The curve is the median over processes of the log of the paired time ratio (same process), over
some coordinate: the log of the size, or the share of touched pages. Only points where the ratio's
interval excludes 1 count as decided; a crossing lies between two neighbours among these that were
decided differently, so that the noise around equal speeds is no crossing. These two are its bounds:
the curve between them is not known, and bounds that are interpolated on it hold the truth in a few
of 40 runs only, where sizes step by 16 (``make check-coverage``). Its place is interpolated
linearly. A run bisects sizes and fractions, so that the bounds are close.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from vmabench.analysis.buffers import across_buffers
from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.intervals import Floats, median_interval
from vmabench.analysis.ratios import paired_logs

Answer = Literal["crossover", "always", "never", "undecided", "unmeasured"]

#: the receiver's time, and that of both sides
TOTALS = ("total", "system")

#: what the points of a curve over sizes have in common
_OVER_SIZES = (*CONDITIONS, "phase")
#: what the points of a curve over touches have in common, apart from mode and order of touching
_TOUCHING = ("touch_mode", "touch_pct", "touch_order")
_OVER_TOUCHES = [name for name in CONDITIONS if name not in _TOUCHING] + ["size_bytes"]


@dataclass(frozen=True, slots=True)
class Crossing:
    """One answer for one curve; places are in the coordinate of the curve.

    ``crossover``: the mechanism is the faster one above ``place`` where ``faster_above``, and else
    below it; ``lo`` and ``hi`` are the nearest decided points. ``always`` and ``never``: the
    mechanism wins or loses at each decided point; only without undecided ones is there no crossing
    in the measured range. ``undecided``: no difference was shown anywhere. ``unmeasured``: no
    process has both. ``decided`` are the first and the last decided point; ``undecided`` is how
    many of the measured points show no difference.
    """

    answer: Answer
    faster_above: bool | None = None
    place: float = np.nan
    lo: float = np.nan
    hi: float = np.nan
    decided: tuple[float, float] | None = None
    undecided: int = 0
    processes: int = 0


def crossings(places: Floats, logs: Floats) -> list[Crossing]:
    """The answers for one curve; one that crosses several times has several.

    ``places`` are ascending, in a coordinate in which the curve is taken to be linear between
    them; ``logs`` has a row for each of them and a column for each process, NaN for no value.
    """
    winners = decided_winners(logs)
    decided = np.flatnonzero(winners)
    processes = int((~np.isnan(logs)).any(axis=0).sum())
    if not processes or not len(decided):
        return [Crossing("undecided" if processes else "unmeasured", processes=processes)]
    ends = (float(places[decided[0]]), float(places[decided[-1]]))
    undecided = int((~np.isnan(logs)).any(axis=1).sum()) - len(decided)
    changes = [
        (first, last) for first, last in pairwise(decided) if winners[first] != winners[last]
    ]
    if not changes:
        answer: Answer = "always" if winners[decided[0]] < 0 else "never"
        return [Crossing(answer, decided=ends, undecided=undecided, processes=processes)]
    return [
        Crossing(
            "crossover",
            bool(winners[last] < 0),
            _place(places[first : last + 1], logs[first : last + 1] * winners[first]),
            float(places[first]),
            float(places[last]),
            decided=ends,
            undecided=undecided,
            processes=processes,
        )
        for first, last in changes
    ]


def decided_winners(logs: Floats) -> Floats:
    """Return -1 for each row where the mechanism is faster, 1 where the baseline is, else 0.

    Without an interval, of fewer than 5 processes, a row is undecided.
    """
    _, lo, hi = median_interval(logs)
    return np.where(hi < 0, -1.0, np.where(lo > 0, 1.0, 0.0))


def _place(places: Floats, logs: Floats) -> float:
    """Return where the median of ``logs`` falls below 0: the length on which it is above.

    With one crossing that is its place; a curve that wavers around 0 has one answer too.
    """
    curve, _, _ = median_interval(logs)
    measured = ~np.isnan(curve)
    places, curve = places[measured], curve[measured]
    left, right = curve[:-1], curve[1:]
    above = np.maximum(left, 0) + np.maximum(right, 0)
    whole = np.abs(left) + np.abs(right)
    share = np.divide(above, whole, out=np.full_like(whole, 0.5), where=whole > 0)
    return float(places[0] + (share * np.diff(places)).sum())


@dataclass(frozen=True, slots=True)
class Crossover:
    """One answer for one curve; a curve that crosses several times has several.

    The fields are those of ``Crossing``, with sizes for places. ``conditions``: column of
    CONDITIONS -> value, what the curve's cases have in common.
    """

    mechanism: str
    baseline: str
    conditions: Mapping[str, Any]
    phase: str
    answer: Answer
    faster_above: bool | None = None
    size_bytes: float = np.nan
    lo_bytes: float = np.nan
    hi_bytes: float = np.nan
    decided_bytes: tuple[int, int] | None = None
    undecided: int = 0
    processes: int = 0

    @property
    def page(self) -> str:
        return str(self.conditions["page"])

    def is_of(self, rows: pd.DataFrame) -> bool:
        """Whether rows of a summary are under the conditions of this curve."""
        return all(bool((rows[name] == value).all()) for name, value in self.conditions.items())


def crossovers(
    frame: pd.DataFrame, mechanism: str, baseline: str, *, phase: str = "total"
) -> list[Crossover]:
    """The answers for each set of conditions in the frame, in the order of the levels.

    ``pandas.DataFrame(crossovers(...))`` makes a table of them.
    """
    logs = paired_logs(frame, mechanism, baseline)
    logs = logs[logs.index.get_level_values("phase") == phase]
    answers: list[Crossover] = []
    for key, curve in logs.groupby(list(_OVER_SIZES), observed=True):
        conditions = dict(zip(_OVER_SIZES, cast(tuple[Any, ...], key), strict=True))
        del conditions["phase"]
        sizes = curve.index.get_level_values("size_bytes").to_numpy(dtype=np.float64)
        answers += [
            _of_size(Crossover(mechanism, baseline, conditions, phase, found.answer), found)
            for found in crossings(np.log2(sizes), curve.to_numpy())
        ]
    return answers


def _of_size(start: Crossover, found: Crossing) -> Crossover:
    place, lo, hi = (float(np.exp2(place)) for place in (found.place, found.lo, found.hi))
    ends = found.decided and tuple(round(2.0**end) for end in found.decided)
    return replace(
        start,
        faster_above=found.faster_above,
        size_bytes=place,
        lo_bytes=lo,
        hi_bytes=hi,
        decided_bytes=cast(tuple[int, int] | None, ends),
        undecided=found.undecided,
        processes=found.processes,
    )


@dataclass(frozen=True, slots=True)
class BreakEven:
    """One answer for one size, page and way of touching; fields as in ``Crossing``.

    ``conditions``: the columns of CONDITIONS but those of touching. The places are percentages of
    the base pages; ``measured_pct`` are those that were measured on both sides, and of these
    ``undecided`` show no difference.
    """

    mechanism: str
    baseline: str
    conditions: Mapping[str, Any]
    size_bytes: int
    touch_mode: str
    touch_order: str
    answer: Answer
    faster_above: bool | None = None
    touch_pct: float = np.nan
    lo_pct: float = np.nan
    hi_pct: float = np.nan
    measured_pct: tuple[int, ...] = ()
    decided_pct: tuple[float, float] | None = None
    undecided: int = 0
    processes: int = 0
    phase: str = "total"


def break_evens(
    frame: pd.DataFrame, mechanism: str, baseline: str, *, phase: str = "total"
) -> list[BreakEven]:
    """Return the answers for each curve of the scenario ``touch``, in the order of the levels.

    ``phase`` is ``total``, the receiver's time, or ``system``, that of both sides. A mechanism
    without a receive buffer is set against each buffer of the baseline.

    ``pandas.DataFrame(break_evens(...))`` makes a table of them.
    """
    answers = []
    for common, mode, order, curve in _curves(frame, mechanism, baseline, phase):
        size_bytes = int(common.pop("size_bytes"))
        logs = curve.drop(columns="touch_pct").to_numpy(dtype=np.float64)
        pcts = curve["touch_pct"].to_numpy(dtype=np.float64)
        measured = tuple(int(pct) for pct in pcts[(~np.isnan(logs)).any(axis=1)])
        answers += [
            BreakEven(
                mechanism, baseline, common, size_bytes, mode, order, found.answer,
                found.faster_above, found.place, found.lo, found.hi, measured, found.decided,
                found.undecided, found.processes, phase,
            )
            for found in crossings(pcts, logs)
        ]  # fmt: skip
    return answers


def _curves(
    frame: pd.DataFrame, mechanism: str, baseline: str, phase: str
) -> Iterator[tuple[dict[str, Any], str, str, pd.DataFrame]]:
    """Yield what is common, mode, order, and the curve's rows: touch_pct and a log a process."""
    touch = across_buffers(frame[(frame["scenario"] == "touch") & (frame["phase"] == phase)])
    logs = paired_logs(touch, mechanism, baseline)
    processes = list(logs.columns)
    rows = logs.reset_index().astype({"touch_mode": str, "touch_order": str})
    for key, points in rows.groupby(_OVER_TOUCHES, observed=True, sort=False):
        common = dict(zip(_OVER_TOUCHES, key, strict=True))
        untouched = points[points["touch_mode"] == "none"]
        touched = points[points["touch_mode"] != "none"]
        for (mode, order), curve in touched.groupby(["touch_mode", "touch_order"]):
            whole = pd.concat([untouched, curve]).sort_values("touch_pct", kind="stable")
            yield dict(common), str(mode), str(order), whole[["touch_pct", *processes]]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Cells in which the two totals name different winners, each of them decided.

    The mechanism is the faster one for the receiver where ``for_receiver``, and else for both sides
    together. ``conditions`` is as in ``Crossover``, without the fraction touched; ``cells`` are
    pairs of size and percentage of touched pages.
    """

    mechanism: str
    baseline: str
    conditions: Mapping[str, Any]
    for_receiver: bool
    cells: tuple[tuple[int, int], ...]


def disagreements(frame: pd.DataFrame, mechanism: str, baseline: str) -> list[Disagreement]:
    """Return where the phases ``total`` and ``system`` disagree about the winner."""
    logs = paired_logs(across_buffers(frame), mechanism, baseline)
    winners = pd.Series(decided_winners(logs.to_numpy()), logs.index, name="winner").reset_index()
    cell = [*CONDITIONS, "size_bytes"]
    both = [winners[winners["phase"] == phase].drop(columns="phase") for phase in TOTALS]
    cells = both[0].merge(both[1], on=cell, suffixes=("", "_of_both"))
    unlike = cells[cells["winner"] * cells["winner_of_both"] < 0]
    common = [name for name in CONDITIONS if name != "touch_pct"]
    found = []
    for key, rows in unlike.groupby([*common, "winner"], observed=True, sort=False):
        *values, winner = cast(tuple[Any, ...], key)
        conditions = dict(zip(common, values, strict=True))
        sizes = zip(map(int, rows["size_bytes"]), map(int, rows["touch_pct"]), strict=True)
        found.append(
            Disagreement(mechanism, baseline, conditions, winner < 0, tuple(sorted(sizes)))
        )
    return found
