# SPDX-License-Identifier: GPL-2.0-only
"""Read what a kselftest prints: TAP version 13, with SKIP and XFAIL."""

import re
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["ok", "failed", "skipped", "xfail"]

_PLAN = re.compile(r"^1\.\.(\d+)")
_LINE = re.compile(
    r"^(ok|not ok)\s+(\d+)\s*(?:-\s*)?([^#]*?)\s*(?:#\s*(SKIP|XFAIL|TODO)?\s*(.*))?$"
)


@dataclass(frozen=True)
class Result:
    """One test."""

    number: int
    name: str
    verdict: Verdict
    reason: str


@dataclass
class Report:
    """All tests of one program; ``problem`` says why it can't be trusted, if it can't."""

    planned: int | None = None
    results: list[Result] = field(default_factory=list)
    problem: str = ""

    def count(self, verdict: Verdict) -> int:
        """How many tests came out so."""
        return sum(result.verdict == verdict for result in self.results)

    @property
    def good(self) -> bool:
        """Whether all planned tests ran and none failed; a run of no test is not good."""
        return not self.problem and bool(self.results) and self.count("failed") == 0


def parse(text: str) -> Report:
    """The report of one program's output; lines that are not TAP are passed over."""
    report = Report()
    for line in text.splitlines():
        if plan := _PLAN.match(line):
            report.planned = int(plan[1])
        elif match := _LINE.match(line):
            report.results.append(_result(match))
    if report.planned is None:
        report.problem = "no plan: the program did not get to its first test"
    elif [result.number for result in report.results] != list(range(1, report.planned + 1)):
        report.problem = f"{len(report.results)} of {report.planned} planned tests reported"
    return report


def _result(match: re.Match[str]) -> Result:
    directive, verdict = match[4], "ok" if match[1] == "ok" else "failed"
    if directive == "SKIP":
        verdict = "skipped"
    elif directive in {"XFAIL", "TODO"}:
        verdict = "xfail"
    return Result(int(match[2]), match[3], verdict, match[5] or "")  # type: ignore[arg-type]
