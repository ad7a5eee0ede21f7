# SPDX-License-Identifier: GPL-2.0-only
"""One case under ``pyperf.Runner``: ``python -m vmabench.pyperf --mechanism readv ...``.

All of pyperf's own options work. pyperf's workers run this program again and pick their benchmark
by position, so there is exactly one; its name follows from the arguments that are handed on to
them. The first process tries the case, makes the pools, swap devices and cgroup that the case
needs, and removes them at its end. Its workers use them.
"""

import argparse
import json
import os
import random
import re
import sys
from contextlib import ExitStack
from typing import Any

import pyperf

from vmabench.errors import MachineError, NativeError, UsageError, VmabenchError
from vmabench.machine.cgroup import MemoryGroups
from vmabench.machine.facts import MachineFacts, read_facts
from vmabench.machine.pages import BorrowedPages
from vmabench.machine.placement import memory_nodes, pairs_of, why_not_placed
from vmabench.machine.swap import SwapDevices
from vmabench.matrix.axes import AXES, option_of
from vmabench.matrix.case import ALL_PHASES, SCENARIOS, Case
from vmabench.matrix.plans import Vocabulary, unknown
from vmabench.matrix.rules import swap_bytes, why_not
from vmabench.mechanisms import MECHANISMS, SLOWEST_BYTES_PER_S, OpenCase
from vmabench.probe import explain, raise_pools
from vmabench.program import run_program
from vmabench.runner.calls import killed_calls
from vmabench.runner.lock import only_run
from vmabench.runner.process import PYTHON, Worker, WorkerLostError, check_identity
from vmabench.runner.protocol import CaseJob, Job, Message, identity
from vmabench.runner.rounds import FIRST_LIMIT_S, ONCE_LIMIT_S, blocks_of, choose_cpus
from vmabench.runner.worker import (
    WrongMemoryError,
    check_backing,
    check_nodes,
    enter_group,
    limit,
    make_pair,
    switch_pages,
    switch_swap,
)
from vmabench.units import parse_size

#: what workers have to be told beside the axes
_OPTIONS = (
    "mechanism", "scenario", "page", "size", "phase", "group", "group-version", "identity",
)  # fmt: skip

#: the part of the environment that pyperf's workers need
_ENVIRONMENT = ("VMABENCH_SOURCE",)


def main() -> int:
    return run_program(_measure)


def _measure() -> int:
    runner = pyperf.Runner(
        program_args=(*PYTHON[1:], "-m", "vmabench.pyperf"), add_cmdline_args=_hand_on
    )
    _add_options(runner.argparser)
    args = runner.parse_args()
    case = _case(args)
    check_identity(identity(), json.loads(args.identity))
    with ExitStack() as stack:
        if not args.worker:
            _prepare(stack, case, args)
        timer = _Timer(case, args.phase, _job(case, args), stack)
        name = str(case) if args.phase == "total" else f"{case}/phase:{args.phase}"
        runner.metadata.update(_metadata(case, args.phase))
        _bench(runner, name, timer)
    return 0


def _bench(runner: pyperf.Runner, name: str, timer: "_Timer") -> None:
    """Measure; raises KeyboardInterrupt where pyperf has turned one into its exit status 1."""
    try:
        runner.bench_time_func(name, timer)
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from end
        raise
    except RuntimeError as error:  # the worker has said why
        raise VmabenchError(f"{name}: pyperf's {error}") from error


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("vmabench")
    group.add_argument("--mechanism", required=True)
    group.add_argument("--scenario", default="transfer")
    group.add_argument("--page", default="base")
    group.add_argument("--size", default="1M")
    for name, axis in AXES.items():
        group.add_argument(option_of(name), help=f"where the scenario has it: {axis.help}")
    group.add_argument("--phase", default="total", help="where it has several: the one reported")
    # the memory cgroup of the first process, for its workers
    group.add_argument("--group", default="", help=argparse.SUPPRESS)
    group.add_argument("--group-version", default="0", help=argparse.SUPPRESS)
    # the code of the first process, which its workers compare with their own
    group.add_argument("--identity", default=json.dumps(identity()), help=argparse.SUPPRESS)


