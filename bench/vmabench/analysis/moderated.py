# SPDX-License-Identifier: GPL-2.0-only
"""Compare few samples of many cases: the moderated t test on logs.

Three to five boots of a kernel say little of how much one case varies from boot to boot, but
hundreds of cases measured in the same boots do. The variance of each case is drawn towards the
one that all cases have in common, by a weight that the spread of the variances decides (G. K.
Smyth, "Linear models and empirical Bayes methods for assessing differential expression in
microarray experiments", Statistical Applications in Genetics and Molecular Biology 3(1), 2004).
Cases of a boot that move together say less of the variance than independent ones would: the degrees
of freedom are bounded by those of the pooled variance, after Satterthwaite (Biometrics 2, 1946).
The two sides may vary unequally, by a ratio that all cases have in common.
A rank test needs 8 samples a side to show one change among hundreds of cases; this one shows a
change of 5 % with 5 boots that vary by 1 %. ``make check-coverage`` counts size and power.
"""

import math

import numpy as np
from scipy import special  # scipy.stats takes a second to import

from vmabench.analysis.intervals import CONFIDENCE, Floats

#: a variance of 0, of equal values, stands for this one: a relative deviation of 1e-6
_LEAST_VARIANCE = 1e-12
#: with fewer cases there is no spread of variances to estimate
_FEWEST_CASES = 3


def moderated_shift(a: Floats, b: Floats, fewest: int = 2) -> tuple[Floats, Floats, Floats, Floats]:
    """Return how far the means of ``b`` lie above those of ``a``, the bounds, and the p values.

    ``a`` and ``b`` are logs, cases x samples, NaN = none; nothing pairs their columns. The bounds
    are those of the 95 % interval. Bounds and p are NaN where a side has fewer than ``fewest``
    samples, the shift only where a side has none.
    """
    counts = [np.sum(~np.isnan(side), axis=1) for side in (a, b)]
    means, residuals = zip(*(_moments(side) for side in (a, b)), strict=True)
    shift: Floats = means[1] - means[0]
    lo, hi, p = (np.full(len(shift), np.nan) for _ in range(3))
    rows = (np.minimum(*counts) >= max(fewest, 1)) & (sum(counts) > 2)
    if not rows.any():
        return shift, lo, hi, p
    here, there = (count[rows].astype(np.float64) for count in counts)
    left, right = (side[rows] for side in residuals)
    own = here + there - 2
    ratio = _variance_ratio(left, right, here - 1, there - 1)
    around = np.hstack([left, right / np.sqrt(ratio)])
    variance, freedom = moderate((around**2).sum(axis=1) / own, own, _pooled(around, own))
    error = np.sqrt(variance * (1 / here + ratio / there))
    half = special.stdtrit(freedom, (1 + CONFIDENCE) / 2) * error
    lo[rows], hi[rows] = shift[rows] - half, shift[rows] + half
    p[rows] = 2 * special.stdtr(freedom, -np.abs(shift[rows]) / error)
    return shift, lo, hi, p


def moderate(variances: Floats, freedom: Floats, most: float) -> tuple[Floats, Floats]:
    """Return the moderated variance of each case and its degrees of freedom, at most ``most``.

    ``freedom`` are the degrees of freedom of each of ``variances``. Prior variance and prior
    degrees of freedom are estimated by the moments of the logs of the variances.
    """
    variances = np.maximum(variances, _LEAST_VARIANCE)
    if len(variances) < _FEWEST_CASES:
        return variances, freedom
    half = freedom / 2
    logs = np.log(variances) - special.digamma(half) + np.log(half)
    beyond = float(np.var(logs, ddof=1) - np.mean(special.polygamma(1, half)))
    if beyond <= 0:  # the variances differ by no more than chance: all cases have the same one
        prior, weight = np.exp(np.mean(logs)), np.inf
        moderated = np.full_like(variances, prior)
    else:
        weight = 2 * _inverse_trigamma(beyond)
        prior = np.exp(np.mean(logs) + special.digamma(weight / 2) - np.log(weight / 2))
        moderated = (weight * prior + freedom * variances) / (weight + freedom)
    return moderated, np.maximum(freedom, np.minimum(freedom + weight, most))


def _variance_ratio(a: Floats, b: Floats, freedom_a: Floats, freedom_b: Floats) -> float:
    """Return how many times the variances of ``b`` are those of ``a``, in all cases together.

    A kernel whose boots vary more does so in all cases. With unequal numbers of boots, as where one
    was lost, one variance for both sides would make a third of unchanged cases significant at a
    ratio of 9. The mean of the logs is shrunk by its own variance, to 1 where chance explains it.
    """
    rows = (freedom_a > 0) & (freedom_b > 0)
    if rows.sum() < _FEWEST_CASES:
        return 1.0
    logs, noise = np.zeros(int(rows.sum())), 0.0
    for sign, side, freedom in ((-1, a[rows], freedom_a[rows]), (1, b[rows], freedom_b[rows])):
        variance = np.maximum((side**2).sum(axis=1) / freedom, _LEAST_VARIANCE)
        logs += sign * (np.log(variance) - special.digamma(freedom / 2) + np.log(freedom / 2))
        noise += float(np.mean(special.polygamma(1, freedom / 2)))
    own = (freedom_a + freedom_b)[rows]
    independent = _pooled(np.hstack([a[rows], b[rows]]), own) / float(np.mean(own))
    middle = float(np.mean(logs))
    shrunk = middle * max(0.0, 1 - noise / independent / middle**2) if middle else 0.0
    return math.exp(shrunk)


def _pooled(residuals: Floats, freedom: Floats) -> float:
    """Return the degrees of freedom of the variance pooled over all cases.

    That is their sum for independent cases, and those of one case where all move together. The
    mean squared correlation of two cases decides; chance alone makes it 1 / freedom.
    """
    cases, own = len(residuals), float(np.median(freedom))
    length = np.sqrt((residuals**2).sum(axis=1, keepdims=True))
    units = residuals / np.where(length > 0, length, 1)
    if cases < _FEWEST_CASES or own < 2:
        return float(freedom.sum())
    squared = ((units.T @ units) ** 2).sum() / cases
    between = (squared - 1) / (cases - 1)
    correlation = np.clip((between - 1 / own) / (1 - 1 / own), 0, 1)
    return float(freedom.sum() / (1 + (cases - 1) * correlation))


def _moments(side: Floats) -> tuple[Floats, Floats]:
    """Return the mean of each row, and its residuals, 0 where there is no sample (NaN)."""
    present = ~np.isnan(side)
    counts = present.sum(axis=1)
    sums = np.where(present, side, 0).sum(axis=1)
    means: Floats = np.divide(sums, counts, out=np.full(len(side), np.nan), where=counts > 0)
    residuals: Floats = np.where(present, side - means[:, np.newaxis], 0)
    return means, residuals


def _inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = value > 0, by Newton's method on its reciprocal."""
    if value > 1e7:
        return float(value**-0.5)
    if value < 1e-6:
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x
