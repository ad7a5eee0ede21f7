# SPDX-License-Identifier: GPL-2.0-only
"""Every scenario with a real clone, in one guest; and what a clone does with memory that is swapped
out, handed over, or under a limit.
"""

from contextlib import chdir
from pathlib import Path

import pandas as pd
import pytest

from tests.test_guest_run import run
from tests.test_guest_selftests import kernel as patched_kernel
from vmabench.analysis.frame import tidy
from vmabench.matrix.case import SCENARIOS
from vmabench.store.format import Result

kernel = patched_kernel
pytestmark = pytest.mark.usefixtures("kernel")

PLAN = """
name = "scenarios"
budget = "10s"
rounds = 1
[[sweep]]
mechanism = ["clone", "readv", "memfd-inplace"]
scenario = ["transfer", "deliver"]
page = ["base"]
size = ["64K"]
touch = ["read-100"]
[[sweep]]
mechanism = ["clone", "readv"]
scenario = ["touch"]
page = ["base"]
size = ["64K"]
touch = ["none", "write-100-random"]
[[sweep]]
mechanism = ["clone", "readv"]
scenario = ["scatter"]
page = ["base"]
size = ["64K"]
segments = ["16"]
[[sweep]]
mechanism = ["clone", "readv"]
scenario = ["pingpong"]
page = ["base"]
size = ["4K"]
wait = ["futex", "eventfd", "busy"]
[[sweep]]
mechanism = ["clone", "readv"]
scenario = ["contention"]
page = ["base"]
size = ["1M"]
crowd = ["alone", "receivers-2", "pairs-2"]
[[sweep]]
mechanism = ["clone", "readv"]
scenario = ["snapshot"]
page = ["base"]
size = ["1M"]
rate = ["10000", "max"]
[[sweep]]
mechanism = ["clone", "readv"]
scenario = ["handoff"]
page = ["base"]
size = ["64M"]
[[sweep]]
mechanism = ["clone", "readv"]
scenario = ["swapped"]
page = ["base"]
size = ["1M"]
swapped = ["100-zram", "100-file"]
[[sweep]]
mechanism = ["clone", "memfd-inplace"]
scenario = ["pageserver"]
page = ["base"]
size = ["8M"]
limit = ["4M"]
[[sweep]]
mechanism = ["clone", "readv"]
scenario = ["vmbranch"]
page = ["base"]
size = ["1M"]
receivers = ["1", "2"]
"""

MIB = 1 << 20


@pytest.fixture(scope="module")
def result(kernel: object, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One boot for all tests of this file."""
    directory = tmp_path_factory.mktemp("guest")
    plan = directory / "plan.toml"
    plan.write_text(PLAN)
    with chdir(directory):
        return run(str(directory / "out"), str(plan))


@pytest.fixture(scope="module")
def rows(result: Result) -> pd.DataFrame:
    frame = tidy(result)
    whole = frame[(frame["phase"] == "total") & frame["process"].notna()]
    assert set(whole["outcome"]) == {"ok"}, whole["reason"].dropna().unique()
    return whole.set_index(["scenario", "mechanism"]).sort_index()


def found(rows: pd.DataFrame, column: str, scenario: str, mechanism: str) -> list[float]:
    return [float(value) for value in rows.loc[[(scenario, mechanism)]][column]]


def test_clone_has_values_in_every_scenario(rows: pd.DataFrame, result: Result) -> None:
    assert not result.of_kind("skipped")
    for scenario in SCENARIOS:
        assert all(time_ns > 0 for time_ns in found(rows, "time_ns", scenario, "clone")), scenario
    waits = set(rows.loc[[("pingpong", "clone")]]["wait"])
    assert waits == {"futex", "eventfd", "busy"}
    crowds = rows.loc[[("contention", "clone")]]
    assert {(1, 1), (2, 1), (1, 2)} == set(zip(crowds["receivers"], crowds["pairs"], strict=True))
    assert crowds["lock_wait_ns"].notna().all()
    for scenario in ("snapshot", "vmbranch"):
        assert set(found(rows, "torn_pct", scenario, "clone")) == {0}


@pytest.mark.parametrize("device", ["zram", "file"])
def test_a_clone_reads_nothing_back_from_swap(rows: pd.DataFrame, device: str) -> None:
    of_device = rows[rows["swap_device"] == device]
    touched = -(-256 * 10 // 100) * 4096
    assert found(of_device, "call_swap_in_bytes", "swapped", "clone") == [0]
    assert found(of_device, "use_swap_in_bytes", "swapped", "clone") == [touched]
    assert found(of_device, "call_swap_in_bytes", "swapped", "readv") == [MIB]
    (from_device,) = found(of_device, "swap_device_read_bytes", "swapped", "readv")
    assert from_device >= MIB


def test_a_clone_has_the_payload_once(rows: pd.DataFrame) -> None:
    (clone,) = found(rows, "peak_bytes", "handoff", "clone")
    (readv,) = found(rows, "peak_bytes", "handoff", "readv")
    assert clone <= 1.1 * 64 * MIB
    assert readv >= 1.9 * 64 * MIB


@pytest.mark.parametrize("mechanism", ["clone", "memfd-inplace"])
def test_a_server_over_its_limit_hands_out_every_byte(rows: pd.DataFrame, mechanism: str) -> None:
    (peak,) = found(rows, "peak_bytes", "pageserver", mechanism)
    (out,) = found(rows, "swap_out_bytes", "pageserver", mechanism)
    assert peak <= 4 * MIB
    assert out > 0
    assert found(rows, "moved_bytes", "pageserver", mechanism) == [8 * MIB]


def test_page_tables_of_a_clone_stand_beside_those_of_its_rivals(
    rows: pd.DataFrame, result: Result
) -> None:
    for name in ("clone", "readv", "memfd-inplace"):
        assert all(size > 0 for size in found(rows, "page_table_bytes", "deliver", name))
    lines = (Path(result.directory) / "report/report.txt").read_text().splitlines()
    head = next(
        number for number, line in enumerate(lines) if "page tables of both processes" in line
    )
    assert lines[head + 1].split() == ["size", "clone", "memfd-inplace", "readv"]
    assert lines[head + 2].split()[0] == "64K"
