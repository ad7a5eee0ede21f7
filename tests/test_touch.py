# SPDX-License-Identifier: GPL-2.0-only
"""The scenario touch: break-evens and the crossover map with known answers, and for real."""

import html
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tests import synthetic
from tests.command import vmabench
from vmabench.analysis.crossover import BreakEven, break_evens
from vmabench.analysis.frame import tidy
from vmabench.analysis.winners import winners
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.matrix.plans import load_plan
from vmabench.mechanisms import base_page_bytes
from vmabench.report import touch
from vmabench.report.build import Report
from vmabench.report.crossover_map import map_figure
from vmabench.report.touch import map_tables, sentence, touch_findings
from vmabench.runner import bisection
from vmabench.runner.protocol import CaseJob
from vmabench.runner.rounds import RoundResult, Run, Setup
from vmabench.store.reader import read
from vmabench.units import format_size

SIZE = 1 << 20
BASE = format_size(base_page_bytes())


@pytest.fixture(autouse=True)
def cheap_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the usual costs of synthetic.py a clone wins everywhere."""
    monkeypatch.setitem(synthetic.COSTS, "readv", (900.0, 10.0, 0.01))
    monkeypatch.setitem(synthetic.COSTS, "memfd-inplace", (15.0, 0.0, 0.0))


def cases(*mechanisms: str, shares: tuple[int, ...] = (1, 10, 50, 100)) -> list[Case]:
    made = []
    for name in mechanisms:
        untouched = Case(name, "touch", "4K", SIZE)
        made.append(untouched)
        made += [
            replace(untouched, touch_mode=mode, touch_pct=pct)
            for mode in ("read", "write")
            for pct in shares
        ]
    return made


def frame_of(made: list[Case], rounds: int = 8, noise: float = 0.01) -> pd.DataFrame:
    return tidy(synthetic.result(synthetic.records(made, rounds=rounds, noise=noise)))


def true_share(mechanism: str, rival: str) -> float:
    """Where the costs of synthetic.py break even, by halving."""
    low, high = 0.0, 100.0

    def total(name: str, pct: float) -> float:
        case = Case(name, "touch", "4K", SIZE, "write", 100)
        phases = synthetic.cost_ns(case)
        return phases["total"] - phases["touch"] * (1 - pct / 100)

    for _ in range(50):
        middle = (low + high) / 2
        if total(mechanism, middle) < total(rival, middle):
            low = middle
        else:
            high = middle
    return low


def test_the_break_even_is_where_the_costs_say() -> None:
    expected = true_share("clone", "readv")
    assert 52 < expected < 98  # between shares that are measured
    frame = frame_of(cases("clone", "readv", shares=(1, 10, 50, 75, 100)), rounds=12)
    read_, write = break_evens(frame, "clone", "readv")
    assert (read_.touch_mode, read_.answer) == ("read", "always")
    assert (write.touch_mode, write.answer, write.faster_above) == ("write", "crossover", False)
    assert write.touch_pct == pytest.approx(expected, abs=4)
    assert write.lo_pct < write.touch_pct < write.hi_pct
    assert write.measured_pct == (0, 1, 10, 50, 75, 100)
    assert write.size_bytes == SIZE


def test_a_break_even_at_random_is_told_with_its_interval_on_the_page_too() -> None:
    at_random = [
        replace(one, touch_order="random") if one.touch_mode != "none" else one
        for one in cases("clone", "readv")
    ]
    made = synthetic.result(synthetic.records(at_random, rounds=8, noise=0.01))
    found = [text for text in touch_findings(tidy(made)) if "at random" in text]
    assert len(found) == 2  # reading and writing
    for text in found:
        assert re.search(r"\d+ % \[\d+\.\.\d+\] of the|no break-even in range", text), text
    assert any("[" in text for text in found)
    page = html.unescape(Report(made).html())
    assert all(text in page for text in found)


def test_whose_break_evens_are_searched_for_are_told() -> None:
    assert tuple(name for name, _ in bisection.PAIRS) == touch.DEFERRING


def test_the_scenario_and_the_standard_plan_touch_in_order_and_at_random() -> None:
    whole = SCENARIOS["touch"].axes["touch"]
    planned = {t for s in load_plan("standard").sweeps for t in s.options.get("touch", ())}
    for texts in (set(whole), planned):
        assert {"none", "read-50", "write-1", "read-10-random", "write-100-random"} <= texts


def test_one_round_has_no_interval_and_a_pair_that_lacks_one_no_answer() -> None:
    (write,) = (
        b for b in break_evens(frame_of(cases("clone", "readv"), 1), "clone", "readv")
        if b.touch_mode == "write"
    )  # fmt: skip
    assert math.isnan(write.lo_pct)
    frame = frame_of(cases("clone", "memfd"))
    assert {one.answer for one in break_evens(frame, "clone", "readv")} == {"unmeasured"}
    assert not touch_findings(frame_of(cases("clone", "memfd-inplace")))


def test_the_rival_of_a_break_even_is_the_fastest_copy_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(synthetic.COSTS, "memfd", (15.0, 0.0, 0.001))
    frame = frame_of(cases("clone", "readv", "memfd"), 8)
    found = touch_findings(frame)
    assert len(found) == 2  # reading and writing
    assert all(re.search(r"the fastest copy \(memfd\)", text) for text in found), found
    slower = frame[frame["mechanism"] != "memfd"]
    assert all("the fastest copy (readv)" in text for text in touch_findings(slower))


def test_who_wins_is_the_fastest_of_its_way() -> None:
    found = winners(
        frame_of(cases("clone", "readv", "memfd", "memfd-inplace")), ("cloning", "copying")
    )
    by_cell = found.set_index(["touch_mode", "touch_pct"])
    assert len(found) == 9
    assert by_cell.loc[("read", 10), "mechanism"] == "clone"
    assert by_cell.loc[("write", 100), "way"] == "copying"
    assert by_cell.loc[("write", 100), "rival"] == "clone"
    assert (found["ratio"] < 1).all()
    assert found.loc[found["decided"], "hi"].lt(1).all()
    everything = winners(frame_of(cases("clone", "readv", "memfd-inplace")))
    ways = everything.set_index(["touch_mode", "touch_pct"])["way"]
    assert ways["read", 10] == "sharing"
    assert ways["write", 100] == "copying"


def test_noise_is_no_win() -> None:
    found = winners(frame_of(cases("clone", "readv"), rounds=6, noise=1.5), ("cloning", "copying"))
    assert not found["decided"].all()
    single = winners(frame_of(cases("clone", "readv"), rounds=1), ("cloning", "copying"))
    assert not single["decided"].any()


def test_the_proxy_stands_back_where_there_is_clone() -> None:
    with_clone = winners(frame_of(cases("clone", "fork", "readv")), ("cloning", "copying"))
    assert "fork" not in set(with_clone["mechanism"]) | set(with_clone["rival"])
    without = winners(frame_of(cases("fork", "readv")), ("cloning", "copying"))
    assert "fork" in set(without["mechanism"])


def test_shares_that_only_some_have_are_no_part_of_the_map() -> None:
    made = cases("clone", "readv", "memfd")
    added = [
        Case(name, "touch", "4K", SIZE, "write", 75) for name in ("clone", "readv")
    ]  # as a bisection does
    found = winners(frame_of([*made, *added]), ("cloning", "copying"))
    assert 75 not in set(found["touch_pct"])


def test_the_map_in_words() -> None:
    frame = frame_of(cases("clone", "fork", "readv", "memfd-inplace"))
    tables = list(map_tables(frame))
    assert len(tables) == 4  # read and write, own memory and shared
    own = tables[1]
    assert own.startswith("touch, 4K pages, then write a share: who wins where the receiver has")
    assert [word for word in own.splitlines()[1].split() if word != "%"] == [
        "size", "0", "1", "10", "50", "100",
    ]  # fmt: skip
    assert "readv" in own.splitlines()[-1]
    assert "memfd-inplace" in tables[3]


def test_the_map_as_a_figure() -> None:
    figure = map_figure(frame_of(cases("clone", "fork", "readv", "memfd-inplace")))
    assert figure is not None
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert len(titles) == 4
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert len(texts) == 5
    assert any(text.startswith("readv\n") for text in texts)
    assert map_figure(tidy(synthetic.result())) is None


def test_an_undecided_cell_of_the_map_has_the_interval_of_its_ratio() -> None:
    row = {"mechanism": "fork", "rival": "readv", "ratio": 0.98, "lo": 0.91, "hi": 1.03}
    assert touch._cell(row | {"decided": False}) == "fork (proxy) ~ readv [0.910..1.03]"
    few = row | {"decided": False, "lo": math.nan, "hi": math.nan}
    assert touch._cell(few) == "fork (proxy) ~ readv"
    assert touch._cell(row | {"decided": True, "ratio": 0.5}) == "fork (proxy) 2.00"


BREAK_EVEN = BreakEven(
    "clone", "readv", {"page": "4K"}, SIZE, "write", "sequential", "crossover",
    faster_above=False, touch_pct=63.2, lo_pct=58.0, hi_pct=70.4,
    measured_pct=(0, 100), decided_pct=(0.0, 100.0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "beats readv below 63 % [58..70] of the pages written afterwards."),
        ({"lo_pct": math.nan, "hi_pct": math.nan}, "below 63 % of the pages written afterwards."),
        ({"touch_order": "random"}, "of the pages written at random afterwards."),
        (
            {"answer": "never", "touch_mode": "read"},
            "readv beats cloning the mapping from 0 to 100 % of the pages read afterwards: "
            "no break-even in range.",
        ),
        (
            {"answer": "always", "undecided": 1, "decided_pct": (0.0, 50.0)},
            "wherever a difference shows; 1 measured fraction shows none, so a break-even is not",
        ),
        (
            {"answer": "undecided", "processes": 5},
            "show no difference, whatever share of the pages written afterwards.",
        ),
    ],
)
def test_a_break_even_in_words(change: dict[str, object], words: str) -> None:
    text = sentence(replace(BREAK_EVEN, **change))  # type: ignore[arg-type]
    assert text.startswith("With 1M of 4K pages, ")
    assert words in text


@pytest.mark.machine
def test_it_runs_for_real(tmp_path: Path) -> None:
    run = vmabench(
        "run", "smoke", "--scenario", "touch", "--mechanism", "fork,readv,memfd-inplace", "--page",
        BASE, "--size", "1M", "--touch", "none,read-100,write-1,write-100,write-10-random",
        "--budget", "1s", "--seed", "7", "-o", str(tmp_path / "out"),
    )  # fmt: skip
    assert run.returncode in (0, 2), run.stderr
    result = read(tmp_path / "out")
    assert not [r for r in result.of_kind("case") if r["outcome"] != "ok"]
    frame = tidy(result)
    assert {"none", "read", "write"} == set(frame["touch_mode"])
    assert (frame.loc[frame["touch_pct"] == 10, "touch_order"] == "random").any()
    assert all(one.answer != "unmeasured" for one in break_evens(frame, "fork", "readv"))
    assert (tmp_path / "out" / "report" / "crossover-map.png").stat().st_size > 10_000
    report = (tmp_path / "out" / "report" / "report.txt").read_text()
    assert "who wins where the receiver has memory of its own" in report


def test_a_run_measures_the_halves_of_a_bracket(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = cases("clone", "readv", shares=(100,))
    stored: list[dict[str, Any]] = []

    def work(run: Run, jobs: Sequence[CaseJob], number: int, result: RoundResult) -> None:
        for job in jobs:
            op_ns = synthetic.cost_ns(Case.parse(job.case))["total"]
            message: dict[str, Any] = {"kind": "case", "case": job.case, "outcome": "ok"}
            message |= {"wall_ns": 10 * op_ns, "timed_ns": op_ns, "op_ns": op_ns, "loops": 1}
            message |= {"spent_ns": op_ns, "between_ns": 0.0}
            if number:
                message["values"] = [{"time_ns": {"total": op_ns}}]
            result.cases.append(message)
            run._note_times(message)

    monkeypatch.setattr(Run, "_work", work)
    sink = SimpleNamespace(append=stored.extend)
    observer = SimpleNamespace(phase=lambda *_: None, case=lambda *_: None)
    setup = Setup(tuple(planned), {}, 0.0, 2, 1, 0, 0)  # no budget: one round
    Run(setup, sink, observer).execute()
    measured = {Case.parse(r["case"]) for r in stored if r["kind"] == "case" and r["round"] == 1}
    calibrated = {Case.parse(r["case"]) for r in stored if r["kind"] == "calibration"}
    assert set(planned) < measured <= calibrated
    expected = true_share("clone", "readv")
    shares = {c.touch_pct for c in measured if c.touch_mode == "write"}
    assert min(abs(share - expected) for share in shares) <= 2
    assert {c.touch_pct for c in measured if c.touch_mode == "read"} == {100}
