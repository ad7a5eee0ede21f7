# SPDX-License-Identifier: GPL-2.0-only
from dataclasses import replace

from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import BUFFERS, RESERVE_BYTES, peak_bytes, why_not

FACTS = replace(read_facts(), available_bytes=RESERVE_BYTES + BUFFERS * (64 << 20))
CASE = Case("readv", "transfer", "2M", 64 << 20)


def test_a_case_that_fits_can_run() -> None:
    assert why_not(CASE, FACTS, {}) is None
    assert peak_bytes(CASE) == 256 << 20


def test_a_size_that_the_page_does_not_divide() -> None:
    reason = why_not(replace(CASE, size_bytes=3 << 20), FACTS, {})
    assert reason == "3M is no multiple of the page size 2M"


def test_a_size_beyond_the_free_memory_says_what_it_needs() -> None:
    reason = why_not(replace(CASE, size_bytes=66 << 20), FACTS, {})
    assert reason is not None
    assert "size 66M needs about 0.5 GiB" in reason
    assert "0.5 GiB are available" in reason


def test_what_was_tried_in_vain_is_the_reason() -> None:
    blocked = {("readv", "2M"): "yama", ("clone", "4K"): "ENOSYS"}
    assert why_not(CASE, FACTS, blocked) == "yama"
    assert why_not(replace(CASE, page="4K"), FACTS, blocked) is None
