# SPDX-License-Identifier: GPL-2.0-only
"""Are the p values of comparisons without a difference uniform? About 5 % are below 0.05. Pure.

A rank test has few p values, so its level is what of them lies below 0.05. The share of a set of
pairs must lie within the 95 % interval of the binomial distribution. Cases that move together
within a pair count as fewer: their number is divided by how much more the shares of the pairs vary
than independent cases would let them, down to one case a pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

LEVEL = 0.05
FEWEST_PAIRS = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """The uncorrected p values of one comparison, and the mean level of its tests."""

    p: Sequence[float]
    level: float = LEVEL

    @property
    def share(self) -> float:
        return float(np.mean(np.asarray(self.p) <= LEVEL))


@dataclass(frozen=True, slots=True)
class Uniformity:
    """``share`` of the p values are below LEVEL, where ``lo`` to ``hi`` are expected.

    ``independent`` is how many independent cases the pairs are worth.
    """

    share: float
    lo: float
    hi: float
    independent: int

    @property
    def good(self) -> bool:
        return self.lo <= self.share <= self.hi


def uniformity(pairs: Sequence[Pair]) -> Uniformity:
    """Return the share over all pairs, each of at least one case, and what is expected of it."""
    cases = np.array([len(pair.p) for pair in pairs])
    shares = np.array([pair.share for pair in pairs])
    level = float(np.average([pair.level for pair in pairs], weights=cases))
    alone = level * (1 - level) / cases.mean()
    inflation = max(1.0, float(np.var(shares, ddof=1)) / alone) if len(pairs) > 1 else 1.0
    independent = max(len(pairs), int(cases.sum() / inflation))
    lo, hi = scipy_stats.binom.interval(0.95, independent, level)
    return Uniformity(
        float(np.average(shares, weights=cases)), lo / independent, hi / independent, independent
    )
