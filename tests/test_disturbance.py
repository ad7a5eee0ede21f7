# SPDX-License-Identifier: GPL-2.0-only
"""What came between is counted and marked, and nothing of it is dropped."""

import pytest

from tests import synthetic
from vmabench.analysis.disturbance import Disturbances, disturbances, disturbed
from vmabench.analysis.frame import tidy
from vmabench.analysis.stats import summarize
from vmabench.matrix.case import Case
from vmabench.report.text import header
from vmabench.store.format import Record

CASES = [Case("readv", "transfer", "4K", 4096), Case("memfd", "deliver", "4K", 4096, "read", 100)]


def records() -> list[Record]:
    """Two cases of 2 rounds x 3 values: one preempted, one stolen from, one both, one unknown."""
    made = synthetic.records(CASES, rounds=2, values=3)
    values = [value for record in made for value in record.get("values", ())]
    for value in values:
        value |= {"context_switches": 7, "preemptions": 0, "steal_ns": 0}
    values[0]["preemptions"] = 2
    values[4]["steal_ns"] = 10_000_000
    values[7] |= {"preemptions": 1, "steal_ns": 20_000_000}
    del values[11]["preemptions"], values[11]["steal_ns"]
    return made


@pytest.mark.parametrize(
    ("value", "mark"),
    [
        ({}, None),
        ({"context_switches": 900}, None),
        ({"preemptions": 0}, False),
        ({"preemptions": 0, "steal_ns": 0}, False),
        ({"preemptions": 1, "steal_ns": 0}, True),
        ({"steal_ns": 10_000_000}, True),
    ],
)
def test_a_value_is_hit_by_preemption_or_stolen_time(
    value: dict[str, int], mark: bool | None
) -> None:
    assert disturbed(value) is mark


def test_all_are_counted_and_none_is_dropped() -> None:
    result = synthetic.result(records())
    assert disturbances(result) == Disturbances(known=11, hit=3, preempted=2, stolen=2)
    frame = tidy(result)
    totals = frame[frame["phase"] == "total"]
    assert totals["disturbed"].value_counts().to_dict() == {False: 8, True: 3}
    assert totals["disturbed"].isna().sum() == 1 + frame["outcome"].eq("skipped").sum()
    phases = frame[frame["disturbed"].fillna(False)].groupby(["case_id", "process", "value_index"])
    assert set(phases.size()[phases.size() > 0]) <= {1, 5}
    clean = tidy(synthetic.result(synthetic.records(CASES, rounds=2, values=3)))
    assert summarize(frame)["median_ns"].equals(summarize(clean)["median_ns"])


def test_the_report_says_how_many() -> None:
    text = " ".join(header(synthetic.result(records())).split())
    assert "3 of 11 values (27 %) were disturbed: 2 by another task, 2 by stolen time" in text
    quiet = header(synthetic.result(synthetic.records(CASES)))
    assert "disturbed" not in quiet
