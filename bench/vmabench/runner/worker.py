# SPDX-License-Identifier: GPL-2.0-only
"""The worker: a fresh process that runs the cases of one round and ends.

``runner.process`` starts it with a job on its standard input. It answers with one JSON object a
line: ``hello``, ``begin`` before each case, ``case`` with its outcome, and ``block`` at the end of
each block. Its imports are few, because it starts often.
"""

import errno
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from vmabench.errors import MachineError, NativeError
from vmabench.machine.cgroup import PAIR, SERVER, MemoryGroup
from vmabench.machine.facts import MachineFacts, read_facts
from vmabench.machine.pages import (
    BorrowedPages,
    Page,
    Pool,
    changes,
    free_in_pool,
    is_advised,
    pool_state,
    settings_under,
    thp_settings,
    thp_state,
    why_pool_is_small,
)
from vmabench.machine.placement import Cpus, memory_nodes, node_of
from vmabench.machine.swap import SwapDevices
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.mechanisms import (
    SLOWEST_BYTES_PER_S,
    Evidence,
    OpenCase,
    Pair,
    Proof,
    base_page_bytes,
    follow_parent,
    forbid_cpu_counters,
    forbid_nodes,
    mark_value,
    now_ns,
    read_counters,
    try_call,
    watch_peak,
    watch_swap_device,
)
from vmabench.runner.limits import why_refused
from vmabench.runner.lockwait import lock_wait
from vmabench.runner.nodes import why_elsewhere
from vmabench.runner.protocol import CALIBRATE, Block, CaseJob, Job, Message, identity
from vmabench.units import format_size

#: A calibration grows its loops until a value takes this long.
CALIBRATION_NS = 2_000_000
MOST_LOOPS = 1 << 22

#: the source of a peak without a cgroup: the PSS at the borders of phases
SAMPLED = "sampled-pss"


class WrongMemoryError(Exception):
    """The memory is not what the case's name says."""


def main() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # inherited from the runner
    send({"kind": "hello"} | identity())
    job = Job.from_json(sys.stdin.read())
    follow_parent(job.parent)
    read_counters(job.counters)
    if "perf_event_open" in job.killed:
        forbid_cpu_counters()
    if {"set_mempolicy", "move_pages"} & set(job.killed):
        forbid_nodes()
    for name in job.tries:
        send({"kind": "begin", "case": name, "at_ns": now_ns()})
        send({"kind": "call", "case": name, "errno": try_call(name)})
    gc.disable()  # the objects of a round are few, and a collection in a value is noise
    for block in job.blocks:
        run_block(job, block, send)


def send(message: Message) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def run_block(job: Job, block: Block, report: Callable[[Message], None]) -> None:
    """Run the block's cases on one source; replace a source that died."""
    start_ns, cases_ns = now_ns(), 0
    with ExitStack() as stack:
        pair: Pair | None = None
        not_set, settings = switch_pages(block)
        not_set = not_set or switch_swap(block) or enter_group(stack, job, block)
        for case_job in block.cases:
            begin_ns = now_ns()
            report({"kind": "begin", "case": case_job.case, "at_ns": begin_ns})
            outcome = not_set
            if not not_set and (pair is None or not pair.alive):
                pair, outcome = make_pair(stack, job, block)
                begin_ns = now_ns()
            if pair is not None:
                outcome = run_case(pair, job, case_job)
            if changed := changes(settings):
                outcome = {"outcome": "failed", "reason": f"meanwhile {changed[0]}"}
            wall_ns = now_ns() - begin_ns
            cases_ns += wall_ns
            report({"kind": "case", "case": case_job.case, "wall_ns": wall_ns} | outcome)
    report({"kind": "block", "wall_ns": now_ns() - start_ns, "cases_ns": cases_ns})


def switch_pages(block: Block) -> tuple[Message, dict[Path, str]]:
    """Borrow the settings of the block's pages; return them, or else the outcome of its cases."""
    page, borrowed = Page(block.page), BorrowedPages()
    plain = page.hugetlb or page.size_bytes == base_page_bytes()
    facts = read_facts() if block.thp or not plain else None
    try:
        borrowed.switch(_settings(block, page, facts, borrowed) if facts else [])
    except (MachineError, OSError) as error:
        return _not_set(error), {}
    return {}, thp_state(page, facts, block.thp) if facts else pool_state(page)


