# SPDX-License-Identifier: GPL-2.0-only
"""The C core in a real pair of processes, at small sizes."""

import ctypes
import errno
import mmap
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.command import children, wait_until
from tests.needs import needs
from tests.users import NOBODY, ordinary
from vmabench.errors import NativeError
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.table import TABLE
from vmabench.mechanisms import MECHANISMS, SOURCE_PROGRAM, Pair, Proof, base_page_bytes, now_ns
from vmabench.native._core import ffi, lib
from vmabench.runner import worker
from vmabench.runner.rounds import choose_cpus
from vmabench.runner.worker import WrongMemoryError, check_afterwards
from vmabench.units import parse_size

BASE, HUGE = read_facts().pages
CPUS = choose_cpus(read_facts().cpus)
BASE_BYTES = base_page_bytes()
#: `make sanitize`: ASan maps memory and takes faults of its own in the processes that it is in
#: those of the checkout: the sanitized package is built elsewhere, without its sources
SOURCES = Path(__file__).parents[1] / "bench/vmabench/native"

SANITIZED = "VMABENCH_SANITIZED" in os.environ
LIBC = ctypes.CDLL(None)
LIBC.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
LIBC.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

#: clone is tested against a stub in test_clone.py, since no released kernel has the call, and
#: xpmem against another in test_xpmem.py
HERE = [name for name in MECHANISMS if name not in ("clone", "xpmem") and not TABLE[name].only]
STREAMS = [name for name in HERE if MECHANISMS[name].both_act]
TOUCHES = [("transfer", "none", 0), ("deliver", "read", 100), ("deliver", "write", 100)]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(*CPUS) as opened:
        yield opened


def make_case(
    mechanism: str, scenario: str = "transfer", size_bytes: int = 64 * BASE_BYTES
) -> Case:
    touch = ("read", 100) if scenario == "deliver" else ("none", 0)
    return Case(mechanism, scenario, BASE, size_bytes, *touch)


def make_source(pair: Pair, case: Case) -> None:
    pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)


@pytest.mark.parametrize("mechanism", HERE)
@pytest.mark.parametrize(("scenario", "mode", "pct"), TOUCHES)
@pytest.mark.parametrize("pages", [1, 2, 257])
def test_base_pages_arrive_whole_and_are_timed(
    pair: Pair, mechanism: str, scenario: str, mode: str, pct: int, pages: int
) -> None:
    case = Case(mechanism, scenario, BASE, pages * BASE_BYTES, mode, pct)
    make_source(pair, case)
    if MECHANISMS[mechanism].fresh_only and scenario == "transfer":
        with pytest.raises(NativeError, match="fresh memory alone"), pair.open(case, seed=7):
            pass
        return
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
        sample = opened.run(loops=3, expected_s=1)
        opened.verify(generation=2)  # the timed part has left everything as it was
    if mechanism != "null":
        assert evidence.src and evidence.dst
        assert evidence.src.huge_pct == evidence.dst.huge_pct == 0
        assert evidence.dst.present_bytes == evidence.dst.size_bytes == case.size_bytes
        assert evidence.page_table_bytes
    assert sample.loops == 3
    assert tuple(sample.time_ns) == case.phases
    parts = [time_ns for phase, time_ns in sample.time_ns.items() if phase != "total"]
    assert sample.time_ns["total"] > 0
    if parts and mechanism != "fork":  # which takes its total from one pair of readings
        assert sum(parts) == sample.time_ns["total"]


@needs("thp")
@pytest.mark.parametrize(
    "mechanism", [m for m in HERE if MECHANISMS[m].memory == "anon" and m != "uffd-copy"]
)
@pytest.mark.parametrize(("scenario", "mode", "pct"), TOUCHES)
def test_huge_pages_are_huge_on_both_sides_and_stay_so(
    pair: Pair, mechanism: str, scenario: str, mode: str, pct: int
) -> None:
    case = Case(mechanism, scenario, HUGE, 3 * Case("", "", HUGE, 1).page_bytes, mode, pct)
    make_source(pair, case)
    for generation in (1, 2):  # the isolation check of the first splits a page and restores it
        with pair.open(case, seed=7) as opened:
            evidence = opened.verify(generation)
            opened.run(loops=2, expected_s=1)
        if mechanism != "null":
            assert evidence.src and evidence.dst
            assert evidence.src.huge_pct == evidence.dst.huge_pct == 100


