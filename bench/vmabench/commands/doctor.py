# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench doctor``: what can run here, what blocks the rest, and sources of noise."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from vmabench.commands.output import say, say_json
from vmabench.machine.cgroup import MemoryGroups
from vmabench.machine.facts import MachineFacts, read_facts
from vmabench.machine.gates import Gate
from vmabench.machine.metrics import Metric, metrics
from vmabench.machine.noise import Noise, from_settings, measured
from vmabench.machine.pages import BorrowedPages
from vmabench.machine.swap import KINDS, SwapDevices
from vmabench.matrix.plans import Vocabulary, expand, load_plan
from vmabench.matrix.rules import GROUP, needs
from vmabench.mechanisms import MECHANISMS
from vmabench.probe import Finding, cpu_counters, examine, examine_memory
from vmabench.runner.calls import killed_calls
from vmabench.runner.lock import only_run
from vmabench.runner.process import WorkerStartError
from vmabench.runner.rounds import choose_cpus
from vmabench.units import format_size

DONE, BLOCKED = 0, 2


def doctor(args: argparse.Namespace) -> int:
    """Print what can run here; return 2 if no worker starts, or if the named plan is blocked."""
    facts = read_facts()
    mechanisms, pages, memory = _wanted(args.plan, facts)
    with only_run(), BorrowedPages() as borrowed:
        findings = _examine(facts, mechanisms, pages, borrowed)
        works = findings[0].state == "ok"
        with MemoryGroups() as groups, SwapDevices() as swap:
            findings += examine_memory(swap, groups, memory)
            found = metrics(groups)
        pins = works and "sched_setaffinity" not in killed_calls()
        noise = measured(choose_cpus(facts.cpus)[1]) if pins and not args.no_noise else []
    noise += from_settings(facts)
    found += [cpu_counters(choose_cpus(facts.cpus)[1])] if works else []
    if args.json:
        say_json(_as_data(findings, found, noise))
    else:
        _print(facts, findings, found, noise)
    blocked = args.plan is not None and any(one.state == "blocked" for one in findings)
    return BLOCKED if blocked or not works else DONE


def _examine(
    facts: MachineFacts, mechanisms: list[str], pages: list[str], borrowed: BorrowedPages
) -> list[Finding]:
    """Return whether a worker runs here, and then the findings on mechanisms and pages."""
    try:
        findings = examine(facts, mechanisms, pages, borrowed)
    except WorkerStartError as error:
        return [Finding("worker", "", "blocked", Gate(str(error), ""))]
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


def _as_data(
    findings: Sequence[Finding], found: Sequence[Metric], noise: Sequence[Noise]
) -> dict[str, object]:
    return {
        "findings": [
            {
                "mechanism": finding.mechanism,
                "page": finding.page,
                "state": finding.state,
                "gate": finding.gate and finding.gate.name,
                "mend": finding.gate and finding.gate.mend,
            }
            for finding in findings
        ],
        "metrics": [asdict(metric) for metric in found],
        "noise": [asdict(one) for one in noise],
    }


def _print(
    facts: MachineFacts,
    findings: Sequence[Finding],
    found: Sequence[Metric],
    noise: Sequence[Noise],
) -> None:
    say(describe_machine(facts))
    width = max(len(name) for name in MECHANISMS)
    pages = max(len(page) for page in facts.all_pages)
    for finding in findings:
        line = f"{finding.mechanism:{width}}  {finding.page:>{pages}}  {finding.state}"
        gate, mend = (finding.gate.name, finding.gate.mend) if finding.gate else ("", "")
        _say_line(line, gate, mend, width + pages + 4)
    say("\nmetrics")
    for metric in found:
        _say_line(f"{metric.name:{width}}  {metric.state}", metric.gate, metric.mend, width + 2)
    say("\nnoise")
    for one in noise:
        _say_line(f"{one.name:{width}}  {one.state}", one.what, one.mend, width + 2)


def _say_line(line: str, what: str, fix: str, indent: int) -> None:
    by = " by" if line.endswith("blocked") else ""
    line += f"{by}: {what}" if what else ""
    say(line + (f"\n{'':{indent}}fix: {fix}" if fix else ""))


def _gib(size_bytes: int | None) -> str:
    return "memory unknown" if size_bytes is None else f"{size_bytes / (1 << 30):.1f} GiB"


def describe_machine(facts: MachineFacts) -> str:
    return (
        f"{facts.cpu_model}, {len(facts.cpus)} CPUs, {_gib(facts.memory_bytes)}, "
        f"Linux {facts.kernel}, virtualisation: {facts.virt}\n"
        f"base page {format_size(facts.base_page_bytes)}, THP {facts.thp}, "
        f"shmem THP {facts.thp_shmem}\n"
    )
