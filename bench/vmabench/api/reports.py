# SPDX-License-Identifier: GPL-2.0-only
"""Write what is derived from the samples of a run: the suite for pyperf, the report, figures."""

from dataclasses import dataclass
from pathlib import Path

from vmabench.report.build import Report
from vmabench.store.format import REPORT, SUITE, Result
from vmabench.store.reader import read
from vmabench.store.suite import build_suite, mechanisms_with_values, write_suite


@dataclass(frozen=True, slots=True)
class Derived:
    """A result with its report, and the files that were written."""

    result: Result
    report: Report
    files: tuple[Path, ...]


def derive(directory: Path) -> Derived:
    """Write suite and report into a result directory; raises UsageError and MachineError."""
    result = read(directory)
    if mechanisms_with_values(result):  # pyperf rejects an empty suite
        write_suite(build_suite(result), directory / SUITE)
    report = Report(result)
    return Derived(result, report, tuple(report.write(directory / REPORT)))
