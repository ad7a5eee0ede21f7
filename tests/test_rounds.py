# SPDX-License-Identifier: GPL-2.0-only
"""Rounds beyond the wanted ones: for what is not tight, with its rivals, while there is time."""

import time
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from vmabench.analysis.intervals import is_wider
from vmabench.matrix.case import Case
from vmabench.runner.protocol import CaseJob
from vmabench.runner.rounds import RoundResult, Run, Setup
from vmabench.runner.tightness import RESERVE

SIZES = (4096, 65536, 1 << 20)
CASES = [Case(name, "transfer", "4K", size) for size in SIZES for name in ("readv", "memcpy")]
OP_NS = 1e6


class Machine:
    """A made-up machine on which a second of work passes at once; some cases are noisy."""

    def __init__(self, noisy: Sequence[Case], until: int = 99) -> None:
        self.noisy = {str(case) for case in noisy}
        self.until = until
        self.now_ns = 0.0
        self.rounds: list[list[str]] = []

    def work(self, run: Run, jobs: Sequence[CaseJob], number: int, result: RoundResult) -> None:
        if number:
            self.rounds.append([job.case for job in jobs])
        start_ns = self.now_ns
        for job in jobs:
            loud = job.case in self.noisy and len(self.rounds) <= self.until
            op_ns = OP_NS * (1 + (number % 3) * 0.5 if loud else 1 + (number % 3) * 0.001)
            timed_ns = op_ns * max(1, job.values) * max(1, job.loops)
            message: dict[str, Any] = {"kind": "case", "case": job.case, "outcome": "ok"}
            message |= {"wall_ns": timed_ns + 1e6, "timed_ns": timed_ns, "op_ns": op_ns}
            message |= {"loops": job.loops, "spent_ns": timed_ns, "between_ns": 0.0}
            if number:
                message |= {"values": [{"time_ns": {"total": op_ns * job.loops}}] * job.values}
            result.cases.append(message)
            result.timed_ns += int(timed_ns)
            self.now_ns += timed_ns + 1e6
            run._note_times(message)
        result.wall_ns = int(self.now_ns - start_ns)


def execute(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, budget_s: float = 100.0, *, target: float
) -> Run:
    def work(run: Run, jobs: Sequence[CaseJob], number: int, result: RoundResult) -> None:
        machine.work(run, jobs, number, result)

    monkeypatch.setattr(Run, "_work", work)
    monkeypatch.setattr(time, "monotonic_ns", lambda: int(machine.now_ns))
    sink = SimpleNamespace(append=lambda _: None)
    observer = SimpleNamespace(phase=lambda *_: None, case=lambda *_: None)
    judge = (lambda samples: is_wider(samples, target)) if target else None
    run = Run(Setup(tuple(CASES), {}, budget_s, 6, 1, 0, 0, is_loose=judge), sink, observer)
    run.execute()
    return run


def test_when_all_is_tight_the_rest_of_the_budget_is_not_spent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine([])
    execute(machine, monkeypatch, target=0.1)
    assert [len(jobs) for jobs in machine.rounds] == [len(CASES)] * 6
    assert machine.now_ns < (1 - 0.9 * RESERVE) * 100e9


def test_what_is_not_tight_is_repeated_with_its_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine([CASES[3]])
    execute(machine, monkeypatch, target=0.1)
    assert len(machine.rounds) > 7
    assert all(len(jobs) == len(CASES) for jobs in machine.rounds[:6])
    rivals = {str(case) for case in CASES if case.size_bytes == CASES[3].size_bytes}
    assert all(set(jobs) == rivals for jobs in machine.rounds[6:])
    assert machine.now_ns <= 100e9


def test_it_ends_as_soon_as_all_is_tight(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine([CASES[3]], until=1)
    execute(machine, monkeypatch, target=0.1)
    counts = Counter(map(len, machine.rounds))
    assert counts[len(CASES)] == 6
    assert counts[2] == 2  # one wild round of eight widens no interval any more


def test_without_a_target_the_budget_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine([])
    execute(machine, monkeypatch, target=0.0)
    assert all(len(jobs) == len(CASES) for jobs in machine.rounds)
    assert machine.now_ns > 0.9 * 100e9


def test_wider_than_the_target() -> None:
    assert is_wider([1.0, 1.0, 1.0, 1.0], 10.0)  # no interval
    assert not is_wider([1.0, 1.01, 1.02, 1.03, 1.04], 0.05)
    assert is_wider([1.0, 1.01, 1.02, 1.03, 1.1], 0.05)
    assert not is_wider([0.0] * 5, 0.1)