def _hand_on(command: list[str], args: argparse.Namespace) -> None:
    for option in (*_OPTIONS, *AXES):
        value = getattr(args, option.replace("-", "_"))
        if value:
            command += [option_of(option), value]


def _case(args: argparse.Namespace) -> Case:
    pages = read_facts().all_pages
    aliases = Vocabulary(tuple(MECHANISMS), pages).page_aliases
    page = next(iter(aliases.get(args.page, ())), args.page)
    for kind, name, valid in (
        ("mechanism", args.mechanism, tuple(MECHANISMS)),
        ("scenario", args.scenario, tuple(SCENARIOS)),
        ("page", page, pages),
        ("phase", args.phase, ALL_PHASES),
    ):
        if name not in valid:
            raise UsageError(unknown(kind, name, valid))
    case = Case(args.mechanism, args.scenario, page, parse_size(args.size), **_options(args))
    if args.phase not in case.phases:
        there = ", ".join(case.phases)
        raise UsageError(f"{args.scenario} has no phase {args.phase}: there is {there}")
    if case.region_bytes % case.page_bytes:
        raise UsageError(f"size {args.size} is no multiple of the page size {page}")
    return case


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of the axes that the scenario has, as given or as the first of its default."""
    fields: dict[str, Any] = {}
    axes = SCENARIOS[args.scenario].axes
    for name, axis in AXES.items():
        given = getattr(args, name)
        if given and name not in axes:
            raise UsageError(f"{args.scenario} has no {option_of(name)}")
        if name in axes:
            fields |= axis.parse(given or axes[name][0])
    return fields


def _prepare(stack: ExitStack, case: Case, args: argparse.Namespace) -> None:
    """Make the pools, groups and swap of a case until the stack is closed; try the case once."""
    scenario, facts = SCENARIOS[case.scenario], read_facts()
    stack.enter_context(only_run())
    borrowed = stack.enter_context(BorrowedPages())
    groups, swap = stack.enter_context(MemoryGroups()), stack.enter_context(SwapDevices())
    cpus = pairs_of(facts.cpus).get(case.placement) or choose_cpus(_cpus(args.affinity))
    pools = raise_pools([case], borrowed, memory_nodes(cpus))
    traits = {name: mechanism.traits for name, mechanism in MECHANISMS.items()}
    lacking = {case.placement: why_not_placed(case.placement, facts.cpus)} if case.placement else {}
    lacking = {name: reason for name, reason in lacking.items() if reason}
    if reason := why_not(case, facts, {}, traits, pools, lacking):
        raise VmabenchError(f"{case}: {reason}")
    if scenario.apart:
        _make_group(groups, case, args)
    if case.swap_device:
        swap.make(case.swap_device, swap_bytes(case))
    if not args.loops and scenario.most_ops:
        args.loops = 1  # what surrounds an operation takes far longer than it
    args.inherit_environ = [*(args.inherit_environ or ()), *_ENVIRONMENT]
    message = _try(_job(case, args, values=0))
    if message["outcome"] != "ok":
        told = message["reason"] if message.get("setting") else _explained(message, facts)
        raise VmabenchError(f"{case}: {told}")


def _make_group(groups: MemoryGroups, case: Case, args: argparse.Namespace) -> None:
    """Without one a peak is sampled; a limit takes one."""
    try:
        group = groups.make()
    except MachineError:
        if case.limit_bytes:
            raise
        return
    args.group, args.group_version = str(group.path), str(group.version)


def _cpus(affinity: str | None) -> tuple[int, ...]:
    """CPUs of pyperf's --affinity, such as ``1-3,5``; without it all. Raises UsageError."""
    allowed = read_facts().cpus
    if not affinity:
        return allowed
    chosen: set[int] = set()
    for part in affinity.split(","):
        span = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part)
        if not span:
            raise UsageError(f"--affinity {affinity}: write a list of CPUs, such as 0,1 or 2-3")
        chosen.update(range(int(span[1]), int(span[2] or span[1]) + 1))
    if not chosen or not chosen <= set(allowed):
        there = ", ".join(map(str, allowed))
        raise UsageError(f"--affinity {affinity}: this process may use the CPUs {there}")
    return tuple(sorted(chosen))


