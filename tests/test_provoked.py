# SPDX-License-Identifier: GPL-2.0-only
"""Provoke each restriction for real: it is named, without a traceback, and all is restored."""

from pathlib import Path

import pytest

from tests.command import (
    DOCTOR,
    ONLY_SAMPLES,
    error_line,
    findings,
    read_raw,
    start,
    vmabench,
    wait_until,
)
from tests.needs import THP_ENABLED, needs
from tests.test_run_luck import kill_during
from tests.undo import borrowed, restored
from tests.users import CONTAINER, ORDINARY, WITHOUT_PTRACE, inside
from vmabench.machine.facts import read_facts
from vmabench.machine.pages import Page, pool_file
from vmabench.matrix.case import Case
from vmabench.store.format import Record
from vmabench.store.reader import read

BASE, HUGE = read_facts().pages
FS, VM = Path("/proc/sys/fs"), Path("/proc/sys/vm")
POOL = pool_file(Page("hugetlb-2M"))
PIPES = ("pipe", "vmsplice", "vmsplice-gift")

#: x86-64
SYSCALLS = {"process_vm_readv": 310, "process_vm_writev": 311, "userfaultfd": 323,
            "pidfd_getfd": 438}  # fmt: skip

#: root without the capability that lifts limits
WITHOUT_RESOURCE = ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")

#: mechanisms that this machine lacks for every user
NOT_HERE = {"clone", "xpmem"}

pytestmark = needs("root", "setpriv")


def blocked(found: dict[tuple[str, str], dict[str, str]], page: str = BASE) -> set[str]:
    return {name for (name, on), one in found.items() if on == page and one["state"] != "ok"}


