# SPDX-License-Identifier: GPL-2.0-only
"""The memory that a case is predicted to take is what it takes, and a block gives it back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import needs
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import peak_bytes
from vmabench.mechanisms import MECHANISMS
from vmabench.runner.protocol import Block, CaseJob, Job
from vmabench.runner.rounds import choose_cpus
from vmabench.runner.worker import run_block

SIZE = 64 << 20
BASE = read_facts().pages[0]
#: beside the buffers: pages of the two programs, buffers of a pipe, what the kernel charges ahead
SLACK_BYTES = 12 << 20
BOUND = 0.05

ONE_CASE = """
import os, sys
open(sys.argv[1], "w").write(str(os.getpid()))
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, Pair
from vmabench.machine.facts import read_facts
from vmabench.runner.rounds import choose_cpus
case = Case.parse(sys.argv[2])
with Pair(*choose_cpus(read_facts().cpus)) as pair:
    pair.make_source(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes)
    with pair.open(case, seed=1) as opened:
        opened.verify(1)
        opened.run(2, 5)
"""


class Group:
    """A memory cgroup of either version, with the most that was ever charged to it."""

    def __init__(self) -> None:
        v1 = Path("/sys/fs/cgroup/memory")
        self.v1 = v1.is_dir()
        root = v1 if self.v1 else Path("/sys/fs/cgroup")
        self.path = root / f"vmabench-test-{os.getpid()}"

    def make(self) -> None:
        self.path.mkdir()

    def remove(self) -> None:
        self.path.rmdir()

    def peak_bytes(self, case: Case) -> int:
        self.make()
        try:
            procs = str(self.path / "cgroup.procs")
            command = [sys.executable, "-c", ONE_CASE, procs, str(case)]
            subprocess.run(command, check=True)
            file = "memory.max_usage_in_bytes" if self.v1 else "memory.peak"
            return int((self.path / file).read_text())
        finally:
            self.remove()


@pytest.fixture(scope="module")
def group() -> Iterator[Group]:
    group = Group()
    try:
        group.make()
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made: {error}")
    group.remove()
    yield group


@pytest.fixture(scope="module")
def bare_bytes(group: Group) -> int:
    """What the two programs take themselves."""
    return group.peak_bytes(Case("readv", "transfer", BASE, 1 << 16))


CASES = [
    Case("readv", "transfer", BASE, SIZE),
    Case("memcpy", "transfer", BASE, SIZE),
    Case("memfd-private", "transfer", BASE, SIZE),
    Case("fork", "transfer", BASE, SIZE),
    Case("mremap", "transfer", BASE, SIZE),
    Case("pipe", "deliver", BASE, SIZE, "read", 100),
    Case("memfd", "deliver", BASE, SIZE, "read", 100),
    Case("memfd-inplace", "deliver", BASE, SIZE, "write", 100),
    Case("mremap-dup", "transfer", BASE, SIZE),
    Case("fork", "deliver", BASE, SIZE, "write", 100),
    Case("uffd-copy", "deliver", BASE, SIZE, "read", 100),
    Case("null", "transfer", BASE, SIZE),
]


@needs("root")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_predicted_peak_is_the_measured_one(group: Group, bare_bytes: int, case: Case) -> None:
    measured = group.peak_bytes(case) - bare_bytes
    predicted = peak_bytes(case)
    assert abs(measured - predicted) <= BOUND * predicted + SLACK_BYTES, (
        f"{measured >> 20}M measured, {predicted >> 20}M predicted"
    )


def test_a_block_gives_its_memory_back() -> None:
    """What a worker holds after a block is what it held before, whatever the block took."""
    seen = []

    def report(message: dict[str, object]) -> None:
        if message["kind"] == "case":
            assert message["outcome"] == "ok", message

    def block(name: str) -> Block:
        case = Case(name, "transfer", BASE, SIZE)
        memory = MECHANISMS[name].memory
        return Block(memory, BASE, SIZE, (CaseJob(str(case), values=1, loops=1, op_ns=1e8),))

    source_cpu, receiver_cpu = choose_cpus(read_facts().cpus)
    before = os.sched_getaffinity(0)
    try:
        for name in ("readv", "memcpy", "memfd-private", "readv", "sysv", "mremap"):
            one = block(name)
            run_block(Job(os.getpid(), 1, 1, source_cpu, receiver_cpu, (one,)), one, report)
            seen.append(_resident_bytes())
    finally:
        os.sched_setaffinity(0, before)
    assert max(seen) - min(seen) < SIZE / 8, seen


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmRSS")
