# SPDX-License-Identifier: GPL-2.0-only
"""The memory of the receiver: what is in its timed parts, and what came before them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.needs import needs
from vmabench.errors import NativeError
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import why_not
from vmabench.mechanisms import MECHANISMS, CData, OpenCase, Pair, Sample, base_page_bytes
from vmabench.native._core import ffi, lib
from vmabench.runner.rounds import choose_cpus
from vmabench.runner.worker import check_afterwards

BASE, HUGE = read_facts().pages
BASE_BYTES = base_page_bytes()
CPUS = choose_cpus(read_facts().cpus)
HERE = [name for name in MECHANISMS if name not in ("clone", "xpmem")]
PAGES = 64
LOOPS = 4
READV = Case("readv", "deliver", BASE, PAGES * BASE_BYTES, "read", 100)


def vm_flags(address: int) -> list[str]:
    """Return the flags of the mapping that begins there."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.startswith(f"{address:x}-"):
            flags = next(line for line in lines if line.startswith("VmFlags:"))
            return flags.split()[1:]
    return []


@pytest.fixture
def slot() -> Iterator[CData]:
    slots = ffi.new("char *[1]")
    assert lib.vmb_slots_find(BASE_BYTES, 1, slots) == 0
    yield slots[0]
    lib.vmb_fresh_unmap(slots[0], BASE_BYTES)


@pytest.mark.machine
@needs("thp")
def test_advice_on_a_timed_mapping_is_given_after_it(slot: CData) -> None:
    """A program advises its buffer once, so the call is no part of a delivery (or of a copy)."""
    address = int(ffi.cast("uintptr_t", slot))
    lib.vmb_advice_defer()
    assert lib.vmb_fresh_map(slot, BASE_BYTES, BASE_BYTES, 0) == 0
    assert "nh" not in vm_flags(address)
    assert lib.vmb_advice_give() == 0
    assert "nh" in vm_flags(address)
    lib.vmb_fresh_unmap(slot, BASE_BYTES)
    assert lib.vmb_fresh_map(slot, BASE_BYTES, BASE_BYTES, 0) == 0
    assert "nh" in vm_flags(address)  # from then on it is given at once


@pytest.mark.machine
@needs("thp")
def test_advice_comes_before_the_first_use() -> None:
    """Two huge pages take two faults, not one for each base page."""
    size_bytes = 2 * Case("", "", HUGE, 1).page_bytes
    sample = measured(replace(READV, page=HUGE, size_bytes=size_bytes))
    assert sample.counts["minor_faults"] <= LOOPS * 2 + 8


@contextmanager
def opened(case: Case) -> Iterator[OpenCase]:
    with Pair(*CPUS) as pair:
        pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)
        with pair.open(case, seed=5) as one:
            yield one


def measured(case: Case) -> Sample:
    with opened(case) as one:
        one.verify(1)
        sample = one.run(LOOPS, 1)
        check_afterwards(one, case)
        one.verify(2)
    return sample


@pytest.mark.machine
@pytest.mark.parametrize("mechanism", ["readv", "writev", "memfd", "memfd-inplace", "memcpy"])
def test_a_reused_buffer_takes_no_fault(mechanism: str) -> None:
    """Nor a mapping that is kept: a memfd is mapped once."""
    case = replace(READV, mechanism=mechanism, buffer="reused")
    sample = measured(replace(case, touch_mode="write"))
    assert sample.counts["minor_faults"] <= 2  # those of the test itself
    fresh = measured(replace(case, buffer="fresh"))
    assert fresh.counts["minor_faults"] >= LOOPS * PAGES // 16  # faults of a file map 16 pages
    assert sample.time_ns["attach"] < fresh.time_ns["attach"]


@pytest.mark.machine
@pytest.mark.parametrize("mechanism", ["readv", "memfd", "memfd-inplace", "memfd-private"])
def test_populated_memory_takes_no_fault_when_it_is_read(mechanism: str) -> None:
    case = replace(READV, mechanism=mechanism, buffer="populated")
    untouched = measured(replace(case, touch_mode="none", touch_pct=0))
    assert measured(case).counts["minor_faults"] - untouched.counts["minor_faults"] <= 2


@pytest.mark.machine
@pytest.mark.parametrize("buffer", ["reused", "populated"])
@pytest.mark.parametrize("mechanism", HERE)
def test_each_mechanism_delivers_to_the_buffer_or_says_why_not(mechanism: str, buffer: str) -> None:
    """Also from a source that writes meanwhile; what Python skips is refused by the core."""
    case = replace(READV, mechanism=mechanism, buffer=buffer, source="rewritten")
    if why_not(case, read_facts(), {}, {mechanism: MECHANISMS[mechanism].traits}):
        with pytest.raises(NativeError, match=r"only fresh buffers|alone:"), opened(case):
            pass
    else:
        assert measured(case).time_ns["total"] > 0


@pytest.mark.parametrize(
    ("mechanism", "buffer", "reason"),
    [
        ("clone", "reused", "the mapping itself"),
        ("fork", "populated", "the mapping itself"),
        ("uffd-copy", "reused", "missing pages"),
        ("memfd-private", "reused", "a new object"),
        ("xpmem", "populated", "by faults alone"),
        ("mremap", "populated", "which moves"),
    ],
)
def test_a_mechanism_without_such_a_buffer_says_why(
    mechanism: str, buffer: str, reason: str
) -> None:
    case = replace(READV, mechanism=mechanism, buffer=buffer)
    assert reason in (why_not(case, read_facts(), {}) or "")
    assert why_not(replace(case, buffer="fresh"), read_facts(), {}) is None


def test_names_of_older_results_are_those_of_fresh_memory() -> None:
    assert Case.parse(str(READV)) == READV
    assert READV.buffer == "fresh"
    assert str(replace(READV, buffer="reused")) == f"{READV}/buffer:reused"
