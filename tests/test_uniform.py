# SPDX-License-Identifier: GPL-2.0-only
"""The A/A check passes p values that are uniform and fails those of a liberal test."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats as scipy_stats

from vmabench.analysis.intervals import attained_level, shift_interval
from vmabench.analysis.moderated import moderated_shift

SCRIPT = Path(__file__).parent.parent / "bench/crosscheck/uniform.py"
PAIRS, CASES, BOOTS = 10, 232, 5


@pytest.fixture(scope="module")
def uniform() -> ModuleType:
    spec = importlib.util.spec_from_file_location("uniform", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["uniform"] = module
    spec.loader.exec_module(module)
    return module


def test_uniform_p_values_pass(uniform: ModuleType) -> None:
    dice = np.random.default_rng(1)
    runs = [
        uniform.uniformity([uniform.Pair(dice.random(CASES)) for _ in range(PAIRS)])
        for _ in range(100)
    ]
    assert sum(run.good for run in runs) >= 90
    assert np.mean([run.share for run in runs]) == pytest.approx(0.05, abs=0.002)


def test_the_test_of_boots_passes(uniform: ModuleType) -> None:
    dice, pairs = np.random.default_rng(2), []
    for _ in range(PAIRS):
        a, b = (dice.normal(0, 0.01, (CASES, BOOTS)) for _ in range(2))
        pairs.append(uniform.Pair(moderated_shift(a, b)[3]))
    assert uniform.uniformity(pairs).good


def test_a_test_ten_times_too_liberal_fails(uniform: ModuleType) -> None:
    """It takes the processes of a boot for samples: half of its p values are below 0.05."""
    dice, pairs = np.random.default_rng(3), []
    for _ in range(PAIRS):
        a, b = (
            dice.normal(0, 0.01, (CASES, BOOTS, 1)) + dice.normal(0, 0.006, (CASES, BOOTS, 4))
            for _ in range(2)
        )
        one_boot = [side[:, 0] for side in (a, b)]
        pairs.append(uniform.Pair(scipy_stats.ttest_ind(*one_boot, axis=1).pvalue))
    found = uniform.uniformity(pairs)
    assert 0.3 <= found.share <= 0.7
    assert not found.good


def test_a_liberal_test_fails_also_where_cases_move_together(uniform: ModuleType) -> None:
    """Every case of a pair has nearly the same p value, which is below 0.05 in half of them."""
    pairs = [uniform.Pair([0.01 if number % 2 else 0.6] * CASES) for number in range(PAIRS)]
    found = uniform.uniformity(pairs)
    assert found.independent == PAIRS
    assert found.share == pytest.approx(0.5)
    assert not found.good


def test_uniform_p_values_of_cases_that_move_together_pass(uniform: ModuleType) -> None:
    dice, good = np.random.default_rng(4), 0
    for _ in range(100):
        together = dice.normal(size=(PAIRS, 1))
        z = 0.2**0.5 * together + 0.8**0.5 * dice.normal(size=(PAIRS, CASES))
        p = 2 * scipy_stats.norm.sf(np.abs(z))
        good += uniform.uniformity([uniform.Pair(row) for row in p]).good
    assert good >= 75  # taken for independent, a third of these runs fails


def test_a_test_that_never_finds_anything_fails(uniform: ModuleType) -> None:
    pairs = [uniform.Pair(np.ones(CASES)) for _ in range(PAIRS)]
    assert not uniform.uniformity(pairs).good


def test_a_rank_test_passes_by_the_level_that_it_has(uniform: ModuleType) -> None:
    """With 5 against 5 the p values below 0.05 are those of at most 3.2 %."""
    level = attained_level(5, 5)
    assert level == pytest.approx(8 / 252)
    assert attained_level(3, 3) == 0
    dice, pairs = np.random.default_rng(5), []
    for _ in range(PAIRS):
        a, b = (dice.normal(size=(CASES, 5)) for _ in range(2))
        pairs.append(uniform.Pair(shift_interval(a, b)[3], level))
    assert uniform.uniformity(pairs).good
    assert not uniform.uniformity([uniform.Pair(pair.p) for pair in pairs]).good
