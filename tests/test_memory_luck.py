# SPDX-License-Identifier: GPL-2.0-only
"""What can go wrong with swap, cgroups and tracing, each of it for real: a row with its reason, and
nothing left behind.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import NEXT_RUN, ONLY_SAMPLES, start, vmabench, wait_until
from tests.needs import needs
from tests.test_memory import SWAPPED, is_measuring, made, nothing_left, own_swap_files, values
from vmabench.errors import NativeError
from vmabench.machine.cgroup import find_hierarchy
from vmabench.machine.facts import read_facts
from vmabench.machine.swap import SwapDevices, active
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, Pair
from vmabench.report.build import Report
from vmabench.runner.rounds import choose_cpus
from vmabench.store.reader import read

__all__ = ["nothing_left", "own_swap_files"]

BASE = read_facts().pages[0]
PAGESERVER = ("run", "smoke", "--scenario", "pageserver", "--page", "base", "--size", "16M",
              "--limit", "8M", "--mechanism", "fork")  # fmt: skip

#: root without the capability that swapping and mounting take
POWERLESS = ("setpriv", "--inh-caps", "-sys_admin", "--bounding-set", "-sys_admin")


def with_mounts(script: str) -> tuple[str, ...]:
    """What to put before a command that is to find other mounts than the machine has."""
    return ("unshare", "--mount", "sh", "-ec", f'{script}; exec "$@"', "sh")


def reasons(kind: str = "skipped") -> set[str]:
    return {record["reason"] for record in read(Path("out")).of_kind(kind) if "reason" in record}


@needs("swap", "setpriv")
def test_swap_that_is_not_permitted(nothing_left: None) -> None:
    run = vmabench(*SWAPPED, "--mechanism", "readv", "--swapped", "100-file", "--budget", "1s",
                   *ONLY_SAMPLES, prefix=POWERLESS)  # fmt: skip
    assert run.returncode == 1, run.stderr  # nothing was measured
    (reason,) = reasons()
    assert "Operation not permitted" in reason


@needs("swap", "zram")
def test_a_kernel_without_zram(nothing_left: None) -> None:
    hidden = with_mounts("mount -t tmpfs none /sys/class/zram-control")
    run = vmabench(*SWAPPED, "--mechanism", "readv", "--swapped", "100-zram,100-file", "--budget",
                   "1s", *ONLY_SAMPLES, prefix=hidden)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert reasons() == {"no zram: modprobe zram (CONFIG_ZRAM)"}
    assert set(values("out")["swap_device"]) == {"file"}


@needs("swap", "zram")
def test_no_device_is_made_that_can_not_be_removed(nothing_left: None) -> None:
    before = sorted(Path("/sys/block").glob("zram*"))
    run = vmabench(*SWAPPED, "--mechanism", "readv", "--swapped", "100-zram", "--budget", "1s",
                   *ONLY_SAMPLES, prefix=with_mounts("mount -o remount,bind,ro /sys"))  # fmt: skip
    assert "Read-only file system" in run.stderr + " ".join(reasons())
    assert sorted(Path("/sys/block").glob("zram*")) == before


@needs("swap", "zram", "memory-cgroup")
def test_a_cgroup_that_cannot_be_made(nothing_left: None) -> None:
    found = find_hierarchy()
    assert found
    at = str(found.parent)
    locked = with_mounts(f"mount --bind {at} {at}; mount -o remount,bind,ro {at}")
    run = vmabench(
        "run", "smoke", "--scenario", "handoff,pageserver", "--page", "base", "--size", "1M",
        "--mechanism", "readv", "--budget", "1s", *ONLY_SAMPLES, prefix=locked,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    (reason,) = reasons()
    assert "can't make the memory cgroup" in reason
    assert "Read-only file system" in reason
    rows = values("out")
    assert set(rows["scenario"]) == {"handoff"}
    assert set(rows["peak_how"]) == {"sampled-pss"}
    assert (rows["peak_bytes"] > 2 << 20).all()


@needs("swap", "zram", "memory-cgroup")
def test_who_is_under_the_limit(nothing_left: None) -> None:
    """The OOM killer may end whoever is in the cgroup: nobody but the small source processes."""
    found = find_hierarchy()
    assert found
    run = start(*PAGESERVER, "--budget", "1s", *ONLY_SAMPLES)
    names = set()
    while run.poll() is None:
        for file in found.parent.glob(f"vmabench-{run.pid}/server/cgroup.procs"):
            try:
                pids = file.read_text().split()
                names |= {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
            except OSError:  # it has ended meanwhile
                continue
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    assert names == {"vmabench-source"}


@needs("setpriv", "root")
def test_tracing_that_is_not_permitted() -> None:
    hidden = with_mounts(
        "for place in tracing debug; do mount -t tmpfs none /sys/kernel/$place; done"
    )
    run = vmabench(
        "run", "smoke", "--scenario", "contention", "--page", "base", "--size", "64K",
        "--mechanism", "readv", "--crowd", "alone,receivers-2", "--budget", "1s", *ONLY_SAMPLES,
        prefix=(*hidden, *POWERLESS),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert not [r for r in read(Path("out")).of_kind("case") if "lock_wait" in r]
    rows = values("out")
    assert set(rows["receivers"]) == {1, 2}
    assert rows["lock_wait_ns"].isna().all()
    text = Report(read(Path("out"))).text()
    assert "2 receivers" in text
    assert "in locks" not in text


@needs("swap", "zram")
def test_a_device_that_is_full(nothing_left: None) -> None:
    if active():
        pytest.skip("the machine has swap of its own, which takes what does not fit")
    case = Case("readv", "swapped", BASE, 8 << 20, "read", 10, swapped_pct=100, swap_device="zram")
    with SwapDevices() as devices, Pair(*choose_cpus(read_facts().cpus)) as pair:
        devices.make("zram", 1 << 20)
        devices.switch("zram")
        pair.make_source(MECHANISMS["readv"].memory, case.page_bytes, case.size_bytes)
        with (
            pair.open(case, seed=1) as opened,
            pytest.raises(NativeError, match=r"of 2048 pages stay in memory: .*it is full"),
        ):
            opened.verify(generation=1)


@needs("swap", "zram", "memory-cgroup")
@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("zram", "ctrl-c"),
        ("file", "ctrl-c"),
        ("file", "kill, then tune"),
        ("zram", "kill, then another run"),
    ],
)
def test_everything_that_was_made_is_unmade(nothing_left: None, kind: str, after: str) -> None:
    """The next run and tune restore by the same call, whatever the kind of device."""
    before, groups = active(), made()[2]
    run = start(*PAGESERVER, "--swapped", f"0-{kind}", "--budget", "60s", *ONLY_SAMPLES)
    wait_until(lambda: is_measuring() and active() != before and made()[2] != groups)
    run.send_signal(signal.SIGINT if after == "ctrl-c" else signal.SIGKILL)
    _, errors = run.communicate(timeout=60)
    if after == "ctrl-c":
        assert run.returncode == 130, errors
        return
    assert active() != before
    assert made()[2] != groups
    if after == "kill, then tune":
        done = vmabench("tune", "--restore")
        assert done.stdout.count(": removed") == 2, done.stdout
    else:
        done = vmabench(*NEXT_RUN)
    assert done.returncode == 0, done.stderr


@needs("root", "tracefs")
@pytest.mark.parametrize("after", ["tune", "another run"])
def test_what_was_traced_with_goes_too(after: str) -> None:
    from vmabench.runner.lockwait import tracefs

    root = tracefs()
    assert root
    script = (
        "import os, signal; from vmabench.machine.tracing import LockTrace;"
        "from vmabench.runner.lockwait import tracefs;"
        "LockTrace(tracefs(), os.getpid(), [1]).__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.Popen([sys.executable, "-c", script])
    assert killed.wait() == -signal.SIGKILL
    left = root / "instances" / f"vmabench-{killed.pid}"
    assert left.is_dir()
    if after == "tune":
        done = vmabench("tune", "--restore")
        assert f"trace instance {left.name}: removed" in done.stdout
    else:
        done = vmabench(*NEXT_RUN)
    assert done.returncode == 0, done.stderr
    assert not left.exists()
