# SPDX-License-Identifier: GPL-2.0-only
"""What several at once reach and what a writer suffers, of records with known answers."""

import math
import re
from typing import Any

import pytest

from tests import synthetic
from tests.test_text import check
from vmabench.analysis.branches import branches
from vmabench.analysis.contention import scaling
from vmabench.analysis.frame import tidy
from vmabench.analysis.latency import bucket_of
from vmabench.analysis.snapshots import stalls
from vmabench.matrix.case import Case
from vmabench.report.scenarios import branch_tables, contention_tables, snapshot_tables
from vmabench.store.format import Record, Result

ALONE = Case("readv", "contention", "4K", 1 << 20)
TWO = Case("readv", "contention", "4K", 1 << 20, receivers=2)
SNAP = Case("readv", "snapshot", "4K", 1 << 20, rate="max")


def result_of(times_ns: dict[Case, list[int]], extra: dict[Case, dict[str, Any]]) -> Result:
    """A value of one loop for each case and round; round 1 has the first times."""
    records: list[Record] = []
    for case, times in times_ns.items():
        for number, time_ns in enumerate(times, start=1):
            value = {"time_ns": {"total": time_ns}, "at_ns": 0} | extra.get(case, {})
            records.append(
                {"kind": "case", "round": number, "order": 0, "case": str(case), "outcome": "ok"}
                | {"loops": 1, "values": [value], "proof": {}}
            )
    return synthetic.result([dict(synthetic.HEADER), *records])


def test_the_speedup_is_paired_with_the_round_of_the_one_alone() -> None:
    alone = [100_000, 200_000, 400_000, 800_000, 100_000, 200_000]
    slower = [int(1.25 * time_ns) for time_ns in alone]
    result = result_of({ALONE: alone, TWO: slower}, {TWO: {"receiver_ns": [90_000, 110_000]}})
    single, both = scaling(tidy(result)).to_dict("records")
    assert single["speedup"] == 1
    assert both["speedup"] == pytest.approx(2 / 1.25)
    assert both["lo_speedup"] == pytest.approx(both["hi_speedup"])
    assert both["slowest_bytes_per_s"] == pytest.approx((1 << 20) / 110e-6)
    assert both["fastest_bytes_per_s"] == pytest.approx((1 << 20) / 90e-6)
    assert math.isnan(both["lock_wait_ns"])
    (table,) = contention_tables(tidy(result))
    assert "x1.60 (9.53)" in table


WRITER = {
    "writes": 100, "write_ns": 50_000, "writer_faults": 90, "plain_writes": 1000,
    "plain_write_ns": 100_000, "stall_ns": 7000, "checked_pages": 256, "torn_pages": 64,
}  # fmt: skip


def test_how_long_the_source_stood_still_is_a_column() -> None:
    result = result_of({SNAP: [1000, 3000]}, {SNAP: WRITER | {"stopped_ns": 600}})
    (row,) = stalls(result, tidy(result)).to_dict("records")
    assert row["stopped_ns"] == 600
    (table,) = snapshot_tables(result, tidy(result))
    assert re.search(r"taken +stopped +longest gap", table)
    assert "600ns" in table


def test_a_result_without_that_time_has_no_value_there() -> None:
    """With many other cases, whose categories are of a wider type than those of no row."""
    others = {Case("readv", "transfer", "4K", 4096 * i): [1000] for i in range(1, 200)}
    result = result_of({SNAP: [1000, 3000], **others}, {SNAP: WRITER})
    (row,) = stalls(result, tidy(result)).to_dict("records")
    assert math.isnan(row["stopped_ns"])
    assert row["time_ns"] == 2000


def test_copies_are_what_writes_took_beyond_plain_ones() -> None:
    result = result_of({SNAP: [1000, 3000, 2000]}, {SNAP: WRITER})
    (row,) = stalls(result, tidy(result)).to_dict("records")
    assert (row["time_ns"], row["stall_ns"], row["writer_faults"]) == (2000, 7000, 90)
    assert row["cow_ns"] == 50_000 - 100 * 100
    assert row["torn_pct"] == 25
    (table,) = snapshot_tables(result, tidy(result))
    assert "25.0 %" in table
    assert "40.0us" in table


