# SPDX-License-Identifier: GPL-2.0-only
"""Values that lost time to the host are marked and counted, and none is dropped."""

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
    """Return 2 cases of 2 rounds x 3 values: one preempted, two stolen from, one unknown."""
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
        ({"preemptions": 1}, None),
        ({"preemptions": 1, "steal_ns": 0}, False),
        ({"steal_ns": 0}, False),
        ({"steal_ns": 99_999}, False),
        ({"steal_ns": 100_000}, True),
    ],
)
def test_stolen_time_counts_by_the_length_of_the_value(
    value: dict[str, int], mark: bool | None
) -> None:
    """Of a value of 10 ms; 1 % of it is 100 us."""
    assert disturbed(value | {"time_ns": {"total": 10_000_000}}) is mark


def test_a_value_of_no_time_is_not_disturbed() -> None:
    assert disturbed({"steal_ns": 0, "time_ns": {"total": 0}}) is False


def test_all_are_counted_and_none_is_dropped() -> None:
    result = synthetic.result(records())
    assert disturbances(result) == Disturbances(known=11, hit=2)
    frame = tidy(result)
    totals = frame[frame["phase"] == "total"]
    assert totals["disturbed"].value_counts().to_dict() == {False: 9, True: 2}
    assert totals["disturbed"].isna().sum() == 1 + frame["outcome"].eq("skipped").sum()
    phases = frame[frame["disturbed"].fillna(False)].groupby(["case_id", "process", "value_index"])
    assert set(phases.size()[phases.size() > 0]) <= {1, 5}
    clean = tidy(synthetic.result(synthetic.records(CASES, rounds=2, values=3)))
    assert summarize(frame)["median_ns"].equals(summarize(clean)["median_ns"])


def test_the_report_says_how_many() -> None:
    text = " ".join(header(synthetic.result(records())).split())
    assert "2 of 11 values lost 1 % or more of their time to the host" in text
    quiet = header(synthetic.result(synthetic.records(CASES)))
    assert "to the host" not in quiet