@needs("thp", "root")
@pytest.mark.parametrize(
    "mechanism", [m for m in HERE if MECHANISMS[m].memory != "anon" and m != "uffd-minor"]
)
def test_shared_memory_is_huge_where_the_setting_permits(
    shmem_advise: None, dev_shm_advise: None, pair: Pair, mechanism: str
) -> None:
    case = Case(mechanism, "deliver", HUGE, 2 * Case("", "", HUGE, 1).page_bytes, "read", 100)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
    assert evidence.src and evidence.dst
    assert evidence.src.huge_pct == evidence.dst.huge_pct == 100


@needs("thp")
def test_uffd_copy_brings_base_pages(pair: Pair) -> None:
    case = Case("uffd-copy", "deliver", HUGE, Case("", "", HUGE, 1).page_bytes, "read", 100)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
    assert evidence.src and evidence.dst
    assert (evidence.src.huge_pct, evidence.dst.huge_pct) == (100, 0)


@needs("thp", "root")
def test_uffd_minor_maps_huge_shared_memory_by_base_pages(shmem_advise: None, pair: Pair) -> None:
    case = Case("uffd-minor", "deliver", HUGE, Case("", "", HUGE, 1).page_bytes, "read", 100)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
    assert evidence.src and evidence.dst
    assert (evidence.src.huge_pct, evidence.dst.huge_pct) == (100, 0)
    assert evidence.dst.present_bytes == case.size_bytes


def test_uffd_minor_installs_its_entries_before_they_are_used(pair: Pair) -> None:
    """Beside it, memfd-inplace takes the faults when it reads."""
    loops = 16
    faults = {}
    for mechanism in ("uffd-minor", "memfd-inplace"):
        case = make_case(mechanism, "deliver", size_bytes=128 * BASE_BYTES)
        make_source(pair, case)
        with pair.open(case, seed=7) as opened:
            opened.verify(generation=1)
            faults[mechanism] = opened.run(loops=loops, expected_s=1).counts["minor_faults"]
    assert faults["memfd-inplace"] >= loops * 128 // 16  # a fault maps at most 16 pages
    assert faults["uffd-minor"] < loops  # the harness itself may take one, no loop does


@pytest.mark.parametrize("mechanism", STREAMS)
def test_a_stream_knows_the_size_of_its_buffer(pair: Pair, mechanism: str) -> None:
    case = make_case(mechanism)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
    least = 1 << 20 if MECHANISMS[mechanism].description.count("pipe") else 1 << 16
    assert evidence.channel_bytes >= least


