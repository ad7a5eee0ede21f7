# SPDX-License-Identifier: GPL-2.0-only
"""A run: a calibration, then rounds of fresh workers until the budget ends."""

import os
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Protocol

from vmabench.machine.cgroup import MemoryGroup
from vmabench.machine.placement import Cpus, choose_cpus
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.mechanisms import SLOWEST_BYTES_PER_S
from vmabench.runner.bisection import next_cases
from vmabench.runner.calls import killed_calls
from vmabench.runner.planner import ONE, Clockwork, Cost, Effort, counted_effort, plan_round
from vmabench.runner.process import Worker, WorkerLostError, WorkerStartError
from vmabench.runner.protocol import CALIBRATE, Block, CaseJob, Job, Message
from vmabench.runner.tightness import RESERVE, Judge, worth_repeating
from vmabench.signals import uninterrupted

#: the most seconds that the start of a worker takes
FIRST_LIMIT_S = 30.0

#: the seconds more for paging out, or for a server that thrashes
ONCE_LIMIT_S = 120.0

Record = dict[str, object]

__all__ = [
    "FIRST_LIMIT_S", "ONCE_LIMIT_S", "Outcome", "RoundResult", "Run", "Setup", "blocks_of",
    "choose_cpus",
]  # fmt: skip


class Observer(Protocol):
    """Receives the progress of a run; called between the timed parts."""

    def phase(self, name: str, cases: int) -> None: ...
    def case(self, case: str) -> None: ...


class Sink(Protocol):
    """Stores the records of a run."""

    def append(self, records: Sequence[Record]) -> None: ...


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of all rounds. ``memories`` has the kind of memory that a mechanism needs.

    ``pinning`` are the mechanisms that pin pages of the source.
    ``counted``: the clock counts instructions, so there is no budget and no more rounds than asked.
    ``once``: each case is done once, without a calibration, to see what can run.
    ``is_loose``: whether the medians of a case's rounds are too far apart for what the plan is
    after; None where the plan has no such target, and then the whole budget is spent.
    ``group`` is the memory cgroup of the run. ``counters`` off shows what reading
    them costs.
    ``placements`` has the CPUs of each placement that a case names.
    ``explain`` makes a reason of the error number and the sentence of a case that can't be set up.
    """

    cases: tuple[Case, ...]
    memories: Mapping[str, str]
    budget_s: float
    rounds: int
    seed: int
    source_cpu: int
    receiver_cpu: int
    counted: bool = False
    once: bool = False
    pinning: Collection[str] = ()
    delays_ns: tuple[tuple[str, int], ...] = ()
    is_loose: Judge | None = None
    group: MemoryGroup | None = None
    counters: bool = True
    placements: Mapping[str, Cpus] = field(default_factory=dict)
    explain: Callable[[int, str], str] = lambda _error, detail: detail


@dataclass(slots=True)
class Outcome:
    """The outcome of a run: finished rounds, times of all workers, and the failed cases."""

    rounds: int = 0
    wall_ns: int = 0
    timed_ns: int = 0
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class RoundResult:
    """The messages of one round's workers."""

    cases: list[Message]
    wall_ns: int = 0
    timed_ns: int = 0
    ready_ns: int | None = None
    workers: int = 0
    complete: bool = False

    @property
    def overhead_ns(self) -> int:
        return self.wall_ns - self.timed_ns


def blocks_of(
    cases: Sequence[CaseJob],
    memories: Mapping[str, str],
    order: random.Random,
    pinning: Collection[str] = (),
) -> list[Block]:
    """Return the cases in blocks that share a source; blocks, and the cases in them, are shuffled.

    Those that pin come last in their block: a process whose pages were ever pinned pays for each
    page that a fork or a clone shares from then on (MMF_HAS_PINNED), so the order would decide the
    figures.
    """
    groups: dict[tuple[str, str, int, str, str, str, str], list[CaseJob]] = {}
    for job in cases:
        case = Case.parse(job.case)
        apart = case.scenario if SCENARIOS[case.scenario].apart else ""
        memory = memories[case.mechanism]
        key = (
            memory, case.page, case.region_bytes, case.thp, apart, case.swap_device, case.placement,
        )  # fmt: skip
        groups.setdefault(key, []).append(job)
    blocks = []
    for key in sorted(groups):
        memory, page, size_bytes, thp, apart, swap, placed = key
        members = groups[key]
        order.shuffle(members)
        members.sort(key=lambda job: Case.parse(job.case).mechanism in pinning)
        blocks.append(Block(memory, page, size_bytes, tuple(members), thp, apart, swap, placed))
    order.shuffle(blocks)
    return blocks


