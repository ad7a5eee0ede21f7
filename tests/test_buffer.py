# SPDX-License-Identifier: GPL-2.0-only
"""The memory of the receiver: what is in its timed parts, and what came before them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import needs
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, CData, Pair, base_page_bytes
from vmabench.native._core import ffi, lib
from vmabench.runner.rounds import choose_cpus

BASE, HUGE = read_facts().pages
BASE_BYTES = base_page_bytes()
CPUS = choose_cpus(read_facts().cpus)


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
    case = Case("readv", "deliver", HUGE, size_bytes, "read", 100)
    with Pair(*CPUS) as pair:
        pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)
        with pair.open(case, seed=1) as opened:
            opened.verify(1)
            assert opened.run(4, 1).counts["minor_faults"] <= 4 * 2 + 8
