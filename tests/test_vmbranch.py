# SPDX-License-Identifier: GPL-2.0-only
"""vmbranch: a source that is branched into children and goes on writing."""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import children, wait_until
from tests.needs import needs
from vmabench.errors import NativeError
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import needed_bytes, peak_bytes, why_not
from vmabench.mechanisms import MECHANISMS, Pair
from vmabench.runner.rounds import choose_cpus

FACTS = read_facts()
CPUS = choose_cpus(FACTS.cpus)
BASE, HUGE = FACTS.pages
TRAITS = {name: mechanism.traits for name, mechanism in MECHANISMS.items()}
HERE = [name for name in MECHANISMS if name not in ("clone", "xpmem")]
MIB = 1 << 20
SIZE_BYTES = 4 * MIB

pytestmark = pytest.mark.skipif(len(FACTS.cpus) < 2, reason="needs a CPU for each side")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(*CPUS) as opened:
        yield opened


def make_case(mechanism: str, receivers: int = 2, size_bytes: int = SIZE_BYTES) -> Case:
    return Case(mechanism, "vmbranch", BASE, size_bytes, rate="max", receivers=receivers)


def make_source(pair: Pair, case: Case) -> None:
    pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)


@pytest.mark.parametrize("mechanism", HERE)
def test_each_child_has_the_memory_of_the_moment(pair: Pair, mechanism: str) -> None:
    case = make_case(mechanism)
    make_source(pair, case)
    if why_not(case, FACTS, {}, TRAITS):
        with (
            pytest.raises(NativeError, match=r"branches no process|alone:"),
            pair.open(case, seed=7),
        ):
            pass
        return
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
        opened.forget_latency()
        sample = opened.run(loops=1, expected_s=1)
        latency = opened.latency()
    pages = SIZE_BYTES // case.page_bytes
    assert tuple(sample.time_ns) and set(sample.time_ns) == {"pause", "first", "all", "total"}
    assert 0 < sample.time_ns["pause"] < sample.time_ns["total"]
    assert sample.time_ns["first"] <= sample.time_ns["all"] <= sample.time_ns["total"]
    assert sample.writer["writes"] == sample.writer["plain_writes"] == pages
    assert sample.writer["stall_ns"] >= sample.time_ns["pause"]
    assert latency
    assert (latency.count, latency.sum_ns) == (pages, sample.writer["write_ns"])
    if mechanism == "null":
        assert not evidence.extras
        return
    assert sample.writer["checked_pages"] == 2 * pages
    assert sample.writer["torn_pages"] == 0
    assert evidence.moved_bytes == 2 * SIZE_BYTES
    check_memory(evidence.extras, copies=not MECHANISMS[mechanism].in_place)


def check_memory(extras: object, *, copies: bool) -> None:
    """A copy is there at once; what is shared is copied once, for both children together."""
    assert isinstance(extras, dict)
    read, written = extras["child_read_bytes"], extras["child_written_bytes"]
    private = extras["child_private_bytes"]
    if copies:
        assert read == pytest.approx(SIZE_BYTES, rel=0.15)
        assert written == pytest.approx(SIZE_BYTES, rel=0.15)
        assert private == pytest.approx(SIZE_BYTES, rel=0.15)
    else:
        assert read < 0.1 * SIZE_BYTES
        assert written == pytest.approx(SIZE_BYTES / 2, rel=0.15)
        assert private < 0.1 * SIZE_BYTES


@pytest.mark.parametrize(("mechanism", "faults"), [("fork", True), ("readv", False)])
def test_what_shares_pages_lets_the_source_pay_later(
    pair: Pair, mechanism: str, faults: bool
) -> None:
    case = make_case(mechanism, receivers=1)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        sample = opened.run(loops=1, expected_s=1)
    pages = SIZE_BYTES // case.page_bytes
    assert (sample.writer["writer_faults"] >= pages) == faults


@needs("thp")
def test_a_fork_takes_the_huge_pages_of_the_source(pair: Pair) -> None:
    huge_bytes = Case("", "", HUGE, 1).page_bytes
    kept = {}
    for mechanism in ("fork", "readv"):
        case = replace(make_case(mechanism, receivers=1), page=HUGE, size_bytes=2 * huge_bytes)
        make_source(pair, case)
        for generation in (1, 2):  # the writes of the first have split the pages
            with pair.open(case, seed=7) as opened:
                evidence = opened.verify(generation)
                opened.run(loops=1, expected_s=1)
            assert evidence.src and evidence.dst
            assert evidence.src.huge_pct == evidence.dst.huge_pct == 100
        kept[mechanism] = evidence.extras["source_huge_bytes"]
        transfer = Case("readv", "transfer", HUGE, 2 * huge_bytes)
        with pair.open(transfer, seed=7) as opened:  # of the same source
            evidence = opened.verify(generation=3)
        assert evidence.src and evidence.src.huge_pct == 100
    assert kept == {"fork": 0, "readv": 2 * huge_bytes}


