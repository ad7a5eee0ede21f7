# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench run``: a plan, from the names on the command line to the report."""

import argparse
import random
import re
import resource
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vmabench import __version__, probe
from vmabench.commands.output import new_directory, say, say_files, warn
from vmabench.commands.progress import make_progress
from vmabench.errors import MachineError, UsageError
from vmabench.machine.cgroup import MemoryGroup, MemoryGroups
from vmabench.machine.conditions import pinned_cpus, read_conditions
from vmabench.machine.facts import MachineFacts, read_facts
from vmabench.machine.ledger import why_not_noted
from vmabench.machine.pages import BorrowedPages
from vmabench.machine.swap import SwapDevices
from vmabench.matrix.axes import AXES, SWEEP_AXES
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.matrix.plans import (
    Plan,
    Vocabulary,
    check_sizes,
    expand,
    load_plan,
    override,
    scaled,
)
from vmabench.matrix.rules import GROUP, needs, swap_bytes, why_not, why_too_large
from vmabench.mechanisms import MECHANISMS
from vmabench.runner.lock import only_run
from vmabench.runner.lockwait import TraceInstances
from vmabench.runner.rounds import Outcome, Run, Setup, choose_cpus
from vmabench.signals import uninterrupted
from vmabench.store.format import FORMAT_VERSION, REPORT, SUITE, Record, Result
from vmabench.store.places import default_directory, point_latest
from vmabench.store.reader import read
from vmabench.store.writer import Writer
from vmabench.units import format_duration, parse_duration

DONE, NOTHING_MEASURED, FAILED_OR_UNSTABLE, INTERRUPTED = 0, 1, 2, 130

#: the most reasons in the line of a run that measured nothing
_REASONS_TOLD = 3


@dataclass(frozen=True, slots=True)
class Request:
    """The request of a command line, checked against this machine."""

    plan: Plan
    cases: tuple[Case, ...]
    facts: MachineFacts
    directory: Path
    seed: int
    counters: bool
    delays_ns: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Borrowed:
    """The settings and devices that a run borrows and restores at its end."""

    pages: BorrowedPages
    swap: SwapDevices
    groups: MemoryGroups


def run(args: argparse.Namespace) -> int:
    given = args.memory or args.cpus or args.append or args.accel != "auto" or args.clock != "time"
    if given and not args.guest:
        raise UsageError("--memory, --cpus, --append, --accel and --clock go with --guest only")
    if args.against and not args.guest:
        raise UsageError("--against goes with --guest only: it boots both kernels in turns")
    if args.boots is not None and not args.against:
        raise UsageError("--boots goes with --against only")
    if args.against:
        from vmabench.commands.against import run_against

        return run_against(args)
    if args.guest:
        from vmabench.commands.guest import run_plan

        return run_plan(args)
    request = _request(args)
    with (
        only_run(),
        BorrowedPages() as pages,
        MemoryGroups() as groups,
        SwapDevices() as swap,
        TraceInstances(),
    ):
        if why := why_not_noted():
            warn(f"this run changes no setting of the machine: {why}")
        status = _measure(request, Borrowed(pages, swap, groups))
    if args.samples_only or args.inject:
        return status or judge_values(read(request.directory))
    return finish(request.directory)


def _request(args: argparse.Namespace) -> Request:
    facts = read_facts()
    plan = load_plan(args.plan)
    if facts.virt == "emulated":
        plan = scaled(plan)
    plan = override(plan, {axis: getattr(args, axis) for axis in (*SWEEP_AXES, *AXES)})
    if args.budget:
        plan = replace(plan, budget_s=parse_duration(args.budget))
    cases = expand(plan, Vocabulary(tuple(MECHANISMS), facts.all_pages, cpus=len(facts.cpus)))
    check_sizes(cases, args.size)
    _check_memory(cases, args.size, facts)
    directory = new_directory(args.output, default_directory(facts.slug, facts.kernel))
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    delays_ns = tuple(_injected(text, cases) for text in args.inject)
    return Request(plan, tuple(cases), facts, directory, seed, not args.no_counters, delays_ns)


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


