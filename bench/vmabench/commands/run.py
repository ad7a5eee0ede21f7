# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench run``: measure here or in guests, print the report, return the exit status."""

import shutil
from collections import Counter
from pathlib import Path

from vmabench.api import against, in_guest
from vmabench.api.measure import measure
from vmabench.api.options import Guest, RunOptions
from vmabench.api.output import say, say_files, short, warn
from vmabench.commands.compare import compare_results
from vmabench.errors import LostGuest, MachineError
from vmabench.store.format import Result
from vmabench.store.places import point_latest
from vmabench.store.reader import read

DONE, NOTHING_MEASURED, FAILED_OR_UNSTABLE, INTERRUPTED = 0, 1, 2, 130

#: the most reasons in the line of a run that measured nothing
_REASONS_TOLD = 3


def run(options: RunOptions, *, samples_only: bool = False) -> int:
    """Measure on the running kernel."""
    measured = measure(options)
    if samples_only or options.inject:
        if measured.interrupted:
            return INTERRUPTED
        return judge_values(read(measured.directory))
    return finish(measured.directory)


def run_in_guest(options: RunOptions, where: Guest) -> int:
    """Measure in the patched kernel."""
    prepared = in_guest.prepare(options, where)
    return measure_in_guest(prepared) or finish(prepared.directory)


def measure_in_guest(prepared: in_guest.GuestRun) -> int:
    """Return the status of the plan in the guest; report the samples of a lost guest."""
    try:
        return in_guest.measure(prepared)
    except (LostGuest, KeyboardInterrupt):
        if prepared.has_samples:
            finish(prepared.directory)
        raise


def run_against(
    options: RunOptions, where: Guest, other: str, boots: int | None, detect: float | None
) -> int:
    """Measure two kernels in turns and print the comparison."""
    contest = against.prepare(options, where, other, boots, detect)
    whole = against.measure_boots(contest)
    kept = [side for side in contest.sides if not side.store.empty]
    worst = max([DONE, *(finish(side.store.directory, announce=False) for side in kept)])
    if len(kept) < len(contest.sides):
        return _incomplete(contest, whole)
    directories = [side.store.directory for side in contest.sides]
    if unlinked := point_latest(directories[1]):
        warn(unlinked)
    worst = max(worst, compare_results(read(directories[0]), read(directories[1])))
    say(f"\nresults  {' '.join(map(short, directories))}")
    if not whole:
        return INTERRUPTED
    if lost := against.lost_boots(contest):
        warn(f"{lost} of {2 * contest.boots} boots were lost: see above")
        return FAILED_OR_UNSTABLE
    return worst


def _incomplete(contest: against.Contest, whole: bool) -> int:
    """Return INTERRUPTED where a side has no result for that reason; else raise MachineError."""
    empty = [side.name for side in contest.sides if side.store.empty]
    if len(empty) == len(contest.sides):
        shutil.rmtree(contest.directory)
    if not whole:
        return INTERRUPTED
    raise MachineError(f"no boot of {' and '.join(empty)} left a result: see above")


def finish(directory: Path, *, announce: bool = True) -> int:
    """Write the reports of a run's samples; return the exit status that the samples mean.

    ``announce`` prints the report and points results/latest to the directory.
    """
    from vmabench.api.reports import derive

    derived = derive(directory)
    if announce:
        if unlinked := point_latest(directory):
            warn(unlinked)
        say(derived.report.text(brief=True).rstrip("\n"))
        say_files(directory, derived.files)
    return _judge(derived.result, derived.report.unstable_cases)


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
