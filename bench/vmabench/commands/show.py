# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench list`` and ``vmabench doctor``: what exists, and what can run here."""

import argparse

from vmabench.commands.output import say, say_json
from vmabench.machine.facts import MachineFacts, read_facts
from vmabench.machine.pages import HUGETLB
from vmabench.matrix.case import SCENARIOS
from vmabench.matrix.plans import builtin_plans
from vmabench.units import format_size


def list_names(args: argparse.Namespace) -> int:
    entries = _ENTRIES[args.what]()
    if args.json:
        say_json(entries)
        return 0
    width = max(len(name) for name in entries)
    for name, description in entries.items():
        say(f"{name:{width}}  {description}")
    return 0


def _mechanisms() -> dict[str, str]:
    from vmabench.mechanisms import MECHANISMS

    return {name: mechanism.description for name, mechanism in MECHANISMS.items()}


def _pages() -> dict[str, str]:
    facts = read_facts()
    base, huge = facts.pages
    named = {
        base: "the base page of this machine",
        huge: "transparent huge pages, one PMD entry each",
    }
    for page in facts.all_pages[2:]:
        pool = page.startswith(HUGETLB)
        named[page] = (
            "huge pages of a hugetlb pool"
            if pool
            else "multi-size THP: large folios, mapped by entries of base pages"
        )
    return named


_ENTRIES = {
    "mechanisms": _mechanisms,
    "scenarios": lambda: {name: one.description for name, one in SCENARIOS.items()},
    "pages": _pages,
    "plans": builtin_plans,
}


def doctor(args: argparse.Namespace) -> int:
    from vmabench.doctor import examine, examine_memory
    from vmabench.machine.cgroup import MemoryGroups
    from vmabench.machine.pages import BorrowedPages
    from vmabench.machine.swap import SwapDevices
    from vmabench.mechanisms import MECHANISMS
    from vmabench.runner.lock import only_run

    facts = read_facts()
    with only_run(), BorrowedPages() as borrowed:
        findings = examine(facts, tuple(MECHANISMS), facts.all_pages, borrowed)
        with MemoryGroups() as groups, SwapDevices() as swap:
            findings += examine_memory(swap, groups)
    if args.json:
        say_json(
            [
                {
                    "mechanism": finding.mechanism,
                    "page": finding.page,
                    "state": finding.state,
                    "gate": finding.gate and finding.gate.name,
                    "mend": finding.gate and finding.gate.mend,
                }
                for finding in findings
            ]
        )
        return 0
    say(describe_machine(facts))
    width = max(len(name) for name in MECHANISMS)
    pages = max(len(page) for page in facts.all_pages)
    for finding in findings:
        line = f"{finding.mechanism:{width}}  {finding.page:>{pages}}  {finding.state}"
        if finding.gate:
            line += f": {finding.gate.name}"
            if finding.gate.mend:
                line += f"\n{'':{width + pages + 4}}mend: {finding.gate.mend}"
        say(line)
    return 0


def describe_machine(facts: MachineFacts) -> str:
    return (
        f"{facts.cpu_model}, {len(facts.cpus)} CPUs, {facts.memory_bytes / (1 << 30):.1f} GiB, "
        f"Linux {facts.kernel}, virtualisation: {facts.virt}\n"
        f"base page {format_size(facts.base_page_bytes)}, THP {facts.thp}, "
        f"shmem THP {facts.thp_shmem}\n"
    )
