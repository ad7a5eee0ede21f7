# SPDX-License-Identifier: GPL-2.0-only
"""Threads of the source that run while its memory is handed over, and what they cost."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from vmabench.errors import NativeError
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import why_not
from vmabench.mechanisms import MECHANISMS, Pair, Sample, base_page_bytes, now_ns
from vmabench.runner.rounds import choose_cpus

FACTS = read_facts()
BASE = FACTS.pages[0]
BASE_BYTES = base_page_bytes()
CPUS = choose_cpus(FACTS.cpus)
FORK = Case("fork", "deliver", BASE, 64 * BASE_BYTES, "read", 100, source="rewritten")
LOOPS = 200

two_cpus = pytest.mark.skipif(CPUS[0] == CPUS[1], reason="needs two CPUs")


def measured(case: Case, loops: int = LOOPS) -> Sample:
    return observed(case, loops)[0]


def observed(case: Case, loops: int = LOOPS) -> tuple[Sample, float]:
    """Return one value, and the part of its time that the threads of the source ran for."""
    with Pair(*CPUS) as pair:
        pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)
        with pair.open(case, seed=3) as opened:
            opened.verify(1)
            before_ns, start_ns = ran_ns(pair.source_pid), now_ns()
            sample = opened.run(loops, 1)
            ran, passed = ran_ns(pair.source_pid) - before_ns, now_ns() - start_ns
            opened.verify(2)
    return sample, ran / passed


def ran_ns(pid: int) -> int:
    """Return the time that the threads of a process have run."""
    files = (Path(f"/proc/{pid}/task/{thread}/schedstat") for thread in threads(pid))
    return sum(int(file.read_text().split()[0]) for file in files)


@pytest.mark.machine
@pytest.mark.slow
@two_cpus
@pytest.mark.skipif(
    "TLB:" not in Path("/proc/interrupts").read_text(), reason="TLB shootdowns are not counted"
)
def test_a_source_that_runs_elsewhere_is_interrupted_by_a_fork() -> None:
    """A sleeping source is left alone; each fork beside a running thread interrupts its CPU.

    Slow, not by itself: the thread is SCHED_IDLE and never runs beside pure tests.
    """
    asleep, _ = observed(FORK)
    running, share = observed(replace(FORK, source_threads=1))
    if share < 0.05:
        pytest.skip(f"the thread of the source ran for {share:.0%} of the time: a busy machine")
    more = running.counts["tlb_shootdowns"] - asleep.counts["tlb_shootdowns"]
    assert more >= share * LOOPS


@pytest.mark.machine
@two_cpus
@pytest.mark.parametrize("mechanism", ["readv", "writev", "fork", "memfd-private", "pipe"])
@pytest.mark.parametrize("source", ["idle", "rewritten"])
def test_the_data_arrives_whole_beside_a_running_thread(mechanism: str, source: str) -> None:
    case = replace(FORK, mechanism=mechanism, source=source, source_threads=1)
    sample = measured(case, loops=3)
    if source == "rewritten" and mechanism == "fork":
        assert sample.counts["rewrite_faults"] == 3 * 64  # without those of the thread


@pytest.mark.machine
@two_cpus
@pytest.mark.parametrize("mechanism", ["readv", "fork"])
def test_a_thread_has_the_cpu_beside_the_operation_and_ends_with_the_case(mechanism: str) -> None:
    """A fork works on the CPU of the source, everything else is called by the receiver."""
    case = replace(FORK, mechanism=mechanism, source_threads=1)
    with Pair(*CPUS) as pair:
        pair.make_source("anon", case.page_bytes, case.size_bytes)
        with pair.open(case, seed=3):
            (thread,) = threads(pair.source_pid)
            beside = CPUS[1] if mechanism == "fork" else CPUS[0]
            assert os.sched_getaffinity(thread) == {beside}
            assert os.sched_getscheduler(thread) == os.SCHED_IDLE
        assert not threads(pair.source_pid)


def threads(pid: int) -> list[int]:
    """Return the threads of a process without its main thread."""
    return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid)]


@pytest.mark.machine
def test_more_threads_than_cpus_are_refused_and_skipped() -> None:
    many = replace(FORK, mechanism="readv", source_threads=len(FACTS.cpus))
    with pytest.raises(NativeError, match="need as many other CPUs"):
        measured(many)
    reason = why_not(many, FACTS, {}) or ""
    assert f"there are {len(FACTS.cpus) - 1}" in reason
    eight = replace(FACTS, cpus=tuple(range(8)))
    assert why_not(replace(many, source_threads=7), eight, {}) is None


def test_a_mechanism_within_one_process_has_no_source_with_threads() -> None:
    case = replace(FORK, mechanism="memcpy", source_threads=1)
    eight = replace(FACTS, cpus=tuple(range(8)))
    reason = why_not(case, eight, {}, {"memcpy": MECHANISMS["memcpy"].traits}) or ""
    assert "no source with threads" in reason
    assert str(case).endswith("/source:rewritten/source_threads:1")
    assert Case.parse(str(case)) == case
