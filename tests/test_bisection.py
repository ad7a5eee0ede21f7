# SPDX-License-Identifier: GPL-2.0-only
"""Sizes and touched fractions that are added between those of a plan."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vmabench.matrix.case import Case
from vmabench.runner.bisection import MOST_ADDED, RESOLUTION_PCT, RESOLUTION_SIZES, next_cases

PLAIN = Case("readv", "touch", "4K", 1 << 20, "write", 0)
Cost = Callable[[Case], float]


def coarse(*mechanisms: str, shares: tuple[int, ...] = (1, 10, 50, 100)) -> list[Case]:
    untouched = replace(PLAIN, touch_mode="none")
    made = [replace(untouched, mechanism=name) for name in mechanisms]
    return made + [
        replace(PLAIN, mechanism=name, touch_pct=pct) for name in mechanisms for pct in shares
    ]


def bisected(planned: list[Case], cost: Cost) -> list[Case]:
    """All that is added, one halving after the other."""
    op_ns = {case: cost(case) for case in planned}
    added: list[Case] = []
    while more := next_cases(op_ns, planned):
        assert not set(more) & op_ns.keys()
        op_ns |= {case: cost(case) for case in more}
        added += more
    return added


def crossing_at(pct: float) -> Cost:
    return lambda case: 1000.0 if case.mechanism == "readv" else 1000 + 5 * (case.touch_pct - pct)


@given(st.floats(min_value=0.5, max_value=99.5))
def test_a_break_even_is_found_to_the_resolution(pct: float) -> None:
    planned = coarse("clone", "readv")
    added = bisected(planned, crossing_at(pct))
    shares = sorted({case.touch_pct for case in [*planned, *added]})
    below = max(share for share in shares if share <= pct)
    above = min(share for share in shares if share >= pct)
    assert above - below <= RESOLUTION_PCT
    assert {case.mechanism for case in added} <= {"clone", "readv"}
    assert all((case.touch_mode, case.touch_order) == ("write", "sequential") for case in added)


def test_both_sides_of_a_pair_are_measured_at_the_same_shares() -> None:
    added = bisected(coarse("clone", "readv"), crossing_at(30))
    of = {name: {c.touch_pct for c in added if c.mechanism == name} for name in ("clone", "readv")}
    assert of["clone"] == of["readv"]
    assert 30 in of["clone"]  # half way between 10 and 50


def test_nothing_is_added_where_nobody_overtakes() -> None:
    assert not bisected(coarse("clone", "readv"), crossing_at(200))
    assert not bisected(coarse("clone", "memfd"), crossing_at(30))
    assert not bisected(coarse("clone"), crossing_at(30))


def test_the_untouched_case_is_the_beginning_of_each_curve() -> None:
    added = bisected(coarse("clone", "readv", shares=(100,)), crossing_at(40))
    assert 50 in {case.touch_pct for case in added}


def sizes(*mechanisms: str, step: int = 16, page: str = "4K") -> list[Case]:
    plain = Case("readv", "transfer", page, 1)
    page_bytes = plain.page_bytes
    return [
        replace(plain, mechanism=name, size_bytes=page_bytes * step**power)
        for name in mechanisms
        for power in range(4)
    ]


@given(st.integers(2, 4000), st.sampled_from(["4K", "2M", "hugetlb-2M"]))
def test_a_crossover_in_size_is_bracketed_by_two_close_sizes(pages: int, page: str) -> None:
    planned = sizes("fork", "readv", page=page)
    crossing = pages * planned[0].page_bytes
    added = bisected(planned, lambda c: crossing if c.mechanism == "fork" else c.size_bytes)
    measured = sorted({case.size_bytes for case in [*planned, *added]})
    below = max(size for size in measured if size <= crossing)
    above = min((size for size in measured if size > crossing), default=below)
    assert above <= RESOLUTION_SIZES * below
    assert len({case.size_bytes for case in added}) <= 3
    assert all(case.size_bytes % case.page_bytes == 0 for case in added)
    assert {(case.scenario, case.page) for case in added} <= {("transfer", page)}


def test_no_size_is_added_between_close_ones() -> None:
    planned = sizes("fork", "readv", step=2)
    assert not bisected(planned, lambda c: 10_000.0 if c.mechanism == "fork" else c.size_bytes)


def test_a_plan_without_a_target_gets_no_more_sizes() -> None:
    op_ns = {
        case: 1e5 if case.mechanism == "fork" else case.size_bytes
        for case in sizes("fork", "readv")
    }
    assert next_cases(op_ns, op_ns)
    assert not next_cases(op_ns, op_ns, sizes=False)


def test_other_scenarios_are_left_alone() -> None:
    planned = [replace(case, scenario="deliver") for case in coarse("clone", "readv")]
    assert not bisected(planned, crossing_at(30))


@given(st.lists(st.booleans(), min_size=101, max_size=101))
def test_noise_adds_no_more_than_it_may(wins: list[bool]) -> None:
    def cost(case: Case) -> float:
        return 2.0 if case.mechanism == "readv" else 1.0 + 2.0 * wins[case.touch_pct]

    added = bisected(coarse("clone", "readv"), cost)
    assert len({case.touch_pct for case in added}) <= MOST_ADDED
