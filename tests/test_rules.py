# SPDX-License-Identifier: GPL-2.0-only
from dataclasses import replace

import pytest

from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import LARGE_BYTES, RESERVE_BYTES, needed_bytes, peak_bytes, why_not
from vmabench.native._core import lib

FACTS = replace(read_facts(), available_bytes=1 << 40)
CASE = Case("readv", "transfer", "2M", 64 << 20)


def test_a_case_that_fits_can_run() -> None:
    assert why_not(CASE, FACTS, {}) is None
    assert peak_bytes(CASE) == pytest.approx(128 << 20, rel=0.01)
    just = replace(FACTS, available_bytes=needed_bytes(CASE))
    assert why_not(CASE, just, {}) is None
    less = replace(just, available_bytes=needed_bytes(CASE) - 1)
    assert "0.5 GiB of memory" in (why_not(CASE, less, {}) or "")


def test_a_size_that_the_page_does_not_divide() -> None:
    reason = why_not(replace(CASE, size_bytes=3 << 20), FACTS, {})
    assert reason == "3M is no multiple of the page size 2M"


def test_a_size_beyond_the_free_memory_says_what_it_needs() -> None:
    reason = why_not(CASE, replace(FACTS, available_bytes=RESERVE_BYTES), {})
    assert reason is not None
    assert "size 64M needs about 0.5 GiB" in reason
    assert "0.2 GiB are available" in reason


def test_what_was_tried_in_vain_is_the_reason() -> None:
    blocked = {("readv", "2M", ""): "yama", ("clone", "4K", ""): "ENOSYS"}
    assert why_not(CASE, FACTS, blocked) == "yama"
    assert why_not(replace(CASE, page="4K"), FACTS, blocked) is None


def test_each_mechanism_has_the_peak_of_its_way() -> None:
    of = replace(CASE, page="4K", size_bytes=1 << 30)
    factors = {
        name: peak_bytes(replace(of, mechanism=name)) / (1 << 30)
        for name in ("clone", "readv", "memfd-inplace", "memfd-private", "memcpy", "stranger")
    }
    assert [round(factor, 1) for factor in factors.values()] == [1, 2, 1, 2, 3, 4]
    # what is written is no longer shared
    written = replace(of, mechanism="fork", scenario="deliver", touch_mode="write", touch_pct=50)
    assert peak_bytes(written) / (1 << 30) == pytest.approx(1.5, rel=0.01)


def test_below_the_largest_sizes_a_block_keeps_its_buffers() -> None:
    small, large = replace(CASE, size_bytes=256 << 20), replace(CASE, size_bytes=512 << 20)
    assert lib.VMB_LARGE_BYTES == LARGE_BYTES == large.size_bytes
    assert needed_bytes(small) - RESERVE_BYTES == peak_bytes(small) + (512 << 20)
    assert needed_bytes(large) - RESERVE_BYTES == peak_bytes(large)


def test_the_setting_of_thp_decides_which_pages_there_are() -> None:
    facts = replace(FACTS, thp_bytes=2 << 20, base_page_bytes=4096)

    def reason(page: str, thp: str) -> str | None:
        return why_not(replace(CASE, page=page, thp=thp), facts, {})

    for thp in ("always", "madvise", "never"):
        assert reason("4K", thp) is None
        assert "pages of a pool" in (reason("hugetlb-2M", thp) or "")
    assert reason("2M", "always") is reason("2M", "madvise") is None
    assert "nobody gets pages of 2M" in (reason("2M", "never") or "")
    no_thp = replace(facts, thp_bytes=None)
    assert "no THP" in (why_not(replace(CASE, page="4K", thp="always"), no_thp, {}) or "")
    # what blocks the machine's own setting blocks no other one
    blocked = {("readv", "2M", ""): "THP is set to never"}
    assert why_not(replace(CASE, thp="always"), facts, blocked) is None


def test_a_scatter_has_whole_pages_and_a_reason() -> None:
    scatter = replace(CASE, scenario="scatter", page="4K", size_bytes=1 << 20, segments=256)
    assert why_not(scatter, FACTS, {}) is None
    assert "no 1024 segments" in (why_not(replace(scatter, segments=1024), FACTS, {}) or "")
    assert "all mappings" in (why_not(replace(scatter, mechanism="fork"), FACTS, {}) or "")
