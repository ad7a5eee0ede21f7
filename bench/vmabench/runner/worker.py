# SPDX-License-Identifier: GPL-2.0-only
"""The worker: a fresh process that runs the cases of one round and ends.

Started as ``python -m vmabench.runner.worker``, with a job on its standard input. It answers
with one JSON object a line: ``begin`` before each case, then ``case`` with its outcome, and
``block`` at the end of each block. It imports no more than it needs, to be measuring soon.
"""

import gc
import json
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack

from vmabench.errors import NativeError
from vmabench.matrix.case import Case
from vmabench.mechanisms import (
    SLOWEST_BYTES_PER_S,
    Evidence,
    OpenCase,
    Pair,
    Proof,
    base_page_bytes,
    follow_parent,
    now_ns,
)
from vmabench.runner.protocol import CALIBRATE, Block, CaseJob, Job, Message

#: A calibration grows its loops until a value takes this long.
CALIBRATION_NS = 2_000_000
MOST_LOOPS = 1 << 22


class WrongMemoryError(Exception):
    """The memory is not what the case's name says."""

    def __init__(self, side: str, proof: Proof, expected_pct: float) -> None:
        if proof.present_bytes < proof.size_bytes:
            what = f"{100 * proof.present_bytes / proof.size_bytes:.1f} % populated"
        else:
            what = f"{proof.huge_pct:.1f} % backed by huge pages, not {expected_pct:.0f} %"
        super().__init__(f"{side} is {what}")


def main() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the runner started us with its own
    job = Job.from_json(sys.stdin.read())
    follow_parent(job.parent)
    gc.disable()  # the objects of a round are few, and a collection in a value is noise
    for block in job.blocks:
        run_block(job, block, send)


def send(message: Message) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def run_block(job: Job, block: Block, report: Callable[[Message], None]) -> None:
    """Runs the block's cases on one source; a source that died is replaced."""
    start_ns, cases_ns = now_ns(), 0
    with ExitStack() as stack:
        pair: Pair | None = None
        for case_job in block.cases:
            begin_ns = now_ns()
            report({"kind": "begin", "case": case_job.case, "at_ns": begin_ns})
            if pair is None or not pair.alive:
                pair, outcome = _make_pair(stack, job, block)
                begin_ns = now_ns()
            if pair is not None:
                outcome = run_case(pair, job, case_job)
            wall_ns = now_ns() - begin_ns
            cases_ns += wall_ns
            report({"kind": "case", "case": case_job.case, "wall_ns": wall_ns} | outcome)
    report({"kind": "block", "wall_ns": now_ns() - start_ns, "cases_ns": cases_ns})


def _make_pair(stack: ExitStack, job: Job, block: Block) -> tuple[Pair | None, Message]:
    """A pair with the block's source; or None, and the outcome of a case that has none."""
    try:
        pair = stack.enter_context(Pair(job.source_cpu, job.receiver_cpu))
        pair.make_source(block.memory, block.page_bytes, block.size_bytes)
    except NativeError as error:
        return None, _error("blocked", error)
    return pair, {}


def _error(outcome: str, error: NativeError) -> Message:
    return {"outcome": outcome, "reason": error.detail, "errno": error.errno}


def run_case(pair: Pair, job: Job, case_job: CaseJob) -> Message:
    """The outcome of a case: ``ok``, ``blocked`` if it could not be set up, or ``failed``."""
    case = Case.parse(case_job.case)
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(pair.open(case, job.seed))
        except NativeError as error:
            return _error("blocked", error)
        try:
            return _run_opened(opened, case, job, case_job)
        except NativeError as error:
            return _error("failed", error)


def _run_opened(opened: OpenCase, case: Case, job: Job, case_job: CaseJob) -> Message:
    evidence = opened.verify(job.generation)
    proof = describe(evidence)
    try:
        check_backing(case, evidence)
    except WrongMemoryError as error:
        return {"outcome": "failed", "reason": str(error), "proof": proof, "backing": True}
    if case_job.values and case_job.loops == CALIBRATE:
        return {"outcome": "ok", "proof": proof} | calibrate(opened, case)
    expected_s = case_job.loops * case_job.op_ns / 1e9
    values = [measure(opened, case_job.loops, expected_s) for _ in range(case_job.values)]
    return {"outcome": "ok", "proof": proof, "loops": case_job.loops, "values": values}


def check_backing(case: Case, evidence: Evidence) -> None:
    """Huge pages where the case says so, and none where it does not."""
    if evidence.src is None or evidence.dst is None:
        return
    expected_pct = 100.0 if case.page_bytes > base_page_bytes() else 0.0
    for side, proof in (("the source", evidence.src), ("the destination", evidence.dst)):
        if proof.present_bytes != proof.size_bytes or proof.huge_pct != expected_pct:
            raise WrongMemoryError(side, proof, expected_pct)


def describe(evidence: Evidence) -> Message:
    if evidence.src is None or evidence.dst is None:
        return {}
    proof: Message = {
        "src_backed_pct": evidence.src.huge_pct,
        "dst_backed_pct": evidence.dst.huge_pct,
        "page_table_bytes": evidence.page_table_bytes,
    }
    if evidence.channel_bytes:
        proof["channel_bytes"] = evidence.channel_bytes
    return proof


def measure(opened: OpenCase, loops: int, expected_s: float) -> Message:
    at_ns = now_ns()
    sample = opened.run(loops, expected_s)
    return {
        "time_ns": sample.time_ns,
        "minor_faults": sample.minor_faults,
        "major_faults": sample.major_faults,
        "at_ns": at_ns,
    }


def calibrate(opened: OpenCase, case: Case) -> Message:
    """Nanoseconds of one operation, from as few as a useful figure takes."""
    loops, timed_ns, op_ns = 1, 0, case.size_bytes / SLOWEST_BYTES_PER_S * 1e9
    while True:
        total_ns = opened.run(loops, loops * op_ns / 1e9).time_ns["total"]
        timed_ns += total_ns
        op_ns = total_ns / loops
        if total_ns >= CALIBRATION_NS or loops >= MOST_LOOPS:
            break
        wanted = int(1.2 * CALIBRATION_NS / max(op_ns, 0.1))
        loops = min(MOST_LOOPS, max(2 * loops, min(16 * loops, wanted)))
    return {"op_ns": op_ns, "timed_ns": timed_ns}


if __name__ == "__main__":
    main()
