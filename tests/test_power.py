# SPDX-License-Identifier: GPL-2.0-only
"""Predicted power against simulated comparisons of a known truth, and ``vmabench plan``."""

import importlib
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from tests import synthetic
from tests.command import vmabench
from vmabench.analysis import power
from vmabench.analysis.compare import FALSE_DISCOVERIES, MIN_EFFECT
from vmabench.analysis.intervals import Floats, most_in_wrong_order, shift_interval
from vmabench.analysis.moderated import moderated_shift
from vmabench.cli import main
from vmabench.matrix.case import Case
from vmabench.matrix.plans import load_plan
from vmabench.store.format import Record

CROSSCHECK = Path(__file__).parents[1] / "bench" / "crosscheck"
CASES = [
    Case("readv", "transfer", "4K", 4096 * (1 + size), source="rewritten") for size in range(40)
]


def frame_of(
    boot_sd: float, process_sd: float, value_sd: float, *, boots: int, rounds: int, values: int = 3
) -> pd.DataFrame:
    """Return the columns that ``variation`` reads, of times with these deviations of their logs."""
    dice = np.random.default_rng(7)
    shape = (len(CASES), boots, rounds, values)
    logs = boot_sd * dice.normal(size=(*shape[:2], 1, 1)) + process_sd * dice.normal(
        size=(*shape[:3], 1)
    )
    logs = logs + value_sd * dice.normal(size=shape)
    case, boot, round_number, _ = np.indices(shape)
    return pd.DataFrame(
        {
            "case_id": pd.Categorical([str(CASES[one]) for one in case.ravel()]),
            "scenario": "transfer",
            "phase": "total",
            "boot": (1 + boot.ravel()) if boots > 1 else pd.array([pd.NA] * logs.size, "Int64"),
            "process": 1 + (boot * rounds + round_number).ravel(),
            "time_ns": 1e6 * np.exp(logs).ravel(),
        }
    )


def test_the_components_are_found() -> None:
    found = power.variation(frame_of(0.02, 0.04, 0.03, boots=30, rounds=6))
    middle = found.cases[["boot", "process", "value"]].median()
    assert middle.to_list() == pytest.approx([0.02, 0.04, 0.03], rel=0.2)
    assert (found.boots, found.freedom, len(found.cases)) == (30, 29, 40)


def test_one_boot_says_nothing_of_boots() -> None:
    found = power.variation(frame_of(0.5, 0.04, 0.0, boots=1, rounds=20))
    assert found.boots == 1
    assert (found.cases["boot"] == power.ASSUMED_BOOT_SD).all()
    assert found.cases["process"].median() == pytest.approx(0.04, rel=0.1)


def test_controls_are_another_family() -> None:
    frame = frame_of(0.0, 0.01, 0.0, boots=1, rounds=4)
    frame["case_id"] = frame["case_id"].cat.rename_categories(
        {str(CASES[3]): str(Case("memcpy", "transfer", "4K", 4096))}
    )
    assert len(power.variation(frame).cases) == len(CASES) - 1


def found_share(runs: Sequence[tuple[Floats, Floats, Floats]]) -> float:
    """Return how often the first case gets a verdict, of shift, lower bound and p of each run."""
    hits = 0
    for shift, lo, p in runs:
        q = scipy_stats.false_discovery_control(p)
        hits += q[0] <= FALSE_DISCOVERIES and lo[0] > 0 and shift[0] >= math.log1p(MIN_EFFECT)
    return hits / len(runs)


@pytest.mark.parametrize("boots", [3, 5, 10])
def test_a_change_of_the_predicted_size_is_found_by_four_of_five_comparisons(boots: int) -> None:
    found = power.variation(frame_of(0.01, 0.02, 0.0, boots=40, rounds=4))
    change = float(np.median(power.reach_of_boots(found, boots, 4)))
    dice, runs = np.random.default_rng(boots), []
    deviation = math.sqrt(0.01**2 + 0.02**2 * 1.19 / 4)  # of the median of 4 processes
    for _ in range(300):
        a, b = (dice.normal(0, deviation, (len(CASES), boots)) for _ in range(2))
        b[0] += math.log1p(change)
        shift, lo, _, p = moderated_shift(a, b)
        runs.append((shift, lo, p))
    assert found_share(runs) == pytest.approx(power.POWER, abs=0.1)


@pytest.mark.parametrize("rounds", [8, 15])
def test_ranked_processes_find_a_change_of_the_predicted_size(rounds: int) -> None:
    found = power.variation(frame_of(0.0, 0.03, 0.0, boots=1, rounds=40))
    change = float(np.median(power.reach_of_processes(found, rounds)))
    dice, runs = np.random.default_rng(rounds), []
    for _ in range(300):
        a, b = (dice.normal(0, 0.03, (len(CASES), rounds)) for _ in range(2))
        b[0] += math.log1p(change)
        shift, lo, _, p = shift_interval(a, b)
        runs.append((shift, lo, p))
    assert found_share(runs) == pytest.approx(power.POWER, abs=0.1)


