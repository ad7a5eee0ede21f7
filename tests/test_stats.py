# SPDX-License-Identifier: GPL-2.0-only
"""The process is the sample: known answers, and properties on any data."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import synthetic
from vmabench.analysis.frame import tidy
from vmabench.analysis.ratios import paired_ratio, ratio_of_cases
from vmabench.analysis.stats import SUMMARY_COLUMNS, summarize, with_unstable
from vmabench.matrix.case import Case
from vmabench.store.format import Record

READV = Case("readv", "transfer", "4K", 1 << 20)
FORK = Case("fork", "transfer", "4K", 1 << 20)

times = st.floats(1e-1, 1e9)


def record(case: Case, process: int, values_ns: list[float]) -> Record:
    values = [{"time_ns": {"total": ns}} for ns in values_ns]
    return {
        "kind": "case", "round": process, "case": str(case), "outcome": "ok", "loops": 1,
        "values": values,
    }  # fmt: skip


def bad(case: Case, process: int, outcome: str, reason: str) -> Record:
    return {
        "kind": "case",
        "round": process,
        "case": str(case),
        "outcome": outcome,
        "reason": reason,
    }


def frame_of(*made: Record) -> pd.DataFrame:
    return tidy(synthetic.result([dict(synthetic.HEADER), *made]))


def only(rows: pd.DataFrame) -> dict[str, Any]:
    (row,) = rows.to_dict("records")
    return {str(name): value for name, value in row.items()}


def summary_of(*made: Record) -> dict[str, Any]:
    return only(summarize(frame_of(*made)))


def test_values_are_summarised_within_the_process_first() -> None:
    # The pooled median is 1000, and the mean of the second process 307.
    processes = [[10.0], [12.0], [1.0, 20.0, 900.0], [30.0, 40.0], [1000.0] * 5]
    row = summary_of(*(record(READV, n, values) for n, values in enumerate(processes, 1)))
    assert row["median_ns"] == 20.0
    assert (row["lo_ns"], row["hi_ns"]) == (10.0, 1000.0)
    assert (row["processes"], row["values"]) == (5, 12)


def test_throughput_is_size_over_median_and_its_bounds_are_swapped() -> None:
    row = summary_of(
        *(record(READV, n, [ns]) for n, ns in enumerate((900.0, 900, 1000, 1100, 1100), 1))
    )
    assert row["bytes_per_s"] == pytest.approx((1 << 20) / 1000e-9)
    assert row["lo_bytes_per_s"] == pytest.approx((1 << 20) / 1100e-9)
    assert row["hi_bytes_per_s"] == pytest.approx((1 << 20) / 900e-9)
    assert np.isnan(summary_of(record(Case("null", "transfer", "4K", 4096), 1, [2]))["bytes_per_s"])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_too_few_processes_have_no_interval(count: int) -> None:
    row = summary_of(*(record(READV, n, [10.0, 20.0, 30.0]) for n in range(count)))
    assert row["median_ns"] == 20.0
    assert row["outcome"] == "ok"
    assert all(np.isnan(row[name]) for name in ("lo_ns", "hi_ns", "spread", "lo_bytes_per_s"))


def test_too_wide_an_interval_is_unstable_and_keeps_its_numbers() -> None:
    wide = [record(READV, n, [ns]) for n, ns in enumerate((80.0, 100, 100, 100, 140), 1)]
    row = summary_of(*wide)
    assert (row["outcome"], row["median_ns"]) == ("unstable", 100)
    assert row["reason"] == "the interval is 60 % of the median, above 30 %"
    (outcome,) = summarize(frame_of(*wide), target_width=0.7)["outcome"]
    assert outcome == "ok"
    marked = with_unstable(frame_of(*wide), summarize(frame_of(*wide)))
    assert set(marked["outcome"]) == {"unstable"}
    assert marked["reason"].notna().all()
    assert set(frame_of(*wide)["outcome"]) == {"ok"}


def test_a_case_that_failed_in_some_rounds_is_ok_with_a_note() -> None:
    ok = [record(READV, n, [100.0]) for n in (1, 2)]
    row = summary_of(*ok, bad(READV, 3, "failed", "the source died"))
    assert (row["outcome"], row["processes"]) == ("ok", 2)
    assert row["note"] == "1 of 3 rounds failed: the source died"
    assert pd.isna(row["reason"])


def test_a_case_without_an_ok_process_is_failed_and_names_its_commonest_reason() -> None:
    row = summary_of(
        bad(READV, 1, "skipped", "no memory"),
        bad(READV, 2, "failed", "it hung"),
        bad(READV, 3, "failed", "the source died"),
        bad(READV, 4, "failed", "the source died"),
    )
    assert (row["outcome"], row["reason"], row["processes"]) == ("failed", "the source died", 0)
    assert row["phase"] == "total"
    assert np.isnan(row["median_ns"])


def test_every_case_has_a_row_in_the_order_of_the_levels() -> None:
    frame = tidy(synthetic.result(rounds=2))
    summary = summarize(frame)
    assert list(summary.columns) == list(SUMMARY_COLUMNS)
    assert set(summary["case_id"]) == set(frame["case_id"])
    assert not summary.duplicated(["case_id", "phase"]).any()
    keys = ["scenario", "page", "touch_mode", "touch_pct", "size_bytes", "mechanism", "phase"]
    assert summary[keys].equals(summary.sort_values(keys)[keys])
    assert list(summary.loc[:1, "mechanism"]) == ["clone", "fork"]
    assert list(summary.loc[:1, "outcome"]) == ["skipped", "ok"]


def test_a_phase_that_takes_no_time_stays_and_is_stable() -> None:
    case = Case("memfd-inplace", "deliver", "4K", 1 << 20, "read", 100)
    frame = tidy(synthetic.result(synthetic.records([case])))
    row = summarize(frame).query("phase == 'transfer'").iloc[0]
    assert (row["median_ns"], row["lo_ns"], row["hi_ns"], row["outcome"]) == (0, 0, 0, "ok")


def test_results_of_two_kernels_in_one_frame_are_kept_apart() -> None:
    one = tidy(synthetic.result([dict(synthetic.HEADER), record(READV, 1, [100.0])]))
    header = synthetic.HEADER | {"kernel": "6.12.0-patched"}
    two = tidy(synthetic.result([header, record(READV, 1, [50.0])]))
    both = pd.concat([one, two], ignore_index=True)
    assert sorted(summarize(both)["median_ns"]) == [50.0, 100.0]
    with pytest.raises(ValueError, match="2 values of kernel"):
        paired_ratio(both, "fork", "readv")


def test_a_paired_ratio_is_free_of_what_a_round_has_in_common() -> None:
    factors = [1.0, 3.0, 0.5, 10.0, 2.0]
    made = [record(READV, n, [100 * factor]) for n, factor in enumerate(factors, 1)]
    made += [record(FORK, n, [50 * factor]) for n, factor in enumerate(factors, 1)]
    row = only(paired_ratio(frame_of(*made), "fork", "readv"))
    assert (row["ratio"], row["lo"], row["hi"]) == pytest.approx((0.5, 0.5, 0.5))
    assert row["processes"] == 5


def test_only_rounds_with_both_are_pairs() -> None:
    made = [record(READV, 1, [100.0]), record(READV, 2, [100.0]), record(FORK, 2, [300.0])]
    row = only(paired_ratio(frame_of(*made), "fork", "readv"))
    assert (row["ratio"], row["processes"]) == (pytest.approx(3.0), 1)
    assert np.isnan(row["lo"])


def test_a_ratio_has_a_row_for_each_cell_of_the_frame_also_without_a_pair() -> None:
    other = Case("readv", "transfer", "2M", 4 << 20)
    frame = frame_of(record(FORK, 1, [50.0]), record(READV, 1, [100.0]), record(other, 1, [9.0]))
    rows = paired_ratio(frame, "fork", "readv")
    assert list(rows["page"]) == ["4K", "2M"]
    assert list(rows["processes"]) == [1, 0]
    assert np.isnan(rows["ratio"][1])
    assert paired_ratio(frame, "clone", "readv")["ratio"].isna().all()


def test_the_ratio_of_two_cases_crosses_pages() -> None:
    huge = Case("fork", "transfer", "2M", 1 << 20)
    made = [record(FORK, n, [ns * 100.0]) for n, ns in enumerate((35, 36, 36, 37, 37), 1)]
    made += [record(huge, n, [100.0]) for n in (1, 2, 3, 4, 5)]
    got = ratio_of_cases(frame_of(*made), str(FORK), str(huge))
    assert got == pytest.approx((36, 35, 37))
    assert all(map(math.isnan, ratio_of_cases(frame_of(*made), str(FORK), "missing")))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(times, times), min_size=1, max_size=8))
def test_the_inverse_ratio_is_the_inverse(pairs: list[tuple[float, float]]) -> None:
    made = [record(READV, n, [pair[0]]) for n, pair in enumerate(pairs, 1)]
    made += [record(FORK, n, [pair[1]]) for n, pair in enumerate(pairs, 1)]
    frame = frame_of(*made)
    there = only(paired_ratio(frame, "fork", "readv"))
    back = only(paired_ratio(frame, "readv", "fork"))
    assert there["ratio"] == pytest.approx(1 / back["ratio"])
    if len(pairs) > 4:
        assert (there["lo"], there["hi"]) == pytest.approx((1 / back["hi"], 1 / back["lo"]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(times, max_size=4), min_size=1, max_size=5))
def test_unequal_rounds_and_missing_values_never_lose_a_case(rounds: list[list[float]]) -> None:
    made = [record(READV, n, values) for n, values in enumerate(rounds, 1)]
    row = summary_of(*made, record(READV, 9, [5.0]))
    assert row["processes"] == 1 + sum(bool(values) for values in rounds)
    assert row["values"] == 1 + sum(map(len, rounds))


def test_the_same_data_gives_the_same_numbers() -> None:
    frame = tidy(synthetic.result(rounds=7))
    pd.testing.assert_frame_equal(summarize(frame), summarize(frame))
    alone = summarize(frame[frame["case_id"] == str(FORK)]).iloc[0]
    among = summarize(frame).set_index("case_id").loc[str(FORK)]
    assert (alone["lo_ns"], alone["hi_ns"]) == (among["lo_ns"], among["hi_ns"])


@pytest.mark.parametrize("lost", [{1, 2, 3}, {2}])
def test_a_time_that_is_no_number_is_a_failure_with_a_reason(lost: set[int]) -> None:
    """The reader refuses such a sample; a frame may be edited."""
    frame = frame_of(*(record(READV, n, [10.0 + n]) for n in range(1, 4)))
    frame.loc[frame["process"].isin(lost), "time_ns"] = pd.NA
    row = only(summarize(frame))
    assert row["processes"] == 3 - len(lost)
    if len(lost) == 3:
        assert (row["outcome"], row["reason"]) == ("failed", "its time is no number")
    else:
        assert row["outcome"] == "ok"
        assert row["note"] == "1 of 3 rounds failed: its time is no number"
