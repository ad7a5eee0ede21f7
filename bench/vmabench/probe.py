# SPDX-License-Identifier: GPL-2.0-only
"""Try in a real pair of processes which cases can run here."""

import errno
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from vmabench.errors import MachineError
from vmabench.machine.cgroup import MemoryGroups
from vmabench.machine.facts import MachineFacts
from vmabench.machine.metrics import Metric
from vmabench.machine.pages import (
    SHARED_WORDS,
    BorrowedPages,
    Page,
    Pool,
    free_in_pool,
    why_not_under,
)
from vmabench.machine.placement import memory_nodes
from vmabench.machine.restrictions import (
    Restriction,
    killed_restriction,
    page_restriction,
    restriction_of,
)
from vmabench.machine.swap import KINDS, SwapDevices
from vmabench.matrix.case import Case
from vmabench.matrix.rules import GROUP, Blocked, pool_bytes, why_not_in_pool
from vmabench.mechanisms import MECHANISMS, self_readv_errno, why_no_cpu_counters
from vmabench.runner.calls import killed_calls
from vmabench.runner.process import Worker, WorkerLostError, WorkerStartError
from vmabench.runner.protocol import Block, CaseJob, Job, Message
from vmabench.runner.rounds import choose_cpus

PROBE_LIMIT_S = 30.0

#: the size of a swap device that is made as a test
_SMALL_BYTES = 1 << 20

#: mechanisms that deliver base pages whatever the pages of the source
BASE_PAGES_ONLY = {
    "uffd-copy": "UFFDIO_COPY fills memory with base pages, whatever the source has",
    "uffd-minor": "UFFDIO_CONTINUE maps shared memory by base pages, whatever the source has",
}

