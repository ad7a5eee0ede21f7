# SPDX-License-Identifier: GPL-2.0-only
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmabench.matrix.case import SCENARIOS, Case
from vmabench.runner.planner import (
    COUNTED_VALUES,
    FEWEST_COUNTED_VALUES,
    LONGEST_VALUE_NS,
    MOST_LOOPS,
    MOST_VALUES,
    ONE,
    SHORTEST_VALUE_NS,
    Clockwork,
    Cost,
    counted_effort,
    effort_for,
    plan_round,
)
from vmabench.runner.protocol import CaseJob
from vmabench.runner.rounds import blocks_of

costs = st.dictionaries(
    st.text(min_size=1, max_size=4),
    st.builds(Cost, st.floats(min_value=0.5, max_value=2e9), st.floats(min_value=0, max_value=1e9)),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize(
    ("op_ns", "value_ns", "values", "loops"),
    [
        (2.0, 10e6, MOST_VALUES, 5_000_000),
        (1_900.0, 10e6, MOST_VALUES, 5263),
        (10e6, 10e6, MOST_VALUES, 1),
        (20e6, 10e6, 1, 1),
        (12e6, 10e6, 2, 1),
        (0.0, 10e6, MOST_VALUES, MOST_LOOPS),
    ],
)
def test_effort(op_ns: float, value_ns: float, values: int, loops: int) -> None:
    effort = effort_for(op_ns, value_ns)
    assert (effort.values, effort.loops) == (values, loops)


@given(costs, st.floats(min_value=0, max_value=60e9))
def test_a_round_keeps_to_its_time_unless_even_the_least_is_too_much(
    costs: dict[str, Cost], timed_ns: float
) -> None:
    efforts = plan_round(costs, timed_ns)
    assert efforts.keys() == costs.keys()
    total_ns = sum(efforts[case].lasts_ns(costs[case].op_ns) for case in costs)
    least_ns = sum(
        effort_for(cost.op_ns, SHORTEST_VALUE_NS).lasts_ns(cost.op_ns) for cost in costs.values()
    )
    assert total_ns <= max(timed_ns, least_ns) * 1.0001
    assert all(effort.values >= 1 and effort.loops >= 1 for effort in efforts.values())


def test_time_that_is_there_is_used() -> None:
    costs = {str(number): Cost(1e3 * number, 1e6) for number in range(1, 40)}
    efforts = plan_round(costs, 3e9)
    total_ns = sum(efforts[case].lasts_ns(costs[case].op_ns) for case in costs)
    assert total_ns > 0.95 * 3e9
    lengths = {effort.loops * costs[case].op_ns for case, effort in efforts.items()}
    assert max(lengths) < 1.05 * min(lengths)


def test_a_value_is_never_longer_than_useful() -> None:
    efforts = plan_round({"one": Cost(1e3, 0)}, 3600e9)
    assert efforts["one"].loops * 1e3 == pytest.approx(LONGEST_VALUE_NS, rel=0.02)


def test_the_budget_is_divided_among_the_rounds_to_come() -> None:
    clockwork = Clockwork(budget_ns=100e9, rounds=5)
    first = clockwork.timed_ns(spent_ns=10e9, rounds_done=0, overhead_ns=4e9)
    assert 0.9 * 18e9 - 4e9 < first < 18e9 - 4e9
    # A round that took too long leaves less for each of the others, so that all of them fit.
    assert clockwork.timed_ns(40e9, 1, 4e9) < first
    # Once the wanted rounds are done, what is left is one more round's.
    assert clockwork.timed_ns(90e9, 5, 4e9) < 10e9


def test_a_round_that_would_end_after_the_budget_is_not_begun() -> None:
    clockwork = Clockwork(budget_ns=100e9, rounds=5)
    assert clockwork.room_for(spent_ns=80e9, round_ns=20e9)
    assert not clockwork.room_for(spent_ns=80e9, round_ns=21e9)


@pytest.mark.parametrize(
    ("op", "values", "loops"),
    [
        (9.0, COUNTED_VALUES, 111111),
        (12e3, COUNTED_VALUES, 83),
        (5e6, COUNTED_VALUES, 1),
        (20e6, 5, 1),
        (3e9, FEWEST_COUNTED_VALUES, 1),
    ],
)
def test_a_count_needs_no_budget(op: float, values: int, loops: int) -> None:
    effort = counted_effort(op)
    assert (effort.values, effort.loops) == (values, loops)


def test_a_block_is_shuffled_but_those_that_pin_come_last() -> None:
    names = ("clone", "fork", "readv", "writev", "memcpy", "memfd")
    memories = {name: "memfd" if name == "memfd" else "anon" for name in names}
    jobs = [CaseJob(str(Case(name, "transfer", "4K", 4096)), 1) for name in names]
    seen = set()
    for seed in range(40):
        blocks = blocks_of(jobs, memories, random.Random(seed), pinning={"readv"})
        assert sorted(block.memory for block in blocks) == ["anon", "memfd"]
        (block,) = [block for block in blocks if block.memory == "anon"]
        order = [job.case.split("/")[0] for job in block.cases]
        assert order[-1] == "readv"
        assert sorted(order) == sorted(set(names) - {"memfd"})
        seen.add(tuple(order))
    assert len(seen) > 10


@pytest.mark.parametrize(("most_ops", "values"), [(1, 1), (2, 2), (3, MOST_VALUES)])
def test_what_takes_much_around_it_is_done_one_at_a_time(most_ops: int, values: int) -> None:
    for op_ns in (2.0, 1e5):
        effort = effort_for(op_ns, 10e6, most_ops)
        assert (effort.values, effort.loops) == (values, 1)
        counted = counted_effort(op_ns, most_ops)
        assert (counted.values, counted.loops) == (most_ops, 1)
    # one that is longer than a value gets no more values than any other would
    assert effort_for(20e6, 10e6, most_ops).values == 1


def test_what_is_done_once_takes_no_more_of_a_round_than_that() -> None:
    rare = {f"rare {number}": Cost(5e6, 1e9, most_ops=1) for number in range(20)}
    others = {str(number): Cost(1e3, 1e6) for number in range(10)}
    efforts = plan_round(rare | others, 1e9)
    assert {efforts[case] for case in rare} == {ONE}
    timed_ns = sum(efforts[case].lasts_ns(others[case].op_ns) for case in others)
    assert timed_ns == pytest.approx(1e9 - 20 * 5e6, rel=0.03)


def test_the_scenarios_that_are_done_once() -> None:
    assert {name for name, scenario in SCENARIOS.items() if scenario.once} == {
        "swapped",
        "pageserver",
        "vmbranch",
    }
    assert SCENARIOS["snapshot"].most_ops == MOST_VALUES


def test_the_untimed_part_between_operations_takes_time_of_the_round_too() -> None:
    """1000 operations of 1 us with 9 us between them last 10 ms."""
    costs = {"bare": Cost(1e3, 0.0), "written": Cost(1e3, 0.0, between_ns=9e3)}
    efforts = plan_round(costs, 2 * MOST_VALUES * 1e7)
    assert efforts["bare"].loops == pytest.approx(10_000, rel=0.02)
    assert efforts["written"].loops == pytest.approx(1_000, rel=0.02)
