# SPDX-License-Identifier: GPL-2.0-only
"""How long the reports of a run of 2,000 cases take, and how much memory: `make check-report`.

The run is made, not measured. Exit status 1 where a limit is missed.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests import synthetic

from vmabench.analysis.levels import MECHANISMS
from vmabench.matrix.case import Case

CASES, ROUNDS, VALUES = 2_000, 7, 3
PAGES = ("4K", "16K", "64K", "2M", "hugetlb-2M")
MIB = 1 << 20

#: form -> seconds, bytes of memory
LIMITS = {"text": (5.0, 500 * MIB), "html": (10.0, 500 * MIB), "cover-letter": (10.0, 500 * MIB)}


def main() -> int:
    within = True
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        made = cases()[:CASES]
        records = synthetic.records(made, rounds=ROUNDS, values=VALUES)
        synthetic.write(directory / "run", records)
        print(f"{len(made)} cases x {ROUNDS} rounds x {VALUES} values")
        for form, (limit_s, limit_bytes) in LIMITS.items():
            output = directory / f"report-{form}"
            seconds, cpu_s, peak_bytes = measured(directory / "run", form, output)
            kept = seconds <= limit_s and peak_bytes <= limit_bytes
            within = within and kept
            size = output.stat().st_size / 1e6
            print(
                f"{form:13} {seconds:5.1f} s (limit {limit_s:g}; {cpu_s:.1f} s on a CPU),"
                f" {peak_bytes / MIB:4.0f} MiB (limit {limit_bytes / MIB:.0f}), {size:.2f} MB"
                f"{'' if kept else '  MISSED'}"
            )
    return 0 if within else 1


def cases() -> list[Case]:
    """Every mechanism on many pages and sizes, both scenarios, until there are enough."""
    touches = [("read", pct) for pct in (100, 10, 50)]
    return [
        case
        for page in PAGES
        for size in synthetic.SIZES
        for mechanism in MECHANISMS
        for case in (
            Case(mechanism, "transfer", page, size),
            *(Case(mechanism, "deliver", page, size, *touch) for touch in touches),
        )
        if size >= case.page_bytes
    ]


def measured(directory: Path, form: str, output: Path) -> tuple[float, float, int]:
    """Seconds, those on a CPU, and peak memory of one process that makes the report."""
    command = [sys.executable, "-m", "vmabench", "report", str(directory), "--format", form]
    start = time.monotonic()
    process = subprocess.Popen([*command, "-o", str(output)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return time.monotonic() - start, cpu_s, usage.ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