def small_run(
    mechanism: str, sizes: str, prefix: tuple[str, ...] = (), page: str = BASE
) -> dict[int, str]:
    """Return size -> reason of the skipped cases of a run with status 0."""
    run = vmabench(
        "run", "smoke", "--mechanism", mechanism, "--page", page, "--size", sizes,
        "--scenario", "transfer", "--budget", "500ms", *ONLY_SAMPLES, prefix=prefix,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    skipped = read(Path("out")).of_kind("skipped")
    return {Case.parse(r["case"]).size_bytes: r["reason"] for r in skipped}


# Pipes


@pytest.mark.parametrize("who", [WITHOUT_RESOURCE, ORDINARY], ids=["root", "ordinary"])
def test_a_pipe_that_may_not_be_that_large(who: tuple[str, ...], user_state: None) -> None:
    with borrowed(FS / "pipe-max-size", "65536"):
        found = findings(vmabench(*DOCTOR, prefix=who))
    for mechanism in PIPES:
        assert "fs.pipe-max-size" in found[mechanism, BASE]["blocked_by"]
        assert found[mechanism, BASE]["fix"] == "sysctl fs.pipe-max-size=1048576"
    assert blocked(found) - NOT_HERE == set(PIPES)


@pytest.mark.parametrize("limit", ["soft", "hard"])
def test_a_user_who_has_no_more_pages_for_pipes(limit: str, user_state: None) -> None:
    """Enough for the pipes of the workers themselves, too few for one of 1M."""
    with borrowed(FS / f"pipe-user-pages-{limit}", "200"):
        found = findings(vmabench(*DOCTOR, prefix=ORDINARY))
    for mechanism in PIPES:
        assert "fs.pipe-user-pages-soft or -hard" in found[mechanism, BASE]["blocked_by"]
        assert "fs.pipe-user-pages-soft" in found[mechanism, BASE]["fix"]
    assert blocked(found) - NOT_HERE == set(PIPES)


def test_a_user_who_may_have_no_pipe_at_all(user_state: None) -> None:
    with borrowed(FS / "pipe-user-pages-hard", "1"):
        line = error_line(vmabench(*DOCTOR, prefix=ORDINARY))
    assert "can't start a worker process: Too many open files in system" in line


# Shared memory


def test_a_segment_larger_than_shmmax() -> None:
    """shmmax and shmall hold for root as well: one test of each user is enough."""
    small = inside("echo 65536 >/proc/sys/kernel/shmmax", "--ipc")
    found = small_run("sysv", "64K,1M", prefix=small)
    assert set(found) == {1 << 20}
    assert "kernel.shmmax forbids shmget" in found[1 << 20]


def test_more_segments_than_shmall(user_state: None) -> None:
    few_pages = inside("echo 64 >/proc/sys/kernel/shmall", "--ipc")
    found = small_run("sysv", "64K,1M", prefix=(*few_pages, *ORDINARY))
    assert set(found) == {1 << 20}
    assert "kernel.shmall or kernel.shmmni forbids shmget" in found[1 << 20]


def test_shared_memory_that_is_too_small(user: tuple[str, ...]) -> None:
    small = inside("mount -t tmpfs -o size=256k tmpfs /dev/shm", "--mount")
    found = small_run("shm", "64K,1M", prefix=(*small, *user))
    assert set(found) == {1 << 20}
    assert "262144 free" in found[1 << 20]
    assert "/dev/shm" in found[1 << 20]


# Memory


def test_nobody_locks_memory(user_state: None) -> None:
    """RLIMIT_MEMLOCK blocks nothing: no mechanism locks or registers memory. Root has no limit."""
    found = findings(vmabench(*DOCTOR, prefix=(*ORDINARY, "prlimit", "--memlock=0")))
    assert blocked(found) <= NOT_HERE


def test_strict_overcommit(user: tuple[str, ...]) -> None:
    """The limit leaves 4 GiB for the other processes of this machine."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    committed_kib = int(dict(line.split(":", 1) for line in lines)["Committed_AS"].split()[0])
    # the two limits exclude each other: the ratio counts again when it is written
    with restored(VM / "overcommit_ratio"):
        (VM / "overcommit_kbytes").write_text(str(committed_kib + (4 << 20)))
        with borrowed(VM / "overcommit_memory", "2"):
            found = small_run("fork", "64K,6G", prefix=user)
    assert set(found) == {6 << 30}
    assert "vm.overcommit_memory is 2 and its limit is reached" in found[6 << 30]


# Permissions


def test_userfaultfd_for_the_privileged_alone(user_state: None) -> None:
    """The setting blocks nothing: no mechanism handles faults of the kernel."""
    with borrowed(VM / "unprivileged_userfaultfd", "0"):
        found = findings(vmabench(*DOCTOR, prefix=ORDINARY))
    assert blocked(found) <= NOT_HERE


def test_root_without_the_right_to_trace() -> None:
    found = findings(vmabench(*DOCTOR, prefix=WITHOUT_PTRACE))
    assert blocked(found) <= NOT_HERE


def test_a_container_has_its_reasons() -> None:
    found = findings(vmabench(*DOCTOR, prefix=CONTAINER))
    assert blocked(found) <= NOT_HERE
    for mechanism, page in (("readv", "64K"), ("memfd", HUGE)):
        blocked_by = found[mechanism, page]["blocked_by"]
        assert "Read-only file system" in blocked_by
        assert "container" in blocked_by
        assert "root may" not in blocked_by
    run = vmabench("run", "smoke", "--budget", "1s", *ONLY_SAMPLES, prefix=CONTAINER)
    assert run.returncode == 0, run.stderr
    measured = {Case.parse(r["case"]).page for r in read(Path("out")).of_kind("case")}
    assert measured == {BASE, HUGE}


@needs("compiler")
def test_a_container_with_a_filter_has_that_reason(seccomp_filter: str) -> None:
    filters = [
        word
        for name in ("process_vm_readv", "process_vm_writev", "userfaultfd")
        for word in (seccomp_filter, str(SYSCALLS[name]), "1")
    ]
    filtered = {"readv", "readv-holes", "writev", "uffd-copy", "uffd-wp", "uffd-minor", "uffd-move"}
    filtered |= {"pagemap-scan"}
    found = findings(vmabench(*DOCTOR, prefix=(*CONTAINER, *filters)))
    for mechanism in filtered:
        assert "a seccomp filter refuses" in found[mechanism, BASE]["blocked_by"]
    assert blocked(found) <= NOT_HERE | filtered


@needs("compiler")
@pytest.mark.parametrize(
    ("call", "mechanism", "user"),
    [("process_vm_writev", "writev", ()), ("pidfd_getfd", "memfd-getfd", ORDINARY)],
    ids=["root", "ordinary"],
)
def test_a_filter_on_one_call_is_not_taken_for_another_user(
    seccomp_filter: str, call: str, mechanism: str, user: tuple[str, ...], user_state: None
) -> None:
    prefix = (*user, seccomp_filter, str(SYSCALLS[call]), "1")
    found = findings(vmabench(*DOCTOR, prefix=prefix))
    blocked_by = found[mechanism, BASE]["blocked_by"]
    assert blocked_by.startswith(f"{call} gives EPERM: a seccomp filter refuses it, or")
    assert blocked(found) - NOT_HERE == {mechanism}


# Pools


def test_a_pool_for_system_v_memory_takes_a_group(user_state: None) -> None:
    with restored(POOL):
        POOL.write_text(str(int(POOL.read_text()) + 16))
        found = findings(vmabench(*DOCTOR, prefix=ORDINARY))
    sysv = found["sysv", "hugetlb-2M"]
    assert "vm.hugetlb_shm_group" in sysv["blocked_by"]
    assert "vm.hugetlb_shm_group" in sysv["fix"]
    assert found["memfd", "hugetlb-2M"]["state"] == "ok"


def failures(name: str) -> list[Record]:
    return [r for r in read(Path(name)).of_kind("case") if r["outcome"] == "failed"]


def test_a_pool_that_shrinks_while_a_run_is_on(user: tuple[str, ...]) -> None:
    """After the first of eight rounds: before it, there might be no value, which is status 1."""
    with restored(POOL):
        POOL.write_text(str(int(POOL.read_text()) + 32))
        run = start(
            "run", "quick", "--mechanism", "readv,fork,memfd,memcpy", "--page", "hugetlb-2M",
            "--size", "8M", "--budget", "4s", "-o", "out", prefix=user,
        )  # fmt: skip
        samples = Path("out/samples.jsonl.gz")
        wait_until(lambda: samples.exists() and b'"complete":true' in read_raw(samples))
        POOL.write_text("0")
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 2, errors
    assert "Traceback" not in errors
    assert read(Path("out")).complete
    reasons = {str(record["reason"]) for record in failures("out")}
    assert reasons
    for reason in reasons:
        assert "pool of hugetlb-2M" in reason or "nr_hugepages was switched" in reason, reason


# Somebody else, meanwhile


@needs("thp")
def test_thp_that_somebody_switches_off_meanwhile(user: tuple[str, ...]) -> None:
    run = start(
        "run", "smoke", "--mechanism", "readv", "--page", HUGE, "--size", "2M",
        "--scenario", "deliver", "--budget", "4s", "-o", "out", prefix=user,
    )  # fmt: skip
    samples = Path("out/samples.jsonl.gz")
    wait_until(lambda: samples.exists() and b"calibration" in read_raw(samples))
    with borrowed(THP_ENABLED, "never"):
        wait_until(lambda: b'"failed"' in read_raw(samples))
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 2, errors
    reasons = {str(record["reason"]) for record in failures("out")}
    for reason in reasons:
        switched = "transparent_hugepage/enabled was switched" in reason
        assert switched or "backed by huge pages, not 100 %" in reason, reason


def test_a_source_that_dies_costs_an_ordinary_user_one_case(user_state: None) -> None:
    run = start(
        "run", "smoke", "--mechanism", "readv,writev,memfd", "--page", BASE, "--size", "16M",
        "--budget", "4s", "-o", "out", prefix=ORDINARY,
    )  # fmt: skip
    kill_during(run.pid, "source")
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 2, errors
    (failed,) = failures("out")
    assert "the source process was killed by signal 9" in str(failed["reason"])
