# SPDX-License-Identifier: GPL-2.0-only
"""What can run here and what can't: found by trying it in a real pair of processes."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vmabench.machine.facts import MachineFacts
from vmabench.machine.gates import Gate, gate_of, page_gate
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, self_readv_errno
from vmabench.runner.process import Worker, WorkerLostError
from vmabench.runner.protocol import Block, CaseJob, Job, Message
from vmabench.runner.rounds import choose_cpus

PROBE_LIMIT_S = 30.0

#: what brings base pages whatever the source has
BASE_PAGES_ONLY = {"uffd-copy": "UFFDIO_COPY fills memory with base pages, whatever the source has"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One mechanism on one page size: ``ok``, or ``blocked`` by a gate."""

    mechanism: str
    page: str
    state: str
    gate: Gate | None = None

    @property
    def reason(self) -> str:
        return "" if self.gate is None else str(self.gate)


def examine(facts: MachineFacts, mechanisms: Sequence[str], pages: Sequence[str]) -> list[Finding]:
    """Tries each mechanism on each page size, at the smallest size there is."""
    cases = [_smallest(name, page) for page in pages for name in mechanisms]
    messages = _try(cases, facts)
    self_error = self_readv_errno()
    return [_judge(case, messages[str(case)], facts, self_error) for case in cases]


def blocked(findings: Sequence[Finding]) -> dict[tuple[str, str], str]:
    """The reasons, in the form that the rules of the matrix take."""
    return {(f.mechanism, f.page): f.reason for f in findings if f.state == "blocked"}


def _smallest(mechanism: str, page: str) -> Case:
    case = Case(mechanism, "deliver", page, 1)
    return Case(mechanism, "deliver", page, case.page_bytes, "read", 100)


def _try(cases: Sequence[Case], facts: MachineFacts) -> dict[str, Message]:
    """The outcome of each case: verified only, nothing is timed."""
    messages: dict[str, Message] = {}
    source_cpu, receiver_cpu = choose_cpus(facts.cpus)
    while left := [case for case in cases if str(case) not in messages]:
        blocks = tuple(
            Block(MECHANISMS[case.mechanism].memory, case.page_bytes, case.size_bytes, (job,))
            for case in left
            for job in (CaseJob(str(case), values=0),)
        )
        current = str(left[0])
        with Worker(Job(os.getpid(), 1, 1, source_cpu, receiver_cpu, blocks)) as worker:
            try:
                for message in worker.messages(lambda _last: PROBE_LIMIT_S):
                    if message["kind"] == "begin":
                        current = message["case"]
                    elif message["kind"] == "case":
                        messages[message["case"]] = message
            except WorkerLostError as error:
                messages[current] = {"outcome": "failed", "reason": str(error)}
    return messages


def _judge(
    case: Case, message: Mapping[str, object], facts: MachineFacts, self_error: int
) -> Finding:
    if message["outcome"] == "ok":
        return Finding(case.mechanism, case.page, "ok")
    gate = _gate(case, message, facts, self_error)
    return Finding(case.mechanism, case.page, "blocked", gate)


def _gate(case: Case, message: Mapping[str, object], facts: MachineFacts, self_error: int) -> Gate:
    detail, error = str(message["reason"]), message.get("errno", 0)
    assert isinstance(error, int)
    if message.get("backing"):
        proof = message["proof"]
        assert isinstance(proof, dict)
        memory = MECHANISMS[case.mechanism].memory
        if case.mechanism in BASE_PAGES_ONLY and proof["src_backed_pct"] == 100:
            return Gate(BASE_PAGES_ONLY[case.mechanism], "")
        backed_pct = min(proof["src_backed_pct"], proof["dst_backed_pct"])
        return page_gate(facts, memory, backed_pct)
    if case.page_bytes > facts.base_page_bytes and error == errno.EINVAL:
        return page_gate(facts, "anon", 0.0)
    return gate_of(error, detail, facts, self_error)


def explain(facts: MachineFacts) -> Callable[[int, str], str]:
    """For errors that only a larger size meets: number and sentence to a reason."""
    self_error = self_readv_errno()
    return lambda error, detail: str(gate_of(error, detail, facts, self_error))
