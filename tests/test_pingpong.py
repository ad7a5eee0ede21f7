# SPDX-License-Identifier: GPL-2.0-only
"""pingpong in a real pair of processes: messages there and back, and what ends a talk."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import environ
from tests.needs import needs
from vmabench.analysis.latency import percentile_ns
from vmabench.errors import NativeError
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import why_not
from vmabench.mechanisms import MECHANISMS, Pair
from vmabench.runner.rounds import choose_cpus

FACTS = read_facts()
CPUS = choose_cpus(FACTS.cpus)
BASE = FACTS.pages[0]
TRAITS = {name: mechanism.traits for name, mechanism in MECHANISMS.items()}
TALKING = [name for name, one in MECHANISMS.items() if one.talks and name != "clone"]
WAYS = [
    (name, wait)
    for name in TALKING
    for wait in ("channel", "futex", "eventfd", "busy")
    if (wait == "channel") == MECHANISMS[name].both_act
]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(*CPUS) as opened:
        yield opened


def make_case(mechanism: str, wait: str, size_bytes: int = 64) -> Case:
    return Case(mechanism, "pingpong", BASE, size_bytes, wait=wait)


def make_source(pair: Pair, case: Case) -> None:
    pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.region_bytes)


@pytest.mark.parametrize(("mechanism", "wait"), WAYS)
@pytest.mark.parametrize("size_bytes", [8, 4104, 64 << 10])
def test_messages_go_there_and_back_and_each_is_timed(
    pair: Pair, mechanism: str, wait: str, size_bytes: int
) -> None:
    case = make_case(mechanism, wait, size_bytes)
    if reason := why_not(case, FACTS, {}, TRAITS):
        pytest.skip(reason)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
        opened.forget_latency()
        sample = opened.run(loops=20, expected_s=1)
        latency = opened.latency()
        opened.verify(generation=2)
    assert latency
    assert latency.count == sample.loops == 20
    assert latency.sum_ns == sample.time_ns["total"]
    assert sum(latency.chart_max_ns) == latency.sum_ns  # a point an operation
    assert max(latency.chart_max_ns) == latency.max_ns
    assert percentile_ns(latency.buckets, latency.max_ns, 1.0) <= latency.max_ns
    if mechanism != "null":
        assert evidence.src
        assert evidence.src.present_bytes == case.region_bytes
        assert evidence.page_table_bytes


@pytest.mark.parametrize("wait", ["futex", "eventfd", "busy"])
def test_a_source_that_dies_amid_a_talk_ends_it(pair: Pair, wait: str) -> None:
    case = make_case("readv", wait)
    if reason := why_not(case, FACTS, {}, TRAITS):
        pytest.skip(reason)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        os.kill(pair.source_pid, signal.SIGSTOP)
        killer = threading.Timer(0.3, os.kill, (pair.source_pid, signal.SIGKILL))
        killer.start()
        start_s = time.monotonic()
        with pytest.raises(NativeError, match="killed by signal 9"):
            opened.run(loops=1000, expected_s=1)
    assert time.monotonic() - start_s < 10


TALK = """
import ctypes
from tests.test_pingpong import CPUS, Pair, make_case, make_source
case = make_case("readv", "futex")
with Pair(*CPUS) as pair:
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        opened.run(loops=500, expected_s=1)
shim = ctypes.CDLL(None)
print(*(ctypes.c_ulong.in_dll(shim, name).value for name in ("futex_races", "child_looks")))
"""


@needs("compiler")
def test_a_message_that_is_there_already_costs_no_look_at_the_source(tmp_path: Path) -> None:
    """The word changes between the reading of it and FUTEX_WAIT: a round trip is being timed."""
    library = tmp_path / "race.so"
    source = Path(__file__).with_name("native") / "futex_race.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    talk = subprocess.run(
        [sys.executable, "-c", TALK], cwd=Path(__file__).parents[1],
        env=environ({"LD_PRELOAD": str(library)}),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert talk.returncode == 0, talk.stderr
    races, looks = map(int, talk.stdout.split())
    assert races > 500
    assert looks < 20  # those around the talk


def test_a_case_that_ends_leaves_no_descriptors(pair: Pair) -> None:
    case = make_case("pipe", "channel")
    make_source(pair, case)
    sides = [Path(f"/proc/{pid}/fd") for pid in ("self", pair.source_pid)]
    before = [len(list(side.iterdir())) for side in sides]
    for made in (case, replace(case, mechanism="readv", wait="eventfd")):
        with pair.open(made, seed=7) as opened:
            opened.verify(generation=1)
    assert [len(list(side.iterdir())) for side in sides] == before


def test_busy_waiting_on_one_cpu_is_refused() -> None:
    case = make_case("readv", "busy")
    with Pair(CPUS[0], CPUS[0]) as one_cpu:
        make_source(one_cpu, case)
        with pytest.raises(NativeError, match="a CPU for each side"), one_cpu.open(case, seed=7):
            pass
    alone = replace(FACTS, cpus=FACTS.cpus[:1])
    assert why_not(case, alone, {}, TRAITS) == "busy waiting needs a CPU for each side, there is 1"
    assert why_not(replace(case, wait="futex"), alone, {}, TRAITS) is None


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (make_case("fork", "futex"), "fork carries no message there and back"),
        (make_case("pipe", "futex"), "tells itself that it is there"),
        (make_case("readv", "channel"), "readv tells nobody"),
        (make_case("readv", "futex", 12), "a multiple of 8 bytes"),
        (make_case("readv", "futex", 128 << 10), "and 64K at most"),
        (replace(make_case("readv", "futex"), page=FACTS.pages[1]), f"pages of {BASE} alone"),
    ],
)
def test_what_has_no_meaning_has_a_reason(case: Case, reason: str) -> None:
    found = why_not(case, FACTS, {}, TRAITS)
    assert found is not None
    assert reason in found


@pytest.mark.parametrize("mechanism", [name for name in MECHANISMS if name != "clone"])
def test_the_core_and_the_rules_refuse_the_same(pair: Pair, mechanism: str) -> None:
    if mechanism == "xpmem":
        pytest.skip("needs its module")
    for wait in ("channel", "futex", "eventfd"):
        case = make_case(mechanism, wait)
        make_source(pair, case)
        refused = why_not(case, FACTS, {}, TRAITS) is not None
        if refused:
            with pytest.raises(NativeError), pair.open(case, seed=7):
                pass
        else:
            with pair.open(case, seed=7):
                pass
