# SPDX-License-Identifier: GPL-2.0-only
"""Swap devices and memory cgroups of the suite's own, and the scenarios that take them."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.command import ONLY_SAMPLES, start, vmabench, wait_until
from tests.needs import needs
from vmabench.analysis.frame import tidy
from vmabench.errors import MachineError, UsageError
from vmabench.machine import swap
from vmabench.machine.cgroup import SERVER, Hierarchy, MemoryGroups, find_hierarchy
from vmabench.machine.facts import read_facts
from vmabench.machine.metrics import metrics
from vmabench.machine.procfs import rows
from vmabench.machine.swap import PAGE_CLUSTER, SwapDevices, active
from vmabench.matrix.case import Case
from vmabench.matrix.rules import GROUP, why_not
from vmabench.matrix.rules import needs as needs_of
from vmabench.report.build import Report
from vmabench.report.memory import memory_findings
from vmabench.store.reader import read

SWAPPED = ("run", "smoke", "--scenario", "swapped", "--page", "base", "--size", "1M")


@pytest.fixture(autouse=True)
def own_swap_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMABENCH_SWAP_DIR", str(tmp_path / "swap"))


def made() -> tuple[list[str], list[str], list[str], str]:
    """Everything that a run makes or borrows for memory, as it is on the machine now."""
    found = find_hierarchy()
    groups = sorted(map(str, found.parent.glob("vmabench-*"))) if found else []
    devices = sorted(path.name for path in Path("/sys/block").glob("zram*"))
    return active(), devices, groups, PAGE_CLUSTER.read_text()


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[None]:
    before = made()
    yield
    assert made() == before
    assert not list((tmp_path / "swap").glob("*"))


def is_measuring() -> bool:
    """Devices are switched on and off once when they are made; from then on by workers alone."""
    return Path("out/samples.jsonl.gz").exists()


def values(directory: str) -> pd.DataFrame:
    frame = tidy(read(Path(directory)))
    return frame[(frame["phase"] == "total") & (frame["outcome"] == "ok")]


@pytest.mark.parametrize("text", ["90", "101-zram", "50-tape", "zram"])
def test_a_share_of_swapped_memory_names_its_device(text: str) -> None:
    with pytest.raises(UsageError):
        Case.parse(f"readv/scenario:swapped/page:4K/size:4K/touch:read-10/swapped:{text}")


def test_what_a_case_lacks_is_its_reason() -> None:
    facts = read_facts()
    case = Case("readv", "pageserver", facts.pages[0], 64 << 20, receivers=4)
    limited = Case(
        "readv", "pageserver", facts.pages[0], 64 << 20, receivers=4,
        swap_device="zram", limit_bytes=32 << 20,
    )  # fmt: skip
    assert needs_of(case) == []
    assert needs_of(limited) == ["zram", GROUP]
    assert why_not(limited, facts, {}) is None
    assert why_not(limited, facts, {}, lacking={"zram": "no zram"}) == "no zram"
    assert why_not(limited, facts, {}, lacking={GROUP: "no group"}) == "no group"
    pipe = Case("pipe", "pageserver", facts.pages[0], 64 << 20)
    assert "pageserver takes clone" in str(why_not(pipe, facts, {}))
    odd = Case("readv", "pageserver", facts.pages[0], 64 << 20, receivers=3)
    assert "no whole pages for 3 receivers" in str(why_not(odd, facts, {}))


def version_2(top: Path) -> Hierarchy:
    (top / "cgroup.controllers").write_text("cpu memory\n")
    (top / "cgroup.subtree_control").write_text("")
    return Hierarchy(2, top)


def test_a_group_of_version_2_gets_the_controller_from_above(tmp_path: Path) -> None:
    top = tmp_path / "cgroup"
    top.mkdir()
    group = MemoryGroups(version_2(top), tmp_path / "state").make()
    assert (top / "cgroup.subtree_control").read_text() == "+memory"
    assert (group.path / "cgroup.subtree_control").read_text() == "+memory"
    assert {path.name for path in group.path.iterdir() if path.is_dir()} == {"pair", "server"}
    assert group.peak_file().name == "memory.peak"
    assert group.peak_how == "cgroup-v2"
    group.set_limit(1 << 20)
    assert (group.path / "server" / "memory.max").read_text() == str(1 << 20)
    (group.path / "server" / "memory.events").write_text("oom 3\noom_kill 2\n")
    assert group.oom_kills() == 2


def test_the_hierarchy_is_found_in_either_version(tmp_path: Path) -> None:
    proc, memory, unified = tmp_path / "proc", tmp_path / "memory", tmp_path / "unified"
    for path in (proc / "self", memory / "mine", unified):
        path.mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("4:memory:/mine\n0::/\n")
    v1, v2 = f"cgroup {memory} cgroup rw,memory 0 0\n", f"cgroup2 {unified} cgroup2 rw 0 0\n"
    (unified / "cgroup.controllers").write_text("cpu\n")
    (proc / "mounts").write_text(v2 + v1)
    assert find_hierarchy(proc) == Hierarchy(1, memory / "mine")
    (proc / "mounts").write_text(v2)
    assert find_hierarchy(proc) is None
    (unified / "cgroup.controllers").write_text("cpu memory\n")
    assert find_hierarchy(proc) == Hierarchy(2, unified)
    assert find_hierarchy(tmp_path / "none") is None


def test_the_hierarchy_is_found_at_any_path(tmp_path: Path) -> None:
    """The kernel escapes blanks in /proc/mounts, and nothing in /proc/self/cgroup."""
    proc, memory = tmp_path / "proc", tmp_path / "mem \udcff"
    own = memory / "a b:c\\040\udcff"
    for path in (proc / "self", own):
        path.mkdir(parents=True)
    (proc / "self" / "cgroup").write_bytes(b"4:memory:/a b:c\\040\xff\n")
    mounted = os.fsencode(memory).replace(b" ", b"\\040")
    (proc / "mounts").write_bytes(b"cgroup %s cgroup rw,memory 0 0\n" % mounted)
    assert find_hierarchy(proc) == Hierarchy(1, own)


def test_a_group_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="can't make the memory cgroup"):
        MemoryGroups(Hierarchy(1, tmp_path / "missing"), tmp_path / "state").make()
    assert not (tmp_path / "state/groups.json").exists()


def test_a_group_that_holds_processes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root of a private cgroup namespace is a group like any other, and has processes."""
    top = tmp_path / "cgroup"
    top.mkdir()
    groups = MemoryGroups(version_2(top), tmp_path / "state")
    write = Path.write_text

    def busy(path: Path, text: str) -> int:
        if path == top / "cgroup.subtree_control" and text == "+memory":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", busy)
    assert f"{top} holds processes" in groups.why_not()
    (peak,) = [one for one in metrics(groups) if one.name == "peak memory"]
    assert peak.state == "degraded"
    assert peak.blocked_by == f"{groups.why_not()}: peaks are sampled"


