# SPDX-License-Identifier: GPL-2.0-only
"""snapshot: a source that goes on writing while it is copied, forked or sealed."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

import vmabench.native
from tests.command import children
from tests.needs import needs
from vmabench.analysis.latency import corrected, percentile_ns
from vmabench.errors import NativeError
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import why_not
from vmabench.matrix.table import TABLE
from vmabench.mechanisms import MECHANISMS, Pair
from vmabench.runner.rounds import choose_cpus

FACTS = read_facts()
CPUS = choose_cpus(FACTS.cpus)
BASE, HUGE = FACTS.pages
TRAITS = {name: mechanism.traits for name, mechanism in MECHANISMS.items()}
HERE = [
    name
    for name in MECHANISMS
    if name not in ("clone", "xpmem") and TABLE[name].only in ((), ("snapshot",))
]
SIZE_BYTES = 4 << 20

#: those whose snapshot is of one moment, which the source has a part in
WHOLE = (
    "fork", "memfd-private", "writev", "procmem-write", "uffd-copy", "uffd-wp", "pagemap-scan",
)  # fmt: skip

pytestmark = pytest.mark.skipif(len(FACTS.cpus) < 2, reason="needs a CPU for each side")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(*CPUS) as opened:
        yield opened


def make_case(mechanism: str, rate: str = "max", size_bytes: int = SIZE_BYTES) -> Case:
    return Case(mechanism, "snapshot", BASE, size_bytes, rate=rate)


def make_source(pair: Pair, case: Case) -> None:
    pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)


def has_part(mechanism: str) -> bool:
    return why_not(make_case(mechanism), FACTS, {}, TRAITS) is None


@pytest.mark.parametrize("mechanism", HERE)
def test_a_snapshot_is_of_one_moment_or_its_torn_pages_are_counted(
    pair: Pair, mechanism: str
) -> None:
    case = make_case(mechanism)
    make_source(pair, case)
    if not has_part(mechanism):
        with pytest.raises(NativeError, match="takes no snapshot"), pair.open(case, seed=7):
            pass
        return
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
        opened.forget_latency()
        sample = opened.run(loops=1, expected_s=1)
        latency = opened.latency()
    writer, pages = sample.writer, SIZE_BYTES // case.page_bytes
    assert writer["plain_writes"] >= 2
    assert latency and latency.count == writer["writes"] > 0
    assert latency.max_ns == writer["stall_ns"]
    if mechanism == "null":
        assert writer["checked_pages"] == 0
        return
    assert evidence.src and evidence.dst
    assert evidence.dst.present_bytes == SIZE_BYTES
    assert writer["checked_pages"] == pages
    if mechanism in WHOLE:
        assert writer["torn_pages"] == 0
        assert writer["stopped_ns"] > 0


def test_copying_a_writer_that_runs_tears(pair: Pair) -> None:
    """With 64 MiB the copy takes milliseconds, and many writes happen meanwhile."""
    case = make_case("procmem-read", size_bytes=64 << 20)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        torn = [opened.run(loops=1, expected_s=1).writer["torn_pages"] for _ in range(5)]
    assert max(torn) > 0


def test_what_shares_pages_pays_with_faults_of_the_writer(pair: Pair) -> None:
    pages = SIZE_BYTES // Case("", "", BASE, 1).page_bytes
    faults = {}
    for mechanism in ("null", "fork"):
        case = make_case(mechanism)
        make_source(pair, case)
        with pair.open(case, seed=7) as opened:
            opened.verify(generation=1)
            sample = opened.run(loops=1, expected_s=1)
        faults[mechanism] = sample.writer["writer_faults"] / sample.writer["writes"]
        if mechanism == "fork":  # one fault a page: how many writes follow is a matter of time
            assert sample.writer["writer_faults"] >= min(sample.writer["writes"] // 10, pages)
    assert faults["null"] < min(0.1, faults["fork"])


def test_the_rate_is_a_limit(pair: Pair) -> None:
    case = make_case("null", rate="1000", size_bytes=1 << 20)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        opened.forget_latency()
        sample = opened.run(loops=1, expected_s=1)
        latency = opened.latency()
    assert latency
    # a fifth of a second at 1 ms a write, and the one that ends it
    assert sample.writer["writes"] <= 202
    assert latency.sum_ns / latency.count >= 0.95e6


@needs("thp")
@pytest.mark.parametrize("page", [BASE, HUGE])
@pytest.mark.parametrize("mechanism", ["uffd-wp", "pagemap-scan"])
def test_a_snapshot_while_many_pages_are_written_is_of_one_moment(
    pair: Pair, mechanism: str, page: str
) -> None:
    """Reading 64 MiB takes milliseconds, in which the source writes everywhere."""
    case = replace(make_case(mechanism, size_bytes=64 << 20), page=page)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        for generation in (1, 2):
            evidence = opened.verify(generation)
            assert evidence.dst and evidence.dst.present_bytes == case.size_bytes
            sample = opened.run(loops=1, expected_s=5)
            assert sample.writer["torn_pages"] == 0
            assert sample.writer["writes"] > 100


def test_a_source_of_write_protection_has_one_thread_more_while_the_case_is_open(
    pair: Pair,
) -> None:
    case = make_case("uffd-wp")
    make_source(pair, case)
    tasks = Path(f"/proc/{pair.source_pid}/task")
    files = Path(f"/proc/{pair.source_pid}/fd")
    before = len(list(files.iterdir()))
    for _ in range(2):
        with pair.open(case, seed=7) as opened:
            assert len(list(tasks.iterdir())) == 2
            opened.verify(generation=1)
        assert len(list(tasks.iterdir())) == 1
    assert len(list(files.iterdir())) == before


@pytest.mark.parametrize("mechanism", ["uffd-wp", "pagemap-scan", "readv-holes"])
@pytest.mark.parametrize("scenario", ["transfer", "deliver"])
def test_what_belongs_to_other_scenarios_is_refused_here(
    pair: Pair, mechanism: str, scenario: str
) -> None:
    touch = ("read", 100) if scenario == "deliver" else ("none", 0)
    case = Case(mechanism, scenario, BASE, SIZE_BYTES, *touch)
    assert "alone" in str(why_not(case, FACTS, {}, TRAITS))
    make_source(pair, case)
    with pytest.raises(NativeError, match="alone"), pair.open(case, seed=7):
        pass


@needs("thp")
@pytest.mark.parametrize("mechanism", ["fork", "readv"])
def test_huge_pages_are_whole_before_each_snapshot(pair: Pair, mechanism: str) -> None:
    huge_bytes = Case("", "", HUGE, 1).page_bytes
    case = Case(mechanism, "snapshot", HUGE, 2 * huge_bytes, rate="max")
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        for generation in (1, 2):
            evidence = opened.verify(generation)
            assert evidence.src
            assert evidence.src.huge_pct == 100
        opened.run(loops=1, expected_s=1)
    transfer = Case("readv", "transfer", HUGE, 2 * huge_bytes)
    with pair.open(transfer, seed=7) as opened:  # on the source that was written meanwhile
        evidence = opened.verify(generation=3)
    assert evidence.src
    assert evidence.src.huge_pct == 100


def test_a_source_that_dies_while_it_writes_fails_the_case(pair: Pair) -> None:
    case = make_case("readv")
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        threading.Timer(0.1, os.kill, (pair.source_pid, signal.SIGKILL)).start()
        with pytest.raises(NativeError, match="killed by signal 9"):
            for _ in range(1000):
                opened.run(loops=1, expected_s=1)


@pytest.mark.parametrize(
    ("mechanism", "reason"),
    [
        ("memfd-inplace", "nothing that stays as it was"),
        ("memcpy", "within one process"),
        ("pipe", "the source stops writing"),
    ],
)
def test_what_has_no_meaning_has_a_reason(mechanism: str, reason: str) -> None:
    assert reason in str(why_not(make_case(mechanism), FACTS, {}, TRAITS))
    alone = replace(FACTS, cpus=FACTS.cpus[:1])
    assert "a CPU of its own" in str(why_not(make_case("readv"), alone, {}, TRAITS))


def test_a_stall_of_the_source_is_in_the_corrected_gaps_alone(pair: Pair) -> None:
    """At 10,000 writes a second a delay of 20 ms holds up 200 of 2,200 writes."""
    case = make_case("writev", rate="10000", size_bytes=16 << 20)
    make_source(pair, case)
    with pair.open(case, seed=7, delay_ns=20_000_000) as opened:
        opened.verify(generation=1)
        opened.forget_latency()
        opened.run(loops=1, expected_s=1)
        latency = opened.latency()
    assert latency
    assert latency.max_ns >= 20_000_000
    due = corrected(latency.buckets, 100_000)
    assert percentile_ns(latency.buckets, latency.max_ns, 0.95) < 5_000_000
    assert percentile_ns(due, latency.max_ns, 0.95) > 5_000_000


def test_the_forked_child_is_not_on_the_cpu_of_the_writer(pair: Pair) -> None:
    case = make_case("fork", size_bytes=64 << 20)
    make_source(pair, case)
    seen: set[frozenset[int]] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for child in children(pair.source_pid):
                with suppress(ProcessLookupError):
                    seen.add(frozenset(os.sched_getaffinity(child)))

    watcher = threading.Thread(target=watch)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        watcher.start()
        for _ in range(20):
            opened.run(loops=1, expected_s=1)
            if frozenset({CPUS[1]}) in seen:
                break
        done.set()
        watcher.join()
    assert frozenset({CPUS[1]}) in seen


def test_nobody_is_woken_while_a_snapshot_is_taken() -> None:
    """Or it would be in the time of those mechanisms alone in which the source acts."""
    text = (Path(vmabench.native.__file__).parent / "scene_snapshot.c").read_text()
    for name in ("ask_source", "take", "take_timed", "act_if_asked"):
        body = text.split(f"int {name}(")[1].split("\n}\n")[0]
        assert "raise_word" not in body, name
        assert "futex" not in body, name
