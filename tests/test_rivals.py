# SPDX-License-Identifier: GPL-2.0-only
"""The fastest copy of each cell, and crossovers against it, on costs with known answers."""

import random

import pandas as pd
import pytest

from tests import synthetic
from vmabench.analysis.crossover import crossovers
from vmabench.analysis.frame import tidy
from vmabench.analysis.rivals import FASTEST_COPY, fastest_copies, with_fastest_copy
from vmabench.matrix.case import Case
from vmabench.report.findings import crossover_findings, headline, main_crossovers

KIB = 1 << 10
SIZES = [4 * KIB * 4**step for step in range(6)]  # 4K to 4M


def cost_us(case: Case) -> float:
    """readv is the fastest copy up to 16K, memfd above; fork beats readv from 100K, memfd at 1M."""
    if case.mechanism == "readv":
        return case.size_bytes / (10 * KIB)
    if case.mechanism == "memfd":
        return 0.9 + case.size_bytes / (100 * KIB)
    return 10.0 + 1e-9 * case.size_bytes


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    noise = random.Random(3)
    cases = [
        Case(mechanism, "deliver", "4K", size, "read", 100)
        for mechanism in ("fork", "readv", "memfd")
        for size in SIZES
    ]
    made = [dict(synthetic.HEADER)]
    for number in range(1, 8):
        for case in cases:
            total_ns = round(1e3 * cost_us(case) * noise.lognormvariate(0, 0.005))
            made.append(
                {
                    "kind": "case", "round": number, "case": str(case), "outcome": "ok",
                    "loops": 1, "values": [{"time_ns": {"total": total_ns}, "at_ns": 0}],
                }
            )  # fmt: skip
    return tidy(synthetic.result(made))


def test_each_cell_has_its_own_fastest_copy(frame: pd.DataFrame) -> None:
    found = fastest_copies(frame).sort_values("size_bytes")
    assert found["size_bytes"].tolist() == SIZES
    assert found["mechanism"].tolist() == ["readv", *["memfd"] * 5]


def test_the_rows_of_the_fastest_copies_are_added_and_no_others(frame: pd.DataFrame) -> None:
    both = with_fastest_copy(frame)
    added = both[both["mechanism"] == FASTEST_COPY]
    assert len(both) - len(frame) == len(added) == 7 * len(SIZES)
    of_4k = added[added["size_bytes"] == 4 * KIB]["time_ns"].tolist()
    readv = frame[(frame["size_bytes"] == 4 * KIB) & (frame["mechanism"] == "readv")]
    assert of_4k == readv["time_ns"].tolist()
    assert set(both["mechanism"].cat.categories) - set(frame["mechanism"].cat.categories) == {
        FASTEST_COPY
    }


def test_a_crossover_with_one_rival_is_not_one_with_the_fastest(frame: pd.DataFrame) -> None:
    (weak,) = crossovers(frame, "fork", "readv")
    (strong,) = main_crossovers(frame)[:1]
    assert 64 * KIB < weak.size_bytes < 256 * KIB
    assert strong.mechanism == "fork"
    assert 256 * KIB < strong.size_bytes < 1024 * KIB


def test_the_finding_names_its_rivals_use_and_total(frame: pd.DataFrame) -> None:
    (text,) = crossover_findings(frame)
    assert text.startswith("Forking the source (the stock proxy for clone) against the fastest")
    assert "then read 100 % (receiver's time): 4K pages faster from 9" in text
    assert text.endswith("(readv, then memfd).")
    assert "receiver's time: faster from 9" in headline(main_crossovers(frame))


def test_without_a_copy_there_is_no_rival(frame: pd.DataFrame) -> None:
    forks = frame[frame["mechanism"] == "fork"]
    assert fastest_copies(forks).empty
    assert len(with_fastest_copy(forks)) == len(forks)
    assert crossover_findings(forks) == []
