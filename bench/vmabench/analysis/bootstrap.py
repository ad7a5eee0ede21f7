# SPDX-License-Identifier: GPL-2.0-only
"""The bootstrap of the median, for many rows of few samples at once.

The interval is the percentile interval (Efron and Tibshirani, An Introduction to the Bootstrap,
1993, chapter 13). With 3 to 5 samples it is their whole range, which holds the median in 75 to
94 % of the cases; only from 6 samples on it deserves its 95 %.
All random numbers come from a fixed seed: the same data gives the same interval.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEED = 20190527
RESAMPLES = 2000
CONFIDENCE = 0.95
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


def median_interval(samples: Floats) -> tuple[Floats, Floats, Floats]:
    """Median, lower and upper bound of each row of ``samples`` (rows x samples, NaN = none).

    Rows may have unequal numbers of samples. Without a sample all three are NaN, with one the
    bounds are.
    """
    median = np.full(len(samples), np.nan)
    lo, hi = median.copy(), median.copy()
    # NaN is sorted to the end, so the first `count` are the samples of a row, in order.
    ordered = np.sort(np.asarray(samples, dtype=np.float64), axis=1)
    counts = np.sum(~np.isnan(ordered), axis=1)
    for count in np.unique(counts[counts > 0]):
        rows = counts == count
        valid = ordered[rows, :count]
        median[rows] = np.median(valid, axis=1)
        if count > 1:
            # The median of a resample is the sample at the median position, so no resample of
            # values is ever made, only of positions, once for all rows.
            places = np.sort(resamples(count), axis=1)
            lower, upper = places[:, (count - 1) // 2], places[:, count // 2]
            medians = (valid[:, lower] + valid[:, upper]) / 2
            lo[rows], hi[rows] = np.quantile(medians, _TAILS, axis=1)
    return median, lo, hi


def resamples(count: int, stream: int = 0) -> Ints:
    """RESAMPLES rows of ``count`` positions below ``count``, drawn with replacement.

    Another ``stream`` gives other rows: two sides that nothing pairs must not share theirs.
    """
    seed = [SEED, count, stream] if stream else [SEED, count]
    return np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))


def percentile_interval(statistics: Floats) -> tuple[float, float]:
    """The interval of a statistic that was computed on each resample."""
    lo, hi = np.quantile(statistics, _TAILS)
    return float(lo), float(hi)