def test_plans_are_a_table_of_what_they_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of each case vary by 2 %, so the power of the line's median is known."""
    monkeypatch.syspath_prepend(str(CROSSCHECK))
    check = importlib.import_module("check_sensitivity")
    dice = np.random.default_rng(1)
    logs = dice.normal(0, 0.02, (60, 400))
    found = power.Variation(pd.DataFrame({"case_id": range(60)}), logs, 1, 399)
    plan = load_plan("quick")
    name, rounds, cases, middle, *quantiles = check.reach_line(plan, found, 400)
    assert (name, rounds, cases, len(quantiles)) == ("quick", str(plan.rounds), "60", 3)
    median, lo, hi = (float(number) for number in re.findall(r"\d+\.?\d*", middle))
    assert lo <= median <= hi
    a, b = (dice.normal(0, 0.02, (4000, plan.rounds)) for _ in range(2))
    p = shift_interval(a, b + np.log1p(median / 100))[3]
    assert np.mean(p <= FALSE_DISCOVERIES / 60) == pytest.approx(power.POWER, abs=0.1)


def test_too_few_samples_show_nothing_however_large() -> None:
    found = power.variation(frame_of(0.0, 0.03, 0.0, boots=1, rounds=5))
    assert np.isinf(power.reach_of_processes(found, 5)).all()
    assert np.isinf(power.reach_of_boots(found, 2, 5)).all()
    assert most_in_wrong_order(3, 3, 0.01) is None
    assert most_in_wrong_order(5, 5, 2 / 252) == 0  # one order of 252 in each direction
    assert most_in_wrong_order(5, 5, 4 / 252) == 1


def test_no_change_below_that_of_a_verdict_is_found() -> None:
    found = power.variation(frame_of(0.0001, 0.0, 0.0, boots=5, rounds=2))
    assert power.reach_of_boots(found, 99, 1).min() >= MIN_EFFECT


def test_smaller_changes_and_noisier_machines_take_more_boots() -> None:
    quiet = power.variation(frame_of(0.01, 0.0, 0.0, boots=10, rounds=1))
    noisy = power.variation(frame_of(0.03, 0.0, 0.0, boots=10, rounds=1))
    boots = [power.boots_for(quiet, change, 10) or 0 for change in (0.1, 0.05, 0.03)]
    assert boots[0] == 3 < boots[2]
    assert boots == sorted(boots)
    assert (power.boots_for(noisy, 0.05, 10) or 0) > boots[1]
    assert power.boots_for(noisy, 0.0201, 10) is None
    assert power.boots_for(power.assumed(232), 0.05, 10) == 6


def in_boots(boots: int, virt: str = "none") -> list[Record]:
    made = synthetic.records(CASES, rounds=2 * boots, noise=0.002, round_noise=0.01)
    made[0] |= {"virt": virt}
    return synthetic.in_boots(made, [1 + number // 2 for number in range(2 * boots)])


def test_plan_prints_reach_boots_and_time() -> None:
    synthetic.write(Path("boots"), in_boots(5))
    said = vmabench("plan", "--detect", "3%", "--from", "boots")
    assert said.returncode == 0, said.stderr
    assert " between boots, " in said.stdout
    assert "To find 3 % in 80 % of the cases: " in said.stdout
    assert "Or about 7 rounds of one boot of each" in said.stdout  # 6 show no lone case of 40
    synthetic.write(Path("one"), synthetic.records(CASES, rounds=8))
    said = vmabench("plan", "--detect", "10%", "--from", "one")
    assert "1 % between boots (assumed: one boot was measured)" in said.stdout
    rows = [line.split() for line in said.stdout.splitlines()]
    assert any(row[:2] == ["all", "40"] for row in rows)
    assert any(row[:2] == ["transfer", "40"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--detect", "0%"], "'0%' is no percentage above 0"),
        (["--detect=-3%"], "'-3%' is no percentage above 0"),
        (["--detect", "nan"], "'nan' is no percentage above 0"),
        (["--detect", "2%"], "a verdict takes more than 2%"),
        (["--detect", "3%", "--from", "nothing"], "nothing is no directory"),
        (["nothing", "--detect", "3%"], "unknown plan"),
        (["--detect", "3%", "--from", "single"], "no case with values in two rounds"),
        (["motion", "--detect", "3%", "--from", "single"], "has no case of the plan"),
        (["--detect", "3%", "--from", "counted"], "counts instructions"),
    ],
)
def test_bad_input_of_plan_is_one_line(
    arguments: list[str], error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    synthetic.write(Path("single"), synthetic.records(CASES, rounds=1))
    counted = synthetic.records(CASES[:2], rounds=2)
    counted[0] |= {"clock": "instructions"}
    synthetic.write(Path("counted"), counted)
    assert main(["plan", *arguments]) == 1
    said = capfd.readouterr().err
    assert error in said
    assert said.count("\n") == 1


def test_the_newest_stored_result_of_the_plan_is_taken() -> None:
    for stamp, name in (("20250101T000000Z", ""), ("20260101T000000Z", "B")):
        synthetic.write(Path("results/guest-tcg/6.12.0") / stamp / name, in_boots(4))
    Path("results/guest-tcg/6.12.0/20270101T000000Z").mkdir()
    said = vmabench("plan", "--detect", "5%")
    assert "results/guest-tcg/6.12.0/20260101T000000Z/B" in said.stdout, said.stderr
