# SPDX-License-Identifier: GPL-2.0-only
"""Intervals of medians and of ratios from few processes, for many rows at once.

They are made of order statistics, not by resampling. The percentile bootstrap of a median is an
interval between order statistics too, but one that ignores how few of them there are: with 7
processes it holds the true median in 87 % of the cases and with 8 in 91 %, where 95 % was said.
What is used instead needs no assumption on the distribution, and no random numbers:

- of a median, the interval of the sign test, interpolated between neighbouring order statistics
  (Hettmansperger and Sheather, Statistics & Probability Letters 4, 1986);
- of the shift between two samples, the interval of the Mann-Whitney test: the median of all
  differences between them, between the order statistics of these (Hodges and Lehmann 1963).

The median of a case's processes stays a median: the estimator of Hodges and Lehmann for one sample
would leave 2.2 % of the cases of results/published/host-standard unstable instead of 1.0 %, and
3.7 % instead of 3.3 % of guest, since processes have long tails.

``make check-coverage`` counts how often they hold the truth. Where even the widest of such
intervals would hold it in less than LEAST_COVERAGE of all cases, there is none: with fewer than
5 processes, or with 3 against 3.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
LEAST_COVERAGE = 0.93
_TAIL = (1 - CONFIDENCE) / 2


def median_interval(samples: Floats) -> tuple[Floats, Floats, Floats]:
    """Median, lower and upper bound of each row of ``samples`` (rows x samples, NaN = none).

    Rows may have unequal numbers of samples. Without a sample all three are NaN; the bounds are
    NaN where there are too few for an interval.
    """
    median = np.full(len(samples), np.nan)
    lo, hi = median.copy(), median.copy()
    ordered, counts = _ordered(samples)
    for count in np.unique(counts[counts > 0]):
        rows = counts == count
        valid = ordered[rows, :count]
        median[rows] = np.median(valid, axis=1)
        place = _median_place(int(count))
        if place is not None:
            lo[rows], hi[rows] = _at(valid, place)
    return median, lo, hi


def shift_interval(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """How far the rows of ``b`` lie above those of ``a``: shift, its bounds, and a p value.

    Both are rows x samples, NaN = none, and nothing pairs their columns. Without a sample on one
    side all four are NaN; the bounds are NaN where there are too few for an interval. The p value
    is that of the exact Mann-Whitney test of two sides; ties make it larger, never smaller.
    """
    shift = np.full(len(a), np.nan)
    lo, hi, p = shift.copy(), shift.copy(), shift.copy()
    (left, lefts), (right, rights) = _ordered(a), _ordered(b)
    for here, there in {(int(n), int(m)) for n, m in zip(lefts, rights, strict=True) if n and m}:
        rows = (lefts == here) & (rights == there)
        pairs = right[rows, :there, np.newaxis] - left[rows, np.newaxis, :here]
        differences = np.sort(pairs.reshape(len(pairs), -1), axis=1)
        shift[rows] = np.median(differences, axis=1)
        place = _shift_place(here, there)
        if place is not None:
            lo[rows], hi[rows] = _at(differences, place)
        below = (differences < 0).sum(axis=1) + (differences == 0).sum(axis=1) / 2
        rarest = np.ceil(np.minimum(below, here * there - below)).astype(int)
        p[rows] = np.minimum(1, 2 * _rank_sums(here, there)[rarest])
    return shift, lo, hi, p


def fewest_for_interval() -> int:
    """The smallest number of samples of which a median has an interval."""
    return next(count for count in range(1, 99) if _median_place(count) is not None)


def is_wider(samples: Sequence[float], width: float) -> bool:
    """Whether the interval is wider than ``width`` times the median, or there is none."""
    median, lo, hi = (x[0] for x in median_interval(np.array([samples], dtype=np.float64)))
    return not hi - lo <= width * median  # NaN is wide


def smallest_p(here: int, there: int) -> float:
    """What the p value of ``shift_interval`` is where the two samples don't overlap at all."""
    return min(1.0, 2 * float(_rank_sums(here, there)[0]))


def attained_level(here: int, there: int, level: float = 1 - CONFIDENCE) -> float:
    """Return how often the p value of ``shift_interval`` is at most ``level`` by chance alone."""
    wrong = most_in_wrong_order(here, there, level)
    return 0.0 if wrong is None else min(1.0, 2 * float(_rank_sums(here, there)[wrong]))


def most_in_wrong_order(here: int, there: int, p: float) -> int | None:
    """Return how many pairs may be in the wrong order for a p value of at most ``p``, or None."""
    values = np.minimum(1, 2 * _rank_sums(here, there))
    return int(np.searchsorted(values, p, side="right")) - 1 if values[0] <= p else None


def _ordered(samples: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Each row sorted, its NaN last, and how many of it are numbers."""
    ordered = np.sort(np.asarray(samples, dtype=np.float64), axis=1)
    return ordered, np.sum(~np.isnan(ordered), axis=1)


def _at(ordered: Floats, place: float) -> tuple[Floats, Floats]:
    """The order statistics at ``place``, counted from 0 and interpolated, from both ends."""
    whole = int(place)
    part = place - whole
    after = min(whole + 1, ordered.shape[1] - 1)
    lower = ordered[:, whole] * (1 - part) + ordered[:, after] * part
    upper = ordered[:, -1 - whole] * (1 - part) + ordered[:, -1 - after] * part
    return lower, upper


@lru_cache
def _median_place(count: int) -> float | None:
    """Where the lower bound lies among ``count`` order statistics; None: there is none."""
    chances = [math.comb(count, below) / 2**count for below in range(count // 2 + 1)]
    tails = np.cumsum(chances)  # that no more than so many lie below the true median
    if 1 - 2 * tails[0] < LEAST_COVERAGE:
        return None
    if tails[0] >= _TAIL:
        return 0.0
    whole = int(np.searchsorted(tails, _TAIL, side="right")) - 1
    share = (_TAIL - tails[whole]) / (tails[whole + 1] - tails[whole])
    depth = whole + 1
    # Not linear: the chance bends between two order statistics as that of the Laplace
    # distribution does, which is close for all that have one hump.
    bent = (count - depth) * share / (depth + (count - 2 * depth) * share)
    return whole + float(bent)


@lru_cache
def _shift_place(here: int, there: int) -> float | None:
    """The same among the differences of all pairs, of which there are many: linear will do."""
    tails = _rank_sums(here, there)
    if 1 - 2 * tails[0] < LEAST_COVERAGE:
        return None
    if tails[0] >= _TAIL:
        return 0.0
    whole = int(np.searchsorted(tails, _TAIL, side="right")) - 1
    return whole + float((_TAIL - tails[whole]) / (tails[whole + 1] - tails[whole]))


@lru_cache
def _rank_sums(here: int, there: int) -> Floats:
    """The chances that at most 0, 1, 2, ... of all pairs are in the wrong order, by chance alone.

    By recursion on which side has the largest sample of all. Every term is positive, so that
    small chances are exact as well.
    """
    most = here * there
    row = [np.eye(1, most + 1)[0] for _ in range(there + 1)]
    for n in range(1, here + 1):
        before, row = row, [np.eye(1, most + 1)[0]]
        for m in range(1, there + 1):
            moved = np.concatenate([np.zeros(m), before[m][: most + 1 - m]])
            row.append((n * moved + m * row[m - 1]) / (n + m))
    return np.cumsum(row[there])
