# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench plan``: what a plan can show on this machine, and what it takes to show more."""

from pathlib import Path

from vmabench.api.detection import (
    DEFAULT_PLAN,
    cases_of,
    check,
    measured,
    seconds_a_case,
    stored_or_pilot,
    whole_rounds,
)
from vmabench.api.output import say, short
from vmabench.matrix.plans import load_plan, scaled
from vmabench.store.reader import read


def plan(name: str | None, change: float, source: str | None) -> int:
    """Print what the plan can show; ``source`` is the directory of a result of it."""
    from vmabench.report.power import power_text

    check(change)
    chosen = None if source and not name else load_plan(name or DEFAULT_PLAN)
    result = read(source) if source else stored_or_pilot(name or DEFAULT_PLAN)
    if chosen and result.header.get("virt") == "emulated":
        chosen = scaled(chosen)
    cases = cases_of(chosen) if chosen else None
    found = measured(result, cases)
    rounds = chosen.rounds if chosen else int(result.plan.get("rounds", 0)) or whole_rounds(result)
    of_plan = f" of {len(cases)}" if cases else ""
    head = [
        f"plan {chosen.name if chosen else result.header.get('plan', 'unnamed')}:"
        f" {len(found.cases)}{of_plan} cases were measured in"
        f" {short(Path(result.directory))}, kernel {result.header.get('kernel')}"
    ]
    round_s = seconds_a_case(result) * (len(cases) if cases else len(found.cases))
    say(power_text(head, found, rounds, round_s, change).rstrip("\n"))
    return 0
