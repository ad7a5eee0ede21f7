# SPDX-License-Identifier: GPL-2.0-only
"""What can go wrong in the middle of a run: it is named, and what was measured is kept."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.command import SMALL, call, children, read_raw, start, vmabench, wait_until
from tests.needs import needs
from tests.test_run import outcomes
from vmabench.machine.facts import read_facts
from vmabench.runner.lock import holder
from vmabench.store.reader import read

BASE = read_facts().pages[0]


def kill_during(run_pid: int, victim: str) -> None:
    """Kill the worker, or its source, once a round is on and the worker has confirmed its code."""
    wait_until(lambda: Path("out/samples.jsonl.gz").exists())
    wait_until(lambda: b"calibration" in read_raw(Path("out/samples.jsonl.gz")))

    def find() -> list[int]:
        pairs = [(pid, source) for pid in children(run_pid) for source in children(pid)]
        return [worker if victim == "worker" else source for worker, source in pairs]

    wait_until(find)
    os.kill(find()[0], signal.SIGKILL)


@pytest.mark.parametrize("victim", ["worker", "source"])
def test_a_killed_process_costs_one_case_and_the_run_goes_on(victim: str) -> None:
    run = start(*SMALL, "--page", BASE, "--size", "16M", "--budget", "4s", "-o", "out")
    kill_during(run.pid, victim)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 2, errors
    assert "failed in some round" in errors
    result = read(Path("out"))
    assert result.complete
    failed = [r for r in result.of_kind("case") if r["outcome"] == "failed"]
    assert len(failed) == 1
    assert f"the {victim} process was killed by signal 9" in failed[0]["reason"]
    hit = [r for r in result.of_kind("case") if r["round"] == failed[0]["round"]]
    assert len(hit) == len(result.of_kind("calibration"))
    assert all(record["complete"] for record in result.of_kind("round"))


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("calibration", signal.SIGINT),
        ("first round", signal.SIGHUP),
        ("later", signal.SIGTERM),
    ],
)
def test_an_interrupted_run_saves_what_it_has(moment: str, number: int) -> None:
    """One handler does the same for each signal: tests/test_signals.py has them all."""
    # a plan of eight rounds: of two, a busy machine may have done both before the sign is seen
    axes = ("--page", BASE, "--size", "4K,4M", "--budget", "8s")
    run = start("run", "quick", *SMALL[2:4], *axes, "-o", "out")
    samples = Path("out/samples.jsonl.gz")
    signs = {"calibration": b"header", "first round": b"calibration", "later": b'"complete":true'}
    wait_until(lambda: samples.exists() and signs[moment] in read_raw(samples))
    wait_until(lambda: children(run.pid))
    worker = children(run.pid)[0]
    run.send_signal(number)
    run.send_signal(number)  # an impatient user
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130, errors
    assert "Traceback" not in errors
    assert not Path(f"/proc/{worker}").exists()
    result = read(Path("out"))
    assert not result.complete
    assert result.damage is None
    assert call("report", "out").returncode in (0, 1)
    if moment == "later":
        assert outcomes(result)["ok"]
        assert (Path("out") / "suite.json.gz").exists()
        export = call("export", "out", "--format", "csv")
        assert export.returncode == 0
        assert ",ok," in export.stdout


def holds_lock(pid: int) -> bool:
    return holder() == pid


def test_ctrl_c_before_anything_is_measured_is_no_traceback() -> None:
    for _ in range(3):
        run = start(*SMALL, "-o", "out")
        wait_until(partial(holds_lock, run.pid))
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
        assert run.returncode == 130
        assert "Traceback" not in errors
        if Path("out").exists():
            Path("out").rename(f"out-{run.pid}")


def test_nothing_outlives_a_run_that_was_killed() -> None:
    axes = ("--page", BASE, "--size", "4M", "--budget", "8s")
    run = start("run", "quick", *SMALL[2:4], *axes, "-o", "out")
    samples = Path("out/samples.jsonl.gz")
    wait_until(lambda: samples.exists() and b'"complete":true' in read_raw(samples))
    wait_until(lambda: children(run.pid) and children(children(run.pid)[0]))
    worker = children(run.pid)[0]
    source = children(worker)[0]
    run.kill()
    run.communicate(timeout=30)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (worker, source)), 5)
    result = read(Path("out"))
    assert not result.complete
    assert outcomes(result)["ok"]
    assert call("report", "out").returncode == 0


@needs("root")
def test_a_full_disk_is_one_line_and_what_was_saved_is_whole(full_disk: Path) -> None:
    (full_disk / "ballast").write_bytes(b"x" * (232 << 10))
    run = vmabench(*SMALL, "--budget", "8s", "-o", str(full_disk / "out"))
    assert run.returncode == 1, run.stderr
    said = [line for line in run.stderr.splitlines() if line.startswith("vmabench:")]
    assert len(said) == 1
    assert "No space left on device" in said[0]
    assert "Traceback" not in run.stderr
    result = read(full_disk / "out")
    assert result.damage is None
    assert result.of_kind("calibration")
