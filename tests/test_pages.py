# SPDX-License-Identifier: GPL-2.0-only
"""Every kind of page that this kernel has: borrowed, proved and restored."""

import mmap
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import DOCTOR, NEXT_RUN, ONLY_SAMPLES, findings, start, vmabench, wait_until
from tests.leftover import workers
from tests.needs import needs, thpmaps
from tests.undo import borrowed, restored
from tests.users import ORDINARY
from vmabench.analysis.frame import tidy
from vmabench.errors import MachineError, NativeError
from vmabench.machine.facts import THP, read_facts
from vmabench.machine.pages import (
    BorrowedPages,
    Page,
    Pool,
    changes,
    free_in_pool,
    is_advised,
    pool_file,
    settings_under,
    thp_settings,
    thp_state,
)
from vmabench.matrix.case import Case
from vmabench.matrix.rules import pool_bytes, why_not
from vmabench.mechanisms import Pair, base_page_bytes
from vmabench.native._core import ffi, lib
from vmabench.probe import raise_pools
from vmabench.report.build import Report
from vmabench.runner.rounds import choose_cpus
from vmabench.store.reader import read

FACTS = replace(
    read_facts(),
    base_page_bytes=4096,
    thp_bytes=2 << 20,
    mthp_bytes=(65536, 131072),
    hugetlb_bytes=(2 << 20, 1 << 30),
)
SIZES = Path("/") / THP
HUGETLB_2M = Page("hugetlb-2M")


def settings() -> dict[str, str]:
    """Every setting that is borrowed for pages, as it is now."""
    files = [*SIZES.glob("hugepages-*kB/*enabled"), *SIZES.glob("*enabled")]
    pools = Path("/sys/kernel/mm/hugepages").glob("*/nr_hugepages")
    return {str(path): path.read_text() for path in (*files, *pools)}


@pytest.fixture
def all_given_back() -> Iterator[None]:
    before = settings()
    yield
    assert settings() == before


def short(page: str, memory: str) -> list[str]:
    found = thp_settings(Page(page), memory, FACTS)
    return [f"{str(path).removeprefix(str(SIZES))[1:]}={value}" for path, value in found]


def test_what_memory_of_each_kind_takes() -> None:
    assert FACTS.all_pages == ("4K", "2M", "64K", "128K", "hugetlb-2M", "hugetlb-1G")
    assert short("4K", "anon") == short("4K", "memfd") == []
    assert short("2M", "anon") == []
    assert short("2M", "shm") == ["hugepages-2048kB/shmem_enabled=advise"]
    assert short("2M", "memfd") == ["shmem_enabled=advise"]
    assert short("hugetlb-2M", "anon") == []
    anon = [
        "hugepages-64kB/enabled=madvise",
        "hugepages-128kB/enabled=never",
        "hugepages-2048kB/enabled=never",
        "enabled=never",
    ]
    assert short("64K", "anon") == anon
    shmem = [line.replace("=madv", "=adv").replace("/en", "/shmem_en") for line in anon[:-1]]
    assert short("64K", "memfd") == [*shmem, *anon]


def test_a_machine_with_64k_base_pages() -> None:
    """arm64: its THP are 512M, and 64K is no multi-size folio there."""
    facts = replace(
        FACTS, base_page_bytes=65536, thp_bytes=512 << 20, mthp_bytes=(128 << 10, 2 << 20)
    )
    assert facts.pages == ("64K", "512M")
    assert thp_settings(Page("64K"), "anon", facts) == []
    assert not Page("64K").transparent(facts)
    assert Page("2M").multi_size(facts)
    assert not Page("512M").multi_size(facts)
    assert not Page("hugetlb-512M").transparent(facts)


def test_what_does_not_fit_into_a_pool_is_skipped_with_its_size() -> None:
    case = Case("readv", "transfer", "hugetlb-2M", 64 << 20)
    assert pool_bytes(case) == 128 << 20
    assert why_not(case, FACTS, {}, pools={"hugetlb-2M": Pool(128 << 20)}) is None
    reason = why_not(case, FACTS, {}, pools={"hugetlb-2M": Pool(126 << 20)})
    assert reason and "126M free of the 128M" in reason
    # what is copied within one process has a source of its own
    local = replace(case, mechanism="memcpy")
    assert why_not(local, FACTS, {}, pools={"hugetlb-2M": Pool(128 << 20)})