class Run:
    """One run; ``execute`` leaves everything that was measured in the sink, whatever happens."""

    def __init__(self, setup: Setup, sink: Sink, observer: Observer) -> None:
        self.setup = setup
        self.sink = sink
        self.observer = observer
        self.outcome = Outcome()
        self._op_ns: dict[str, list[float]] = {}
        self._started_ns = time.monotonic_ns()

    def execute(self) -> Outcome:
        if not self.setup.cases:
            return self.outcome
        if self.setup.once:
            self._measure_once()
            return self.outcome
        costs = self._calibrate(self.setup.cases)
        if self.setup.counted:
            self._count(costs)
        else:
            self._bisect(costs)
            self._fill_budget(costs)
        return self.outcome

    def _measure_once(self) -> None:
        """Measure one operation of each case: a calibration would take as long."""
        costs = {
            str(case): Cost(case.size_bytes / SLOWEST_BYTES_PER_S * 1e9, 0.0)
            for case in self.setup.cases
        }
        self._measure(costs, dict.fromkeys(costs, ONE))

    def _bisect(self, costs: dict[str, Cost]) -> None:
        """Add cases that halve the brackets of crossovers, by the figures so far.

        A plan without a target is too short for more sizes.
        """
        sizes = self.setup.is_loose is not None
        tried = set(costs)
        while True:
            op_ns = {
                Case.parse(case): median(self._op_ns.get(case) or [cost.op_ns])
                for case, cost in costs.items()
            }
            halves = next_cases(op_ns, self.setup.cases, sizes=sizes)
            added = [case for case in halves if str(case) not in tried]
            if not added:
                return
            tried |= {str(case) for case in added}
            costs |= self._calibrate(added)

    def _count(self, costs: Mapping[str, Cost]) -> None:
        efforts = {
            case: counted_effort(cost.lasts_ns, cost.most_ops) for case, cost in costs.items()
        }
        for _ in range(self.setup.rounds if costs else 0):
            self._measure(costs, efforts)

    def _fill_budget(self, costs: dict[str, Cost]) -> None:
        budget_ns = self.setup.budget_s * 1e9
        reserve = RESERVE if self.setup.is_loose else 0.0
        clockwork = Clockwork(budget_ns, self.setup.rounds, reserve * budget_ns)
        overhead_ns = sum(cost.overhead_ns for cost in costs.values())
        while costs and not (self.setup.is_loose and self.outcome.rounds >= self.setup.rounds):
            timed_ns = clockwork.timed_ns(self._spent_ns(), self.outcome.rounds, overhead_ns)
            efforts = plan_round(costs, timed_ns)
            round_ns = overhead_ns + sum(
                efforts[case].lasts_ns(costs[case].lasts_ns) for case in costs
            )
            if self.outcome.rounds and not clockwork.room_for(self._spent_ns(), round_ns):
                break
            result = self._measure(costs, efforts)
            between_ns = sum(efforts[case].lasts_ns(costs[case].between_ns) for case in costs)
            known = len(costs)
            self._bisect(costs)
            overhead_ns = (result.overhead_ns - between_ns) * len(costs) / known
        if self.setup.is_loose and costs and self.outcome.rounds >= self.setup.rounds:
            self._tighten(costs, efforts, clockwork, overhead_ns / len(costs))

    def _tighten(
        self,
        costs: Mapping[str, Cost],
        efforts: Mapping[str, Effort],
        clockwork: Clockwork,
        overhead_ns: float,
    ) -> None:
        """Add rounds of the loose cases, as long as there are some and time is left.

        ``overhead_ns`` is the untimed part of a case.
        """
        assert self.setup.is_loose
        while True:
            samples = {case: self._op_ns.get(case, []) for case in costs if case in efforts}
            chosen = {case: costs[case] for case in worth_repeating(samples, self.setup.is_loose)}
            timed_ns = sum(efforts[case].lasts_ns(cost.lasts_ns) for case, cost in chosen.items())
            round_ns = timed_ns + overhead_ns * len(chosen)
            if not chosen or not clockwork.room_for(self._spent_ns(), round_ns):
                return
            result = self._measure(chosen, efforts)
            overhead_ns = max(overhead_ns, result.overhead_ns / len(chosen))

    def _spent_ns(self) -> int:
        return time.monotonic_ns() - self._started_ns

    def _calibrate(self, cases: Sequence[Case]) -> dict[str, Cost]:
        """Return the cost of each case; cases that fail are reported and left out of the rounds."""
        jobs = [CaseJob(str(case), values=1, loops=CALIBRATE) for case in cases]
        self.observer.phase("calibrating", len(jobs))
        result = RoundResult([])
        try:
            self._work(jobs, number=0, result=result)
        finally:
            with uninterrupted():
                records, costs = self._judge_calibration(result)
                self.sink.append(records)
        return costs

    def _judge_calibration(self, result: RoundResult) -> tuple[list[Record], dict[str, Cost]]:
        records: list[Record] = []
        costs: dict[str, Cost] = {}
        between_ns = max(0, result.wall_ns - sum(m["wall_ns"] for m in result.cases))
        share_ns = between_ns / max(1, len(result.cases))
        for order, message in enumerate(result.cases):
            case = message["case"]
            if message["outcome"] == "ok":
                cost = Cost(
                    message["op_ns"],
                    message["wall_ns"] - message["spent_ns"] + share_ns,
                    SCENARIOS[Case.parse(case).scenario].most_ops,
                    message["between_ns"],
                )
                costs[case] = cost
                records.append(
                    {"kind": "calibration", "case": case, "op_ns": cost.op_ns}
                    | {"overhead_ns": cost.overhead_ns, "between_ns": cost.between_ns}
                )
            elif message["outcome"] == "blocked":
                records.append(self._skipped_record(message))
            else:
                records.append(self._case_record(message, 0, order))
        return records, costs

    def _measure(self, costs: Mapping[str, Cost], efforts: Mapping[str, Effort]) -> RoundResult:
        number = self.outcome.rounds + 1
        jobs = [
            CaseJob(case, efforts[case].values, efforts[case].loops, cost.lasts_ns)
            for case, cost in costs.items()
        ]
        self.observer.phase(f"round {number}", len(jobs))
        result = RoundResult([])
        try:
            self._work(jobs, number, result)
            result.complete = True
        finally:
            with uninterrupted():
                self._keep(number, result)
        return result

    def _keep(self, number: int, result: RoundResult) -> None:
        records = [
            self._skipped_record(message)
            if self.setup.once and message["outcome"] == "blocked"
            else self._case_record(message, number, order)
            for order, message in enumerate(result.cases)
        ]
        records += [
            {"kind": "latency", "round": number, "case": message["case"]} | message["latency"]
            for message in result.cases
            if "latency" in message
        ]
        records.append(
            {
                "kind": "round",
                "round": number,
                "complete": result.complete,
                "wall_ns": result.wall_ns,
                "timed_ns": result.timed_ns,
                "ready_ns": result.ready_ns,
                "workers": result.workers,
            }
        )
        self.sink.append(records)
        self.outcome.rounds += result.complete

    def _skipped_record(self, message: Message) -> Record:
        reason = message["reason"]
        if not message.get("setting"):
            reason = self.setup.explain(message["errno"], reason)
        return {"kind": "skipped", "case": message["case"], "reason": reason}

    def _case_record(self, message: Message, number: int, order: int) -> Record:
        if message["outcome"] == "blocked":  # what the calibration could set up fails by that
            message = message | {"outcome": "failed"}
        if message["outcome"] == "failed":
            self.outcome.failures[message["case"]] = message["reason"]
        record: Record = {"kind": "case", "round": number, "order": order}
        kept = ("case", "outcome", "reason", "loops", "values", "proof", "lock_wait")
        return record | {key: message[key] for key in kept if key in message}

    def _work(self, jobs: Sequence[CaseJob], number: int, result: RoundResult) -> None:
        """Run all jobs, with a new worker for the rest when one is lost."""
        order = random.Random(f"{self.setup.seed}-{number}")  # noqa: S311
        blocks = blocks_of(jobs, self.setup.memories, order, self.setup.pinning)
        start_ns = time.monotonic_ns()
        try:
            while blocks:
                result.workers += 1
                self._run_worker(blocks, number, result)
                blocks = _rest(blocks, {message["case"] for message in result.cases})
        finally:
            result.wall_ns = time.monotonic_ns() - start_ns
            self.outcome.wall_ns += result.wall_ns
            self.outcome.timed_ns += result.timed_ns

    def _note_times(self, message: Message) -> None:
        op_ns = _op_ns(message)
        if op_ns is not None:
            self._op_ns.setdefault(message["case"], []).append(op_ns)

    def _job(self, blocks: Sequence[Block], number: int) -> Job:
        setup = self.setup
        return Job(
            parent=os.getpid(),
            seed=setup.seed,
            generation=number + 1,
            source_cpu=setup.source_cpu,
            receiver_cpu=setup.receiver_cpu,
            blocks=tuple(blocks),
            delays_ns=setup.delays_ns,
            group=str(setup.group.path) if setup.group else "",
            group_version=setup.group.version if setup.group else 0,
            counters=setup.counters,
            placements=dict(setup.placements),
            killed=tuple(killed_calls()),
        )

    def _run_worker(self, blocks: Sequence[Block], number: int, result: RoundResult) -> None:
        """Run one worker; a worker that dies fails its current case, or all if it never started."""
        limits = {case.case: _limit_s(case) for block in blocks for case in block.cases}
        current = blocks[0].cases[0].case
        with Worker(self._job(blocks, number)) as worker:
            try:
                for message in worker.messages(lambda last: _silence(last, limits)):
                    if message["kind"] == "begin":
                        current = message["case"]
                        if result.ready_ns is None:
                            result.ready_ns = message["at_ns"] - worker.started_ns
                        self.observer.case(current)
                    elif message["kind"] == "case":
                        result.cases.append(message)
                        self._note_times(message)
                        result.timed_ns += _timed_ns(message)
            except WorkerStartError as error:
                result.cases += [_lost(case, error) for case in limits]
            except WorkerLostError as error:
                result.cases.append(_lost(current, error))