def _settings(
    block: Block, page: Page, facts: MachineFacts, borrowed: BorrowedPages
) -> list[tuple[Path, str]]:
    if block.thp:
        return settings_under(block.thp, page, facts)
    return thp_settings(page, block.memory, facts, borrowed.never(page))


def _not_set(error: Exception) -> Message:
    outcome = {"outcome": "blocked", "reason": str(error), "errno": errno.EPERM}
    return outcome | {"setting": True}


def switch_swap(block: Block) -> Message:
    """Turn on the swap device of the block alone; return empty, or why it is not on."""
    try:
        devices = SwapDevices()
        watch_swap_device(devices.switch(block.swap) if block.swap or devices.any() else None)
    except MachineError as error:
        return _not_set(error)
    return {}


def _group_of(job: Job) -> MemoryGroup | None:
    return MemoryGroup(job.group_version, Path(job.group)) if job.group else None


def enter_group(stack: ExitStack, job: Job, block: Block) -> Message:
    """Move this process and its source into the cgroup until the block ends.

    A page server has a group of its own with a limit, without the interpreter.
    """
    group = _group_of(job)
    if group is None or not block.apart:
        return {}
    try:
        if block.apart == "pageserver":
            watch_peak(group.peak_file(SERVER))
        else:
            group.join(os.getpid(), PAIR)
            stack.callback(group.leave, os.getpid())
            watch_peak(group.peak_file())
    except (MachineError, NativeError) as error:
        return _not_set(error)
    stack.callback(watch_peak, None)
    return {}


def make_pair(stack: ExitStack, job: Job, block: Block) -> tuple[Pair | None, Message]:
    """Return a pair with the block's source; or None, and the outcome of its cases."""
    try:
        pair = stack.enter_context(Pair(*job.cpus_of(block)))
        page = Page(block.page)
        # a page server makes its memory itself, below its limit
        size_bytes = page.size_bytes if block.apart == "pageserver" else block.size_bytes
        advised = not block.thp or is_advised(block.thp, page, read_facts())
        pair.make_source(
            block.memory,
            page.size_bytes,
            size_bytes,
            hugetlb=page.hugetlb,
            advised=advised,
        )
    except NativeError as error:
        return None, _not_set_up(error, Page(block.page), block.size_bytes, job.cpus_of(block))
    return pair, {}


def limit(pair: Pair, job: Job, case: Case) -> None:
    """Put the source of a case with a limit into the limited group; raise MachineError."""
    group = _group_of(job)
    if case.limit_bytes and group:
        group.set_limit(case.limit_bytes)
        group.join(pair.source_pid, SERVER)


def _not_set_up(
    error: NativeError, page: Page, size_bytes: int, cpus: Cpus, mappings: int = 1
) -> Message:
    """Return the outcome of a case without its memory; the pool had room when the run began."""
    outcome = _error("blocked", error, mappings)
    if outcome.get("setting") or not page.hugetlb or error.errno != errno.ENOMEM:
        return outcome
    nodes = memory_nodes(cpus)
    why = why_pool_is_small(page, size_bytes, Pool(free_in_pool(page, nodes), nodes=nodes))
    return outcome | {"reason": f"{error.detail}: {why}", "setting": True}


def _error(outcome: str, error: NativeError, mappings: int = 1) -> Message:
    """Return the outcome of a case by its error, with the limit that has refused it."""
    message: Message = {"outcome": outcome, "reason": error.detail, "errno": error.errno}
    if why := why_refused(error, mappings):
        message |= {"reason": f"{error.detail}: {why}", "setting": True}
    return message


def run_case(pair: Pair, job: Job, case_job: CaseJob) -> Message:
    """Return the outcome of a case: ``ok``, ``blocked`` without its set-up, or ``failed``."""
    case = Case.parse(case_job.case)
    group = _group_of(job)
    kills = group.oom_kills() if group else 0
    with ExitStack() as stack:
        try:
            limit(pair, job, case)
        except MachineError as error:
            return {"outcome": "failed", "reason": str(error)}
        try:
            opened = stack.enter_context(pair.open(case, job.seed, job.delay_ns(case_job.case)))
        except NativeError as error:
            page = Page(case.page)
            return _not_set_up(error, page, case.region_bytes, pair.cpus, case.segments)
        try:
            return _run_opened(opened, case, job, case_job)
        except NativeError as error:
            failed = _error("failed", error, case.segments)
            if group and case.limit_bytes and not pair.alive:  # its receivers end after the server
                group.wait_until_empty(SERVER)
            if group and group.oom_kills() > kills:
                size = format_size(case.limit_bytes)
                failed["reason"] += f": the OOM killer acted at a limit of {size}"
            return failed


