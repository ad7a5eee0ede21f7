# SPDX-License-Identifier: GPL-2.0-only
"""Segments that change places on the way: each mechanism, byte for byte, and the whole run."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import ONLY_SAMPLES, vmabench
from vmabench.analysis.frame import tidy
from vmabench.errors import NativeError
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.matrix.rules import why_too_large
from vmabench.matrix.table import TABLE
from vmabench.mechanisms import MECHANISMS, Pair, base_page_bytes
from vmabench.native._core import ffi, lib
from vmabench.report.build import Report
from vmabench.runner.rounds import choose_cpus
from vmabench.store.reader import read

BASE = read_facts().pages[0]
BASE_BYTES = base_page_bytes()

#: clone is scattered in test_guest_run.py, xpmem in test_xpmem.py
HERE = [name for name in MECHANISMS if name not in ("clone", "xpmem")]
SEGMENTS = SCENARIOS["scatter"].axes["segments"]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(*choose_cpus(read_facts().cpus)) as opened:
        yield opened


def make_source(pair: Pair, case: Case) -> None:
    pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)


def scattered(mechanism: str, segments: int, pages: int = 64) -> Case:
    return Case(mechanism, "scatter", BASE, pages * BASE_BYTES, segments=segments)


SCATTERING = [name for name in HERE if MECHANISMS[name].scatters and name != "null"]


@pytest.mark.parametrize("mechanism", SCATTERING)
@pytest.mark.parametrize("segments", [1, 2, 3, 64, 1024])
def test_segments_arrive_in_their_places(pair: Pair, mechanism: str, segments: int) -> None:
    case = scattered(mechanism, segments, pages=3072 if segments > 64 else 192)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
        sample = opened.run(loops=3, expected_s=1)
        opened.verify(generation=2)
    assert sample.time_ns["total"] > 0
    assert evidence.dst and evidence.dst.present_bytes == case.size_bytes


#: they ask the kernel to move bytes, which it does up to MAX_RW_COUNT a call
CALLING = ("readv", "writev", "procmem-read", "procmem-write")


@pytest.mark.parametrize("mechanism", CALLING)
@pytest.mark.parametrize(
    ("scenario", "segments"), [("scatter", 1), ("scatter", 5), ("scatter", 64), ("transfer", 1)]
)
def test_what_one_call_can_not_move_takes_several(
    pair: Pair, mechanism: str, segments: int, scenario: str
) -> None:
    """The limit falls into pages and segments, and the last call moves less than the others."""
    case = replace(scattered(mechanism, segments, pages=320), scenario=scenario)
    make_source(pair, case)
    with pair.open(case, seed=7, call_bytes=3 * BASE_BYTES + 1000) as opened:
        opened.verify(generation=1)
        opened.run(loops=3, expected_s=1)
        opened.verify(generation=2)


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ["readv", "writev", "procmem-read"])
def test_segments_of_more_than_one_call_moves_arrive(pair: Pair, mechanism: str) -> None:
    """Slow: MAX_RW_COUNT is 2 GiB less a page, so both buffers are larger, filled and compared."""
    case = scattered(mechanism, 16, pages=(2 << 30) // BASE_BYTES)
    if reason := why_too_large(case, read_facts()):
        pytest.skip(reason)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
    assert evidence.moved_bytes == case.size_bytes


@pytest.mark.parametrize("mechanism", ["memfd-inplace", "memfd-private", "mremap", "mremap-dup"])
def test_no_two_segments_can_be_merged(pair: Pair, mechanism: str) -> None:
    case = scattered(mechanism, 64)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        evidence = opened.verify(generation=1)
    assert evidence.dst and evidence.dst.vmas == 64


def test_a_segment_in_the_wrong_place_is_found(pair: Pair) -> None:
    """What readv of the whole delivers is not what its segments would."""
    case = scattered("memcpy", 4)
    make_source(pair, case)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        context = opened._context
        assert lib.vmb_check_segments(context, 1) == 0
        page = ffi.buffer(context.view, 2 * 16 * BASE_BYTES)
        page[:BASE_BYTES] = page[16 * BASE_BYTES : 17 * BASE_BYTES]
        assert lib.vmb_check_segments(context, 1) == -errno.EBADMSG


@pytest.mark.parametrize("mechanism", [name for name in HERE if not MECHANISMS[name].scatters])
def test_what_has_no_segments_says_so(pair: Pair, mechanism: str) -> None:
    case = scattered(mechanism, 4)
    make_source(pair, case)
    with pytest.raises(NativeError, match="has no segments"), pair.open(case, seed=7):
        pass


def test_segments_that_are_no_whole_pages_are_refused(pair: Pair) -> None:
    make_source(pair, scattered("readv", 1))
    for segments in (3, 1025):
        with pytest.raises(NativeError, match="segments of"):
            pair.open(scattered("readv", segments), seed=7).__enter__()


@pytest.mark.slow
def test_a_run_has_a_value_or_the_reason_for_every_mechanism() -> None:
    """Slow: it measures every mechanism, each in a block of its own."""
    run = vmabench(
        "run", "smoke", "--scenario", "scatter", "--mechanism", ",".join(MECHANISMS),
        "--page", BASE, "--size", "4M", "--source", "idle", "--budget", "1s", *ONLY_SAMPLES,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    result = read(Path("out"))
    frame = tidy(result)
    measured = frame[frame["outcome"] == "ok"]
    assert (measured["time_ns"] > 0).all()
    got = set(zip(measured["mechanism"], measured["segments"].astype(int), strict=True))
    able = {name for name in HERE if not TABLE[name].unscattered}
    assert got == {(name, int(segments)) for name in able for segments in SEGMENTS}
    skipped = frame[frame["outcome"] == "skipped"]
    assert set(skipped["mechanism"]) == set(MECHANISMS) - able
    for name, reason in zip(skipped["mechanism"], skipped["reason"], strict=True):
        assert reason == TABLE[name].unscattered or name in ("clone", "xpmem")
    assert "time of all segments" in Report(result).text()