def _measure(request: Request, borrowed: Borrowed) -> int:
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
    pools = probe.raise_pools(fits, borrowed.pages)
    group, lacking = make_group(fits, borrowed.groups)
    able = [case for case in fits if not any(need in lacking for need in needs(case))]
    lacking |= make_swap(able, borrowed.swap)
    blocked = probe.blocked(findings)
    traits = {name: mechanism.traits for name, mechanism in MECHANISMS.items()}
    reasons = {
        case: why_not(case, facts, blocked, traits, pools, lacking) for case in request.cases
    }
    runnable = tuple(case for case in request.cases if reasons[case] is None)
    writer = Writer(request.directory, request.plan.to_toml(), _machine(facts, findings))
    setup = Setup(
        cases=runnable,
        memories={name: mechanism.memory for name, mechanism in MECHANISMS.items()},
        budget_s=request.plan.budget_s,
        rounds=request.plan.rounds,
        seed=request.seed,
        source_cpu=choose_cpus(facts.cpus)[0],
        receiver_cpu=choose_cpus(facts.cpus)[1],
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
    say(
        f"plan {request.plan.name}: {len(runnable)} cases to measure, "
        f"{len(skipped)} skipped, {until}"
    )
    return _execute(setup, writer)


def _judge_of(plan: Plan) -> Callable[[Sequence[float]], bool] | None:
    """Whether the interval of a case is wider than the plan's target; None if it has none."""
    if not plan.target_width:
        return None

    def is_loose(samples: Sequence[float]) -> bool:
        from vmabench.analysis.intervals import is_wider

        return is_wider(samples, plan.target_width)

    return is_loose


def _execute(setup: Setup, writer: Writer) -> int:
    progress = make_progress(sys.stderr, None if setup.counted else setup.budget_s)
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
    return INTERRUPTED if status == "interrupted" else DONE


def finish(directory: Path, *, announce: bool = True) -> int:
    """Write the reports of a run's samples; return the exit status that the samples mean.

    ``announce`` prints the report and points results/latest to the directory.
    """
    from vmabench.report.build import Report
    from vmabench.store.suite import build_suite, mechanisms_with_values, write_suite

    result = read(directory)
    if mechanisms_with_values(result):  # pyperf rejects an empty suite
        write_suite(build_suite(result), directory / SUITE)
    report = Report(result)
    files = report.write(directory / REPORT)
    if announce:
        if unlinked := point_latest(directory):
            warn(unlinked)
        say(report.text(brief=True).rstrip("\n"))
        say_files(directory, files)
    return _judge(result, report.unstable_cases)


def _judge(result: Result, unstable: int) -> int:
    """Return the exit status of a run and warn about what it lacks."""
    end = (result.of_kind("end") or [{"status": "cut off"}])[-1]
    rounds = sum(1 for record in result.of_kind("round") if record["complete"])
    if not result.complete:
        warn(f"{end['status']} after {rounds} whole rounds: what was measured is saved")
        return INTERRUPTED
    if status := judge_values(result):
        return status
    wanted = result.plan.get("rounds", 0)
    if rounds < wanted and end["timed_ns"]:
        warn(f"only {rounds} of {wanted} rounds fit into the budget")
    failed = {r["case"] for r in result.of_kind("case") if r["outcome"] == "failed"}
    if failed:
        warn(f"{len(failed)} cases failed in some round: see the report")
        return FAILED_OR_UNSTABLE
    if unstable:
        warn(f"{unstable} cases are unstable: see the report")
        return FAILED_OR_UNSTABLE
    return DONE


def judge_values(result: Result) -> int:
    """Return DONE for a result with a value; else warn with the reasons."""
    if any(record.get("values") for record in result.of_kind("case")):
        return DONE
    warn(why_nothing(result))
    return NOTHING_MEASURED


def why_nothing(result: Result) -> str:
    """Return a line on a result without any value: its reasons, the most frequent one first."""
    records = [*result.of_kind("skipped"), *result.of_kind("case")]
    reasons = {record["case"]: record["reason"] for record in records if "reason" in record}
    counts = Counter(reasons.values()).most_common()
    told = "; ".join(
        f"{reason} ({count} case{'s' if count > 1 else ''})"
        for reason, count in counts[:_REASONS_TOLD]
    )
    more = f"; {len(counts) - _REASONS_TOLD} more reasons" if len(counts) > _REASONS_TOLD else ""
    return f"nothing was measured: {told or 'the plan has no case'}{more}"


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _machine(facts: MachineFacts, findings: Sequence[probe.Finding]) -> dict[str, object]:
    return {
        "facts": asdict(facts),
        "conditions": read_conditions() | {"cpus": pinned_cpus(*choose_cpus(facts.cpus))},
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