def test_a_pool_that_may_not_be_raised_is_not_called_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: BorrowedPages, _page: Page, _wanted: int, _nodes: tuple[int, ...]) -> int:
        raise MachineError("can't keep what is borrowed in /state: Read-only file system")

    monkeypatch.setattr(BorrowedPages, "raise_pool", refuse)
    case = Case("readv", "transfer", "hugetlb-2M", 64 << 20)
    pools = raise_pools([case], BorrowedPages())
    reason = why_not(case, FACTS, {}, pools=pools)
    assert reason and "Read-only file system" in reason
    assert "too full" not in reason


def pool_on(root: Path, node: int | None, pages: int, free: int) -> Path:
    """Make the pool of a made-up machine or of one of its nodes; return its number of pages."""
    file = pool_file(HUGETLB_2M, node, root)
    file.parent.mkdir(parents=True)
    file.write_text(f"{pages}\n")
    file.with_name("free_hugepages").write_text(f"{free}\n")
    if node is None:
        file.with_name("resv_hugepages").write_text("0\n")
    return file


def test_the_pool_of_each_sides_node_is_raised_and_restored(tmp_path: Path) -> None:
    everywhere = pool_on(tmp_path, None, 12, 7)
    files = [pool_on(tmp_path, node, pages, free) for node, (pages, free) in enumerate(
        [(4, 4), (5, 2), (3, 1)])]  # fmt: skip
    borrowed = [BorrowedPages(tmp_path / "state", tmp_path) for _ in range(2)]
    assert free_in_pool(HUGETLB_2M, (1, 2), tmp_path) == 2 << 20
    assert borrowed[0].raise_pool(HUGETLB_2M, 8 << 20, (1, 2)) == 2 << 20  # free is as it was
    assert [file.read_text().strip() for file in files] == ["4", "7", "6"]
    assert everywhere.read_text() == "12\n"
    assert len(borrowed[1].restore()) == 2
    assert [file.read_text().strip() for file in files] == ["4", "5", "3"]


def test_a_machine_with_one_node_raises_its_only_pool(tmp_path: Path) -> None:
    everywhere, node = pool_on(tmp_path, None, 3, 1), pool_on(tmp_path, 0, 3, 1)
    with BorrowedPages(tmp_path / "state", tmp_path) as pages:
        pages.raise_pool(HUGETLB_2M, 8 << 20)
        assert everywhere.read_text() == "6"
        assert node.read_text() == "3\n"
    assert everywhere.read_text() == "3"


def test_a_pool_that_is_too_small_names_its_nodes() -> None:
    case = Case("readv", "transfer", "hugetlb-2M", 64 << 20)
    reason = why_not(case, FACTS, {}, pools={"hugetlb-2M": Pool(2 << 20, nodes=(0, 1))})
    assert reason and "hugetlb-2M on NUMA node 0 or 1 has 2M free of the 128M needed" in reason
    assert "(hugepages=0:64,1:64 on the kernel's command line)" in reason


PMD_SWITCHES = {SIZES / "hugepages-2048kB/enabled", SIZES / "hugepages-2048kB/shmem_enabled"}


@pytest.mark.parametrize("memory", ["anon", "memfd", "shm", "sysv"])
def test_a_switch_of_the_pmd_size_that_says_never_is_borrowed(memory: str) -> None:
    plain = thp_settings(Page("2M"), memory, FACTS)
    found = thp_settings(Page("2M"), memory, FACTS, PMD_SWITCHES)
    # the receiver's own memory is anonymous, and goes by its switch
    assert (SIZES / "hugepages-2048kB/enabled", "inherit") in found
    assert set(plain) <= set(found)
    shared = dict(found).get(SIZES / "hugepages-2048kB/shmem_enabled")
    assert shared == {"anon": None, "shm": "advise"}.get(memory, "inherit")
    assert not {"inherit"} & set(dict(plain).values())


@needs("root", "thp")
def test_what_the_suite_has_set_to_never_itself_is_not_the_machines(all_given_back: None) -> None:
    with BorrowedPages() as pages:
        pages.switch(thp_settings(Page("64K"), "anon", read_facts()))
        assert pages.never(Page("2M")) == set()
    with borrowed(SIZES / "hugepages-2048kB/enabled", "never"), BorrowedPages() as pages:
        assert pages.never(Page("2M")) == {SIZES / "hugepages-2048kB/enabled"}


