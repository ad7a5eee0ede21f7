# SPDX-License-Identifier: GPL-2.0-only
"""Measure a plan on the running kernel: from its options to the samples in a result directory."""

import random
import re
import resource
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vmabench import __version__, probe
from vmabench.api.options import RunOptions
from vmabench.api.output import new_directory, say, warn
from vmabench.api.progress import make_progress
from vmabench.errors import MachineError, UsageError
from vmabench.machine.cgroup import MemoryGroup, MemoryGroups
from vmabench.machine.conditions import pinned_cpus, read_conditions
from vmabench.machine.facts import MachineFacts, read_facts
from vmabench.machine.ledger import why_not_noted
from vmabench.machine.pages import BorrowedPages
from vmabench.machine.placement import (
    Cpus,
    choose_cpus,
    memory_nodes,
    online_cpus,
    pairs_of,
    parse_pin,
    why_not_placed,
)
from vmabench.machine.swap import SwapDevices
from vmabench.machine.wakeup import awake_cpus
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.matrix.plans import (
    Plan,
    Vocabulary,
    check_sizes,
    expand,
    load_plan,
    scaled,
)
from vmabench.matrix.rules import GROUP, needs, swap_bytes, why_not, why_too_large
from vmabench.mechanisms import MECHANISMS
from vmabench.runner.lock import only_run
from vmabench.runner.lockwait import TraceInstances
from vmabench.runner.rounds import Outcome, Run, Setup
from vmabench.signals import uninterrupted
from vmabench.store.format import FORMAT_VERSION, Record
from vmabench.store.places import default_directory
from vmabench.store.writer import Writer
from vmabench.units import format_duration


@dataclass(frozen=True, slots=True)
class Request:
    """The options of a run, checked against this machine; ``cpus`` are of source and receiver."""

    plan: Plan
    cases: tuple[Case, ...]
    facts: MachineFacts
    directory: Path
    seed: int
    counters: bool
    progress: bool
    cpus: Cpus
    delays_ns: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Borrowed:
    """The settings and devices that a run borrows and restores at its end.

    ``latency_us`` is the wake-up latency that is asked for, None where that is refused.
    """

    pages: BorrowedPages
    swap: SwapDevices
    groups: MemoryGroups
    latency_us: int | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A directory with samples, and whether the run was interrupted before its end."""

    directory: Path
    interrupted: bool


def measure(options: RunOptions) -> Measured:
    """Measure a plan on the running kernel and store the samples.

    An interrupt ends the workers; the whole rounds before it are stored. Raises UsageError and
    MachineError.
    """
    request = _request(options)
    with (
        only_run(),
        BorrowedPages() as pages,
        MemoryGroups() as groups,
        SwapDevices() as swap,
        TraceInstances(),
        awake_cpus() as latency_us,
    ):
        if why := why_not_noted():
            warn(f"this run changes no setting of the machine: {why}")
        return _measure(request, Borrowed(pages, swap, groups, latency_us))


def _request(options: RunOptions) -> Request:
    facts = read_facts()
    plan = load_plan(options.plan)
    if facts.virt == "emulated":
        plan = scaled(plan)
    plan = options.with_axes(plan)
    plan = replace(plan, budget_s=options.budget_s(plan))
    cases = expand(plan, Vocabulary(tuple(MECHANISMS), facts.all_pages, cpus=len(facts.cpus)))
    sizes = options.axes.get("size", ())
    check_sizes(cases, sizes)
    _check_memory(cases, sizes, facts)
    directory = new_directory(options.output, default_directory(facts.slug, facts.kernel))
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    pin = options.pin
    return Request(
        plan=plan,
        cases=tuple(cases),
        facts=facts,
        directory=directory,
        seed=seed,
        counters=options.counters,
        progress=options.progress,
        cpus=parse_pin(pin, facts.cpus, online_cpus()) if pin else choose_cpus(facts.cpus),
        delays_ns=tuple(_injected(text, cases) for text in options.inject),
    )


def _injected(text: str, cases: Sequence[Case]) -> tuple[str, int]:
    """Case and nanoseconds of ``CASE=300ns``; raises UsageError."""
    name, _, delay = text.rpartition("=")
    match = re.fullmatch(r"([1-9]\d{0,8})ns", delay)
    if not match:
        raise UsageError(f"--inject {text!r}: write it as CASE=300ns")
    if Case.parse(name) not in cases:
        raise UsageError(f"--inject {name}: the plan does not have this case")
    return name, int(match[1])


def _check_memory(cases: Sequence[Case], sizes: Sequence[str], facts: MachineFacts) -> None:
    """A size that was asked for by name and can't fit is an error, not a row of the table."""
    reasons = [why_too_large(case, facts) for case in cases]
    if sizes and reasons and all(reasons):
        raise UsageError(str(reasons[0]))


