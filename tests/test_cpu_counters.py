# SPDX-License-Identifier: GPL-2.0-only
"""Counters of the CPUs: on those of the case and no others; what there is not is not 0."""

from collections.abc import Iterator

import pytest

from tests.needs import needs
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, Pair, Sample, why_no_cpu_counters
from vmabench.native._core import ffi, lib
from vmabench.probe import cpu_counters
from vmabench.runner.rounds import choose_cpus

FACTS = read_facts()
CPUS = choose_cpus(FACTS.cpus)
SIZE_BYTES = 1 << 20

#: of include/uapi/linux/perf_event.h
HARDWARE, SOFTWARE, HW_CACHE = 0, 1, 3
CPU_CYCLES, CPU_CLOCK, DTLB_READ_MISSES = 0, 0, 3 | 1 << 16
CYCLES, TLB = 0, 1

#: an event that no kernel has
NO_SUCH = (SOFTWARE, 999)


@pytest.fixture
def clock_for_cycles() -> Iterator[None]:
    """Nanoseconds of the CPUs in place of cycles, which every kernel has, and no misses."""
    lib.vmb_perf_replace(CYCLES, SOFTWARE, CPU_CLOCK)
    lib.vmb_perf_replace(TLB, *NO_SUCH)
    yield
    lib.vmb_perf_replace(CYCLES, HARDWARE, CPU_CYCLES)
    lib.vmb_perf_replace(TLB, HW_CACHE, DTLB_READ_MISSES)


def measured(case: Case, loops: int = 20) -> Sample:
    with Pair(*CPUS) as pair:
        pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)
        with pair.open(case, seed=1) as opened:
            opened.verify(generation=1)
            return opened.run(loops, expected_s=1)


@needs("root")
@pytest.mark.usefixtures("clock_for_cycles")
def test_both_cpus_of_a_pair_are_counted_around_the_timed_part() -> None:
    sample = measured(Case("readv", "transfer", FACTS.pages[0], SIZE_BYTES), loops=200)
    both_ns = len(set(CPUS)) * sample.time_ns["total"]
    assert both_ns <= sample.counts["cycles"] <= 1.5 * both_ns + 50e6
    assert "tlb_misses" not in sample.counts


@needs("root")
@pytest.mark.usefixtures("clock_for_cycles")
@pytest.mark.parametrize(("receivers", "pairs"), [(1, 1), (2, 1), (1, 2)])
def test_as_many_cpus_are_counted_as_contend(receivers: int, pairs: int) -> None:
    case = Case("readv", "contention", FACTS.pages[0], SIZE_BYTES, receivers=receivers, pairs=pairs)
    sample = measured(case)
    used = min(len(FACTS.cpus), max(receivers, pairs))
    assert sample.counts["cycles"] >= used * sample.time_ns["total"]


@needs("root")
@pytest.mark.usefixtures("clock_for_cycles")
def test_switched_off_nothing_is_counted() -> None:
    lib.vmb_counters_enable(0)
    try:
        counts = measured(Case("null", "transfer", FACTS.pages[0], SIZE_BYTES)).counts
    finally:
        lib.vmb_counters_enable(1)
    assert counts == {}


def test_what_the_machine_does_not_count_is_unknown_and_the_doctor_says_why() -> None:
    lib.vmb_perf_replace(CYCLES, *NO_SUCH)
    try:
        assert "perf_event_open" in why_no_cpu_counters(CPUS[0])
        metric = cpu_counters(CPUS[0])
        assert metric.state == "blocked"
        assert "perf_event_open" in metric.blocked_by
        counts = measured(Case("readv", "transfer", FACTS.pages[0], SIZE_BYTES)).counts
    finally:
        lib.vmb_perf_replace(CYCLES, HARDWARE, CPU_CYCLES)
    assert "cycles" not in counts
    assert "minor_faults" in counts


@needs("root")
@pytest.mark.usefixtures("clock_for_cycles")
def test_the_cpus_of_all_pairs_can_be_counted() -> None:
    """One CPU stands for as many as the most pairs have."""
    lib.vmb_perf_replace(TLB, SOFTWARE, CPU_CLOCK)
    count = 2 * lib.VMB_MOST_RECEIVERS
    assert lib.vmb_perf_watch(ffi.new("int[]", [CPUS[0]] * count), count) == 0
    lib.vmb_perf_forget()
