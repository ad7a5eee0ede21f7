# SPDX-License-Identifier: GPL-2.0-only
"""The smoke form of every scenario, run for real; its suite is one that pyperf reads; and the same
scenario under pyperf's own runner.
"""

import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pyperf
import pytest

from tests.command import environ, vmabench
from tests.needs import needs
from vmabench.analysis.frame import tidy
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.mechanisms import why_no_cpu_counters
from vmabench.store.format import Result
from vmabench.store.reader import read

BASE = read_facts().pages[0]
PAIR = ("readv", "memfd-inplace")

#: size, and what makes the case a small one
SMALL: dict[str, tuple[str, ...]] = {
    "touch": ("--size", "64K", "--touch", "write-10-random"),
    "scatter": ("--size", "64K", "--segments", "16"),
    "pingpong": ("--size", "64", "--wait", "futex"),
    "contention": ("--size", "64K", "--crowd", "pairs-2"),
    "snapshot": ("--size", "64K", "--rate", "max"),
    "swapped": ("--size", "256K", "--swapped", "100-zram"),
    "handoff": ("--size", "256K"),
    "pageserver": ("--size", "1M", "--receivers", "2", "--limit", "64M"),
    "vmbranch": ("--size", "1M", "--rate", "max", "--receivers", "2"),
}

#: a phase of each that has several
PHASES = {"touch": "touch", "swapped": "first", "handoff": "fill",
          "pageserver": "ready", "vmbranch": "pause"}  # fmt: skip

#: of all processes of a case, and of the machine meanwhile
COUNTERS = (
    "minor_faults", "major_faults", "swap_in_bytes", "swap_out_bytes", "context_switches",
    "preemptions", "steal_ns", "page_table_bytes", "rss_bytes", "pss_bytes", "anon_huge_bytes",
    "peak_bytes", "peak_how", "moved_bytes",
)  # fmt: skip

NEEDS = needs("root", "zram", "swap", "memory-cgroup")


@pytest.fixture(autouse=True)
def own_swap_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMABENCH_SWAP_DIR", str(tmp_path / "swap"))


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environ(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One run of all scenarios in their smoke form."""
    directory = tmp_path_factory.mktemp("smoke")
    with chdir(directory), pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMABENCH_SWAP_DIR", str(directory / "swap"))
        run = vmabench(
            "run", "smoke", "--scenario", "all", "--mechanism", ",".join(PAIR), "--page", "base",
            "--size", "64K", "--touch", "none,read-10", "--segments", "16", "--wait", "futex",
            "--swapped", "0-zram,100-zram", "--receivers", "2", "--budget", "3s", "-o", "out",
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        return read(directory / "out")


@NEEDS
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_smoke_form_of_each_scenario_has_values(result: Result, scenario: str) -> None:
    assert result.complete
    assert all(record["reason"] for record in result.of_kind("skipped"))
    mine = [r for r in result.of_kind("case") if f"/scenario:{scenario}/" in r["case"]]
    assert {record["outcome"] for record in mine} == {"ok"}
    assert any(record["case"].startswith("readv/") for record in mine)
    suite = pyperf.BenchmarkSuite.load(f"{result.directory}/suite.json.gz")
    assert set(suite.get_benchmark_names()) >= {record["case"] for record in mine}


@NEEDS
def test_every_counter_stands_beside_every_time(result: Result) -> None:
    """What the machine lacks is empty."""
    frame = tidy(result)
    rows = frame[(frame["phase"] == "total") & (frame["outcome"] == "ok")]
    for name in COUNTERS:
        assert rows[name].notna().all(), rows.loc[rows[name].isna(), "case_id"].unique()
    swapping = rows["swap_device"].notna() & (rows["swap_device"] != "")
    for name in ("swap_device_read_bytes", "swap_device_written_bytes"):
        assert rows.loc[swapping, name].notna().all(), name
        assert rows.loc[~swapping, name].isna().all(), name
    counts_cycles = not why_no_cpu_counters(read_facts().cpus[0])
    assert rows["cycles"].notna().all() == counts_cycles
    moved = rows["size_bytes"] * rows[["receivers", "pairs"]].max(axis=1)
    moved = moved.where(rows["scenario"] != "pageserver", rows["size_bytes"])
    assert (rows["moved_bytes"] >= moved).all()


@NEEDS
def test_pyperf_reads_the_suite_of_all_scenarios(result: Result) -> None:
    made = vmabench("export", result.directory, "--format", "pyperf", "--by", "mechanism",
                    "-o", "by")  # fmt: skip
    assert made.returncode == 0, made.stderr
    files = [f"by/{name}.json.gz" for name in PAIR]
    suite = f"{result.directory}/suite.json.gz"
    for command in (["stats", suite], ["hist", suite], ["compare_to", "--table", *files]):
        done = python("pyperf", *command)
        assert done.returncode == 0, (command, done.stderr)
        assert not done.stderr
        for scenario in SCENARIOS:
            assert f"scenario:{scenario}/" in done.stdout, (command[0], scenario)


@NEEDS
@pytest.mark.parametrize("scenario", SMALL)
def test_a_case_under_pyperfs_runner(scenario: str) -> None:
    """Its axes reach the workers, and the devices and groups that it needs are there for them.

    With a number of loops pyperf starts no process to calibrate one.
    """
    name, phase = "readv", PHASES.get(scenario, "total")
    done = python(
        "vmabench.pyperf", "--mechanism", name, "--scenario", scenario, *SMALL[scenario],
        "--phase", phase, "-p", "1", "-n", "2", "-w", "0", "-l", "1", "-o", "out.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    bench = pyperf.Benchmark.load("out.json")
    case = Case.parse(bench.get_name().removesuffix(f"/phase:{phase}"))
    assert (case.mechanism, case.scenario, case.page) == (name, scenario, BASE)
    for option, text in zip(SMALL[scenario][::2], SMALL[scenario][1::2], strict=True):
        assert f"{option.removeprefix('--')}:{text}" in str(case).split("/")
    assert bench.get_nvalue() == 2
    assert bench.median() > 0
    assert not list(Path("state").rglob("*.json"))  # nothing is left that would have to be undone
