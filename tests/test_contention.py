# SPDX-License-Identifier: GPL-2.0-only
"""contention: receivers of one source and pairs side by side, each a process of its own."""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import children, wait_until
from vmabench.errors import NativeError, UsageError
from vmabench.machine.facts import read_facts
from vmabench.matrix.axes import AXES, MOST_RECEIVERS
from vmabench.matrix.case import Case
from vmabench.matrix.plans import Vocabulary, expand, load_plan, override
from vmabench.matrix.rules import peak_bytes, why_not
from vmabench.mechanisms import MECHANISMS, Pair
from vmabench.native._core import lib
from vmabench.runner.rounds import choose_cpus
from vmabench.runner.worker import check_afterwards

FACTS = read_facts()
CPUS = choose_cpus(FACTS.cpus)
BASE = FACTS.pages[0]
SIZE_BYTES = 1 << 20
MANY = replace(FACTS, cpus=tuple(range(64)))
TRAITS = {name: mechanism.traits for name, mechanism in MECHANISMS.items()}
HERE = [name for name in MECHANISMS if name not in ("clone", "xpmem")]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(*CPUS) as opened:
        yield opened


def make_case(mechanism: str, receivers: int = 1, pairs: int = 1) -> Case:
    return Case(mechanism, "contention", BASE, SIZE_BYTES, receivers=receivers, pairs=pairs)


def make_source(pair: Pair, case: Case) -> None:
    pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)


