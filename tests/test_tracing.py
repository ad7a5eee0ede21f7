# SPDX-License-Identifier: GPL-2.0-only
"""The waits for the mmap_lock: parsed from a known trace, and traced for real where permitted."""

import os
import subprocess
import sys
from pathlib import Path

from tests.needs import needs
from vmabench.machine.facts import read_facts
from vmabench.machine.tracing import LockTrace, LockWaits, parse_waits, remove_stale
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, Pair
from vmabench.runner.lockwait import lock_wait, tracefs
from vmabench.runner.rounds import choose_cpus

TRACE = """\
# tracer: nop
      reader-101   [000] ...1.  10.000001: mmap_lock_start_locking: mm=0001 memcg_path= write=false
      reader-102   [001] ...1.  10.000003: mmap_lock_start_locking: mm=0001 memcg_path= write=true
      reader-101   [000] ...1.  10.000002: mmap_lock_acquire_returned: mm=0001 write=false success=true
      other-1-103  [001] ...1.  10.000004: mmap_lock_acquire_returned: mm=0002 write=false success=true
      reader-102   [001] ...1.  10.000053: mmap_lock_acquire_returned: mm=0001 write=true success=true
      reader-102   [001] ...1.  10.000060: mmap_lock_released: mm=0001 write=true
"""  # noqa: E501


def test_waits_are_from_asking_to_having_of_each_task() -> None:
    both = LockWaits(acquires=2, wait_ns=51_000, longest_ns=50_000)
    assert parse_waits(TRACE, [101, 102]) == both
    assert parse_waits(TRACE, [101]) == LockWaits(acquires=1, wait_ns=1_000, longest_ns=1_000)
    assert parse_waits("", [101]) == LockWaits(0, 0, 0)


def instances() -> set[str]:
    root = tracefs()
    assert root
    return {path.name for path in (root / "instances").glob("vmabench-*")}


@needs("tracefs")
def test_receivers_of_one_source_take_their_locks_and_nothing_is_left() -> None:
    facts = read_facts()
    case = Case("readv", "contention", facts.pages[0], 1 << 20, receivers=2)
    before = instances()
    with Pair(*choose_cpus(facts.cpus)) as pair:
        pair.make_source(MECHANISMS["readv"].memory, case.page_bytes, case.size_bytes)
        with pair.open(case, seed=7) as opened:
            opened.verify(generation=1)
            waits = lock_wait(opened, pair.source_pid)
    assert waits["acquires"] >= 2  # process_vm_readv() takes it once for up to 1024 pages
    assert 0 <= waits["longest_ns"] <= waits["wait_ns"]
    assert instances() == before


@needs("tracefs")
def test_what_a_killed_run_has_left_is_removed_by_the_next() -> None:
    root = tracefs()
    assert root
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = root / "instances" / f"vmabench-{gone.pid}"
    left.mkdir()
    with LockTrace(root, os.getpid(), [os.getpid()]):
        assert f"trace instance {left.name}: removed" in remove_stale(root)
        assert not left.exists()
        assert f"vmabench-{os.getpid()}" in instances()  # of a process that lives
    assert f"vmabench-{os.getpid()}" not in instances()


def test_without_tracefs_there_is_nothing_to_remove(tmp_path: Path) -> None:
    assert remove_stale(tmp_path) == []
