# SPDX-License-Identifier: GPL-2.0-only
"""The moderated t test: size and power by simulation, and its limits."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from vmabench.analysis.intervals import Floats
from vmabench.analysis.moderated import moderated_shift

CASES = 232


def draw(dice: np.random.Generator, boots: int, common: float, spread: float = 0.0) -> Floats:
    """Return logs of boots that vary by 1 %, a share ``common`` of it in all cases alike."""
    own = dice.normal(size=(CASES, boots)) * math.sqrt(1 - common)
    alike = dice.normal(size=(1, boots)) * math.sqrt(common)
    return 0.01 * np.exp(dice.normal(0, spread, (CASES, 1))) * (own + alike)


@pytest.mark.parametrize("boots", [3, 4, 5, 10])
@pytest.mark.parametrize("common", [0.0, 0.5, 0.99])
def test_of_unchanged_cases_five_percent_are_significant(boots: int, common: float) -> None:
    """Cases that move together with their boot make no difference on the average."""
    dice = np.random.default_rng(boots)
    runs = 400 if common else 20
    pairs = [(draw(dice, boots, common), draw(dice, boots, common)) for _ in range(runs)]
    p = np.concatenate([moderated_shift(a, b)[3] for a, b in pairs])
    assert 0.03 <= np.mean(p < 0.05) <= 0.07


@pytest.mark.parametrize("ratio", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("boots", [(3, 3), (5, 5), (10, 10), (5, 4), (4, 5), (10, 3), (3, 10)])
def test_of_unchanged_cases_five_percent_are_significant_if_one_side_varies_more(
    boots: tuple[int, int], ratio: float
) -> None:
    """Also with a lost boot; 2 boots of a side have no verdict.

    The standard deviations of B are ``ratio`` times those of A.
    """
    dice, p = np.random.default_rng(sum(boots)), []
    for _ in range(30):
        spread = 0.01 * np.exp(dice.normal(0, 0.5, (CASES, 1)))
        a, b = (spread * dice.normal(size=(CASES, count)) for count in boots)
        p.append(moderated_shift(a, ratio * b)[3])
    assert 0.03 <= np.mean(np.concatenate(p) < 0.05) <= 0.07


@pytest.mark.parametrize("common", [0.5, 0.99])
def test_a_ratio_of_variances_is_not_made_of_chance(common: float) -> None:
    """Where all cases move together, few boots say little of the ratio."""
    dice = np.random.default_rng(9)
    p = [moderated_shift(draw(dice, 5, common), draw(dice, 4, common))[3] for _ in range(400)]
    assert np.mean(np.concatenate(p) < 0.05) <= 0.07


def test_the_interval_covers() -> None:
    dice = np.random.default_rng(1)
    pairs = [(draw(dice, 4, 0.0, 0.7), draw(dice, 4, 0.0, 0.7) + 0.03) for _ in range(20)]
    bounds = [moderated_shift(a, b)[1:3] for a, b in pairs]
    assert 0.93 <= np.mean([(lo <= 0.03) & (hi >= 0.03) for lo, hi in bounds]) <= 0.97


def test_five_boots_find_five_percent_in_one_case_of_many() -> None:
    dice, found, runs = np.random.default_rng(2), 0, 50
    for _ in range(runs):
        a, b = draw(dice, 5, 0.0), draw(dice, 5, 0.0)
        b[7] += math.log(1.05)
        q = scipy_stats.false_discovery_control(moderated_shift(a, b)[3])
        found += int(q[7] <= 0.05)
    assert found >= 0.8 * runs


def test_two_cases_are_compared_by_the_plain_t_test() -> None:
    dice = np.random.default_rng(3)
    a, b = dice.normal(size=(2, 4)), dice.normal(1, 1, size=(2, 5))
    expected = scipy_stats.ttest_ind(b, a, axis=1)
    shift, lo, hi, p = moderated_shift(a, b)
    assert p == pytest.approx(expected.pvalue)
    assert shift == pytest.approx(b.mean(axis=1) - a.mean(axis=1))
    bounds = expected.confidence_interval()
    assert lo == pytest.approx(bounds.low)
    assert hi == pytest.approx(bounds.high)


def test_few_missing_and_equal_samples() -> None:
    a, b = np.zeros((4, 3)), np.zeros((4, 3))
    b[1] = 0.1
    b[2, 1:] = np.nan
    a[3] = np.nan
    shift, lo, hi, p = moderated_shift(a, b, fewest=3)
    assert p[0] == 1
    assert p[1] < 1e-6
    assert shift[2] == 0
    assert np.isnan(p[2:]).all()
    assert np.isnan(lo[2:]).all()
    assert np.isnan(shift[3])
    assert all(np.isnan(one).all() for one in moderated_shift(a[:, :1], b[:, :1])[1:])
    assert all(one.size == 0 for one in moderated_shift(np.empty((0, 0)), np.empty((0, 0))))
    assert hi[1] > lo[1]


def test_the_inverse_comparison_gives_the_inverse() -> None:
    dice = np.random.default_rng(4)
    a, b = draw(dice, 4, 0.3, 0.5), draw(dice, 3, 0.3, 0.5)
    there, back = moderated_shift(a, b), moderated_shift(b, a)
    assert there[0] == pytest.approx(-back[0])
    assert there[1] == pytest.approx(-back[2])
    assert there[3] == pytest.approx(back[3])
