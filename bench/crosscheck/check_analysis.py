# SPDX-License-Identifier: GPL-2.0-only
"""Is the analysis of a large result quick and small? 2,000 cases in 30 processes, made up.

    make check-analysis          half a minute on a quiet machine

Loading a stored result takes at most 5 seconds of one CPU, and so do all analyses of it together:
its summary, ratios, crossovers and costs, and the comparison with another run of that size. All of
it takes at most 1 GB. Status 1 where a limit is missed.
"""

import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

import vmabench as vb
from vmabench.matrix.case import Case
from vmabench.store.format import FORMAT_VERSION, Record, Result
from vmabench.store.writer import Writer

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


def write(directory: Path, seed: int) -> Path:
    """Store a made-up run."""
    result = made_up(seed)
    writer = Writer(directory, result.plan, {"facts": {}})
    writer.append([*result.records, {"kind": "end", "status": "done"}])
    return directory


def timed(step: Callable[[], pd.DataFrame]) -> tuple[pd.DataFrame, float]:
    """Return what a step returns, and the seconds that it took on a CPU."""
    start = time.process_time()
    return step(), time.process_time() - start


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        paths = [write(Path(name) / str(seed), seed) for seed in (1, 2)]
        vb.load(paths[0])  # imports, and grows the heap
        frame, load_s = timed(lambda: vb.load(paths[0]))
        other = vb.load(paths[1])
    summary, summary_s = timed(lambda: vb.summarize(frame))
    assert len(summary) == CASES
    _, ratios_s = timed(lambda: vb.ratios(frame, to="readv"))
    _, crossovers_s = timed(lambda: vb.crossovers(frame, to="readv"))
    _, costs_s = timed(lambda: vb.costs(frame))
    compared, compare_s = timed(lambda: vb.compare(frame, other))
    assert len(compared) == CASES
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    parts = (
        ("summarize", summary_s),
        ("ratios of all mechanisms", ratios_s),
        ("crossovers of all mechanisms", crossovers_s),
        ("costs", costs_s),
        ("comparison of two of them", compare_s),
    )
    for name, seconds in parts:
        print(f"{name:44} {seconds:8.3g} s")
    figures = (
        (f"load {CASES} cases x {PROCESSES}", load_s, SECONDS_LIMIT, "s"),
        ("all analyses of it", sum(seconds for _, seconds in parts), SECONDS_LIMIT, "s"),
        ("peak memory of all of it", memory_mb, MEMORY_LIMIT_MB, "MB"),
    )
    for name, value, limit, unit in figures:
        verdict = "ok" if value <= limit else "MISSED"
        print(f"{name:44} {value:8.3g} {unit:2} at most {limit:g}: {verdict}")
    return 0 if all(value <= limit for _, value, limit, _ in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
