# SPDX-License-Identifier: GPL-2.0-only
"""A source that writes between two operations: who pays for the faults, and what is left."""

import os
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from tests import synthetic
from tests.command import error_line, vmabench
from tests.needs import needs
from vmabench.errors import NativeError, UsageError
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import why_not
from vmabench.mechanisms import MECHANISMS, OpenCase, Pair, base_page_bytes
from vmabench.runner.rounds import choose_cpus
from vmabench.runner.worker import check_afterwards

BASE, HUGE = read_facts().pages
BASE_BYTES = base_page_bytes()
CPUS = choose_cpus(read_facts().cpus)
HERE = [name for name in MECHANISMS if name not in ("clone", "xpmem")]
SWINGS = ("mremap", "uffd-move")
PAGES = 64
LOOPS = 4

FORK = Case("fork", "deliver", BASE, PAGES * BASE_BYTES, "read", 100, source="rewritten")


def opened(pair: Pair, case: Case) -> AbstractContextManager[OpenCase]:
    pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)
    return pair.open(case, seed=3)


@pytest.mark.machine
@pytest.mark.parametrize(
    "case", [FORK, replace(FORK, scenario="transfer", touch_mode="none", touch_pct=0)]
)
def test_the_source_takes_a_fault_for_each_page_after_each_fork(case: Case) -> None:
    """So each fork has found entries that are writable, with pages of the source alone."""
    with Pair(*CPUS) as pair, opened(pair, case) as one:
        one.verify(1)
        sample = one.run(LOOPS, 1)
    assert sample.counts["rewrite_faults"] == LOOPS * PAGES
    assert sample.time_ns["source-rewrite"] > 0
    assert sample.time_ns["system"] == sample.time_ns["total"] + sample.time_ns["source-rewrite"]


@pytest.mark.machine
def test_an_idle_source_pays_nothing_and_has_no_phase() -> None:
    with Pair(*CPUS) as pair, opened(pair, replace(FORK, source="idle")) as one:
        one.verify(1)
        sample = one.run(LOOPS, 1)
    assert "rewrite_faults" not in sample.counts
    assert "source-rewrite" not in sample.time_ns
    assert "system" not in sample.time_ns


@pytest.mark.machine
@pytest.mark.parametrize("scenario", ["transfer", "scatter", "deliver"])
@pytest.mark.parametrize("mechanism", HERE)
def test_each_mechanism_delivers_from_a_source_that_writes(mechanism: str, scenario: str) -> None:
    """Whole, and leaves the source as the next operation expects it; a copy costs no fault."""
    case = replace(FORK, mechanism=mechanism, scenario=scenario)
    if scenario != "deliver":
        case = replace(case, touch_mode="none", touch_pct=0)
    if scenario == "scatter":
        case = replace(case, segments=4)
    traits = {mechanism: MECHANISMS[mechanism].traits}
    reason = why_not(case, read_facts(), {}, traits)
    with Pair(*CPUS) as pair:
        if reason:
            with pytest.raises(NativeError), opened(pair, case):
                pass
            return
        with opened(pair, case) as one:
            one.verify(1)
            sample = one.run(LOOPS, 1)
            check_afterwards(one, case)
            one.verify(2)
    assert tuple(sample.time_ns) == case.phases
    if MECHANISMS[mechanism].memory == "anon" and not MECHANISMS[mechanism].in_place:
        assert sample.counts["rewrite_faults"] == 0


@needs("thp")
@pytest.mark.machine
def test_huge_pages_of_the_source_stay_huge() -> None:
    """A write to one that is shared by nobody any more takes one fault and splits nothing."""
    size_bytes = 2 * Case("", "", HUGE, 1).page_bytes
    case = replace(FORK, page=HUGE, size_bytes=size_bytes)
    with Pair(*CPUS) as pair, opened(pair, case) as one:
        one.verify(1)
        sample = one.run(LOOPS, 1)
        check_afterwards(one, case)
    assert sample.counts["rewrite_faults"] == 2 * LOOPS