@pytest.mark.parametrize("mechanism", STREAMS)
def test_a_source_that_dies_amid_a_stream_ends_it(pair: Pair, mechanism: str) -> None:
    """The receiver is blocked in read() then, and nobody else has the other end."""
    case = make_case(mechanism)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        os.kill(pair.source_pid, signal.SIGSTOP)
        killer = threading.Timer(0.3, os.kill, (pair.source_pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(NativeError, match="killed by signal 9"):
            opened.run(loops=1000, expected_s=1)
        killer.join()


@pytest.mark.parametrize("mechanism", STREAMS)
def test_a_receiver_that_fails_amid_a_stream_does_not_hang(pair: Pair, mechanism: str) -> None:
    """It may not write to its memory: the source, blocked in the middle, has to be let go.

    What it loses the channel with then (ECONNRESET where messages were waiting) is no reason.
    """
    case = make_case(mechanism, size_bytes=4096 * BASE_BYTES)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        start = int(ffi.cast("uintptr_t", opened._context.dst))
        half = case.size_bytes // 2
        # minor faults make the receiver the slower one: the source has filled the channel
        assert LIBC.madvise(start, case.size_bytes, mmap.MADV_DONTNEED) == 0
        assert LIBC.mprotect(start + half, half, 0) == 0
        with pytest.raises(NativeError, match="read: Bad address"):
            opened.run(loops=2, expected_s=1)
    assert pair.alive


@needs("thp")
def test_memory_that_was_split_meanwhile_is_noticed_afterwards(pair: Pair) -> None:
    case = Case("readv", "transfer", HUGE, 2 * Case("", "", HUGE, 1).page_bytes)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        opened.run(loops=2, expected_s=1)
        check_afterwards(opened, case)
        # a part of a huge page gets rights of its own, and the entry is split
        address = int(ffi.cast("uintptr_t", opened._context.dst))
        assert LIBC.mprotect(address, BASE_BYTES, mmap.PROT_READ) == 0
        with pytest.raises(WrongMemoryError, match=r"the destination is 50\.0 % backed"):
            check_afterwards(opened, case)
        src, dst = opened.prove()
    assert src and src.vmas == 1
    assert dst and dst.vmas == 2


@pytest.mark.parametrize(
    ("base_bytes", "page"),
    [(4 << 10, "hugetlb-64K"), (4 << 10, "hugetlb-2M"), (64 << 10, "hugetlb-2M"),
     (64 << 10, "hugetlb-16G")],
)  # fmt: skip
def test_a_pool_page_of_any_size_is_huge(
    monkeypatch: pytest.MonkeyPatch, base_bytes: int, page: str
) -> None:
    """arm64 has pools of 64K with base pages of 4K, and of 2M with base pages of 64K."""
    monkeypatch.setattr(worker, "base_page_bytes", lambda: base_bytes)
    case = Case("readv", "transfer", page, 4 * parse_size(page.removeprefix("hugetlb-")))
    whole = Proof(case.size_bytes, case.size_bytes, case.size_bytes)
    worker.check_proof(case, "the source", whole)
    worker.check_proof(
        case, "the source", replace(whole, folio_bytes={case.page_bytes: case.size_bytes})
    )
    with pytest.raises(WrongMemoryError, match=r"0\.0 % backed by huge pages, not 100 %"):
        worker.check_proof(case, "the source", replace(whole, huge_bytes=0))
    with pytest.raises(WrongMemoryError, match=r"0\.0 % in folios of"):
        worker.check_proof(case, "the source", replace(whole, folio_bytes={}))


def test_the_forked_child_ends_with_a_source_that_is_killed(pair: Pair) -> None:
    """It waits for its parent's turn in the check, and would wait for ever."""
    case = make_case("fork", size_bytes=8192 * BASE_BYTES)
    make_source(pair, case)
    source = pair.source_pid

    def kill_the_source() -> None:
        wait_until(lambda: children(source))
        forked.extend(children(source))
        os.kill(source, signal.SIGKILL)

    forked: list[int] = []
    killer = threading.Thread(target=kill_the_source)
    with pair.open(case, seed=7) as opened:
        killer.start()
        with pytest.raises(NativeError, match="killed by signal 9"):
            opened.verify(generation=1)
    killer.join()
    assert forked
    wait_until(lambda: not any(is_running(pid) for pid in forked), limit_s=5)


#: kills the source as soon as it has forked, before the child runs; prints the child's PID
TRACER = """
import ctypes, os, signal, sys
PTRACE_DETACH, PTRACE_GETEVENTMSG, PTRACE_SEIZE, TRACEFORK, EVENT_FORK = 17, 0x4201, 0x4206, 2, 1
WALL = 0x40000000
libc = ctypes.CDLL(None)
libc.ptrace.argtypes = ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p
source, child = int(sys.argv[1]), ctypes.c_ulong()
assert libc.ptrace(PTRACE_SEIZE, source, None, TRACEFORK) == 0
print("seized", flush=True)
assert os.waitpid(source, WALL)[1] >> 16 == EVENT_FORK
libc.ptrace(PTRACE_GETEVENTMSG, source, None, ctypes.addressof(child))
os.waitpid(child.value, WALL)
os.kill(source, signal.SIGKILL)
os.waitpid(source, WALL)
libc.ptrace(PTRACE_DETACH, child.value, None, None)
print(child.value, flush=True)
"""


@pytest.mark.parametrize("scenario", ["handoff", "swapped"])
def test_the_forked_child_does_not_wait_for_a_source_that_is_dead(
    pair: Pair, scenario: str
) -> None:
    """It waits for its turn in read() on a pipe whose other end it has itself."""
    case = make_case("fork", scenario)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        tracer = subprocess.Popen(
            [sys.executable, "-c", TRACER, str(pair.source_pid)], stdout=subprocess.PIPE, text=True
        )
        assert tracer.stdout
        assert tracer.stdout.readline() == "seized\n"
        with pytest.raises(NativeError, match="killed by signal 9"):
            opened.run(loops=1, expected_s=5)
        child = int(tracer.communicate(timeout=20)[0])
    wait_until(lambda: not is_running(child), limit_s=5)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.skipif("VMABENCH_SANITIZED" in os.environ, reason="its shadow memory has no limit")
def test_a_receiver_of_a_page_server_says_why_it_can_not_start(pair: Pair) -> None:
    """A region takes 5 GiB of addresses to find, and the two slots of a receiver 6."""
    case = Case("readv", "pageserver", BASE, 64 * BASE_BYTES, "read", 50, receivers=2)
    make_source(pair, case)
    status = Path(f"/proc/{pair.source_pid}/status").read_text()
    used_bytes = int(status.split("VmSize:")[1].split()[0]) << 10
    limit = used_bytes + (11 << 29), resource.RLIM_INFINITY
    resource.prlimit(pair.source_pid, resource.RLIMIT_AS, limit)
    with (
        pair.open(case, seed=7) as opened,
        pytest.raises(NativeError, match="receiver 0: no free address range"),
    ):
        opened.verify(generation=1)


def test_a_moved_source_is_whole_again(pair: Pair) -> None:
    """An odd number of moves: what is timed ends with the data at the other address."""
    for mechanism in ("mremap", "uffd-move"):
        case = make_case(mechanism)
        make_source(pair, case)
        with pair.open(case, seed=7) as opened:
            for loops in (1, 2, 3):
                opened.run(loops, expected_s=1)
                evidence = opened.verify(generation=loops)
                assert evidence.src and evidence.src.present_bytes == case.size_bytes


def test_a_sealed_source_can_not_be_written(pair: Pair) -> None:
    case = make_case("memfd-private")
    make_source(pair, case)
    fd = lib.vmb_pair_source(pair._pair).fd
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(fd, case.size_bytes, mmap.MAP_SHARED, mmap.PROT_WRITE)


def test_a_pid_that_is_taken_elsewhere_takes_no_shared_memory(pair: Pair) -> None:
    """Containers may share /dev/shm and have PIDs of their own."""
    taken = Path(f"/dev/shm/vmabench-{pair.source_pid}")
    taken.touch()
    try:
        make_source(pair, make_case("shm"))
    finally:
        taken.unlink()


def test_system_v_memory_is_removed_at_once(pair: Pair) -> None:
    before = Path("/proc/sysvipc/shm").read_text().count("\n")
    case = make_case("sysv")
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        segments = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    mine = [line.split() for line in segments if line.split()[4] == str(pair.source_pid)]
    # the mode has SHM_DEST: it goes with the last process that is attached
    assert [int(fields[2], 8) & 0o1000 for fields in mine] == [0o1000]
    pair.close()
    assert Path("/proc/sysvipc/shm").read_text().count("\n") == before


@needs("thp")
def test_both_ways_to_prove_the_backing_agree() -> None:
    huge = Case("", "", HUGE, 1).page_bytes
    memory = mmap.mmap(-1, 4 * huge, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = int(ffi.cast("uintptr_t", ffi.from_buffer(memory)))
    start = (address + huge - 1) // huge * huge
    offset = start - address
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory.madvise(mmap.MADV_HUGEPAGE, offset, huge)
    for at in (offset, offset + 2 * huge, offset + 2 * huge + BASE_BYTES):
        memory[at] = 1
    by_scan, by_smaps = ffi.new("struct vmb_proof *"), ffi.new("struct vmb_proof *")
    whole = ffi.cast("char *", start)
    assert lib.vmb_prove_by_scan(whole, huge, by_scan) in (0, -errno.ENOTTY)
    if by_scan.size_bytes:
        assert (by_scan.present_bytes, by_scan.huge_bytes) == (huge, huge)
        assert lib.vmb_prove_by_scan(whole, 3 * huge, by_scan) == 0
        assert by_scan.present_bytes == huge + 2 * BASE_BYTES
        assert by_scan.huge_bytes == huge
    assert lib.vmb_prove_by_smaps(whole, huge, by_smaps) == 0
    assert (by_smaps.present_bytes, by_smaps.huge_bytes) == (huge, huge)


def test_fork_copies_faster_than_it_faults(pair: Pair) -> None:
    """What the phases of one delivery mean: a child that writes takes a fault for each page."""
    pages = 128
    faults = {}
    for mode in ("read", "write"):
        case = Case("fork", "deliver", BASE, pages * BASE_BYTES, mode, 100)
        make_source(pair, case)
        with pair.open(case, seed=1) as opened:
            opened.verify(1)
            faults[mode] = opened.run(1, 1).counts["minor_faults"]
    # the rest is what any fork takes, a few dozen; a sanitizer adds to it, and to the shadow of
    # what is written
    assert faults["write"] - faults["read"] == pytest.approx(pages, abs=32 if SANITIZED else 10)
    if not SANITIZED:
        assert faults["read"] < pages


@pytest.mark.parametrize("order", ["sequential", "random"])
@pytest.mark.parametrize(("pct", "pages"), [(0, 0), (1, 2), (10, 13), (50, 64), (100, 128)])
def test_the_touched_share_is_what_was_asked_for(
    pair: Pair, pct: int, pages: int, order: str
) -> None:
    """Pages that were written differ afterwards; ASan's own faults are in the count of faults."""
    case = Case("memfd-inplace", "deliver", BASE, 128 * BASE_BYTES, "write", pct, order)
    make_source(pair, case)
    with pair.open(case, seed=1) as opened:
        opened.verify(1)
        before = shared_pages(pair, case)
        sample = opened.run(4, 1)
        after = shared_pages(pair, case)
    assert sum(old != new for old, new in zip(before, after, strict=True)) == pages
    if not SANITIZED:
        assert sample.counts["minor_faults"] == 4 * pages


def shared_pages(pair: Pair, case: Case) -> list[bytes]:
    """Return the content of each base page of the object that source and receiver share."""
    fd = lib.vmb_pair_source(pair._pair).fd
    starts = range(0, case.size_bytes, BASE_BYTES)
    return [os.pread(fd, BASE_BYTES, start) for start in starts]


def test_the_source_is_a_small_process_of_its_own(pair: Pair) -> None:
    assert pair.source_pid != os.getpid()
    maps = Path(f"/proc/{pair.source_pid}/maps").read_text().splitlines()
    if not SANITIZED:  # the shadow memory of ASan is mapped as well
        assert len(maps) < 30
    assert os.sched_getaffinity(pair.source_pid) == {CPUS[0]}
    assert os.sched_getaffinity(0) == {CPUS[1]}


MANY_CPUS = """
import ctypes
from vmabench.native._core import lib
pinned = lib.vmb_pin(1500)
pinned_to = ctypes.c_int.in_dll(ctypes.CDLL(None), "pinned_to").value
print(lib.vmb_cpu_count(), lib.vmb_cpu_at(0), lib.vmb_cpu_at(1), lib.vmb_cpu_at(2))
print(pinned, pinned_to)
"""


@needs("compiler")
def test_a_cpu_above_1024_can_be_used(tmp_path: Path) -> None:
    library = tmp_path / "many.so"
    source = Path(__file__).with_name("native") / "many_cpus.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    preloaded = f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()
    asked = subprocess.run(
        [sys.executable, "-c", MANY_CPUS], env={**os.environ, "LD_PRELOAD": preloaded},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert asked.stdout.splitlines() == ["2 3 1500 3", "0 1500"]


def test_regions_are_aligned(pair: Pair) -> None:
    case = make_case("readv")
    make_source(pair, case)
    source = int(ffi.cast("uintptr_t", lib.vmb_pair_source(pair._pair).addr))
    assert source % (1 << 30) == 0
    with pair.open(case, seed=1) as opened:
        assert int(ffi.cast("uintptr_t", opened._context.dst)) % (1 << 30) == 0


def wait_for_death(pair: Pair) -> None:
    deadline = time.monotonic() + 5
    while pair.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not pair.alive


@pytest.mark.parametrize("mechanism", ["readv", "writev", "fork", "memfd"])
@pytest.mark.parametrize("action", ["verify", "run"])
def test_a_killed_source_is_an_error_that_says_so(pair: Pair, mechanism: str, action: str) -> None:
    case = make_case(mechanism)
    make_source(pair, case)
    with pair.open(case, seed=1) as opened:
        opened.verify(1)
        os.kill(pair.source_pid, signal.SIGKILL)
        wait_for_death(pair)
        with pytest.raises(
            NativeError, match=r"the source process was killed by signal 9 \(Killed\)"
        ) as info:
            opened.verify(2) if action == "verify" else opened.run(1, 1)
    assert info.value.errno == errno.ESRCH


def test_a_source_that_hangs_is_given_up_in_seconds(pair: Pair) -> None:
    case = make_case("writev")
    make_source(pair, case)
    with pair.open(case, seed=1) as opened:
        os.kill(pair.source_pid, signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(NativeError, match="did not answer in"):
            opened.run(1, 0.01)
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("mechanism", "other"), [("readv", "memfd"), ("memfd", "shm"), ("shm", "anon")]
)
def test_a_mechanism_refuses_a_source_of_another_kind(
    pair: Pair, mechanism: str, other: str
) -> None:
    pair.make_source(other, BASE_BYTES, BASE_BYTES)
    with pytest.raises(NativeError, match="needs a source of another kind"):
        with pair.open(Case(mechanism, "transfer", BASE, BASE_BYTES), seed=1):
            pass


def test_more_memory_than_there_is_is_an_error(pair: Pair) -> None:
    with pytest.raises(NativeError) as info:
        pair.make_source("anon", BASE_BYTES, 1 << 46)
    assert info.value.errno == errno.ENOMEM
    assert pair.alive


@needs("root", "setpriv")
def test_a_source_of_another_user_is_refused(tmp_path: Path) -> None:
    """The set-user-id bit makes a source of the user nobody; its receiver is user 1000."""
    program = Path("/var/tmp") / f"vmabench-source-{os.getpid()}"  # /tmp may be nosuid
    shutil.copy(SOURCE_PROGRAM, program)
    try:
        os.chown(program, NOBODY, NOBODY)
        program.chmod(0o6755)
        script = (
            "from vmabench.mechanisms import Pair\n"
            "from vmabench.matrix.case import Case\n"
            "from vmabench.errors import NativeError\n"
            f"case = Case('readv', 'transfer', '{BASE}', {BASE_BYTES})\n"
            f"with Pair{CPUS} as pair:\n"
            f"    pair.make_source('anon', {BASE_BYTES}, {BASE_BYTES})\n"
            "    try:\n"
            "        with pair.open(case, 1) as opened: opened.verify(1)\n"
            "    except NativeError as error: print(error.errno)\n"
        )
        run = subprocess.run(
            [*ordinary(1000), sys.executable, "-c", script],
            env=os.environ | {"VMABENCH_SOURCE": str(program)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.stdout.split() == [str(errno.EPERM)], run.stderr
    finally:
        program.unlink()


def test_the_pattern_finds_a_page_in_the_wrong_place() -> None:
    size = 4 * BASE_BYTES
    memory = ffi.new(f"uint64_t[{size // 8}]")
    lib.vmb_pattern_fill(ffi.cast("char *", memory), size, 1, 1)
    data = ffi.cast("char *", memory)
    assert lib.vmb_pattern_check(data, size, 1, 1) == 0
    for seed, generation in ((2, 1), (1, 2)):
        assert lib.vmb_pattern_check(data, size, seed, generation) == -errno.EBADMSG
    pages = ffi.buffer(memory, size)
    first, second = pages[:BASE_BYTES], pages[BASE_BYTES : 2 * BASE_BYTES]
    pages[:BASE_BYTES], pages[BASE_BYTES : 2 * BASE_BYTES] = second, first
    assert lib.vmb_pattern_check(data, size, 1, 1) == -errno.EBADMSG
    assert b"page 0 of 4" in ffi.string(lib.vmb_detail())


@pytest.mark.parametrize(
    ("isolation", "seen", "wrong"),
    [
        ("COPIES", False, None),
        ("COPIES", True, "the write of the source reached the receiver"),
        ("COW", False, None),
        ("COW", True, "the write of the source reached the receiver"),
        ("SHARES", True, None),
        ("SHARES", False, "the receiver does not see the write of the source"),
    ],
)
def test_isolation_is_judged_by_what_the_mechanism_claims(
    isolation: str, seen: bool, wrong: str | None
) -> None:
    claim = getattr(lib, f"VMB_{isolation}")
    result = lib.vmb_judge_isolation(claim, seen, b"source", b"receiver")
    assert (result == 0) == (wrong is None)
    if wrong:
        assert wrong in ffi.string(lib.vmb_detail()).decode()


def test_a_short_transfer_is_an_error(pair: Pair) -> None:
    """Half of the destination is taken away: the kernel then moves the other half and says so."""
    case = make_case("readv", size_bytes=4 * BASE_BYTES)
    make_source(pair, case)
    libc = ctypes.CDLL(None, use_errno=True)
    with pair.open(case, seed=1) as opened:
        opened.verify(1)
        middle = int(ffi.cast("uintptr_t", opened._context.dst)) + 2 * BASE_BYTES
        assert libc.munmap(ctypes.c_void_p(middle), ctypes.c_size_t(2 * BASE_BYTES)) == 0
        with pytest.raises(NativeError, match=r"process_vm_readv moved \d+ of \d+ bytes"):
            opened.run(1, 1)


def test_every_byte_is_read() -> None:
    """A change of any byte changes the sum."""
    memory = mmap.mmap(-1, 4 * BASE_BYTES)
    data = bytes(range(256)) * (4 * BASE_BYTES // 256)
    memory[:] = data
    words = np.frombuffer(data, dtype=np.uint64)
    address = ffi.cast("char *", ffi.from_buffer(memory))
    assert lib.vmb_read_all(address, len(data)) == int(np.add.reduce(words))
    assert lib.vmb_read_all(address, BASE_BYTES) == int(np.add.reduce(words[: BASE_BYTES // 8]))
    before = lib.vmb_read_all(address, len(data))
    for at in (*range(64), BASE_BYTES - 1, 4 * BASE_BYTES - 1):
        memory[at] ^= 1
        assert lib.vmb_read_all(address, len(data)) != before
        memory[at] ^= 1


@needs("compiler")
def test_every_byte_is_read_by_wide_loads(tmp_path: Path) -> None:
    """Whatever the compiler does of its own accord."""
    source, made = SOURCES / "touch.c", tmp_path / "touch.s"
    flags = ["-std=gnu11", "-O2", "-fno-tree-vectorize"]
    subprocess.run(["gcc", *flags, "-S", source, "-o", made], check=True)
    (body,) = made.read_text().split("\nvmb_read_all:")[1:]
    loads = re.findall(r"\b(?:padd|movdq|movap|add|ldr|ldp)\w*\s.*", body.split(".cfi_endproc")[0])
    assert any("xmm" in load or re.search(r"\b[qv]\d", load) for load in loads)


@needs("compiler")
def test_the_baselines_build_for_another_cpu_and_refuse_there(tmp_path: Path) -> None:
    made = tmp_path / "other.s"
    (tmp_path / "gnu").mkdir()  # glibc's headers ask for a file of 32-bit x86 then
    (tmp_path / "gnu/stubs-32.h").touch()
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-U__x86_64__"]
    source = SOURCES / "mech_baselines.c"
    subprocess.run(["gcc", *flags, "-isystem", tmp_path, "-S", source, "-o", made], check=True)
    assert not re.search(r"^\s*(rep movsb|vmov|movnt)", made.read_text(), re.MULTILINE)
    assert "an instruction of x86-64 on this CPU" in made.read_text()


@needs("compiler")
@pytest.mark.parametrize(("machine", "hint"), [("__x86_64__", "pause"), ("__aarch64__", "yield")])
def test_a_busy_wait_relaxes_the_cpu(machine: str, hint: str) -> None:
    command = ["gcc", "-E", "-P", "-undef", f"-D{machine}", str(SOURCES / "relax.h")]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f'"{hint}"' in made
    (waiting,) = (SOURCES / "scene_pingpong.c").read_text().split("int wait_busy(")[1:]
    assert "vmb_relax();" in waiting.split("\n}\n")[0]


def test_the_clock_is_the_raw_one() -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    between = now_ns()
    assert before <= between <= time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def test_the_stub_names_what_is_there() -> None:
    stub = Path(lib_stub()).read_text()
    for name in dir(lib):
        assert f" {name}" in stub, f"{name} is missing in _core.pyi"
    declared = {word for line in stub.splitlines() for word in line.replace("(", " ").split()}
    extra = {word.rstrip(":") for word in declared if word.lower().startswith("vmb_")} - set(
        dir(lib)
    )
    assert not extra


def lib_stub() -> Path:
    import vmabench.native

    return Path(vmabench.native.__file__).with_name("_core.pyi")


def test_a_source_whose_parent_died_before_it_started_ends(tmp_path: Path) -> None:
    page, number = os.memfd_create("control"), tmp_path / "pid"
    os.truncate(page, 1 << 20)
    start = f'exec "{SOURCE_PROGRAM}" 3<>/proc/self/fd/{page}'
    orphan = f"while kill -0 $parent; do sleep 0.01; done; {start}"
    parent = f"parent=$$ sh -c '{orphan}' & echo $! >{number}"
    subprocess.run(["sh", "-c", parent], pass_fds=[page], stderr=subprocess.DEVNULL, check=True)
    os.close(page)
    pid = int(number.read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), limit_s=10.0)
