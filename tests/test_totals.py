# SPDX-License-Identifier: GPL-2.0-only
"""The receiver's time and that of both sides: break-evens, maps and findings, where they differ."""

import random
from dataclasses import replace

import pandas as pd
import pytest

from tests import synthetic
from vmabench.analysis.crossover import break_evens, disagreements
from vmabench.analysis.frame import tidy
from vmabench.analysis.stats import summarize
from vmabench.analysis.winners import winners
from vmabench.matrix.case import Case
from vmabench.report.crossover_map import map_figure
from vmabench.report.findings import disagreement_findings, findings, headline, main_crossovers
from vmabench.report.touch import map_tables, touch_findings
from vmabench.store.format import Record

MIB = 1 << 20

#: Both deliver as fast when the source's time counts, within the noise; fork is faster without.
UNDECIDED = 332 * 4096
SHARES = (1, 10, 50, 100)
DELIVERIES = [
    Case(name, "deliver", "4K", size, "read", 100, source="rewritten")
    for name in ("fork", "readv")
    for size in (MIB, 4 * MIB)
]
TOUCHES = [
    Case(name, "touch", "4K", MIB, "write", pct, source="rewritten")
    for name in ("fork", "readv")
    for pct in SHARES
]


def times_us(case: Case) -> tuple[float, float]:
    """Return the receiver's time and the source's: fork faults for each page that is written."""
    if case.mechanism == "readv":
        return 100.0 * case.size_bytes / MIB, 10.0
    deferred = 1.5 * case.touch_pct if case.scenario == "touch" else 0.0
    return 20.0 + deferred, 65.0 if case.scenario == "touch" else 120.0


def frame_of(cases: list[Case], both: bool = True) -> pd.DataFrame:
    noise = random.Random(3)
    made: list[Record] = [dict(synthetic.HEADER)]
    for number in range(1, 8):
        for case in cases:
            factor = 1e3 * noise.lognormvariate(0, 0.005)
            total, rewrite = (round(factor * us) for us in times_us(case))
            of_both = {"source-rewrite": rewrite, "system": total + rewrite} if both else {}
            values = [{"time_ns": {"total": total} | of_both, "at_ns": 0}]
            made.append(
                {"kind": "case", "round": number, "case": str(case), "outcome": "ok", "loops": 1,
                 "values": values}
            )  # fmt: skip
    return tidy(synthetic.result(made))


def test_a_break_even_of_both_sides_is_another_one() -> None:
    frame = frame_of(TOUCHES)
    (receiver,) = break_evens(frame, "fork", "readv")
    (both,) = break_evens(frame, "fork", "readv", phase="system")
    assert (receiver.phase, both.phase) == ("total", "system")
    assert receiver.touch_pct == pytest.approx(53, abs=3)
    assert both.touch_pct == pytest.approx(17, abs=3)
    first, second = touch_findings(frame)
    assert "source rewritten (receiver's time), " in first
    assert "source rewritten (time of both sides), " in second
    assert len(touch_findings(frame_of(TOUCHES, both=False))) == 1


def test_the_map_has_a_table_and_a_row_of_panels_for_each_total() -> None:
    frame = frame_of(TOUCHES)
    ways = ("cloning", "copying")
    at_50 = [winners(frame, ways, phase=phase).set_index("touch_pct").loc[50, "mechanism"]
             for phase in ("total", "system")]  # fmt: skip
    assert at_50 == ["fork", "readv"]
    heads = [table.partition("\n")[0] for table in map_tables(frame)]
    assert [head.partition(":")[0].rpartition("(")[2] for head in heads] == [
        "receiver's time)", "time of both sides)"
    ] * 2  # fmt: skip
    figure = map_figure(frame)
    assert figure
    assert sum("of both sides" in axes.get_title(loc="left") for axes in figure.axes) == 2


def test_where_the_totals_disagree_a_finding_says_so() -> None:
    frame = frame_of(DELIVERIES + TOUCHES)
    deliver, touch = disagreement_findings(frame)
    assert deliver == (
        "Counting the source's time as well, forking the source (the stock proxy for clone) loses"
        " against the fastest copy, and wins by the receiver's time alone: 4K pages, then read,"
        " source rewritten, at 1M (100 %)."
    )
    assert "against the fastest copy" in touch
    assert touch.endswith("then write, source rewritten, at 1M (50 %).")
    assert {deliver, touch} <= set(findings(frame, summarize(frame)))
    assert "receiver's time" in headline(main_crossovers(frame))


def test_totals_that_agree_are_no_disagreement() -> None:
    assert disagreements(frame_of(DELIVERIES), "fork", "readv")[0].cells == ((MIB, 100),)
    assert disagreements(frame_of(DELIVERIES[1::2]), "fork", "readv") == []
    assert disagreements(frame_of(DELIVERIES, both=False), "fork", "readv") == []
    (reverse,) = disagreements(frame_of(DELIVERIES), "readv", "fork")
    assert not reverse.for_receiver


def test_a_total_that_is_undecided_disagrees_with_none() -> None:
    equal = [replace(case, size_bytes=UNDECIDED) for case in DELIVERIES[::2]]
    frame = frame_of(DELIVERIES + equal)
    ways = ("cloning", "copying")
    found = [
        winners(frame, ways, "deliver", phase=phase).set_index("size_bytes").loc[UNDECIDED]
        for phase in ("total", "system")
    ]
    assert [(one["mechanism"], bool(one["decided"])) for one in found] == [
        ("fork", True), ("readv", False),
    ]  # fmt: skip
    assert disagreements(frame, "fork", "readv")[0].cells == ((MIB, 100),)
