# SPDX-License-Identifier: GPL-2.0-only
"""The largest cases keep to the memory that was predicted, swap nothing and give all of it back.

They run in a memory cgroup of the test's own: what is charged there is theirs alone, whatever else
happens on the machine.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import ONLY_SAMPLES, error_line, vmabench
from tests.needs import needs
from tests.undo import afterwards
from vmabench.machine.cgroup import PAIR, SERVER, MemoryGroup, MemoryGroups
from vmabench.machine.pages import Page, pool_file
from vmabench.matrix.case import Case
from vmabench.matrix.rules import needed_bytes, peak_bytes
from vmabench.store.reader import read

pytestmark = needs("root", "memory-cgroup")

POOL = pool_file(Page("hugetlb-2M"))
LARGE = Case("memcpy", "transfer", "4K", 1 << 30)


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    restore = (sys.executable, "-m", "vmabench", "tune", "--restore")
    with afterwards(*restore), MemoryGroups() as groups:
        yield groups.make()


def within(group: MemoryGroup, name: str) -> tuple[str, ...]:
    """What to put before a command that is to be charged there, from its first page on."""
    script = 'echo $$ >"$0" && exec "$@"'
    return ("sh", "-c", script, str(group.path / name / "cgroup.procs"))


def charged_bytes(group: MemoryGroup, name: str) -> int:
    """Memory that is no cache of a file and so is still somebody's, or lost."""
    lines = (group.path / name / "memory.stat").read_text().splitlines()
    stat = {key: int(value) for key, value in (line.split() for line in lines)}
    return stat["rss"] + stat["shmem"] if group.version == 1 else stat["anon"] + stat["shmem"]


def swapped_pages() -> list[str]:
    lines = Path("/proc/vmstat").read_text().splitlines()
    return [line for line in lines if line.startswith(("pswpin ", "pswpout "))]


def run(group: MemoryGroup, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return vmabench("run", "matrix", *arguments, *ONLY_SAMPLES, prefix=within(group, name))


@pytest.mark.slow
def test_cases_of_1g_take_what_was_predicted_and_give_it_back(group: MemoryGroup) -> None:
    """Slow: each of four cases fills two or three buffers of 1G and compares them."""
    pool, swapped = POOL.read_text(), swapped_pages()
    done = run(
        group, PAIR, "--mechanism", "memcpy,sysv", "--page", "4K,hugetlb-2M",
        "--size", "1G",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = read(Path("out"))
    measured = {record["case"] for record in result.of_kind("case")}
    assert len(measured) == 4, result.of_kind("skipped")

    peak = int(group.peak_file(PAIR).read_text())
    assert 0.95 * peak_bytes(LARGE) < peak <= needed_bytes(LARGE)
    assert swapped_pages() == swapped
    values = [value for record in result.of_kind("case") for value in record["values"]]
    assert {value["swap_in_bytes"] + value["swap_out_bytes"] for value in values} == {0}
    assert charged_bytes(group, PAIR) < 1 << 20
    assert POOL.read_text() == pool


@pytest.mark.slow
def test_what_does_not_fit_is_refused_before_it_is_tried(group: MemoryGroup) -> None:
    """Slow: a page server of 16M is measured beside it."""
    group.set_limit(1 << 30)
    done = run(group, SERVER, "--mechanism", "readv", "--page", "4K", "--size", "16M,1G")
    assert done.returncode == 0, done.stderr
    result = read(Path("out"))
    (measured,) = result.of_kind("case")
    assert Case.parse(measured["case"]).size_bytes == 16 << 20
    (skipped,) = result.of_kind("skipped")
    assert re.match(
        r"size 1G needs about 2\.3 GiB of memory, (0\.\d|1\.0) GiB are available", skipped["reason"]
    )
    assert group.oom_kills() == 0


def test_who_asks_for_that_size_alone_gets_one_line(group: MemoryGroup) -> None:
    group.set_limit(1 << 30)
    line = error_line(run(group, SERVER, "--mechanism", "readv", "--page", "4K", "--size", "1G"))
    assert "size 1G needs about 2.3 GiB of memory" in line
    assert not Path("out").exists()