@needs("thp")
@pytest.mark.machine
def test_what_is_sealed_is_copied_by_the_writes_and_mapped_anew() -> None:
    case = replace(FORK, mechanism="memfd-private")
    with Pair(*CPUS) as pair, opened(pair, case) as one:
        one.verify(1)
        sample = one.run(LOOPS, 1)
        check_afterwards(one, case)
    assert sample.counts["rewrite_faults"] == LOOPS * PAGES


@pytest.mark.machine
def test_a_pair_on_one_cpu_takes_turns_without_a_relay() -> None:
    before = children()
    with Pair(CPUS[0], CPUS[0]) as pair, opened(pair, FORK) as one:
        one.verify(1)
        assert one.run(LOOPS, 1).counts["rewrite_faults"] == LOOPS * PAGES
        assert len(children() - before) == 1


@pytest.mark.machine
@pytest.mark.skipif(CPUS[0] == CPUS[1], reason="needs two CPUs")
def test_the_relay_keeps_the_source_asleep_and_ends_with_the_pair() -> None:
    """A source that waited by spinning would take part in the TLB shootdowns of a clone."""
    before = children()
    with Pair(*CPUS) as pair:
        with opened(pair, replace(FORK, mechanism="readv")) as one:
            one.verify(1)
            one.run(LOOPS, 1)
            (relay,) = children() - before - {pair.source_pid}
            assert os.sched_getaffinity(relay) == {CPUS[0]}
            assert wait_channel(pair.source_pid).startswith("futex")
        with opened(pair, replace(FORK, mechanism="readv", source="idle")) as one:
            one.verify(1)  # the source listens to the receiver itself again
            one.run(LOOPS, 1)
        with opened(pair, FORK) as one:
            one.verify(1)
            one.run(LOOPS, 1)
        assert children() - before == {relay, pair.source_pid}
    assert children() == before


def children() -> set[int]:
    own = f"/proc/self/task/{os.getpid()}/children"
    return {int(pid) for pid in Path(own).read_text().split()}


def wait_channel(pid: int) -> str:
    """Return where a sleeping process sleeps: the number of a futex call is 202 or 98."""
    called = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    return "futex" if called in ("202", "98") else called


@pytest.mark.machine
def test_a_source_that_dies_between_two_operations_is_named() -> None:
    with Pair(*CPUS) as pair, opened(pair, FORK) as one:
        one.verify(1)
        os.kill(pair.source_pid, 9)
        with pytest.raises(NativeError, match="the source process was killed by signal 9"):
            one.run(LOOPS, 1)


def test_names_of_older_results_are_those_of_an_idle_source() -> None:
    name = f"fork/scenario:deliver/page:{BASE}/size:1M/touch:read-100"
    assert Case.parse(name).source == "idle"
    assert str(replace(Case.parse(name), source="rewritten")) == f"{name}/source:rewritten"
    with pytest.raises(UsageError, match="no name of a case"):
        Case.parse(f"{name}/source:idle")


@pytest.mark.parametrize("mechanism", SWINGS)
def test_what_moves_there_and_back_has_no_source_that_writes(mechanism: str) -> None:
    case = Case(mechanism, "transfer", BASE, 1 << 20, source="rewritten")
    facts = read_facts()
    assert "moves its memory there and back" in (why_not(case, facts, {}) or "")
    assert why_not(replace(case, source="idle"), facts, {}) is None
    assert why_not(replace(FORK, mechanism=mechanism), facts, {}) is None


def test_results_of_another_source_are_not_compared(tmp_path: Path) -> None:
    cases = synthetic.cases(["readv", "fork"], ["transfer"])
    written = [replace(case, source="rewritten") for case in cases]
    for name, made in (("a", cases), ("b", written), ("c", [*cases, *written])):
        synthetic.write(tmp_path / name, synthetic.records(made, rounds=6))
    a, b, c = (str(tmp_path / name) for name in "abc")
    done = vmabench("compare", a, b)
    assert done.returncode == 1
    assert "source idle in A and rewritten in B" in error_line(done)
    assert vmabench("compare", a, c).returncode in (0, 2)