@needs("root", "thp")
def test_2m_pages_come_although_their_own_switches_say_never(all_given_back: None) -> None:
    own = SIZES / "hugepages-2048kB"
    with borrowed(own / "enabled", "never"), borrowed(own / "shmem_enabled", "never"):
        run = vmabench(
            "run", "smoke", "--mechanism", "readv,memfd,shm", "--page", "2M", "--size", "2M",
            "--scenario", "transfer", "--budget", "1s", *ONLY_SAMPLES,
        )  # fmt: skip
        assert (own / "enabled").read_text().split("[")[1].startswith("never]")
    assert run.returncode == 0, run.stderr
    frame = tidy(read(Path("out")))
    assert set(frame[frame["outcome"] == "ok"]["mechanism"]) == {"readv", "memfd", "shm"}


@needs("root", "thp")
def test_a_switch_takes_the_place_of_the_one_before(all_given_back: None) -> None:
    facts, before = read_facts(), settings()
    with BorrowedPages() as pages:
        pages.switch(thp_settings(Page("64K"), "anon", facts))
        assert "[never]" in (SIZES / "hugepages-2048kB/enabled").read_text()
        assert "[madvise]" in (SIZES / "hugepages-64kB/enabled").read_text()
        pages.switch([])
        assert settings() == before
        pages.switch(thp_settings(Page("2M"), "memfd", facts))
        assert "[advise]" in (SIZES / "shmem_enabled").read_text()


@needs("root")
def test_a_pool_is_raised_by_what_is_missing(all_given_back: None) -> None:
    with BorrowedPages() as pages:
        assert pages.raise_pool(HUGETLB_2M, 8 << 20) >= 8 << 20
        total = pool_file(HUGETLB_2M).read_text()
        assert pages.raise_pool(HUGETLB_2M, 8 << 20) >= 8 << 20
        assert pool_file(HUGETLB_2M).read_text() == total
        # more than there is: what was got stays, and is said
        got = pages.raise_pool(HUGETLB_2M, 1 << 40)
        assert 8 << 20 <= got < 1 << 40