def test_a_delay_of_the_copy_is_in_the_pause(pair: Pair) -> None:
    case = make_case("readv", receivers=2)
    make_source(pair, case)
    with pair.open(case, seed=7, delay_ns=20_000_000) as opened:
        opened.verify(generation=1)
        sample = opened.run(loops=1, expected_s=1)
    assert sample.time_ns["pause"] >= 20_000_000


def test_the_rate_limits_the_writer_until_all_have_read(pair: Pair) -> None:
    """At 20 pages a second all writes would take 50 s; the children are done after 0.2 s."""
    case = replace(make_case("memfd-private"), rate="20")
    make_source(pair, case)
    with pair.open(case, seed=7, delay_ns=200_000_000) as opened:
        opened.verify(generation=1)
        sample = opened.run(loops=1, expected_s=1)
    assert sample.writer["writes"] == SIZE_BYTES // case.page_bytes
    assert sample.writer["stall_ns"] > 40_000_000
    assert sample.time_ns["total"] < 20_000_000_000


@pytest.mark.parametrize("mechanism", ["fork", "readv"])
def test_a_child_that_is_killed_fails_the_case_by_name(pair: Pair, mechanism: str) -> None:
    case = make_case(mechanism, receivers=3)
    make_source(pair, case)

    def kill_one() -> None:
        wait_until(lambda: children(pair.source_pid))
        os.kill(children(pair.source_pid)[-1], signal.SIGKILL)

    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        killer = threading.Thread(target=kill_one)
        killer.start()
        with pytest.raises(NativeError, match=r"child \d of 3 was killed by signal 9"):
            for _ in range(1000):
                opened.run(loops=1, expected_s=1)
        killer.join()
        assert not children(pair.source_pid)
        opened.verify(generation=2)  # the source goes on with others


def test_a_source_that_is_killed_leaves_no_child(pair: Pair) -> None:
    case = make_case("readv", receivers=2)
    make_source(pair, case)
    source, made = pair.source_pid, []

    def kill_source() -> None:
        wait_until(lambda: len(children(source)) == 2)
        made.extend(children(source))
        os.kill(source, signal.SIGKILL)

    with pair.open(case, seed=7) as opened:
        killer = threading.Thread(target=kill_source)
        killer.start()
        with pytest.raises(NativeError, match="killed by signal 9"):
            for generation in range(1, 1000):
                opened.verify(generation)
        killer.join()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in made), limit_s=5)


def test_the_memory_of_all_children_is_predicted() -> None:
    of = replace(make_case("readv"), size_bytes=1 << 30)

    def buffers(mechanism: str, receivers: int) -> float:
        return peak_bytes(replace(of, mechanism=mechanism, receivers=receivers)) / (1 << 30)

    assert buffers("readv", 1) == pytest.approx(2, rel=0.01)
    assert buffers("readv", 4) == pytest.approx(5, rel=0.01)
    assert buffers("fork", 1) == pytest.approx(2, rel=0.01)
    assert buffers("fork", 4) == pytest.approx(2, rel=0.01)
    assert buffers("memfd-private", 4) == pytest.approx(2, rel=0.01)
    four = replace(of, receivers=4)
    less = replace(FACTS, available_bytes=needed_bytes(four) - 1)
    assert "needs about 5.3 GiB of memory" in str(why_not(four, less, {}, TRAITS))
    assert why_not(replace(four, mechanism="fork"), less, {}, TRAITS) is None


@pytest.mark.parametrize(
    ("mechanism", "reason"),
    [
        ("memfd-inplace", "the data of one moment"),
        ("memcpy", "has no children"),
        ("pipe", "a channel for each child"),
        ("uffd-copy", "a channel for each child"),
    ],
)
def test_what_has_no_meaning_has_a_reason(mechanism: str, reason: str) -> None:
    assert reason in str(why_not(make_case(mechanism), FACTS, {}, TRAITS))
    pool = replace(make_case("readv"), page=f"hugetlb-{HUGE}")
    assert "from the children if the pool is empty" in str(why_not(pool, FACTS, {}, TRAITS))
    alone = replace(FACTS, cpus=FACTS.cpus[:1])
    assert "a CPU of its own" in str(why_not(make_case("readv"), alone, {}, TRAITS))