@needs("memory-cgroup")
def test_the_doctor_says_of_peaks_what_a_run_does(nothing_left: None) -> None:
    with MemoryGroups() as groups:
        found = {metric.name: metric for metric in metrics(groups)}
        assert found["peak memory"].state == "ok"
        groups.make()


@needs("memory-cgroup")
def test_a_group_is_made_and_removed(nothing_left: None) -> None:
    with MemoryGroups() as groups:
        group = groups.make()
        group.set_limit(8 << 20)
        assert group.path.is_dir()
        assert group.oom_kills() == 0


@needs("memory-cgroup")
def test_a_group_is_empty_when_its_last_process_has_ended(nothing_left: None) -> None:
    """What a killed server leaves behind holds swap and memory for a moment longer."""
    with MemoryGroups() as groups:
        group = groups.make()
        lasting = subprocess.Popen(["sleep", "0.5"])
        group.join(lasting.pid, SERVER)
        group.wait_until_empty(SERVER)
        assert not (group.path / SERVER / "cgroup.procs").read_text()
        assert lasting.wait(timeout=1) == 0


@needs("zram", "swap")
@pytest.mark.parametrize("kind", swap.KINDS)
def test_a_device_is_made_switched_and_removed(nothing_left: None, kind: str) -> None:
    before = active()
    with SwapDevices() as devices:
        path = devices.make(kind, 8 << 20)
        assert PAGE_CLUSTER.read_text().strip() == "0"
        assert active() == before
        stat = SwapDevices().switch(kind)
        assert stat and stat.exists()
        assert set(active()) - set(before) == {str(path)}
        SwapDevices().switch("")
        assert active() == before


KILLED_WHILE_ON = """
import os, signal
from vmabench.machine.swap import SwapDevices
SwapDevices().make("file", 1 << 20)
SwapDevices().switch("file")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["link", "relative", "odd"])
def swap_directory(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A directory for swap files that the kernel names otherwise than VMABENCH_SWAP_DIR does."""
    directory = tmp_path / ("a \\ b\t\n\r\u00e9\udcff" if request.param == "odd" else "real")
    directory.mkdir()
    (tmp_path / "link").symlink_to(directory)
    given = {"link": str(tmp_path / "link"), "relative": "real"}.get(request.param, str(directory))
    monkeypatch.setenv("VMABENCH_SWAP_DIR", given)
    return directory


