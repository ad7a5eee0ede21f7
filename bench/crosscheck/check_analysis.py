# SPDX-License-Identifier: GPL-2.0-only
"""Is the analysis of a large result quick and small? 2,000 cases in 30 processes, made up.

    make check-analysis          a quarter of a minute on a quiet machine

From the stored records to the tidy frame, the summary and a comparison with another run of that
size: at most 5 seconds each run and 1 GB in all. Status 1 where that is missed.
"""

import random
import resource
import sys
import time

import pandas as pd

from vmabench.analysis.compare import compare
from vmabench.analysis.frame import tidy
from vmabench.analysis.stats import summarize
from vmabench.matrix.case import Case
from vmabench.store.format import FORMAT_VERSION, Record, Result

CASES, PROCESSES, VALUES = 2_000, 30, 3
SECONDS_LIMIT, MEMORY_LIMIT_MB = 5.0, 1_000.0
MECHANISMS = ("readv", "writev", "memfd", "shm", "fork", "memcpy", "pipe", "socket", "vmsplice",
              "null")  # fmt: skip


def made_up(seed: int) -> Result:
    dice = random.Random(seed)  # noqa: S311
    header: Record = {
        "kind": "header",
        "format": FORMAT_VERSION,
        "run": f"{seed:032}",
        "kernel": "6.12.0",
        "virt": "none",
    }
    records: list[Record] = [header]
    cases = [
        str(Case(name, "transfer", "4K", 4096 * (1 + size)))
        for size in range(CASES // len(MECHANISMS))
        for name in MECHANISMS
    ]
    for process in range(1, PROCESSES + 1):
        for order, case in enumerate(cases):
            values = [
                {"time_ns": {"total": 1_000_000 + dice.randrange(50_000)}, "minor_faults": 0,
                 "major_faults": 0, "at_ns": 0}
                for _ in range(VALUES)
            ]  # fmt: skip
            records.append(
                {"kind": "case", "round": process, "order": order, "case": case, "outcome": "ok",
                 "loops": 100, "values": values,
                 "proof": {"src_backed_pct": 0.0, "dst_backed_pct": 0.0}}
            )  # fmt: skip
    return Result("made-up", {}, {"name": "made-up"}, header, records, complete=True)


def analyse(result: Result) -> tuple[pd.DataFrame, float]:
    """The tidy frame, and the seconds that it and the summary of it took."""
    start = time.monotonic()
    frame = tidy(result)
    summary = summarize(frame)
    seconds = time.monotonic() - start
    assert len(summary) == CASES
    return frame, seconds


def main() -> int:
    result = made_up(1)
    frame, seconds = analyse(result)
    del result
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    other, _ = analyse(made_up(2))
    start = time.monotonic()
    compared = compare(frame, other, target_width=0.3)
    compare_s = time.monotonic() - start
    assert len(compared) == CASES
    figures = (
        (f"frame and summary of {CASES} cases x {PROCESSES}", seconds, SECONDS_LIMIT, "s"),
        ("comparison of two of them", compare_s, SECONDS_LIMIT, "s"),
        ("peak memory of one, records and all", memory_mb, MEMORY_LIMIT_MB, "MB"),
    )
    for name, value, limit, unit in figures:
        verdict = "ok" if value <= limit else "MISSED"
        print(f"{name:44} {value:8.3g} {unit:2} at most {limit:g}: {verdict}")
    return 0 if all(value <= limit for _, value, limit, _ in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
