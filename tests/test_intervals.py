# SPDX-License-Identifier: GPL-2.0-only
"""Intervals from few processes: known answers, properties on any data, and their coverage."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from vmabench.analysis.intervals import (
    Floats,
    fewest_for_interval,
    median_interval,
    shift_interval,
    smallest_p,
)

times = st.floats(1e-1, 1e9)
matrices = st.lists(st.lists(st.one_of(times, st.just(math.nan)), min_size=8, max_size=8))
samples = st.lists(st.floats(-20, 20), min_size=1, max_size=12).map(np.array)

#: what processes are like: even, skewed, with tails, in two heaps, with a neighbour now and then
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
SHAPES: dict[str, Draw] = {
    "normal": lambda dice, shape: dice.normal(0, 0.05, shape),
    "skewed": lambda dice, shape: dice.exponential(0.1, shape),
    "tails": lambda dice, shape: 0.05 * dice.standard_t(3, shape),
    "heaps": lambda dice, shape: 0.3 * (dice.random(shape) < 0.3) + dice.normal(0, 0.02, shape),
    "neighbour": lambda dice, shape: (
        dice.normal(0, 0.01, shape) + dice.random(shape) * (dice.random(shape) < 0.25)
    ),
}


@cache
def true_median(shape: str) -> float:
    return float(np.median(SHAPES[shape](np.random.default_rng(1), (1, 1_000_001))))


def one(a: Floats, b: Floats) -> tuple[float, float, float, float]:
    shift, lo, hi, p = (float(x[0]) for x in shift_interval(a[np.newaxis], b[np.newaxis]))
    return shift, lo, hi, p


def test_known_intervals_of_a_median() -> None:
    """With 5 samples the whole range; with 10, between the second and the third from each end."""
    assert [x[0] for x in median_interval(np.array([[3.0, 1, 2, 9, 5]]))] == [3, 1, 9]
    median, lo, hi = (x[0] for x in median_interval(np.arange(1.0, 11)[np.newaxis]))
    assert median == 5.5
    # Signs: 21.5/1024 of a tail is reached beyond the second, 56/1024 beyond the third.
    share = (0.025 - 11 / 1024) / (45 / 1024)
    assert lo == pytest.approx(2 + 8 * share / (2 + 6 * share))
    assert hi == pytest.approx(11 - lo)


def test_too_few_have_no_interval() -> None:
    assert fewest_for_interval() == 5
    for count in range(5):
        row = np.full((1, 6), np.nan)
        row[0, :count] = np.arange(count)
        median, lo, hi = median_interval(row)
        assert np.isnan([lo, hi]).all()
        assert np.isnan(median[0]) == (count == 0)
    three, four = np.arange(3.0), np.arange(4.0)
    assert math.isnan(one(three, three)[1])
    assert -2 <= one(four, four + 1)[1] < one(four, four + 1)[2] <= 4
    assert np.isnan(one(three, np.array([np.nan]))).all()


def test_known_shift() -> None:
    a, b = np.array([1.0, 2, 3, 4, 5]), np.array([11.0, 12, 13, 14, 15])
    shift, lo, hi, p = one(a, b)
    assert shift == 10
    # 3 of 25 pairs may be in the wrong order: 7 of the 252 orders have no more than that.
    assert 2 * 7 / 252 > 0.05
    assert 7 < lo < 8
    assert hi == pytest.approx(20 - lo)
    assert p == pytest.approx(2 / 252)
    assert smallest_p(5, 5) == p


@given(samples, samples)
@settings(max_examples=60, deadline=None)
def test_p_is_that_of_scipy_where_there_are_no_ties(a: Floats, b: Floats) -> None:
    p = one(a, b)[3]
    if len(np.unique(np.concatenate([a, b]))) == len(a) + len(b):
        expected = scipy_stats.mannwhitneyu(a, b, method="exact").pvalue
        assert p == pytest.approx(expected)
    assert 0 < p <= 1


@given(samples, samples, st.floats(-5, 5))
@settings(max_examples=60, deadline=None)
def test_the_other_way_round_is_the_inverse(a: Floats, b: Floats, more: float) -> None:
    shift, lo, hi, p = one(a, b)
    back = one(b, a)
    assert shift == pytest.approx(-back[0], abs=1e-9)
    assert p == pytest.approx(back[3])
    moved = one(a, b + more)
    assert moved[0] == pytest.approx(shift + more, abs=1e-9)
    if not math.isnan(lo):
        assert lo - 1e-9 <= shift <= hi + 1e-9
        assert (lo, hi) == pytest.approx((-back[2], -back[1]), abs=1e-9)


def test_ties_and_identical_values() -> None:
    same = np.full(6, 7.0)
    assert one(same, same) == (0, 0, 0, 1)
    assert one(same, same + 1)[:3] == (1, 1, 1)
    assert one(same, same + 1)[3] == smallest_p(6, 6)
    assert one(np.array([1.0, 1, 2, 2, 3]), np.array([1.0, 2, 2, 3, 3]))[3] > 0.4


def test_one_wild_value_moves_little() -> None:
    a = np.linspace(0, 0.02, 10)
    wild = a.copy()
    wild[3] = 50
    assert one(a, wild)[0] < 0.01
    assert one(a, wild)[2] < 0.02
    assert one(a, wild)[3] > 0.3


@settings(max_examples=50, deadline=None)
@given(matrices)
def test_bounds_enclose_the_median_and_lie_within_the_samples(rows: list[list[float]]) -> None:
    matrix = np.array(rows, dtype=np.float64).reshape(-1, 8)
    for row, median, lo, hi in zip(matrix, *median_interval(matrix), strict=True):
        valid = row[~np.isnan(row)]
        if len(valid) == 0:
            assert np.isnan(median)
            continue
        assert median == pytest.approx(np.median(valid))
        if len(valid) < 5:
            assert np.isnan([lo, hi]).all()
        else:
            assert valid.min() <= lo * (1 + 1e-12)
            assert lo <= median * (1 + 1e-12)
            assert median <= hi * (1 + 1e-12)
            assert hi <= valid.max() * (1 + 1e-12)


@settings(max_examples=30, deadline=None)
@given(matrices, st.permutations(range(8)), st.floats(0.5, 2.0))
def test_order_and_unit_of_the_samples_do_not_matter(
    rows: list[list[float]], order: list[int], factor: float
) -> None:
    matrix = np.array(rows, dtype=np.float64).reshape(-1, 8)
    for before, after in zip(
        median_interval(matrix), median_interval(matrix[:, order] * factor), strict=True
    ):
        np.testing.assert_allclose(after, before * factor, rtol=1e-9)


@pytest.mark.parametrize("count", [5, 6, 7, 8, 9, 10, 30])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_median_lies_in_its_interval_as_often_as_it_says(shape: str, count: int) -> None:
    draw = SHAPES[shape]
    truth = true_median(shape)
    _, lo, hi = median_interval(draw(np.random.default_rng(2), (5_000, count)))
    assert 0.93 <= np.mean((lo <= truth) & (truth <= hi)) <= 0.97


@pytest.mark.parametrize("counts", [(4, 4), (5, 5), (8, 8), (5, 12)])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shift_lies_in_its_interval_as_often_as_it_says(
    shape: str, counts: tuple[int, int]
) -> None:
    draw, dice = SHAPES[shape], np.random.default_rng(3)
    a, b = (draw(dice, (2_000, count)) for count in counts)
    _, lo, hi, _ = shift_interval(a, b + 0.25)
    assert 0.93 <= np.mean((lo <= 0.25) & (hi >= 0.25)) <= 0.97
    p = shift_interval(a, b)[3]
    for level in (0.05, 0.01, 0.001):
        assert np.mean(p <= level) <= level + 3 * math.sqrt(level / len(p))