@needs("swap")
def test_a_swap_file_of_any_name_is_switched_and_removed(
    nothing_left: None, swap_directory: Path
) -> None:
    before = active()
    with SwapDevices() as devices:
        path = devices.make("file", 1 << 20)
        SwapDevices().switch("file")
        assert set(active()) - set(before) == {str(path)}
        SwapDevices().switch("")
        assert active() == before
        SwapDevices().switch("file")
    assert active() == before
    assert not list(swap_directory.iterdir())


@needs("swap")
def test_a_swap_file_of_any_name_is_removed_after_a_kill(
    nothing_left: None, swap_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = active()
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_ON], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(active()) == len(before) + 1
    monkeypatch.chdir("/")
    monkeypatch.delenv("VMABENCH_SWAP_DIR")
    restored = vmabench("tune", "--restore", env={"XDG_STATE_HOME": "/nowhere"})
    assert restored.returncode == 0, restored.stderr
    assert ": removed" in restored.stdout
    assert active() == before
    assert not list(swap_directory.iterdir())


@needs("swap")
def test_a_swap_file_is_found_below_a_directory_that_was_renamed(
    nothing_left: None, tmp_path: Path
) -> None:
    before = active()
    with SwapDevices() as devices:
        devices.make("file", 1 << 20)
        devices.switch("file")
        (tmp_path / "swap").rename(tmp_path / "renamed")
    assert active() == before
    assert not list((tmp_path / "renamed").iterdir())