def _job(case: Case, args: argparse.Namespace, values: int = 1) -> Job:
    """Return the job that a run would give to its worker."""
    source_cpu, receiver_cpu = choose_cpus(_cpus(args.affinity))
    memories = {case.mechanism: MECHANISMS[case.mechanism].memory}
    blocks = blocks_of([CaseJob(str(case), values)], memories, random.Random(0))  # noqa: S311
    return Job(
        parent=os.getpid(),
        seed=1,
        generation=1,
        source_cpu=source_cpu,
        receiver_cpu=receiver_cpu,
        blocks=tuple(blocks),
        group=args.group,
        group_version=int(args.group_version),
        killed=tuple(killed_calls()),
        placements=pairs_of(_cpus(args.affinity)),
    )


def _try(job: Job) -> Message:
    """The outcome of the job's case, verified only. In a process of its own: it pins itself."""
    found: Message = {"outcome": "failed", "reason": "the worker said nothing"}
    with Worker(job) as worker:
        try:
            for message in worker.messages(lambda _last: FIRST_LIMIT_S + ONCE_LIMIT_S):
                found = message if message["kind"] == "case" else found
        except WorkerLostError as error:
            return {"outcome": "failed", "reason": str(error)}
    return found


def _explained(message: Message, facts: MachineFacts) -> str:
    reason = str(message["reason"])
    why = explain(facts)(message["errno"], reason) if "errno" in message else reason
    return why if why == reason else f"{reason} ({why})"


def _metadata(case: Case, phase: str) -> dict[str, str | int]:
    return {
        "case_mechanism": case.mechanism,
        "case_scenario": case.scenario,
        "case_page": case.page,
        "case_size_bytes": case.size_bytes,
        "case_touch": case.touch,
        "case_phase": phase,
    }


class _Timer:
    """What pyperf calls: seconds of ``loops`` operations. The pair starts on the first call."""

    def __init__(self, case: Case, phase: str, job: Job, stack: ExitStack) -> None:
        self._case = case
        self._phase = phase
        self._job = job
        self._stack = stack
        self._opened: OpenCase | None = None
        self._op_s = case.size_bytes / SLOWEST_BYTES_PER_S

    def __call__(self, loops: int) -> float:
        opened = self._opened or self.open()
        try:
            sample = opened.run(loops, loops * self._op_s)
        except NativeError as error:
            raise VmabenchError(f"{self._case}: {error.detail}") from error
        self._op_s = sample.time_ns["total"] / loops / 1e9
        seconds = sample.time_ns[self._phase] / 1e9
        if seconds <= 0:
            raise VmabenchError(f"{self._case}: nothing happens in the phase {self._phase}")
        return seconds

    def open(self) -> OpenCase:
        """Sets the case up and verifies it, as a worker of a run does; raises VmabenchError."""
        case, job, (block,) = self._case, self._job, self._job.blocks
        not_set, _settings = switch_pages(block)
        not_set = not_set or switch_swap(block) or enter_group(self._stack, job, block)
        pair, blocked = (None, not_set) if not_set else make_pair(self._stack, job, block)
        if pair is None:
            raise VmabenchError(f"{case}: {blocked['reason']}")
        try:
            limit(pair, job, case)
            self._opened = self._stack.enter_context(pair.open(case, job.seed))
            evidence = self._opened.verify(job.generation)
            check_backing(case, evidence)
            check_nodes(case, self._opened.cpus, evidence.src, evidence.dst)
        except NativeError as error:
            raise VmabenchError(f"{case}: {error.detail}") from error
        except WrongMemoryError as error:
            raise VmabenchError(f"{case}: {error}") from error
        return self._opened


if __name__ == "__main__":
    sys.exit(main())
