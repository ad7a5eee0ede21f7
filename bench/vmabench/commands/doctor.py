# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench doctor``: what can run here, what blocks the rest, and sources of noise."""

from dataclasses import asdict

from vmabench.api.diagnosis import Diagnosis, diagnose
from vmabench.api.output import say, say_json
from vmabench.machine.facts import MachineFacts
from vmabench.mechanisms import MECHANISMS
from vmabench.units import format_size

DONE, BLOCKED = 0, 2


def doctor(plan: str | None, *, measure_noise: bool, as_json: bool) -> int:
    """Print what can run here; return 2 if no worker starts, or if the named plan is blocked."""
    diagnosis = diagnose(plan, measure_noise=measure_noise)
    if as_json:
        say_json(_as_data(diagnosis))
    else:
        _print(diagnosis)
    blocked = plan is not None and diagnosis.blocked
    return BLOCKED if blocked or not diagnosis.works else DONE


def _as_data(diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "findings": [
            {
                "mechanism": finding.mechanism,
                "page": finding.page,
                "state": finding.state,
                "blocked_by": finding.blocked_by and finding.blocked_by.name,
                "fix": finding.blocked_by and finding.blocked_by.fix,
            }
            for finding in diagnosis.findings
        ],
        "metrics": [asdict(metric) for metric in diagnosis.metrics],
        "noise": [asdict(one) for one in diagnosis.noise],
    }


def _print(diagnosis: Diagnosis) -> None:
    say(describe_machine(diagnosis.facts))
    width = max(len(name) for name in MECHANISMS)
    pages = max(len(page) for page in diagnosis.facts.all_pages)
    for finding in diagnosis.findings:
        line = f"{finding.mechanism:{width}}  {finding.page:>{pages}}  {finding.state}"
        by = finding.blocked_by
        _say_line(line, by.name if by else "", by.fix if by else "", width + pages + 4)
    say("\nmetrics")
    for metric in diagnosis.metrics:
        line = f"{metric.name:{width}}  {metric.state}"
        _say_line(line, metric.blocked_by, metric.fix, width + 2)
    say("\nnoise")
    for one in diagnosis.noise:
        _say_line(f"{one.name:{width}}  {one.state}", one.what, one.fix, width + 2)


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
