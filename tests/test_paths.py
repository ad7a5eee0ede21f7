# SPDX-License-Identifier: GPL-2.0-only
"""Path lengths: what counts of instructions say, and that they never pass for times."""

import math

import pandas as pd
import pytest

from tests import synthetic
from vmabench.analysis.frame import tidy
from vmabench.analysis.instructions import path_lengths
from vmabench.analysis.stats import summarize
from vmabench.matrix.case import Case
from vmabench.report.build import Report
from vmabench.report.paths import findings, number
from vmabench.store.format import Record, Result
from vmabench.store.suite import build_suite

ENTRY = {"clone": 120.0, "fork": 100.0}
FIXED = {"clone": 7_000.0, "fork": 90_000.0}


def case_record(case: Case, round_number: int, extra: float) -> Record:
    entries = case.size_bytes // case.page_bytes
    attach = FIXED[case.mechanism] + ENTRY[case.mechanism] * entries
    phases = {"attach": attach, "transfer": 0, "touch": 50.0 * entries, "release": 10.0}
    phases["total"] = sum(phases.values())
    values = [
        {"time_ns": {name: round(2 * count) for name, count in phases.items()}, "at_ns": 1}
        for _ in range(4)
    ]
    ticked = {name: round(2 * (count + extra)) for name, count in phases.items()}
    return {
        "kind": "case", "round": round_number, "order": 0, "case": str(case), "outcome": "ok",
        "loops": 2, "values": [*values, {"time_ns": ticked, "at_ns": 2}],
    }  # fmt: skip


def counted(extra: float = 9_000.0) -> Result:
    header = synthetic.HEADER | {"clock": "instructions", "virt": "emulated"}
    cases = [
        Case(name, "deliver", page, size, "read", 100)
        for name in ENTRY
        for page, sizes in (("4K", (4096, 1 << 20, 1 << 24)), ("2M", (2 << 20, 64 << 20)))
        for size in sizes
    ]
    made = [header, {"kind": "skipped", "case": "memfd/scenario:transfer/page:2M/size:2M"}]
    made[1]["reason"] = "shared memory: shmem_enabled is never"
    made += [case_record(case, number, extra) for number in (1, 2) for case in cases]
    made += [synthetic.round_record(1), synthetic.round_record(2)]
    made.append({"kind": "end", "status": "done", "rounds": 2, "wall_ns": 1, "timed_ns": 1})
    return synthetic.result(made)


def lengths() -> pd.DataFrame:
    return path_lengths(tidy(counted()))


def test_a_tick_in_one_value_changes_nothing() -> None:
    case = Case("clone", "deliver", "4K", 1 << 20, "read", 100)
    rows = lengths()
    row = rows[(rows["case_id"] == str(case)) & (rows["phase"] == "attach")].iloc[0]
    assert row["per_call"] == row["least"] == 7_000 + 120 * 256
    assert row["per_kib"] == pytest.approx(row["per_call"] / 1024)
    assert (row["entries"], row["processes"], row["spread"]) == (256, 2, 0)


def test_processes_that_differ_in_steps_are_averaged() -> None:
    """Their common median would jump from one to the other with a single value."""
    result = counted()
    for record in result.records:
        if record["kind"] == "case" and record["round"] == 2:
            for value in record["values"]:
                value["time_ns"]["attach"] += 2 * 1000
    rows = path_lengths(tidy(result))
    first = rows[rows["phase"] == "attach"].iloc[0]
    before = lengths()
    assert first["per_call"] == before[before["phase"] == "attach"].iloc[0]["per_call"] + 500
    assert first["spread"] == pytest.approx(1000 / first["per_call"])


def test_an_entry_is_what_it_adds_to_the_smallest_size() -> None:
    rows = lengths()
    attach = rows[(rows["phase"] == "attach") & (rows["mechanism"] == "clone")]
    by_size = attach.set_index("size_bytes")["per_entry"]
    assert math.isnan(by_size[4096])
    assert math.isnan(by_size[2 << 20])
    assert by_size[1 << 20] == by_size[1 << 24] == by_size[64 << 20] == 120


def test_counts_are_never_times() -> None:
    frame = tidy(counted())
    assert frame["time_ns"].isna().all()
    assert set(frame["clock"]) == {"instructions"}
    with pytest.raises(ValueError, match="a frame of instructions has no times"):
        summarize(frame)
    with pytest.raises(ValueError, match="a frame of instructions has no times"):
        summarize(pd.concat([frame, tidy(synthetic.result(rounds=1))]))
    times = tidy(synthetic.result(rounds=1))
    assert times["instructions"].isna().all()
    assert path_lengths(times).empty


def test_pyperf_gets_integers_and_no_seconds() -> None:
    benchmark = build_suite(counted()).get_benchmarks()[0]
    assert benchmark.get_unit() == "integer"
    assert benchmark.get_metadata()["clock"] == "instructions"
    assert all(isinstance(value, int) for value in benchmark.get_values())


def test_the_report_has_counts_and_not_one_time() -> None:
    report = Report(counted())
    text = report.text()
    assert "clock: instructions" in text
    assert (
        "Attaching 4K pages: clone 7,120 instructions at 4K and 120 for each further entry and fork"
        in " ".join(text.split())
    )
    assert "an entry of clone is 1.20 times one of fork" in " ".join(text.split())
    assert "shmem_enabled is never" in text
    assert report.unstable_cases == 0
    for unit in (" ns", " us", " ms", "GB/s", "faster"):
        assert unit not in text
    assert report.text(brief=True) == text


def test_findings_need_both() -> None:
    alone = lengths().query("mechanism == 'clone'")
    (first, _) = findings(alone)
    assert "times one of fork" not in first
    assert findings(lengths().query("phase == 'touch'")) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(1413086.4, "1,413,086"), (117.83, "118"), (14.03, "14.0"), (0, "0"), (math.nan, "-")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
