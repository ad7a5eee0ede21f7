# SPDX-License-Identifier: GPL-2.0-only
"""Diagnose this machine: what can run here, what blocks the rest, and sources of noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from vmabench.machine.cgroup import MemoryGroups
from vmabench.machine.facts import MachineFacts, read_facts
from vmabench.machine.metrics import Metric, metrics
from vmabench.machine.noise import Noise, from_settings, measured
from vmabench.machine.pages import BorrowedPages
from vmabench.machine.restrictions import Restriction
from vmabench.machine.swap import KINDS, SwapDevices
from vmabench.matrix.plans import Vocabulary, expand, load_plan
from vmabench.matrix.rules import GROUP, needs
from vmabench.mechanisms import MECHANISMS
from vmabench.probe import Finding, cpu_counters, examine, examine_memory
from vmabench.runner.calls import killed_calls
from vmabench.runner.lock import only_run
from vmabench.runner.process import WorkerStartError
from vmabench.runner.rounds import choose_cpus


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The first finding is whether a worker process starts; the others are of what was wanted."""

    facts: MachineFacts
    findings: Sequence[Finding]
    metrics: Sequence[Metric]
    noise: Sequence[Noise]

    @property
    def works(self) -> bool:
        """Return whether a worker process starts here."""
        return self.findings[0].state == "ok"

    @property
    def blocked(self) -> bool:
        """Return whether any finding is blocked."""
        return any(one.state == "blocked" for one in self.findings)


def diagnose(plan: str | None = None, *, measure_noise: bool = True) -> Diagnosis:
    """Try what a plan needs, or everything; noise takes two seconds to measure.

    Raises UsageError for a plan that does not exist, and MachineError while a run measures.
    """
    facts = read_facts()
    mechanisms, pages, memory = _wanted(plan, facts)
    with only_run(), BorrowedPages() as borrowed:
        findings = _examine(facts, mechanisms, pages, borrowed)
        works = findings[0].state == "ok"
        with MemoryGroups() as groups, SwapDevices() as swap:
            findings += examine_memory(swap, groups, memory)
            found = metrics(groups)
        pins = works and "sched_setaffinity" not in killed_calls()
        noise = measured(choose_cpus(facts.cpus)[1]) if pins and measure_noise else []
    noise += from_settings(facts)
    found += [cpu_counters(choose_cpus(facts.cpus)[1])] if works else []
    return Diagnosis(facts, findings, found, noise)


def _examine(
    facts: MachineFacts, mechanisms: list[str], pages: list[str], borrowed: BorrowedPages
) -> list[Finding]:
    """Return whether a worker runs here, and then the findings on mechanisms and pages."""
    try:
        findings = examine(facts, mechanisms, pages, borrowed)
    except WorkerStartError as error:
        return [Finding("worker", "", "blocked", Restriction(str(error), ""))]
    return [Finding("worker", "", "ok"), *findings]


def _wanted(plan: str | None, facts: MachineFacts) -> tuple[list[str], list[str], list[str]]:
    """Return mechanisms, pages and ``rules.needs`` of a plan; without a plan, all of them."""
    if plan is None:
        return list(MECHANISMS), list(facts.all_pages), [*KINDS, GROUP]
    cases = expand(load_plan(plan), Vocabulary(tuple(MECHANISMS), facts.all_pages))
    named, pages = {case.mechanism for case in cases}, {case.page for case in cases}
    in_order = [name for name in MECHANISMS if name in named]
    memory = list(dict.fromkeys(need for case in cases for need in needs(case)))
    return in_order, [page for page in facts.all_pages if page in pages], memory


def doctor(plan: str | None = None, *, measure_noise: bool = True) -> pd.DataFrame:
    """Try what a plan needs, or everything, and return what can run here.

    One row for each finding. Columns: ``kind`` (``mechanism``, ``metric`` or ``noise``), ``name``,
    ``page`` (of a mechanism, else empty), ``state`` (``ok``, ``blocked`` and others), ``what``
    (what blocks it, or the noise that was found) and ``fix``. ``measure_noise=False`` saves two
    seconds. Raises UsageError for a plan that does not exist, and MachineError while a run
    measures on this machine.

    >>> import vmabench as vb
    >>> findings = vb.doctor("smoke", measure_noise=False)
    >>> findings.query("name == 'readv' and state == 'ok'").empty
    False
    """
    found = diagnose(plan, measure_noise=measure_noise)
    rows = [
        ("mechanism", one.mechanism, one.page, one.state)
        + ((one.blocked_by.name, one.blocked_by.fix) if one.blocked_by else ("", ""))
        for one in found.findings
    ]
    rows += [("metric", one.name, "", one.state, one.blocked_by, one.fix) for one in found.metrics]
    rows += [("noise", one.name, "", one.state, one.what, one.fix) for one in found.noise]
    return pd.DataFrame(rows, columns=["kind", "name", "page", "state", "what", "fix"])