def make_group(
    cases: Sequence[Case], groups: MemoryGroups
) -> tuple[MemoryGroup | None, dict[str, str]]:
    """The memory cgroup, where a case has use for one, or why there is none."""
    if not any(SCENARIOS[case.scenario].apart for case in cases):
        return None, {}
    try:
        return groups.make(), {}
    except MachineError as error:
        return None, {GROUP: str(error)}


def unplaced(cases: Sequence[Case], facts: MachineFacts) -> dict[str, str]:
    """Return the reason for each placement of a case that the CPUs of this process lack."""
    wanted = {case.placement for case in cases if case.placement}
    reasons = {name: why_not_placed(name, facts.cpus) for name in sorted(wanted)}
    return {name: reason for name, reason in reasons.items() if reason}


def make_swap(cases: Sequence[Case], swap: SwapDevices) -> dict[str, str]:
    """Makes the devices that the cases take; the reason for each kind that there is not."""
    wanted: dict[str, int] = {}
    for case in cases:
        if case.swap_device:
            size_bytes = max(swap_bytes(case), wanted.get(case.swap_device, 0))
            wanted[case.swap_device] = size_bytes
    lacking = {}
    for kind, size_bytes in wanted.items():
        try:
            with uninterrupted():  # also its commands, which a Ctrl-C would end half way
                swap.make(kind, size_bytes)
        except MachineError as error:
            lacking[kind] = str(error)
    return lacking


def _nodes_of(cases: Sequence[Case], cpus: Cpus, facts: MachineFacts) -> tuple[int, ...]:
    """Return the NUMA nodes of all CPUs of a run, with those of its placements."""
    placed = pairs_of(facts.cpus)
    pairs = [cpus, *(placed[case.placement] for case in cases if case.placement in placed)]
    return memory_nodes({cpu for pair in pairs for cpu in pair})


