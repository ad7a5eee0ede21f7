# SPDX-License-Identifier: GPL-2.0-only
"""The tidy frame has the columns of the product, one row a value, and nothing made up."""

import io
import re
from pathlib import Path

import pandas as pd
import pytest

from tests import synthetic
from vmabench.analysis import levels
from vmabench.analysis.frame import COLUMNS, tidy, write_csv
from vmabench.errors import MachineError
from vmabench.matrix.case import PHASES, Case
from vmabench.store.format import Record

ROOT = Path(__file__).parent.parent
HEADER = (
    "case_id,kernel,virt,mechanism,scenario,phase,page,thp,size_bytes,touch_pct,touch_mode,"
    "swapped_pct,receivers,process,value_index,loops,time_ns,outcome,reason,src_backed_pct,"
    "dst_backed_pct,minor_faults,major_faults,swap_in_bytes,swap_out_bytes,page_table_bytes,"
    "peak_bytes,clock,instructions,touch_order,context_switches,preemptions,steal_ns,"
    "moved_bytes,disturbed,segments,pairs,wait,rate,fastest_receiver_ns,slowest_receiver_ns,"
    "lock_wait_ns,writes,writer_faults,cow_ns,stall_ns,stopped_ns,torn_pct,"
    "swap_device,limit_bytes,swap_device_read_bytes,"
    "swap_device_written_bytes,call_swap_in_bytes,call_swap_out_bytes,use_swap_in_bytes,"
    "use_swap_out_bytes,rss_bytes,pss_bytes,anon_huge_bytes,peak_how,cycles,tlb_misses,boot,run,"
    "source,buffer,placement,cpu_model,clocksource,congruent,source_threads,tlb_shootdowns,"
    "rewrite_faults,"
    "child_read_bytes,child_written_bytes,child_private_bytes,source_huge_bytes,child_huge_bytes,"
    "op_p50_ns,op_p99_ns,op_max_ns"
)
TRANSFER = Case("readv", "transfer", "4K", 16384)
DELIVER = Case("memfd-inplace", "deliver", "2M", 4 << 20, "write", 10)


def records() -> list[Record]:
    return synthetic.records([TRANSFER, DELIVER], rounds=2, values=3)


def frame_of(made: list[Record]) -> pd.DataFrame:
    return tidy(synthetic.result(made))


def test_the_columns_are_those_of_the_product_in_their_order() -> None:
    assert ",".join(COLUMNS) == HEADER
    assert list(frame_of(records()).columns) == HEADER.split(",")


def test_the_order_of_the_mechanisms_is_the_one_of_the_table_in_c() -> None:
    text = (ROOT / "bench/vmabench/native/mech_table.c").read_text()
    table = text[text.index("vmb_mechs[] = {") :]
    names = re.findall(r"&vmb_mech_(\w+)", table)
    assert [name.replace("_", "-") for name in names] == list(levels.MECHANISMS)


def test_a_row_for_each_value_and_phase() -> None:
    frame = frame_of(records())
    transfer = frame[frame["case_id"] == str(TRANSFER)]
    deliver = frame[frame["case_id"] == str(DELIVER)]
    assert len(transfer) == 2 * 3
    assert set(transfer["phase"]) == {"total"}
    assert len(deliver) == 2 * 3 * 5
    assert list(deliver["phase"][:5]) == list(PHASES)
    assert sorted(deliver["process"].unique()) == [1, 2]
    assert sorted(deliver["value_index"].unique()) == [0, 1, 2]


def test_times_and_counts_are_of_one_operation_and_states_are_not_divided() -> None:
    made = records()
    stored = next(record for record in made if record.get("case") == str(TRANSFER))
    stored["loops"] = 1000
    stored["values"][0] |= {"time_ns": {"total": 2_500_000}, "minor_faults": 4000}
    row = frame_of(made).query("case_id == @TRANSFER.__str__() and process == 1").iloc[0]
    assert row["time_ns"] == 2500.0
    assert row["minor_faults"] == 4.0
    assert row["major_faults"] == 0.0
    assert row["page_table_bytes"] == 65536
    assert row["loops"] == 1000


