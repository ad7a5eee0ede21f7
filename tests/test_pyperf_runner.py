# SPDX-License-Identifier: GPL-2.0-only
"""``python -m vmabench.pyperf``: one case, all of pyperf's own options."""

import os
import subprocess
import sys
from pathlib import Path

import pyperf
import pytest

from tests.command import children, environ, vmabench, wait_until
from vmabench.machine.facts import read_facts
from vmabench.pyperf import main

BASE = read_facts().pages[0]
#: with a number of loops pyperf starts no process to calibrate one
FAST = ("-p", "2", "-n", "2", "-w", "1", "-l", "16")


def runner(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vmabench.pyperf", *arguments],
        env=environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_case_with_pyperfs_own_options() -> None:
    case = ("--mechanism", "readv", "--scenario", "transfer", "--page", BASE, "--size", "1M")
    run = runner(*case, *FAST, "-o", "out.json")
    assert run.returncode == 0, run.stderr
    bench = pyperf.Benchmark.load("out.json")
    assert bench.get_name() == f"readv/scenario:transfer/page:{BASE}/size:1M/source:rewritten"
    assert bench.get_nrun() >= 2
    assert 1e-6 < bench.median() < 1
    assert bench.get_metadata()["case_size_bytes"] == 1 << 20
    show = subprocess.run(
        [sys.executable, "-m", "pyperf", "stats", "out.json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert show.returncode == 0
    assert "Median" in show.stdout


def test_a_phase_of_a_delivery_through_the_main_command() -> None:
    run = vmabench(
        "pyperf", "--", "--mechanism", "memfd", "--scenario", "deliver", "--size", "64K",
        "--touch", "write-100", "--phase", "touch", *FAST, "-o", "out.json",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    name = pyperf.Benchmark.load("out.json").get_name()
    case = f"memfd/scenario:deliver/page:{BASE}/size:64K/touch:write-100/source:rewritten"
    assert name == f"{case}/phase:touch"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mechanism", "raedv"], "unknown mechanism 'raedv': did you mean readv?"),
        (["--mechanism", "readv", "--phase", "touch"], "transfer has no phase touch"),
        (["--mechanism", "readv", "--size", "5000"], "is no multiple of the page size"),
        (["--mechanism", "readv", "--size", "zero"], "is no size"),
        (["--mechanism", "readv", "--page", "1T"], "unknown page"),
        (["--mechanism", "readv", "--affinity", "9999"], "this process may use the CPUs"),
        (["--mechanism", "readv", "--affinity", "1-x"], "write a list of CPUs"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["vmabench.pyperf", *arguments, *FAST])
    monkeypatch.setattr(pyperf.Runner, "_created", set())
    assert main() == 1
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_a_blocked_case_says_why() -> None:
    run = runner("--mechanism", "clone", "--size", "4K", *FAST, "-o", "out.json")
    if not Path("out.json").exists():
        assert run.returncode == 1
        assert "process_vm_mmap: Function not implemented" in run.stderr
        assert "Traceback" not in run.stderr


@pytest.mark.parametrize("cpu", sorted(os.sched_getaffinity(0))[:2])
def test_a_pair_runs_where_affinity_says(cpu: int) -> None:
    line = [sys.executable, "-m", "vmabench.pyperf", "--mechanism", "readv", "--size", "4K"]
    process = subprocess.Popen(
        [*line, f"--affinity={cpu}", "-p", "50", "--min-time", "0.5"],
        env=environ(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip

    def pinned() -> bool:
        pairs = [
            (worker, source) for worker in children(process.pid) for source in children(worker)
        ]
        return any(affinity(worker) == affinity(source) == {cpu} for worker, source in pairs)

    try:
        wait_until(pinned)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def affinity(pid: int) -> set[int]:
    try:
        return os.sched_getaffinity(pid)
    except OSError:
        return set()