@needs("swap")
def test_a_swap_file_that_stays_on_is_not_removed_and_says_what_to_run(
    nothing_left: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = tmp_path / "bin"
    refuses.mkdir()
    (refuses / "swapoff").write_text("#!/bin/sh\necho swapoff: not now >&2\nexit 1\n")
    (refuses / "swapoff").chmod(0o755)
    with SwapDevices() as devices:
        path = devices.make("file", 1 << 20)
        devices.switch("file")
        with monkeypatch.context() as patch:
            patch.setenv("PATH", f"{refuses}:{os.environ['PATH']}")
            said = devices.restore()
        assert (
            f"{path}: can't be removed: swapoff failed: swapoff: not now: run swapoff {path}"
            in said
        )
        assert str(path) in active()
        assert path.exists()


def test_the_fields_of_a_table_are_file_names(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_bytes(b"Filename\tType\n/a\\040b\\134\r\xff \t file\t\t1\n")
    assert rows(table) == [["Filename", "Type"], ["/a b\\\r\udcff", "file", "1"]]


@needs("swap")
def test_a_full_device_is_a_reason(
    nothing_left: None, full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMABENCH_SWAP_DIR", str(full_disk))
    run = vmabench(*SWAPPED, "--mechanism", "readv", "--swapped", "100-file", *ONLY_SAMPLES)
    (skipped,) = read(Path("out")).of_kind("skipped")
    assert "No space left" in skipped["reason"], run.stderr
    assert not list(full_disk.iterdir())


@needs("swap")
def test_no_swap_permitted_is_a_reason(
    nothing_left: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = tmp_path / "bin"
    refuses.mkdir()
    (refuses / "swapon").write_text("#!/bin/sh\necho swapon: not permitted >&2\nexit 1\n")
    (refuses / "swapon").chmod(0o755)
    monkeypatch.setenv("PATH", f"{refuses}:{os.environ['PATH']}")
    vmabench(*SWAPPED, "--mechanism", "readv", "--swapped", "100-file", *ONLY_SAMPLES)
    (skipped,) = read(Path("out")).of_kind("skipped")
    assert "not permitted" in skipped["reason"]


def test_missing_zram_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "_CONTROL", tmp_path / "none")
    with pytest.raises(MachineError, match="modprobe zram"):
        SwapDevices(tmp_path).make("zram", 1 << 20)


def test_a_device_that_was_there_before_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading the module makes zram0, which nobody has set up; and devices cannot be removed."""
    control, theirs = tmp_path / "control", tmp_path / "block/zram0"
    for directory in (control / "hot_remove", theirs):
        directory.mkdir(parents=True)
    (control / "hot_add").write_text("1")
    (theirs / "initstate").write_text("0")
    monkeypatch.setattr(swap, "_CONTROL", control)
    monkeypatch.setattr(swap, "_BLOCK", theirs.parent)
    devices = SwapDevices(tmp_path / "state")
    with pytest.raises(MachineError, match="no swap in zram"):
        devices.make("zram", 1 << 20)
    assert devices.restore() == []
    assert [path.name for path in theirs.iterdir()] == ["initstate"]


@needs("zram", "swap")
def test_what_is_read_back_by_the_call_and_by_the_use(nothing_left: None) -> None:
    run = vmabench(
        *SWAPPED, "--mechanism", "readv,fork,memfd-inplace,null", "--swapped", "0-zram,100-zram",
        "--budget", "1s", *ONLY_SAMPLES,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    rows = values("out")
    of_none, of_all = (
        rows[rows["swapped_pct"] == pct].set_index("mechanism").astype({"call_swap_in_bytes": int})
        for pct in (0, 100)
    )
    touched = -(-256 * 10 // 100) * 4096
    for name, call, use in (("readv", 1 << 20, 0), ("fork", 0, touched)):
        assert set(of_all.loc[[name], "call_swap_in_bytes"]) == {call}
        assert set(of_all.loc[[name], "use_swap_in_bytes"]) == {use}
        assert set(of_none.loc[[name], "swap_in_bytes"]) == {0}
    assert set(of_all.loc[["memfd-inplace"], "use_swap_in_bytes"]) == {touched}
    assert rows["swap_device_read_bytes"].notna().all()
    text = Report(read(Path("out"))).text()
    assert "paged out to zram" in text
    assert "in, by the call" in text


@needs("swap")
def test_a_file_gives_back_what_it_was_given(nothing_left: None) -> None:
    vmabench(*SWAPPED, "--mechanism", "readv,memfd", "--swapped", "100-file", "--budget", "1s",
             *ONLY_SAMPLES)  # fmt: skip
    rows = values("out")
    assert set(rows["mechanism"]) == {"readv"}
    assert set(rows["call_swap_in_bytes"]) == {1 << 20}
    (skipped,) = read(Path("out")).of_kind("skipped")
    assert "stays in the swap cache" in skipped["reason"]


@needs("memory-cgroup")
def test_the_peak_of_a_handoff(nothing_left: None) -> None:
    run = vmabench(
        "run", "smoke", "--scenario", "handoff", "--page", "base", "--size", "64M",
        "--mechanism", "readv,fork,memfd-inplace", "--budget", "1s", *ONLY_SAMPLES,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    rows = values("out")
    payload = rows.set_index("mechanism")["peak_bytes"] / (64 << 20)
    assert set(rows["peak_how"]) <= {"cgroup-v1", "cgroup-v2"}
    assert payload["readv"].min() >= 1.9
    assert payload["fork"].max() <= 1.1  # the proxy of clone
    assert payload["memfd-inplace"].max() <= 1.1
    assert any("as a multiple" in text for text in memory_findings(tidy(read(Path("out")))))


@needs("memory-cgroup", "zram", "swap")
def test_a_server_over_its_limit_hands_out_every_byte(nothing_left: None) -> None:
    run = vmabench(
        "run", "smoke", "--scenario", "pageserver", "--page", "base", "--size", "8M,16M",
        "--limit", "8M", "--mechanism", "fork,memfd-inplace", "--budget", "1s", *ONLY_SAMPLES,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    rows = values("out")
    assert set(rows["mechanism"]) == {"fork", "memfd-inplace"}
    assert (rows["peak_bytes"] <= 8 << 20).all()
    over = rows[rows["size_bytes"] == 16 << 20]
    assert (over["swap_out_bytes"] > 0).all()
    assert "doubling what it holds" in Report(read(Path("out"))).text()


@needs("memory-cgroup", "zram", "swap")
def test_a_limit_that_nothing_fits_into_is_said(nothing_left: None) -> None:
    vmabench(
        "run", "smoke", "--scenario", "pageserver", "--page", "base", "--size", "4M",
        "--limit", "64K", "--mechanism", "fork", "--budget", "500ms", *ONLY_SAMPLES,
    )  # fmt: skip
    reasons = [r["reason"] for r in read(Path("out")).of_kind("case") if r["outcome"] == "failed"]
    assert reasons
    assert all("acted at a limit of 64K" in reason for reason in reasons)


@needs("zram", "swap")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_ends_early_leaves_nothing(nothing_left: None, how: signal.Signals) -> None:
    before = active()
    process = start(
        *SWAPPED, "--mechanism", "readv", "--swapped", "100-zram", "--budget", "60s", *ONLY_SAMPLES
    )
    wait_until(lambda: is_measuring() and active() != before)
    process.send_signal(how)
    process.communicate()
    if how == signal.SIGKILL:
        assert active() != before
        restored = vmabench("tune", "--restore")
        assert restored.returncode == 0, restored.stderr
        assert "removed" in restored.stdout


def test_counters_can_be_switched_off() -> None:
    arguments = ("run", "smoke", "--mechanism", "readv", "--page", "base", "--size", "4K",
                 "--scenario", "transfer", "--budget", "500ms", "--samples-only")  # fmt: skip
    for name, options in (("on", ()), ("off", ("--no-counters",))):
        assert vmabench(*arguments, *options, "-o", name).returncode == 0
    on, off = values("on"), values("off")
    for column in ("minor_faults", "swap_in_bytes", "context_switches", "steal_ns"):
        assert on[column].notna().all()
        assert off[column].isna().all()
    assert off["time_ns"].gt(0).all()