@needs("root", "thp")
def test_every_page_of_this_kernel_is_measured_and_proved(all_given_back: None) -> None:
    run = vmabench(
        "run", "smoke", "--mechanism", "readv,fork,memfd,memcpy,mremap", "--page", "all",
        "--size", "2M", "--source", "idle", "--budget", "2s", *ONLY_SAMPLES,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    result = read(Path("out"))
    frame = tidy(result)
    ok = frame[frame["outcome"] == "ok"]
    pages = {page for page in read_facts().all_pages if page != "hugetlb-1G"}
    assert set(ok[ok["mechanism"] == "readv"]["page"]) == pages
    assert set(ok[ok["mechanism"] == "memfd"]["page"]) == pages
    check_folios(result.of_kind("case"))
    skipped = frame[frame["page"] == "hugetlb-1G"]
    assert skipped["reason"].str.contains("no multiple of the page size").all()
    no_dontunmap = frame[(frame["mechanism"] == "mremap") & (frame["page"] == "hugetlb-2M")]
    assert no_dontunmap["reason"].str.contains("Invalid argument").all()


def check_folios(records: list[dict[str, object]]) -> None:
    """All of the source and of the destination in folios of the size, aligned, in one VMA."""
    for record in records:
        proof, case = record["proof"], Case.parse(str(record["case"]))
        assert isinstance(proof, dict)
        for side in ("src", "dst"):
            assert proof[side]["folios_pct"] == {case.page.removeprefix("hugetlb-"): 100}
            assert proof[side]["partial_pct"] == 0
            assert proof[side]["aligned_pct"] == (100 if case.page_bytes > 4096 else 0)
            assert proof[side]["vmas"] == 1


@needs("root", "thp")
@pytest.mark.parametrize("then", [NEXT_RUN, ("tune", "--restore")], ids=["run", "tune"])
def test_what_a_killed_run_has_borrowed_goes_back(
    all_given_back: None, tmp_path: Path, then: tuple[str, ...]
) -> None:
    """The next command has another place for temporary files and for state."""
    places = [{"TMPDIR": str(tmp_path / name), "XDG_STATE_HOME": str(tmp_path)} for name in "ab"]
    process = start(
        "run", "smoke", "--mechanism", "readv", "--page", "hugetlb-2M,64K", "--size", "2M",
        "--budget", "60s", *ONLY_SAMPLES, env=places[0],
    )  # fmt: skip
    before = settings()
    wait_until(lambda: settings() != before)
    process.kill()
    process.communicate()
    wait_until(lambda: not workers())
    assert free_in_pool(HUGETLB_2M)
    run = vmabench(*then, env=places[1] | {"XDG_STATE_HOME": str(tmp_path / "b")})
    assert run.returncode == 0, run.stderr


@needs("root", "thp")
def test_the_setting_of_a_killed_run_goes_back(all_given_back: None) -> None:
    process = start(
        "run", "smoke", "--mechanism", "readv", "--page", "4K", "--size", "64K",
        "--thp", "always", "--budget", "60s", *ONLY_SAMPLES,
    )  # fmt: skip
    wait_until(lambda: "[always]" in (SIZES / "enabled").read_text())
    process.kill()
    process.communicate()
    wait_until(lambda: not workers())
    assert "[always]" in (SIZES / "enabled").read_text()
    run = vmabench(*NEXT_RUN)
    assert run.returncode == 0, run.stderr


@needs("root", "thp", "setpriv")
def test_who_may_not_switch_is_told_what_to_switch() -> None:
    found = findings(vmabench(*DOCTOR, prefix=ORDINARY))
    assert "hugepages-64kB/enabled" in found["readv", "64K"]["blocked_by"]
    assert "root may" in found["readv", "64K"]["blocked_by"]
    assert "hugetlb-2M" in found["readv", "hugetlb-2M"]["blocked_by"]
    assert found["readv", "4K"]["state"] == "ok"


@needs("root")
def test_a_pool_that_shrinks_meanwhile_fails_the_case_by_name(all_given_back: None) -> None:
    size_bytes = 8 << 20
    with BorrowedPages() as pages:
        pages.raise_pool(HUGETLB_2M, size_bytes)
        pool = pool_file(HUGETLB_2M)
        with restored(pool):
            pool.write_text("0")
            with (
                Pair(*choose_cpus(read_facts().cpus)) as pair,
                pytest.raises(NativeError, match="Cannot allocate memory"),
            ):
                pair.make_source("anon", 2 << 20, size_bytes, hugetlb=True)


@needs("root", "thp")
def test_a_setting_that_somebody_else_changes_fails_the_case(all_given_back: None) -> None:
    """Memory that was fresh before that was huge; what came after was not, and nobody looked."""
    page = Page("2M")
    before = thp_state(page, read_facts())
    assert changes(before) == []
    with borrowed(SIZES / "enabled", "never"):
        (change,) = changes(before)
    assert "transparent_hugepage/enabled" in change
    assert change.endswith("to never")
    assert changes(before) == []


@needs("root", "thp", "thpmaps")
def test_the_proof_agrees_with_the_tool_of_the_kernel() -> None:
    """tools/mm/thpmaps on this very process, of a range with folios of several sizes."""
    tool = thpmaps()
    assert tool
    memory = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = int(ffi.cast("uintptr_t", ffi.from_buffer(memory)))
    start_ = -(-address // (2 << 20)) * (2 << 20)
    offset = start_ - address
    base = base_page_bytes()
    ours = ffi.new("struct vmb_proof *")
    memory.madvise(mmap.MADV_HUGEPAGE, offset + (2 << 20), 2 << 20)
    touch(memory, offset + (2 << 20), 2 << 20)
    # one switch for all the smaller ones, under which khugepaged sleeps
    wanted = thp_settings(Page("64K"), "anon", read_facts())
    with BorrowedPages() as pages:
        pages.switch([*wanted, (SIZES / "hugepages-16kB/enabled", "madvise")])
        memory.madvise(mmap.MADV_HUGEPAGE, offset, 1 << 20)
        memory.madvise(mmap.MADV_HUGEPAGE, offset + (1 << 20) + (64 << 10), 48 << 10)
        touch(memory, offset, (1 << 20) + (256 << 10))
        assert lib.vmb_prove_folios(ffi.cast("char *", start_), 4 << 20, ours) == 0
        counted = by_thpmaps(tool, start_, start_ + (4 << 20))
    found = {base << order: size for order, size in enumerate(ours.folio_bytes) if size}
    assert set(found) == {base, 16 << 10, 64 << 10, 2 << 20}
    del found[base]  # it only counts folios of more than one page
    assert found == counted
    assert ours.aligned_bytes == sum(found.values())


def touch(memory: mmap.mmap, offset: int, length: int) -> None:
    for at in range(offset, offset + length, base_page_bytes()):
        memory[at] = 1


def by_thpmaps(tool: Path, start_: int, end: int) -> dict[int, int]:
    """Size of a folio -> bytes in whole and aligned folios of it, in the mappings of a range."""
    done = subprocess.run(
        [sys.executable, str(tool), "--pid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[int, int] = {}
    inside = False
    for line in done.stdout.splitlines():
        mapping = re.match(r"\d+: ([0-9a-f]+)-([0-9a-f]+) ", line)
        if mapping:
            inside = int(mapping[1], 16) < end and int(mapping[2], 16) > start_
        counted = re.match(r"anon-thp-p[tm][ed]-aligned-(\d+)kB: +(\d+) kB", line)
        if counted and inside:
            size_bytes = int(counted[1]) << 10
            found[size_bytes] = found.get(size_bytes, 0) + (int(counted[2]) << 10)
    return found


@needs("root", "thp")
def test_each_setting_of_thp_gives_its_pages_and_goes_back(all_given_back: None) -> None:
    """What is not advised has base pages under madvise and never, and huge ones under always."""
    run = vmabench(
        "run", "smoke", "--mechanism", "readv,memfd,shm", "--page", "4K,2M", "--size", "2M",
        "--scenario", "transfer", "--thp", "always,madvise,never", "--budget", "1s", *ONLY_SAMPLES,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    result = read(Path("out"))
    frame = tidy(result)
    measured = frame[frame["outcome"] == "ok"]
    got = set(zip(measured["page"].astype(str), measured["thp"].astype(str), strict=True))
    assert got == {("4K", "always"), ("4K", "madvise"), ("4K", "never")} | {
        ("2M", "always"),
        ("2M", "madvise"),
    }
    assert set(measured["mechanism"]) == {"readv", "memfd", "shm"}
    skipped = frame[frame["outcome"] == "skipped"]
    assert skipped["reason"].str.contains("nobody gets pages of 2M").all()
    assert "2M pages, THP always" in Report(result).text()


def test_who_is_advised_under_which_setting() -> None:
    advised = {
        (thp, page): is_advised(thp, Page(page), FACTS)
        for thp in ("", "always", "madvise", "never")
        for page in ("4K", "64K", "2M")
    }
    unadvised = {key for key, value in advised.items() if not value}
    assert unadvised == {
        ("always", "64K"), ("always", "2M"), ("madvise", "4K"), ("never", "4K"),
    }  # fmt: skip


@pytest.mark.parametrize(("page", "own"), [("4K", 2048), ("2M", 2048), ("64K", 64)])
def test_a_setting_is_that_of_one_size_alone(page: str, own: int) -> None:
    found = dict(settings_under("always", Page(page), FACTS))
    for size in (64, 128, 2048):
        word = "always" if size == own else "never"
        assert found[SIZES / f"hugepages-{size}kB/enabled"] == word
        assert found[SIZES / f"hugepages-{size}kB/shmem_enabled"] == word
    assert found[SIZES / "enabled"] == ("never" if page == "64K" else "always")


@needs("root", "thp")
def test_memory_that_nobody_advises_follows_the_setting(all_given_back: None) -> None:
    """Without the advice it would be base pages whatever the setting is: seen to be huge."""
    facts = read_facts()
    with BorrowedPages() as pages:
        for thp, expected in (("always", 100.0), ("madvise", 0.0)):
            pages.switch(settings_under(thp, Page("2M"), facts))
            with Pair(*choose_cpus(facts.cpus)) as pair:
                proof = pair.make_source("anon", 2 << 20, 4 << 20, advised=False)
                assert proof.huge_pct == expected


@needs("root", "thp")
def test_a_setting_that_was_to_hold_and_does_not_fails_the_case(all_given_back: None) -> None:
    page, facts = Page("4K"), read_facts()
    with BorrowedPages() as pages:
        pages.switch(settings_under("never", page, facts))
        watched = thp_state(page, facts, "never")
        assert changes(watched) == []
        with borrowed(SIZES / "enabled", "always"):
            (change,) = changes(watched)
        assert "from never to always" in change
    assert thp_state(page, facts) == {}
