# SPDX-License-Identifier: GPL-2.0-only
"""Where the curve of a time ratio crosses 1, and between which bounds that place lies.

The curve is the median over processes of the log of the paired time ratio (same process), over
some coordinate. Only points where the ratio's interval excludes 1 count as decided; a crossing lies
between two neighbours among these that were decided differently, so that the noise around equal
speeds is no crossing. Its place is interpolated linearly on the curve; the bounds are where the
curves of the lower and the upper bounds of the ratios cross, so between them lie the places at
which the ratio may be 1.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from vmabench.analysis.intervals import Floats, median_interval

Answer = Literal["crossover", "always", "never", "undecided", "unmeasured"]


@dataclass(frozen=True, slots=True)
class Crossing:
    """One answer for one curve; places are in the coordinate of the curve.

    ``crossover``: the mechanism is the faster one above ``place`` where ``faster_above``, and else
    below it; ``lo`` and ``hi`` are the 95 % interval, NaN with fewer than 5 processes. ``always``
    and ``never``: no crossing in the measured range, since the mechanism wins or loses at each
    decided point. ``undecided``: no difference was shown anywhere. ``unmeasured``: no process has
    both. ``decided`` are the first and the last decided point; ``undecided`` is how many of the
    measured points show no difference.
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
            *_place(places[first : last + 1], logs[first : last + 1] * winners[first]),
            decided=ends,
            undecided=undecided,
            processes=processes,
        )
        for first, last in changes
    ]


def decided_winners(logs: Floats) -> Floats:
    """For each row -1 where the mechanism is faster, 1 where the baseline is, 0 if undecided."""
    # without an interval, that all processes agree has to do
    present = ~np.isnan(logs)
    _, lo, hi = median_interval(logs)
    lowest = np.where(present, logs, np.inf).min(axis=1, initial=np.inf)
    highest = np.where(present, logs, -np.inf).max(axis=1, initial=-np.inf)
    some = present.any(axis=1)
    lo = np.where(np.isnan(lo), np.where(some, lowest, np.nan), lo)
    hi = np.where(np.isnan(hi), np.where(some, highest, np.nan), hi)
    return np.where(hi < 0, -1.0, np.where(lo > 0, 1.0, 0.0))


def _place(places: Floats, logs: Floats) -> tuple[float, float, float]:
    """Where the curve goes from above 0 to below it, with its interval (NaN: few processes)."""
    curves = np.array(median_interval(logs))
    measured = ~np.isnan(curves[0])
    places, curves = places[measured], curves[:, measured]
    if np.isnan(curves).any():
        return float(_positive_until(places, curves[:1])[0]), np.nan, np.nan
    place, lo, hi = (float(found) for found in _positive_until(places, curves))
    return place, lo, hi


def _positive_until(places: Floats, curves: Floats) -> Floats:
    """The place at which each row of ``curves`` gets negative.

    It is the length on which the curve is positive. With one crossing that is its place; a
    curve that wavers around 0 has one answer too, and one that never crosses has an end.
    """
    steps = np.diff(places)
    left, right = curves[:, :-1], curves[:, 1:]
    positive = np.maximum(left, 0) + np.maximum(right, 0)
    whole = np.abs(left) + np.abs(right)
    share = np.divide(positive, whole, out=np.full_like(whole, 0.5), where=whole > 0)
    found: Floats = places[0] + (share * steps).sum(axis=1)
    return found
