# SPDX-License-Identifier: GPL-2.0-only
"""Crossovers with known answers, and what is said where there is none."""

import math
import random
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tests import synthetic
from vmabench.analysis.crossover import Crossover, crossings, crossovers
from vmabench.analysis.frame import tidy
from vmabench.matrix.case import Case
from vmabench.report.findings import outcome, short_place
from vmabench.store.format import Record

Ratio = Callable[[int], float]
SIZES = [4096 * 4**step for step in range(7)]


def frame_of(
    ratio: Ratio, *, rounds: int = 7, noise: float = 0.01, sizes: list[int] = SIZES
) -> pd.DataFrame:
    """fork takes ``ratio(size)`` times as long as readv, up to the noise of each round."""
    random_ = random.Random(5)
    made: list[Record] = [dict(synthetic.HEADER)]
    for number in range(1, rounds + 1):
        of_round = random_.lognormvariate(0, 0.5)  # both have it: a paired ratio is free of it
        for size in sizes:
            for mechanism, cost in (("readv", size), ("fork", size * ratio(size))):
                ns = 1e3 * cost * of_round * random_.lognormvariate(0, noise)
                case = Case(mechanism, "transfer", "4K", size)
                value = {"time_ns": {"total": round(ns)}, "at_ns": 0}
                made.append(
                    {
                        "kind": "case",
                        "round": number,
                        "case": str(case),
                        "outcome": "ok",
                        "loops": 1,
                        "values": [value],
                    }
                )
    return tidy(synthetic.result(made))


def only(frame: pd.DataFrame, mechanism: str = "fork", baseline: str = "readv") -> Crossover:
    (found,) = crossovers(frame, mechanism, baseline)
    return found


def test_a_power_law_crosses_where_it_must() -> None:
    found = only(frame_of(lambda size: (100_000 / size) ** 0.7))
    assert (found.answer, found.faster_above) == ("crossover", True)
    assert found.size_bytes == pytest.approx(100_000, rel=0.03)
    assert found.lo_bytes <= found.size_bytes <= found.hi_bytes
    assert (found.lo_bytes, found.hi_bytes) == (65536, 262144)  # what the data decide
    assert found.processes == 7


@pytest.mark.parametrize("step", [2, 4, 16])
def test_the_bounds_hold_the_truth(step: int) -> None:
    """Times are those of a call and of pages, so the curve between two sizes is not straight."""
    covered, dice = 0, np.random.default_rng(step)
    for _ in range(40):
        truth = 2 ** dice.uniform(14, 21)
        sizes = 4096 * float(step) ** np.arange(-1, math.ceil(11 / math.log2(step)) + 2)
        curve = np.log((truth + 0.02 * sizes) / (0.02 * truth + sizes))
        logs = curve[:, np.newaxis] + dice.normal(0, 0.01, (len(sizes), 8))
        (found,) = crossings(np.log2(sizes), logs)
        covered += found.lo <= math.log2(truth) <= found.hi
        assert found.lo <= found.place <= found.hi
    assert covered >= 37


def test_without_noise_it_is_exact() -> None:
    found = only(frame_of(lambda size: (100_000 / size) ** 0.7, noise=0.0))
    assert found.size_bytes == pytest.approx(100_000, rel=1e-3)
    assert (found.lo_bytes, found.hi_bytes) == (65536, 262144)


def test_the_inverse_question_has_the_inverse_answer() -> None:
    frame = frame_of(lambda size: 100_000 / size)
    there, back = only(frame), only(frame, "readv", "fork")
    assert (there.faster_above, back.faster_above) == (True, False)
    assert back.size_bytes == pytest.approx(there.size_bytes)
    assert back.lo_bytes == pytest.approx(there.lo_bytes)


def test_more_noise_leaves_more_sizes_undecided() -> None:
    def width(noise: float) -> float:
        found = only(frame_of(lambda size: (100_000 / size) ** 0.1, noise=noise, rounds=8))
        return found.hi_bytes / found.lo_bytes

    assert width(0.002) == 4 < width(0.1)


def test_no_crossover_is_claimed_only_where_every_size_is_decided() -> None:
    """Above 64K nothing is decided; a crossover may be there."""
    found = only(frame_of(lambda size: 2.0 if size <= 65536 else 1.0, rounds=8, noise=0.05))
    assert (found.answer, found.undecided) == ("never", 4)
    assert "4 measured sizes show none" in outcome(found)
    assert short_place(found) == "at no size for certain"
    decided = only(frame_of(lambda _: 2.0))
    assert " at every size, " in outcome(decided)
    assert short_place(decided) == "at no size"


@pytest.mark.parametrize(("ratio", "answer"), [(0.5, "always"), (2.0, "never")])
def test_no_crossover_in_the_measured_range_is_an_answer(ratio: float, answer: str) -> None:
    found = only(frame_of(lambda _: ratio))
    assert found.answer == answer
    assert found.decided_bytes == (SIZES[0], SIZES[-1])
    assert found.faster_above is None
    assert math.isnan(found.size_bytes)


def test_noise_around_equal_speed_is_no_crossover() -> None:
    found = only(frame_of(lambda _: 1.0, rounds=8, noise=0.05))
    assert found.answer == "undecided"
    assert found.decided_bytes is None


def test_sizes_without_a_difference_do_not_hide_the_crossing() -> None:
    # 1 at 64K and 256K; the loser is clear only on either side of them
    found = only(frame_of(lambda size: 2.0 if size < 65536 else 0.5 if size > 262144 else 1.0))
    assert found.answer == "crossover"
    assert 65536 * 0.5 <= found.size_bytes <= 262144 * 2


def test_several_crossings_are_several_answers() -> None:
    found = crossovers(
        frame_of(lambda size: 0.5 if 65536 <= size <= 262144 else 2.0), "fork", "readv"
    )
    assert [answer.faster_above for answer in found] == [True, False]
    assert 16384 < found[0].size_bytes < 65536
    assert 262144 < found[1].size_bytes < 1 << 20


@pytest.mark.parametrize("rounds", [1, 3])
def test_without_an_interval_nobody_wins(rounds: int) -> None:
    found = only(frame_of(lambda size: 100_000 / size, rounds=rounds))
    assert (found.answer, found.processes) == ("undecided", rounds)
    assert "too few rounds for an interval" in outcome(found)


def test_what_was_not_measured_is_not_answered() -> None:
    frame = frame_of(lambda size: 100_000 / size)
    assert only(frame, "clone", "readv").answer == "unmeasured"
    assert only(frame[frame["mechanism"] == "fork"]).answer == "unmeasured"


def test_a_round_that_lacks_a_case_still_counts() -> None:
    frame = frame_of(lambda size: 100_000 / size)
    lost = (frame["process"] == 3) & (frame["size_bytes"] == 65536)
    found = only(frame[~lost])
    assert found.size_bytes == pytest.approx(100_000, rel=0.03)
    assert found.processes == 7


def test_each_page_and_touch_has_its_own_answer() -> None:
    frame = tidy(synthetic.result())
    found = crossovers(frame, "fork", "readv")
    axes = ("scenario", "page", "touch_mode")
    assert [tuple(one.conditions[axis] for axis in axes) for one in found] == [
        ("transfer", "4K", "none"), ("transfer", "2M", "none"),
        ("deliver", "4K", "read"), ("deliver", "4K", "write"),
        ("deliver", "2M", "read"), ("deliver", "2M", "write"),
    ]  # fmt: skip
    assert [one.answer for one in found[:2]] == ["crossover", "always"]