def test_axes_are_those_of_the_case() -> None:
    row = frame_of(records()).query("mechanism == 'memfd-inplace'").iloc[0]
    axes = ("scenario", "page", "size_bytes", "touch_mode", "touch_pct", "thp", "kernel", "virt")
    got = tuple(row[name] for name in axes)
    assert got == ("deliver", "2M", 4 << 20, "write", 10, "madvise", "6.12.0-test", "none")
    assert (row["src_backed_pct"], row["dst_backed_pct"]) == (100.0, 100.0)


def test_what_was_not_measured_is_empty() -> None:
    made = records()
    for record in made:
        record.pop("proof", None)
        for value in record.get("values", ()):
            value.pop("major_faults")
    frame = frame_of(made)
    for name in ("swap_in_bytes", "swap_out_bytes", "peak_bytes", "major_faults"):
        assert frame[name].isna().all(), name
    for name in ("src_backed_pct", "dst_backed_pct", "page_table_bytes"):
        assert frame[name].isna().all(), name
    assert (frame.query("phase == 'transfer'")["time_ns"] == 0).all()  # measured: nothing to do


def test_counters_stand_on_the_row_of_the_whole_only() -> None:
    frame = frame_of(records()).query("outcome == 'ok'")
    counted = frame[["minor_faults", "page_table_bytes"]].notna().all(axis=1)
    assert (counted == (frame["phase"] == "total")).all()


def test_cases_without_values_have_one_row_with_axes_and_reason() -> None:
    made = records()
    failed = next(record for record in made if record.get("case") == str(DELIVER))
    failed |= {"outcome": "failed", "reason": "the source died"}
    empty = next(record for record in made if record.get("case") == str(TRANSFER))
    empty["values"] = []
    frame = frame_of(made)
    skipped = frame.query("outcome == 'skipped'")
    assert len(skipped) == 1
    assert skipped["reason"].item() == "the kernel has no clone (ENOSYS)"
    assert (skipped["mechanism"].item(), skipped["size_bytes"].item()) == ("clone", 4096)
    assert skipped["process"].isna().all()
    rows = frame.query("outcome == 'failed'").set_index("mechanism")
    assert rows.loc["memfd-inplace", "reason"] == "the source died"
    assert rows.loc["memfd-inplace", "process"] == 1
    assert rows.loc["readv", "reason"] == "no value was stored"
    for without in (skipped, rows):
        assert without[["time_ns", "loops", "value_index", "minor_faults"]].isna().all(axis=None)
    assert frame.loc[frame["outcome"] == "ok", "reason"].isna().all()


def test_types_do_not_depend_on_the_data() -> None:
    for made in (records(), synthetic.records([], rounds=0), records()[:1]):
        frame = frame_of(made)
        assert {name: str(frame[name].dtype) for name in frame} == COLUMNS


def test_levels_have_a_fixed_order_and_strangers_come_last() -> None:
    made = records()
    stranger = str(TRANSFER).replace("readv", "teleport")
    made.append({"kind": "skipped", "case": stranger, "reason": "not built yet"})
    order = list(frame_of(made)["mechanism"].cat.categories)
    assert order == [*levels.MECHANISMS, "teleport"]
    assert levels.page_order(["hugetlb-2M", "2M", "64K", "4K", "hugetlb-1G"]) == [
        "4K", "64K", "2M", "hugetlb-2M", "hugetlb-1G",
    ]  # fmt: skip


def test_csv_is_whole_and_empty_where_unmeasured(tmp_path: Path) -> None:
    frame = frame_of(records())
    write_csv(frame, tmp_path / "values.csv")
    stream = io.StringIO()
    write_csv(frame, stream)
    text = (tmp_path / "values.csv").read_text()
    assert text == stream.getvalue()
    assert text.splitlines()[0] == HEADER
    assert len(text.splitlines()) == len(frame) + 1
    clone = next(line for line in text.splitlines() if line.startswith("clone"))
    assert ",,,,,skipped,the kernel has no clone (ENOSYS),,,,,,,," in clone
    assert [path.name for path in tmp_path.iterdir()] == ["values.csv"]


def test_a_csv_that_can_not_be_written_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"could not write .*values\.csv"):
        write_csv(frame_of(records()), tmp_path / "missing" / "values.csv")