def _lost(case: str, error: WorkerLostError) -> Message:
    return {"case": case, "outcome": "failed", "reason": str(error), "wall_ns": 0}


def _op_ns(message: Message) -> float | None:
    """Return the median time of one operation over the values; None without a value."""
    totals = [value["time_ns"]["total"] for value in message.get("values", ())]
    return median(totals) / message["loops"] if totals else None


def _rest(blocks: Sequence[Block], done: set[str]) -> list[Block]:
    """Return the blocks without the cases that have an outcome."""
    rest = []
    for block in blocks:
        left = tuple(case for case in block.cases if case.case not in done)
        if left:
            rest.append(replace(block, cases=left))
    return rest


def _timed_ns(message: Message) -> int:
    """Return the time inside the timed parts of both sides."""
    times = [value["time_ns"] for value in message.get("values", ())]
    values = sum(time_ns.get("system", time_ns["total"]) for time_ns in times)
    return int(values + message.get("timed_ns", 0))


def _limit_s(job: CaseJob) -> float:
    """Return the most seconds of a case: generous, since it only catches hangs."""
    case = Case.parse(job.case)
    size_bytes = case.region_bytes * max(case.receivers, case.pairs)
    untimed_s = ONCE_LIMIT_S if SCENARIOS[case.scenario].once else 0
    return (
        untimed_s + FIRST_LIMIT_S + size_bytes / 5e6 + 10 * job.values * job.loops * job.op_ns / 1e9
    )


def _silence(last: Message | None, limits: Mapping[str, float]) -> float:
    return limits[last["case"]] if last and last["kind"] == "begin" else FIRST_LIMIT_S