def _measure(request: Request, borrowed: Borrowed) -> Measured:
    facts = request.facts
    whole = [case for case in request.cases if case.region_bytes % case.page_bytes == 0]
    findings = probe.examine(
        facts,
        _in_order(case.mechanism for case in whole),
        _in_order(case.page for case in whole),
        borrowed.pages,
        _in_order(case.thp for case in whole),
    )
    fits = [case for case in request.cases if why_too_large(case, facts) is None]
    pools = probe.raise_pools(fits, borrowed.pages, _nodes_of(fits, request.cpus, facts))
    group, lacking = make_group(fits, borrowed.groups)
    able = [case for case in fits if not any(need in lacking for need in needs(case))]
    lacking |= make_swap(able, borrowed.swap)
    lacking |= unplaced(request.cases, facts)
    blocked = probe.blocked(findings)
    traits = {name: mechanism.traits for name, mechanism in MECHANISMS.items()}
    reasons = {
        case: why_not(case, facts, blocked, traits, pools, lacking) for case in request.cases
    }
    runnable = tuple(case for case in request.cases if reasons[case] is None)
    writer = Writer(
        request.directory,
        request.plan.to_toml(),
        _machine(facts, findings, request.cpus, borrowed.latency_us),
    )
    setup = Setup(
        cases=runnable,
        memories={name: mechanism.memory for name, mechanism in MECHANISMS.items()},
        budget_s=request.plan.budget_s,
        rounds=request.plan.rounds,
        seed=request.seed,
        source_cpu=request.cpus[0],
        receiver_cpu=request.cpus[1],
        placements=pairs_of(facts.cpus),
        counted=facts.clock == "instructions",
        once=request.plan.once,
        pinning={name for name, mechanism in MECHANISMS.items() if mechanism.pins},
        group=group,
        counters=request.counters,
        explain=probe.explain(facts),
        delays_ns=request.delays_ns,
        is_loose=_judge_of(request.plan),
    )
    skipped: list[Record] = [
        {"kind": "skipped", "case": str(case), "reason": reason}
        for case, reason in reasons.items()
        if reason is not None
    ]
    writer.append([_header(request, setup), *skipped])
    until = f"at most {format_duration(setup.budget_s)}"
    if setup.counted:
        until = f"{setup.rounds} rounds, counting instructions"
    if request.progress:
        say(
            f"plan {request.plan.name}: {len(runnable)} cases to measure, "
            f"{len(skipped)} skipped, {until}"
        )
    return Measured(request.directory, not _execute(setup, writer, request.progress))


def _judge_of(plan: Plan) -> Callable[[Sequence[float]], bool] | None:
    """Return a judge of intervals wider than the plan's target; None if the plan has none."""
    if not plan.target_width:
        return None

    def is_loose(samples: Sequence[float]) -> bool:
        from vmabench.analysis.intervals import is_wider

        return is_wider(samples, plan.target_width)

    return is_loose


def _execute(setup: Setup, writer: Writer, show: bool) -> bool:
    """Run all rounds and store how the run ended; return False if it was interrupted."""
    stream = sys.stderr if show else None
    progress = make_progress(stream, None if setup.counted else setup.budget_s)
    measuring = Run(setup, writer, progress)
    start = time.monotonic_ns()
    status = "failed"
    try:
        measuring.execute()
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
    finally:
        with uninterrupted():
            progress.close()
            outcome = measuring.outcome
            wall_ns = time.monotonic_ns() - start
            # A full disk is already being reported; the end of the file says the rest.
            if status != "failed":
                writer.append([_end(status, outcome, wall_ns)])
    return status == "done"


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _machine(
    facts: MachineFacts, findings: Sequence[probe.Finding], cpus: Cpus, latency_us: int | None
) -> dict[str, object]:
    return {
        "facts": asdict(facts),
        "conditions": read_conditions()
        | {"cpus": pinned_cpus(*cpus), "cpu_dma_latency_us": latency_us},
        "doctor": [
            {"mechanism": f.mechanism, "page": f.page, "state": f.state, "reason": f.reason}
            | ({"thp": f.thp} if f.thp else {})
            for f in findings
        ],
    }


def _header(request: Request, setup: Setup) -> Record:
    injected = ", ".join(f"{case}={ns}ns" for case, ns in request.delays_ns)
    mark = {"injected": injected} if injected else {}
    return mark | {
        "kind": "header",
        "format": FORMAT_VERSION,
        "run": uuid.uuid4().hex,
        "vmabench": __version__,
        "kernel": request.facts.kernel,
        "virt": request.facts.virt,
        "thp": request.facts.thp,
        "clock": request.facts.clock,
        "plan": request.plan.name,
        "seed": request.seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "source_cpu": setup.source_cpu,
        "receiver_cpu": setup.receiver_cpu,
    }


def _end(status: str, outcome: Outcome, wall_ns: int) -> Record:
    return {
        "kind": "end",
        "status": status,
        "rounds": outcome.rounds,
        "wall_ns": wall_ns,
        "timed_ns": outcome.timed_ns,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