def _run_opened(opened: OpenCase, case: Case, job: Job, case_job: CaseJob) -> Message:
    evidence = opened.verify(job.generation)
    proof = describe(evidence)
    try:
        check_backing(case, evidence)
        check_nodes(case, opened.cpus, evidence.src, evidence.dst)
    except WrongMemoryError as error:
        return {"outcome": "failed", "reason": str(error), "proof": proof, "backing": True}
    if case_job.values and case_job.loops == CALIBRATE:
        return {"outcome": "ok", "proof": proof} | calibrate(opened, case)
    expected_s = case_job.loops * case_job.op_ns / 1e9
    opened.forget_latency()
    values = [measure(opened, case_job.loops, expected_s, job) for _ in range(case_job.values)]
    latency = opened.latency()
    traced = case.scenario == "contention" and "fsopen" not in job.killed
    waits = lock_wait(opened, opened.source_pid) if traced else {}
    if moved := why_moved(opened.cpus, opened.source_pid):
        return {"outcome": "failed", "reason": moved, "proof": proof}
    try:
        check_afterwards(opened, case)
    except WrongMemoryError as error:
        return {"outcome": "failed", "reason": f"after the timed part, {error}", "proof": proof}
    kept: Message = {"latency": asdict(latency)} if latency else {}
    if latency and not SCENARIOS[case.scenario].charted:
        kept["latency"] |= {"chart_max_ns": (), "chart_mean_ns": ()}
    if waits:
        kept["lock_wait"] = waits
    return {"outcome": "ok", "proof": proof, "loops": case_job.loops, "values": values} | kept


def why_moved(cpus: tuple[int, int], source_pid: int) -> str:
    """Return which side is no longer pinned to its CPU alone; empty if both are, or one is dead."""
    sides = (("source", source_pid, cpus[0]), ("receiver", os.getpid(), cpus[1]))
    for side, pid, cpu in sides:
        try:
            allowed = os.sched_getaffinity(pid) if pid else {cpu}
        except ProcessLookupError:
            allowed = {cpu}
        if allowed != {cpu}:
            now = ",".join(map(str, sorted(allowed)))
            return f"the {side} was moved off CPU {cpu} during the run: it may run on CPU {now} now"
    return ""


def check_afterwards(opened: OpenCase, case: Case) -> None:
    """Raise WrongMemoryError if the memory was split, by the operation or by another process."""
    src, dst = opened.prove()
    check_nodes(case, opened.cpus, src, dst)
    for side, proof in (("the source", src), ("the destination", dst)):
        if proof is not None:
            check_proof(case, side, proof)


def check_backing(case: Case, evidence: Evidence) -> None:
    """Raise WrongMemoryError unless all pages are of the kind that the case names."""
    if evidence.src is None or evidence.dst is None:
        return
    check_proof(case, "the source", evidence.src)
    if case.congruent == "yes":  # else the kernel has no huge entry to map there
        check_proof(case, "the destination", evidence.dst)


def check_nodes(case: Case, cpus: tuple[int, int], src: Proof | None, dst: Proof | None) -> None:
    """Raise WrongMemoryError if a page lies on another NUMA node than that of its side's CPU."""
    source, receiver = map(node_of, cpus)
    if why := why_elsewhere(case, source, receiver, src, dst):
        raise WrongMemoryError(why)


def check_proof(case: Case, side: str, proof: Proof) -> None:
    """Raise WrongMemoryError unless the range is populated with pages of the case's size.

    Checks folio by folio where page frames can be seen, else what the kernel reports as huge: what
    a PMD or larger entry maps, and all pages of a hugetlb pool, whose size the mapping asked for.
    """
    if proof.present_bytes != proof.size_bytes:
        share = 100 * proof.present_bytes / proof.size_bytes
        raise WrongMemoryError(f"{side} is {share:.1f} % populated")
    page = Page(case.page)
    mapped_huge = page.hugetlb or page.size_bytes >= huge_entry_bytes()
    if proof.huge_pct != (100.0 if mapped_huge else 0.0):
        expected = "100 %" if mapped_huge else "0 %"
        backed = f"{proof.huge_pct:.1f} % backed by huge pages"
        raise WrongMemoryError(f"{side} is {backed}, not {expected}")
    folio_pct = proof.folio_pct(case.page_bytes)
    if folio_pct is None and not mapped_huge and page.size_bytes > base_page_bytes():
        raise WrongMemoryError(f"{side} is of folios whose size may not be seen (CAP_SYS_ADMIN)")
    if folio_pct is not None and folio_pct != 100.0:
        raise WrongMemoryError(
            f"{side} is {folio_pct:.1f} % in folios of {format_size(case.page_bytes)}, not 100 %"
        )


