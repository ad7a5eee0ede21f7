# SPDX-License-Identifier: GPL-2.0-only
"""Where shares are added between those of a plan."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vmabench.matrix.case import Case
from vmabench.runner.bisection import MOST_ADDED, RESOLUTION_PCT, next_cases

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


def test_other_scenarios_are_left_alone() -> None:
    planned = [replace(case, scenario="deliver") for case in coarse("clone", "readv")]
    assert not bisected(planned, crossing_at(30))


@given(st.lists(st.booleans(), min_size=101, max_size=101))
def test_noise_adds_no_more_than_it_may(wins: list[bool]) -> None:
    def cost(case: Case) -> float:
        return 2.0 if case.mechanism == "readv" else 1.0 + 2.0 * wins[case.touch_pct]

    added = bisected(coarse("clone", "readv"), cost)
    assert len({case.touch_pct for case in added}) <= MOST_ADDED
