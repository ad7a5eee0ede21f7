# SPDX-License-Identifier: GPL-2.0-only
"""Which cases get more rounds, and how many are unstable after them at the same limit."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmabench.analysis.intervals import is_wider
from vmabench.matrix.case import Case
from vmabench.runner.planner import Clockwork, Cost, plan_round
from vmabench.runner.tightness import PARTNER, RESERVE, Judge, worth_repeating

MECHANISMS = ("fork", "readv", "writev", "memfd", "memfd-inplace", "shm", "memcpy", "null")
CASES = [
    Case(name, "transfer", "4K", 4096 * 2**power) for power in range(12) for name in MECHANISMS
]
BUDGET_NS, ROUNDS, LIMIT = 60e9, 8, 0.3
Choose = Callable[[Mapping[str, Sequence[float]], Judge], list[str]]


@given(st.dictionaries(st.sampled_from(CASES), st.booleans(), min_size=1))
def test_loose_cases_are_repeated_with_their_partner(loose: dict[Case, bool]) -> None:
    samples = {str(case): [1.0 if is_loose else 0.0] for case, is_loose in loose.items()}
    chosen = worth_repeating(samples, lambda medians: medians == [1.0])
    wide = {case for case, is_loose in loose.items() if is_loose}
    partners = {replace(case, mechanism=PARTNER) for case in wide}
    assert chosen == [str(case) for case in loose if case in wide | partners]


def whole_cells(samples: Mapping[str, Sequence[float]], is_loose: Judge) -> list[str]:
    """Return all rivals of the loose cases, as an earlier version did."""
    sizes = {Case.parse(name).size_bytes for name, some in samples.items() if is_loose(some)}
    return [name for name in samples if Case.parse(name).size_bytes in sizes]


def unstable_share(choose: Choose, reserve: float, seed: int) -> float:
    """Return the share of unstable cases of a simulated run, and check that it kept its budget.

    A fifth of the rounds of a case are beside a neighbour and take up to twice as long.
    """
    dice = random.Random(seed)
    costs = {str(case): Cost(500 + case.size_bytes / 4, 40e6) for case in CASES}
    samples: dict[str, list[float]] = {name: [] for name in costs}
    clock = Clockwork(BUDGET_NS, ROUNDS, reserve * BUDGET_NS)
    overhead_ns = sum(cost.overhead_ns for cost in costs.values())
    spent_ns, done, chosen = overhead_ns, 0, list(costs)
    while chosen:
        if done < ROUNDS:
            efforts = plan_round(costs, clock.timed_ns(spent_ns, done, overhead_ns))
        round_ns = sum(
            costs[name].overhead_ns + efforts[name].lasts_ns(costs[name].lasts_ns)
            for name in chosen
        )
        if not clock.room_for(spent_ns, round_ns):
            break
        for name in chosen:
            beside = dice.random() < 0.2
            factor = dice.uniform(1, 2) if beside else 1.0
            samples[name].append(factor * dice.lognormvariate(0, 0.05))
        spent_ns, done = spent_ns + round_ns, done + 1
        if done >= ROUNDS:
            chosen = choose(samples, lambda some: is_wider(some, LIMIT))
    assert spent_ns <= BUDGET_NS
    return sum(is_wider(some, LIMIT) for some in samples.values()) / len(samples)


def test_fewer_cases_are_unstable_in_the_same_time() -> None:
    """By the same limit, on a machine where a fifth of the rounds is disturbed."""
    before = [unstable_share(whole_cells, 1 / 7, seed) for seed in range(4)]
    after = [unstable_share(worth_repeating, RESERVE, seed) for seed in range(4)]
    assert sum(before) / 4 > 0.25
    assert sum(after) / 4 < 0.1


@pytest.mark.parametrize("seed", range(2))
def test_without_a_reserve_a_quarter_is_unstable(seed: int) -> None:
    assert unstable_share(worth_repeating, 0.0, seed) > 0.25
