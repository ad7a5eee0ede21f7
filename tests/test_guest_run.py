# SPDX-License-Identifier: GPL-2.0-only
"""Plans in the real guest: where clone is measured, and where instructions are counted."""

import sys
from pathlib import Path

import pytest

from tests.command import vmabench
from tests.test_guest_selftests import kernel as patched_kernel
from vmabench import guest
from vmabench.analysis.frame import tidy
from vmabench.analysis.instructions import path_lengths
from vmabench.matrix.case import Case
from vmabench.store.format import Result
from vmabench.store.reader import machine_facts, read

kernel = patched_kernel
pytestmark = pytest.mark.usefixtures("kernel")

#: an emulated machine is an order of magnitude slower; this is for one that hangs
GUEST_LIMIT_S = 900


def run(name: str, *arguments: str) -> Result:
    line = ("run", *arguments, "--guest", "--accel", "tcg", "--seed", "1", "-o", name)
    done = vmabench(*line, limit_s=GUEST_LIMIT_S)
    assert done.returncode in (0, 2), done.stderr
    return read(Path(name))


def test_clone_is_measured_with_proof(kernel: guest.Kernel) -> None:
    result = run("out", "smoke", "--mechanism", "clone,fork,readv", "--budget", "8s")
    assert result.complete
    assert result.header["virt"] == "emulated"
    assert result.header["clock"] == "raw"
    assert result.header["kernel"] == kernel.release
    told = machine_facts(result)["guest"]
    assert (told["kernel_key"], told["accel"]) == (kernel.key, "tcg")
    frame = tidy(result)
    assert set(frame["outcome"]) == {"ok"}, frame["reason"].dropna().unique()
    cloned = frame[(frame["mechanism"] == "clone") & (frame["phase"] == "total")]
    assert (cloned["time_ns"] > 0).all()
    backed = cloned.groupby("page", observed=True)[["src_backed_pct", "dst_backed_pct"]]
    assert (
        backed.min().to_numpy().tolist() == backed.max().to_numpy().tolist() == [[0, 0], [100, 100]]
    )

    assert "EMULATED" in Path("out/report/report.txt").read_text()


def test_clones_of_segments_are_one_mapping_each() -> None:
    result = run(
        "out", "smoke", "--scenario", "scatter", "--mechanism", "clone,readv,pipe", "--page", "4K",
        "--size", "4M", "--budget", "8s",
    )  # fmt: skip
    assert result.complete
    frame = tidy(result)
    assert set(frame["outcome"]) == {"ok"}, frame["reason"].dropna().unique()
    cloned = [r for r in result.of_kind("case") if r["case"].startswith("clone/")]
    vmas = {Case.parse(r["case"]).segments: r["proof"]["dst"]["vmas"] for r in cloned}
    assert vmas == {1: 1, 16: 16, 256: 256, 1024: 1024}


def test_counts_repeat_themselves_from_boot_to_boot() -> None:
    axes = ("--mechanism", "clone,readv", "--scenario", "transfer", "--page", "4K")
    line = ("paths", "--clock", "instructions", *axes, "--size", "64K,1M")
    first, second = (path_lengths(tidy(run(name, *line))) for name in ("a", "b"))
    assert len(first) == 4
    assert (first["per_call"] > 1000).all()
    assert first["per_call"].to_numpy() == pytest.approx(second["per_call"].to_numpy(), rel=0.002)
    assert first["spread"].max() < 0.03


def test_a_guest_that_runs_out_of_memory_fails_what_it_ran(kernel: guest.Kernel) -> None:
    machine = guest.Machine(memory=256 << 20, cpus=1)
    hog = "b = []\nwhile True: b.append(bytearray(1 << 20))"
    outcome = guest.run([sys.executable, "-S", "-c", hog], kernel, machine=machine, accel="tcg")
    assert outcome.status != 0
    assert any("Out of memory: Killed process" in splat.text for splat in outcome.splats)


def test_a_guest_that_hangs_is_lost(kernel: guest.Kernel) -> None:
    with pytest.raises(guest.LostGuest, match="no end after 15 s") as lost:
        guest.run(["sleep", "1000"], kernel, accel="tcg", timeout=15)
    assert "init" in lost.value.log_tail


#: traces its own locks again and again, while timers wake somebody on each CPU
TRACING = """
import os, time
from vmabench.machine.tracing import LockTrace
from vmabench.runner.lockwait import tracefs

wakers = []
for cpu in (0, 1):
    wakers.append(os.fork())
    if not wakers[-1]:
        os.sched_setaffinity(0, {cpu})
        while True:
            time.sleep(0.0003)
os.sched_setaffinity(0, {1})
for turn in range(50):
    with LockTrace(tracefs(), os.getpid(), [os.getpid()]) as trace:
        if not os.fork():  # which takes the lock
            os._exit(0)
        os.wait()
        assert trace.read().acquires > 0
for waker in wakers:
    os.kill(waker, 9)
"""


def test_tracing_locks_leaves_the_text_of_the_scheduler_alone(tmp_path: Path) -> None:
    # A guest under QEMU 7.2 dies of "Oops: int3" within the first few turns if it does not.
    script = tmp_path / "tracing.py"
    script.write_text(TRACING)
    done = vmabench(
        "guest", "run", "--accel", "tcg", "--", sys.executable, str(script), limit_s=GUEST_LIMIT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
