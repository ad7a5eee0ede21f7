# SPDX-License-Identifier: GPL-2.0-only
"""The log is searched, and what the kernel prints in each kind of trouble is found."""

import pytest

from vmabench.guest import splats

CLEAN = """\
[    0.000000] Command line: console=ttyS0 panic=-1 oops=panic
[    0.100000] Kernel command line: console=ttyS0 warning=none
[    0.200000] Booting paravirtualized kernel on bare hardware
[    0.300000] debug: unable to debug nothing here
[    0.577449] kasan: KernelAddressSanitizer initialized
[    1.000000] zram0: detected capacity change from 0 to 1048576
"""

COMPLAINTS = [
    "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "kernel BUG at mm/page_table_check.c:118!",
    "WARNING: CPU: 1 PID: 77 at mm/memory.c:1234 copy_page_range+0x1/0x2",
    "BUG: KASAN: slab-use-after-free in unlink_anon_vmas+0x1/0x2",
    "KASAN: maybe wild-memory-access in range [0xdead000000000100-0xdead000000000107]",
    "WARNING: possible circular locking dependency detected",
    "WARNING: possible recursive locking detected",
    "WARNING: inconsistent lock state",
    "WARNING: suspicious RCU usage",
    "BUG: Bad page state in process test  pfn:12345",
    "BUG: Bad page map in process test  pte:8000 pmd:1234",
    "BUG: Bad rss-counter state mm:00000000 type:MM_ANONPAGES val:1",
    "BUG: non-zero pgtables_bytes on freeing mm: 4096",
    "INFO: task test:77 blocked for more than 120 seconds.",
    "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [test:77]",
    "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
    "rcu: INFO: rcu_sched self-detected stall on CPU",
    "BUG: sleeping function called from invalid context at mm/x.c:1",
    "Oops: 0000 [#1] PREEMPT SMP",
    "Kernel panic - not syncing: Attempted to kill init!",
    "Out of memory: Killed process 77 (python3)",
    "list_del corruption. prev->next should be 1, but was 2",
    "refcount_t: underflow; use-after-free.",
    "WARN at __mas_set_range:737 (1)",
    "BUG at mas_validate_limits:7321 (1)",
]


def test_clean_log() -> None:
    assert splats.find(CLEAN) == []


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_each_kind_is_found(complaint: str) -> None:
    (found,) = splats.find(f"{CLEAN}[    2.000000] {complaint}\n[    2.1] after\n")
    assert complaint in found.text
    assert found.line == len(CLEAN.splitlines()) + 1
    assert "after" in found.context


def test_a_process_below_the_limit_of_its_cgroup_is_no_complaint() -> None:
    killed = "Memory cgroup out of memory: Killed process 77 (vmabench-source) total-vm:5520kB"
    assert splats.find(f"{CLEAN}[    2.000000] {killed}\n") == []


def test_one_report_of_many_lines_counts_once() -> None:
    report = "[ 1.0] WARNING: CPU: 0 at a.c:1 f+0x1\n" + "[ 1.0]  ? warn BUG: x\n" * 5
    filler = "[ 2.0] nothing\n" * 40
    assert len(splats.find(report + filler)) == 1
    assert len(splats.find(report + filler + report)) == 2