def test_the_gaps_of_a_writer_are_reported_against_its_schedule_too() -> None:
    """1 of 2000 writes is 50 ms late: the p99 has it only with the writes that were due then."""
    snap = Case("writev", "snapshot", "4K", 16 << 20, rate="10000")
    writer = {
        "writes": 2000, "write_ns": 50_000, "writer_faults": 0, "plain_writes": 100,
        "plain_write_ns": 2500, "stall_ns": 50_000_000, "checked_pages": 4096, "torn_pages": 0,
    }  # fmt: skip
    result = result_of({snap: [1000] * 6}, {snap: writer})
    buckets = {str(bucket_of(100_000)): 1999, str(bucket_of(50_000_000)): 1}
    result.latencies.extend(
        {"kind": "latency", "round": number, "case": str(snap), "count": 2000,
         "sum_ns": 249_900_000, "max_ns": 50_000_000, "buckets": buckets}
        for number in range(1, 7)
    )  # fmt: skip
    (row,) = stalls(result, tidy(result)).to_dict("records")
    assert row["p99_ns"] == pytest.approx(1e5, rel=0.01)
    assert row["due_p99_ns"] == pytest.approx(47.5e6, rel=0.01)
    (table,) = snapshot_tables(result, tidy(result))
    assert table.splitlines()[1].split().count("due") == 1
    assert "49.9ms" in table.splitlines()[2] or "50.0ms" in table.splitlines()[2]


def branched(case: Case, number: int) -> Record:
    """A round of a branch: what shares pages stalls later, what copies them pauses longer."""
    copies = case.mechanism == "readv"
    stall_ns = 4_000 if copies else 60_000_000
    value = {
        "time_ns": {
            "pause": (80_000_000 if copies else 2_000_000) + 100_000 * number,
            "first": 2_500_000, "all": 90_000_000, "total": 150_000_000,
        },
        "at_ns": 0, "writes": 65536, "write_ns": 3_000_000 + stall_ns, "plain_writes": 65536,
        "plain_write_ns": 3_000_000, "writer_faults": 0, "stall_ns": 80_000_000,
        "checked_pages": 65536, "torn_pages": 0,
    }  # fmt: skip
    huge = {"source_huge_bytes": 0, "child_huge_bytes": 256 << 20} if case.page == "2M" else {}
    proof = {
        "child_read_bytes": (256 << 20) if copies else 40 << 10, "child_written_bytes": 256 << 20,
        "child_private_bytes": 256 << 20, "source_huge_bytes": 0, "child_huge_bytes": 0,
    }  # fmt: skip
    return {
        "kind": "case", "round": number, "order": 0, "case": str(case), "outcome": "ok",
        "loops": 1, "values": [value], "proof": proof | huge,
    }  # fmt: skip


def test_golden_tables_of_a_branch() -> None:
    fork, copy = (
        Case(name, "vmbranch", "4K", 256 << 20, rate="max", receivers=1)
        for name in ("fork", "readv")
    )
    huge = Case("fork", "vmbranch", "2M", 256 << 20, rate="10000", receivers=4)
    empty = Case("null", "vmbranch", "4K", 256 << 20, rate="max", receivers=1)
    nothing = [branched(empty, number) | {"proof": {}} for number in range(1, 7)]
    made = [branched(case, number) for case in (fork, copy, huge) for number in range(1, 7)]
    frame = tidy(synthetic.result([dict(synthetic.HEADER), *made, *nothing]))
    row = branches(frame).set_index("mechanism").loc["readv"]
    assert row["cow_ns"] == 4_000
    assert row["lo_pause_ns"] < row["pause_ns"] == 80_350_000 < row["hi_pause_ns"]
    check("vmbranch.txt", "\n\n".join(branch_tables(frame)) + "\n")
    assert branches(frame[frame["scenario"] != "vmbranch"]).empty