def huge_entry_bytes() -> int:
    """Return the bytes that a PMD entry maps: a table of 8-byte entries fills a base page."""
    return base_page_bytes() ** 2 // 8


def describe(evidence: Evidence) -> Message:
    proof: Message = {}
    if evidence.src is not None and evidence.dst is not None:
        proof |= {
            "src_backed_pct": evidence.src.huge_pct,
            "dst_backed_pct": evidence.dst.huge_pct,
            "src": describe_proof(evidence.src),
            "dst": describe_proof(evidence.dst),
        }
    known = {name: getattr(evidence, name) for name in ("page_table_bytes", "moved_bytes")}
    proof |= {name: value for name, value in known.items() if value is not None}
    if evidence.channel_bytes:
        proof["channel_bytes"] = evidence.channel_bytes
    if evidence.use:  # without a cgroup, what was in use then is the most that was seen
        proof |= dict(evidence.use) | {
            "peak_bytes": evidence.use["pss_bytes"],
            "peak_how": SAMPLED,
        }
    return proof | dict(evidence.extras)


def describe_proof(proof: Proof) -> Message:
    """Return VMAs and, if known, the percentages by NUMA node and in folios of each size."""
    described: Message = {"vmas": proof.vmas}
    share = 100.0 / proof.size_bytes
    if proof.node_bytes is not None:
        described["nodes_pct"] = {
            str(node): round(share * part, 2) for node, part in proof.node_bytes.items()
        }
    if proof.folio_bytes is not None:
        described["folios_pct"] = {
            format_size(size): round(share * part, 2) for size, part in proof.folio_bytes.items()
        }
        described["partial_pct"] = round(share * proof.partial_bytes, 2)
        described["aligned_pct"] = round(share * proof.aligned_bytes, 2)
    return described


def measure(opened: OpenCase, loops: int, expected_s: float, job: Job) -> Message:
    at_ns = now_ns()
    mark_value(at_ns)
    sample = opened.run(loops, expected_s)
    mark_value(0)
    passed_ns = now_ns() - at_ns
    if sample.time_ns["total"] > passed_ns:
        jump = f"{sample.time_ns['total']} ns were timed within {passed_ns} ns"
        raise NativeError(errno.EIO, f"the clock has jumped: {jump}")
    value: Message = {"time_ns": sample.time_ns, "at_ns": at_ns} | sample.counts | sample.writer
    if sample.receiver_ns:
        value["receiver_ns"] = sample.receiver_ns
    if sample.peak_bytes is not None:
        group = _group_of(job)
        how = group.peak_how if group and not sample.peak_sampled else SAMPLED
        value |= {"peak_bytes": sample.peak_bytes, "peak_how": how}
    return value


def calibrate(opened: OpenCase, case: Case) -> Message:
    """Return the nanoseconds of one operation, from as few operations as that takes.

    ``between_ns`` is the untimed part between two operations, in which the source writes, 0 where
    it does not; ``spent_ns`` the time of the calibration with these parts.
    """
    loops, timed_ns, spent_ns = 1, 0, 0
    lasts_ns = case.size_bytes / SLOWEST_BYTES_PER_S * 1e9
    most_loops = 1 if SCENARIOS[case.scenario].most_ops else MOST_LOOPS
    while True:
        start_ns = now_ns()
        total_ns = opened.run(loops, loops * lasts_ns / 1e9).time_ns["total"]
        passed_ns = now_ns() - start_ns if case.source == "rewritten" else total_ns
        timed_ns += total_ns
        spent_ns += passed_ns
        lasts_ns = passed_ns / loops
        if passed_ns >= CALIBRATION_NS or loops >= most_loops:
            break
        wanted = int(1.2 * CALIBRATION_NS / max(lasts_ns, 0.1))
        loops = min(most_loops, max(2 * loops, min(16 * loops, wanted)))
    op_ns = total_ns / loops
    between_ns = max(0.0, lasts_ns - op_ns)
    return {
        "op_ns": op_ns, "timed_ns": timed_ns, "spent_ns": spent_ns, "between_ns": between_ns,
    }  # fmt: skip


if __name__ == "__main__":
    main()
