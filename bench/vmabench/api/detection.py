# SPDX-License-Identifier: GPL-2.0-only
"""How a result varies, and how many boots find a change: for ``plan`` and ``run --against``."""

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import tomli_w

from vmabench.api.output import short, warn
from vmabench.errors import MachineError, UsageError
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.plans import Plan, Vocabulary, expand, load_plan
from vmabench.mechanisms import MECHANISMS
from vmabench.runner.process import PYTHON
from vmabench.store.format import Result
from vmabench.store.places import stored
from vmabench.store.reader import read, refuse_injected

if TYPE_CHECKING:
    from vmabench.analysis.power import Variation

DEFAULT_PLAN = "quick"
#: of the budget of a plan, for a pilot run; the least of it, and into how many rounds it is divided
PILOT, LEAST_PILOT_S, PILOT_ROUNDS = 0.5, 10.0, 8
#: what ``run --against`` looks for unless it is told, and the most boots it chooses unasked
DEFAULT_CHANGE, MOST_UNASKED = 0.05, 10


def choose_boots(plan: Plan, kind: str, change: float | None) -> tuple[int, str]:
    """Return the boots of each kernel that find a change, and a sentence on what decided.

    ``kind`` is the folder below results/ of a stored comparison. Without ``change`` it is
    DEFAULT_CHANGE, and at most MOST_UNASKED boots are chosen. Raises UsageError where a change
    that was asked for takes more than MOST_BOOTS.
    """
    from vmabench.analysis.power import ASSUMED_BOOT_SD, assumed, boots_for
    from vmabench.report.power import percent
    from vmabench.store.boots import MOST_BOOTS

    wanted = DEFAULT_CHANGE if change is None else change
    check(wanted)
    cases = cases_of(plan)
    found, path = None, stored(plan.name, kind)
    if path is not None:
        found = _of_boots(path, cases)
    basis = (
        f"by {short(path)}"
        if found and path
        else f"assuming that boots vary by {percent(ASSUMED_BOOT_SD)} (no stored comparison of"
        " this plan)"
    )
    boots = boots_for(found or assumed(len(cases)), wanted, plan.rounds)
    if boots is None and change is not None:
        raise UsageError(f"{percent(wanted)} takes more than {MOST_BOOTS} boots of each, {basis}")
    if change is None and (boots is None or boots > MOST_UNASKED):
        return MOST_UNASKED, (
            f"{MOST_UNASKED} boots of each: a change of {percent(wanted)} takes"
            f" {boots or f'more than {MOST_BOOTS}'}, {basis} (--boots N for more)"
        )
    assert boots
    return boots, f"{boots} boots of each, for a change of {percent(wanted)}, {basis}"


def _of_boots(path: Path, cases: list[Case]) -> "Variation | None":
    """Return the variation of a stored comparison, None where it has fewer than two boots."""
    try:
        found = measured(read(path), cases)
    except UsageError as error:
        warn(f"{short(path)} is of no use for the number of boots: {error}")
        return None
    return found if found.boots > 1 else None


def measured(result: Result, cases: list[Case] | None) -> "Variation":
    """Return the variation of the cases in a result; raises UsageError where there is none."""
    from vmabench.analysis.frame import tidy
    from vmabench.analysis.power import variation

    refuse_injected(result)
    if result.header.get("clock") == "instructions":
        raise UsageError(f"{result.directory} counts instructions, which do not vary as times do")
    frame = tidy(result)
    if cases is not None:
        frame = frame[frame["case_id"].isin([str(case) for case in cases])]
        if frame.empty:
            raise UsageError(f"{result.directory} has no case of the plan")
    found = variation(frame)
    if found.cases.empty:
        raise UsageError(f"{result.directory} has no case with values in two rounds: run longer")
    return found


def seconds_a_case(result: Result) -> float:
    """Return the seconds that a case takes in a round, the median over whole rounds."""
    tried: dict[int, int] = {}
    for record in result.of_kind("case"):
        tried[record["round"]] = tried.get(record["round"], 0) + 1
    whole = [one for one in result.of_kind("round") if one["complete"] and one["round"] in tried]
    return median(one["wall_ns"] / tried[one["round"]] for one in whole) / 1e9 if whole else 0.0


def cases_of(plan: Plan) -> list[Case]:
    facts = read_facts()
    return expand(plan, Vocabulary(tuple(MECHANISMS), facts.all_pages, cpus=len(facts.cpus)))


def check(change: float) -> None:
    from vmabench.analysis.compare import MIN_EFFECT
    from vmabench.report.power import percent

    if change <= MIN_EFFECT:
        raise UsageError(f"--detect {percent(change)}: a verdict takes more than {MIN_EFFECT:.0%}")


def stored_or_pilot(name: str) -> Result:
    """Return the newest stored result of the plan, or that of a run with a part of its budget."""
    plan = load_plan(name)
    if path := stored(plan.name):
        return read(path)
    budget_s = max(PILOT * plan.budget_s, LEAST_PILOT_S)
    warn(f"no stored result of {plan.name}: a pilot run of {budget_s:.0f} s (--from RESULT)")
    with tempfile.TemporaryDirectory(prefix="vmabench-pilot-") as scratch:
        source, target = Path(scratch) / "pilot.toml", Path(scratch) / "pilot"
        pilot = replace(plan, budget_s=budget_s, rounds=PILOT_ROUNDS)
        source.write_text(tomli_w.dumps(pilot.to_toml()), encoding="utf-8")
        command = [*PYTHON, "-m", "vmabench", "run", str(source), "--samples-only"]
        command += ["-o", str(target)]
        status = subprocess.run(command, check=False).returncode
        if status not in (0, 2):
            raise MachineError(f"the pilot run of {plan.name} failed (status {status})")
        return replace(read(target), directory="a pilot run")


def whole_rounds(result: Result) -> int:
    return sum(1 for record in result.of_kind("round") if record["complete"])