def anonymous_bytes(pid: int) -> int:
    """What is in the process's own pages and in nobody else's."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_Dirty"))


@pytest.mark.parametrize("mechanism", HERE)
@pytest.mark.parametrize(("receivers", "pairs"), [(1, 1), (3, 1), (1, 3)])
def test_all_receive_and_are_verified(
    pair: Pair, mechanism: str, receivers: int, pairs: int
) -> None:
    case = make_case(mechanism, receivers, pairs)
    make_source(pair, case)
    if why_not(case, MANY, {}, TRAITS):
        with pytest.raises(NativeError), pair.open(case, seed=7):
            pass
        return
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
        sample = opened.run(loops=3, expected_s=1)
        check_afterwards(opened, case)
        src, dst = opened.prove()
        opened.verify(generation=2)
    lasts = mechanism != "null" and not MECHANISMS[mechanism].in_place
    assert (dst.size_bytes if dst else 0) == lasts * max(receivers, pairs) * SIZE_BYTES
    assert (src.size_bytes if src else 0) == (mechanism != "null") * pairs * SIZE_BYTES
    assert len(sample.receiver_ns) == max(receivers, pairs)
    assert all(time_ns > 0 for time_ns in sample.receiver_ns)
    if mechanism != "fork":  # whose time ends before its child is waited for
        assert max(sample.receiver_ns) <= sample.time_ns["total"]
    if mechanism != "null":
        assert evidence.src and evidence.dst
        assert evidence.dst.present_bytes == case.size_bytes
        assert evidence.page_table_bytes
        assert evidence.use["pss_bytes"] > 0
        if MECHANISMS[mechanism].memory == "anon" and not MECHANISMS[mechanism].in_place:
            assert evidence.use["rss_bytes"] > max(receivers, pairs) * SIZE_BYTES
    assert not set(children(os.getpid())) - {pair.source_pid}


def test_each_receiver_has_pages_of_its_own_and_a_cpu_in_turn(pair: Pair) -> None:
    case = make_case("readv", receivers=3)
    make_source(pair, case)
    with pair.open(replace(case, scenario="transfer", receivers=1), seed=7) as opened:
        opened.verify(generation=1)  # its buffer stays, and is what the receivers inherit
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        receivers = sorted(set(children(os.getpid())) - {pair.source_pid})
        assert len(receivers) == 3
        for index, pid in enumerate(receivers):
            assert anonymous_bytes(pid) >= SIZE_BYTES
            assert os.sched_getaffinity(pid) == {FACTS.cpus[index % len(FACTS.cpus)]}
        before = [Path(f"/proc/{pid}/stat").read_text().split()[9] for pid in receivers]
        opened.run(loops=5, expected_s=1)
        after = [Path(f"/proc/{pid}/stat").read_text().split()[9] for pid in receivers]
    # 5 MiB are 1280 base pages: none of them was shared with the worker when the time ran
    assert all(int(b) - int(a) < 64 for a, b in zip(before, after, strict=True))


def test_the_cpus_go_round() -> None:
    count = len(FACTS.cpus)
    assert [lib.vmb_cpu_at(index) for index in range(2 * count)] == [*FACTS.cpus, *FACTS.cpus]


def test_a_receiver_that_dies_fails_the_case_and_the_rest_goes(pair: Pair) -> None:
    case = make_case("readv", receivers=2)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        victim = min(set(children(os.getpid())) - {pair.source_pid})
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(NativeError, match="receiver 1 was killed by signal 9"):
            opened.run(loops=3, expected_s=1)
    assert not set(children(os.getpid())) - {pair.source_pid}


def test_receivers_go_when_the_source_of_their_pair_dies(pair: Pair) -> None:
    case = make_case("writev", pairs=2)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        member = min(set(children(os.getpid())) - {pair.source_pid})
        (own_source,) = children(member)
        threading.Timer(0.1, os.kill, (own_source, signal.SIGKILL)).start()
        with pytest.raises(NativeError, match="source process was killed"):
            for _ in range(10_000):
                opened.run(loops=3, expected_s=1)
    wait_until(lambda: not Path(f"/proc/{own_source}").exists())


def test_the_sources_of_pairs_are_waited_for(pair: Pair) -> None:
    """This process adopts them, as PID 1 of a container does, and would have their zombies."""
    libc = ctypes.CDLL(None)
    set_child_subreaper, get_child_subreaper = 36, 37
    case = make_case("writev", pairs=2)
    make_source(pair, case)
    libc.prctl(set_child_subreaper, 1)
    try:
        with pair.open(case, seed=7) as opened:
            opened.verify(generation=1)
            members = set(children(os.getpid())) - {pair.source_pid}
            assert all(len(children(member)) == 1 for member in members)
        assert children(os.getpid()) == [pair.source_pid]
        reaper = ctypes.c_int()
        libc.prctl(get_child_subreaper, ctypes.byref(reaper))
        assert reaper.value == 1  # as it was before the case
    finally:
        libc.prctl(set_child_subreaper, 0)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (make_case("writev", receivers=2), "not at once"),
        (make_case("pipe", receivers=2), "not at once"),
        (make_case("memcpy", receivers=2), "within one process"),
        (make_case("uffd-copy"), "fresh memory alone"),
    ],
)
def test_what_has_no_meaning_has_a_reason(case: Case, reason: str) -> None:
    found = why_not(case, MANY, {}, TRAITS)
    assert found is not None
    assert reason in found


@pytest.mark.parametrize(
    ("cpus", "counts"),
    [(1, []), (2, [2]), (3, [2, 3]), (6, [2, 4, 6]), (64, [2, 4, 8, 16, 32, 64]),
     (200, [2, 4, 8, 16, 32, 64, 128, 200])],
)  # fmt: skip
@pytest.mark.parametrize("plan", ["standard", "full", "motion"])
def test_the_curve_is_as_long_as_there_are_cpus(plan: str, cpus: int, counts: list[int]) -> None:
    only = override(load_plan(plan), {"mechanism": ["readv"]})
    found = [
        (case.receivers, case.pairs)
        for case in expand(only, Vocabulary(("readv",), ("4K", "2M"), cpus=cpus))
        if case.scenario == "contention"
    ]
    expected = [(1, 1), *((n, 1) for n in counts), *((1, n) for n in counts)]
    assert list(dict.fromkeys(found)) == expected


def test_who_waits_for_all_cpus_is_named_in_a_plan_alone() -> None:
    with pytest.raises(UsageError, match="is no crowd"):
        AXES["crowd"].parse("receivers")


@pytest.mark.parametrize("kind", ["receivers", "pairs"])
def test_more_than_the_core_can_measure_have_a_reason(kind: str) -> None:
    assert lib.VMB_MOST_RECEIVERS == MOST_RECEIVERS
    large = replace(FACTS, cpus=tuple(range(200)), available_bytes=1 << 40)
    case = replace(make_case("readv"), **AXES["crowd"].parse(f"{kind}-65"))
    assert "keeps the times of 64" in str(why_not(case, large, {}, TRAITS))
    most = replace(make_case("readv"), **AXES["crowd"].parse(f"{kind}-64"))
    assert why_not(most, large, {}, TRAITS) is None


def test_more_than_there_are_cpus_would_take_turns() -> None:
    two = replace(FACTS, cpus=(0, 1))
    assert why_not(make_case("readv", receivers=2), two, {}, TRAITS) is None
    assert "there are 2" in str(why_not(make_case("readv", receivers=3), two, {}, TRAITS))
    assert "there are 2" in str(why_not(make_case("readv", pairs=3), two, {}, TRAITS))


def test_all_of_them_need_memory() -> None:
    alone = peak_bytes(make_case("readv"))
    assert peak_bytes(make_case("readv", pairs=5)) == pytest.approx(5 * alone, abs=5)