#: mechanisms that have no folios between base page and PMD, and why
NO_MULTI_SIZE = {
    "uffd-move": "UFFDIO_MOVE splits folios that entries of base pages map",
    "sysv": "the kernel gives System V memory base pages or PMD-sized ones, no sizes between",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One mechanism on one page size, ``ok`` or ``blocked``.

    ``thp`` is the THP setting of the attempt, empty for the machine's own.
    """

    mechanism: str
    page: str
    state: str
    blocked_by: Restriction | None = None
    thp: str = ""

    @property
    def reason(self) -> str:
        return "" if self.blocked_by is None else str(self.blocked_by)


def examine(
    facts: MachineFacts,
    mechanisms: Sequence[str],
    pages: Sequence[str],
    borrowed: BorrowedPages,
    settings: Sequence[str] = ("",),
) -> list[Finding]:
    """Try each mechanism on each page, at the smallest size; raise WorkerStartError.

    ``settings`` are those of THP to try it under; the empty one is the machine's own. A setting
    under which there are no such pages is not tried: the rules of the matrix name the reason.
    """
    cases = [
        _smallest(name, page, thp)
        for thp in settings
        for page in pages
        if not thp or not why_not_under(thp, Page(page), facts)
        for name in mechanisms
    ]
    pools = raise_pools(cases, borrowed, memory_nodes(choose_cpus(facts.cpus)))
    no_pool = {
        str(case): Restriction(why_not_in_pool(case, pools), "")
        for case in cases
        if why_not_in_pool(case, pools)
    }
    messages = _try([case for case in cases if str(case) not in no_pool], facts)
    self_error = _self_error()
    return [
        Finding(case.mechanism, case.page, "blocked", no_pool[str(case)], case.thp)
        if str(case) in no_pool
        else _judge(case, messages[str(case)], facts, self_error)
        for case in cases
    ]


def _self_error() -> int:
    """Return the error number of process_vm_readv() of this process itself, 0 if it works."""
    return 0 if "process_vm_readv" in killed_calls() else self_readv_errno()


def examine_memory(
    swap: SwapDevices, groups: MemoryGroups, wanted: Collection[str]
) -> list[Finding]:
    """Make swap devices and a memory cgroup, remove them, and return whether that worked.

    ``wanted`` are names as ``matrix.rules.needs`` has them.
    """
    findings = []
    tries: list[tuple[str, Callable[[], object]]] = [
        *(
            (f"swap-{kind}", partial(swap.make, kind, _SMALL_BYTES))
            for kind in KINDS
            if kind in wanted
        )
    ]
    if GROUP in wanted:
        tries.append(("memory-cgroup", groups.make))
    for name, make in tries:
        try:
            make()
            findings.append(Finding(name, "", "ok"))
        except MachineError as error:
            findings.append(Finding(name, "", "blocked", Restriction(str(error), "")))
    swap.restore()
    groups.restore()
    return findings


def cpu_counters(cpu: int) -> Metric:
    """Return whether cycles and TLB misses can be counted, by counting them on one CPU."""
    name = "cycles, TLB misses"
    if "perf_event_open" in killed_calls():
        return Metric(name, "blocked", "a seccomp filter kills perf_event_open (SIGSYS)", "")
    why = why_no_cpu_counters(cpu)
    if not why:
        return Metric(name, "ok")
    if "ermi" in why or "not permitted" in why:
        return Metric(name, "blocked", why, "run as root, or with CAP_PERFMON")
    return Metric(name, "blocked", f"{why}: the machine has no such counters", "")


def raise_pools(
    cases: Sequence[Case], borrowed: BorrowedPages, nodes: tuple[int, ...] = ()
) -> dict[str, Pool]:
    """Raise the pools to what their largest case needs; return page -> pool.

    ``nodes`` are those of the CPUs of both sides, see ``placement.memory_nodes``.
    """
    wanted: dict[str, int] = {}
    for case in cases:
        if Page(case.page).hugetlb:
            wanted[case.page] = max(wanted.get(case.page, 0), pool_bytes(case))
    pools = {}
    for page in sorted(wanted, key=lambda name: -Page(name).size_bytes):  # 1G while there is room
        try:
            free_bytes = borrowed.raise_pool(Page(page), wanted[page], nodes)
            pools[page] = Pool(free_bytes, nodes=nodes)
        except (MachineError, OSError) as error:
            pools[page] = Pool(free_in_pool(Page(page), nodes), str(error), nodes)
    return pools


def blocked(findings: Sequence[Finding]) -> Blocked:
    """Return the reasons in the form that the rules of the matrix take."""
    return {(f.mechanism, f.page, f.thp): f.reason for f in findings if f.state == "blocked"}


def _smallest(mechanism: str, page: str, thp: str) -> Case:
    size_bytes = Case(mechanism, "deliver", page, 1).page_bytes
    if MECHANISMS[mechanism].cut_only:
        return Case(mechanism, "scatter", page, size_bytes, thp=thp)
    if MECHANISMS[mechanism].snapshots:
        return Case(mechanism, "snapshot", page, size_bytes, rate="max", thp=thp)
    return Case(mechanism, "deliver", page, size_bytes, "read", 100, thp=thp)


def _try(cases: Sequence[Case], facts: MachineFacts) -> dict[str, Message]:
    """Verify each case, without timing; return its message. Raises WorkerStartError."""
    messages: dict[str, Message] = {}
    while left := [case for case in cases if str(case) not in messages]:
        blocks = _blocks(left)
        current = blocks[0].cases[0].case
        with Worker(_job(blocks, facts)) as worker:
            try:
                for message in worker.messages(lambda _last: PROBE_LIMIT_S):
                    if message["kind"] == "begin":
                        current = message["case"]
                    elif message["kind"] == "case":
                        messages[message["case"]] = message
            except WorkerStartError:
                raise
            except WorkerLostError as error:
                messages[current] = {"outcome": "failed", "reason": str(error)}
    return messages


def _job(blocks: tuple[Block, ...], facts: MachineFacts) -> Job:
    source_cpu, receiver_cpu = choose_cpus(facts.cpus)
    return Job(
        parent=os.getpid(),
        seed=1,
        generation=1,
        source_cpu=source_cpu,
        receiver_cpu=receiver_cpu,
        blocks=blocks,
        killed=tuple(killed_calls()),
    )


def _blocks(cases: Sequence[Case]) -> tuple[Block, ...]:
    """Return the cases in blocks of one source each, because a page of 1G takes seconds to make."""
    jobs: dict[tuple[str, str, int, str], list[CaseJob]] = {}
    for case in cases:
        key = MECHANISMS[case.mechanism].memory, case.page, case.size_bytes, case.thp
        jobs.setdefault(key, []).append(CaseJob(str(case), values=0))
    return tuple(
        Block(memory, page, size_bytes, tuple(members), thp)
        for (memory, page, size_bytes, thp), members in jobs.items()
    )


def _judge(
    case: Case, message: Mapping[str, object], facts: MachineFacts, self_error: int
) -> Finding:
    if message["outcome"] == "ok":
        return Finding(case.mechanism, case.page, "ok", thp=case.thp)
    found = _restriction(case, message, _under(case.thp, facts), self_error)
    return Finding(case.mechanism, case.page, "blocked", found, case.thp)


def _under(thp: str, facts: MachineFacts) -> MachineFacts:
    return replace(facts, thp=thp, thp_shmem=SHARED_WORDS[thp]) if thp else facts


def _restriction(
    case: Case, message: Mapping[str, object], facts: MachineFacts, self_error: int
) -> Restriction:
    detail, error = str(message["reason"]), message.get("errno", 0)
    assert isinstance(error, int)
    if killed := killed_restriction(case.mechanism, detail, killed_calls()):
        return killed
    page = Page(case.page)
    if message.get("setting"):
        return Restriction(detail, "")
    if message.get("backing"):
        return _backing_restriction(case, message, facts)
    if page.transparent(facts) and detail.startswith("madvise"):
        return page_restriction(facts, "anon", 0.0)
    if page.hugetlb and case.mechanism == "clone" and error == errno.EINVAL:
        return Restriction("process_vm_mmap: EINVAL, memory of a hugetlb pool can't be cloned", "")
    return restriction_of(error, detail, facts, self_error)


def _backing_restriction(
    case: Case, message: Mapping[str, object], facts: MachineFacts
) -> Restriction:
    detail, proof = str(message["reason"]), message["proof"]
    assert isinstance(proof, dict)
    page = Page(case.page)
    if case.mechanism in BASE_PAGES_ONLY and "destination" in detail and not page.hugetlb:
        return Restriction(BASE_PAGES_ONLY[case.mechanism], "")
    if page.multi_size(facts) and case.mechanism in NO_MULTI_SIZE:
        return Restriction(NO_MULTI_SIZE[case.mechanism], "")
    if page.multi_size(facts):
        return Restriction(detail, "echo 1 > /proc/sys/vm/compact_memory, if memory is fragmented")
    backed_pct = min(proof["src_backed_pct"], proof["dst_backed_pct"])
    # the destination of a copy is anonymous memory
    memory = "anon" if "destination" in detail else MECHANISMS[case.mechanism].memory
    return page_restriction(facts, memory, backed_pct)


def explain(facts: MachineFacts) -> Callable[[int, str], str]:
    """Return a function that makes a reason of the error number and sentence of a case."""
    self_error = _self_error()
    return lambda error, detail: str(restriction_of(error, detail, facts, self_error))
