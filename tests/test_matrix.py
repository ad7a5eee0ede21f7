# SPDX-License-Identifier: GPL-2.0-only
"""The check of the matrix: every cell has a value or a reason, and a gap is found."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.command import ONLY_SAMPLES, vmabench
from tests.needs import needs
from vmabench.matrix.case import Case
from vmabench.matrix.plans import load_plan, parse_plan
from vmabench.store.format import Record, Result
from vmabench.store.reader import read

SCRIPT = Path(__file__).parent.parent / "bench/crosscheck/check_matrix.py"
CELLS = [Case(name, "transfer", "4K", 4096) for name in ("readv", "clone", "fork")]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_matrix", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def result_of(records: list[Record]) -> Result:
    return Result("out", header={}, records=records, plan={}, machine={}, complete=True)


def records() -> list[Record]:
    readv, clone, fork = map(str, CELLS)
    return [
        {"kind": "case", "case": readv, "outcome": "ok", "values": [{"time_ns": {"total": 1}}]},
        {"kind": "skipped", "case": clone, "reason": "ENOSYS"},
        {"kind": "skipped", "case": fork, "reason": "no such page"},
    ]


def test_a_value_or_a_reason_is_enough(script: ModuleType) -> None:
    assert script.check(result_of(records()), CELLS) == []


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_cell_without_either_is_a_gap(script: ModuleType, lost: int) -> None:
    left = [record for number, record in enumerate(records()) if number != lost]
    assert script.check(result_of(left), CELLS) == [f"gap: {CELLS[lost]}"]


def test_no_value_an_empty_reason_and_a_failure_are_none(script: ModuleType) -> None:
    found = records()
    found[0]["values"] = []
    found[1]["reason"] = ""
    found[2] |= {"kind": "case", "outcome": "failed", "reason": "wrong data"}
    wrong = script.check(result_of(found), CELLS)
    assert wrong[:2] == [f"gap: {CELLS[0]}", f"gap: {CELLS[1]}"]
    assert wrong[2] == f"{CELLS[2]}: failed: wrong data"


def test_the_plan_is_the_whole_matrix_done_once() -> None:
    plan = load_plan("matrix")
    (sweep,) = plan.sweeps
    assert plan.once
    assert sweep.mechanism == sweep.page == ("all",)
    assert len(sweep.size) == 10
    assert parse_plan(_toml(plan.to_toml()), "again").once


def _toml(data: dict[str, object]) -> str:
    import tomli_w

    return tomli_w.dumps(data)


@needs("root", "thp")
def test_the_small_cells_of_every_mechanism_on_every_page(script: ModuleType) -> None:
    run = vmabench("run", "matrix", "--size", "4K,2M", *ONLY_SAMPLES)
    assert run.returncode == 0, run.stderr
    result = read(Path("out"))
    cells = script.cells_of(result)
    assert script.check(result, cells) == []
    found = script.states(result)
    assert {name for name, state in found.items() if state == "value"} >= {
        str(Case(name, "transfer", page, 2 << 20))
        for name in ("readv", "fork", "memfd", "memcpy")
        for page in ("4K", "2M", "hugetlb-2M")
    }
    assert not result.of_kind("calibration")


def test_what_a_run_has_not_given_back_is_said(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable:  8388608 kB\nHugePages_Total:   4\n")
    (tmp_path / "vmstat").write_text("nr_free_pages 7\npswpin 3\npswpout 5\n")
    cpu = "    cpu: {}\n              count:    {}\n              high:     900\n"
    (tmp_path / "zoneinfo").write_text("  pages free     7\n" + cpu.format(0, 3) + cpu.format(1, 9))
    before = script.read_memory(tmp_path)
    assert before == script.Memory((8 << 30) + 12 * os.sysconf("SC_PAGE_SIZE"), 4, 3, 5)
    assert script.lost(before, before) == []
    assert (
        script.lost(
            before, replace(before, available_bytes=before.available_bytes - script.SLACK_BYTES)
        )
        == []
    )
    assert script.lost(
        before, replace(before, available_bytes=before.available_bytes - (1 << 30))
    ) == ["memory: 1.0 GiB less are available than before"]
    assert script.lost(before, replace(before, pool_pages=6)) == ["pools: 6 pages, 4 before"]
    swapped = replace(before, swapped_in_pages=4, swapped_out_pages=15)
    assert script.lost(before, swapped) == ["swap: 1 pages were read, 10 written"]
