# SPDX-License-Identifier: GPL-2.0-only
"""What the quick plan promises, on three real runs of it in a row: takes six quiet minutes.

Prints each figure with its limit, and ends with status 1 if one of them is missed.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vmabench.analysis.frame import tidy
from vmabench.analysis.stats import summarize
from vmabench.machine.facts import read_facts
from vmabench.store.format import Result
from vmabench.store.reader import read

HELP_LIMIT_S = 0.3
READY_LIMIT_MS = 150.0
TIMED_LIMIT = 0.30
MEMORY_LIMIT_MB = 300.0
ROUNDS_LIMIT = 5
WALL_LIMIT_S = 120.0
AGREE_LIMIT = 0.90
UNSTABLE_LIMIT = 0.10
FORK_LIMIT = 5.0
FORK_BYTES = 16 << 20

VMABENCH = (sys.executable, "-m", "vmabench")
KEY = ["case_id", "phase"]


def help_s() -> float:
    """Median seconds of ``vmabench --help``."""
    times = []
    for _ in range(15):
        start = time.monotonic()
        subprocess.run([*VMABENCH, "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.monotonic() - start)
    return float(np.median(times))


def quick(directory: Path) -> Result:
    subprocess.run([*VMABENCH, "run", "quick", "-o", str(directory)], check=False)
    return read(directory)


def judge(name: str, value: float, limit: float, unit: str, *, at_least: bool) -> bool:
    good = value >= limit if at_least else value <= limit
    bound = "at least" if at_least else "at most"
    verdict = "ok" if good else "MISSED"
    print(f"{name:<52} {value:8.3g} {unit:<3} {bound} {limit:g}: {verdict}")
    return good


def agreement(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Share of the cases, in total time, whose 95 % intervals of both runs overlap."""
    totals = [run[(run["phase"] == "total") & run["lo_ns"].notna()] for run in (first, second)]
    both = totals[0].merge(totals[1], on=KEY, suffixes=("_1", "_2"))
    overlap = (both["lo_ns_1"] <= both["hi_ns_2"]) & (both["lo_ns_2"] <= both["hi_ns_1"])
    print(f"{'cases with intervals in both runs':<52} {len(both):8d}")
    return float(overlap.mean())


def unstable(summary: pd.DataFrame) -> float:
    """Return the share of the measured cases whose interval is too wide, in total time."""
    outcomes = summary.loc[summary["phase"] == "total", "outcome"]
    return float((outcomes[outcomes.isin(["ok", "unstable"])] == "unstable").mean())


def fork_ratio(summary: pd.DataFrame) -> float:
    """How many times longer forking FORK_BYTES of base pages takes than of huge ones."""
    base, huge = read_facts().pages
    at = summary[
        (summary["mechanism"] == "fork")
        & (summary["scenario"] == "transfer")
        & (summary["phase"] == "total")
        & (summary["size_bytes"] == FORK_BYTES)
    ].set_index("page")["median_ns"]
    return float(at[base] / at[huge])


def backing(frame: pd.DataFrame) -> bool:
    """True if the export says 0 % for base pages and 100 % for huge ones, everywhere."""
    base, huge = read_facts().pages
    proved = frame[frame["src_backed_pct"].notna()]
    sides = proved.groupby("page", observed=True)[["src_backed_pct", "dst_backed_pct"]]
    low, high = sides.min(), sides.max()
    print(f"huge pages behind {base}: {low.loc[base].min():g} to {high.loc[base].max():g} %, "
          f"behind {huge}: {low.loc[huge].min():g} to {high.loc[huge].max():g} %")  # fmt: skip
    return bool(high.loc[base].max() == 0 and low.loc[huge].min() == 100)


def judge_runs(results: Sequence[Result]) -> list[bool]:
    ends = [result.of_kind("end")[-1] for result in results]
    rounds = [record for result in results for record in result.of_kind("round")]
    ready_ms = np.median([record["ready_ns"] / 1e6 for record in rounds])
    timed = min(end["timed_ns"] / end["wall_ns"] for end in ends)
    memory_mb = max(end["peak_rss_bytes"] for end in ends) / 1e6
    wall_s = max(end["wall_ns"] for end in ends) / 1e9
    fewest = min(end["rounds"] for end in ends)
    frames = [tidy(result) for result in results]
    summaries = [summarize(frame) for frame in frames]
    return [
        judge("worker at its first case, median", ready_ms, READY_LIMIT_MS, "ms", at_least=False),
        judge("wall time inside timed sections", timed, TIMED_LIMIT, "", at_least=True),
        judge("peak memory of the parent", memory_mb, MEMORY_LIMIT_MB, "MB", at_least=False),
        judge("measuring", wall_s, WALL_LIMIT_S, "s", at_least=False),
        judge("rounds", fewest, ROUNDS_LIMIT, "", at_least=True),
        judge("unstable cases, the most of a run", max(map(unstable, summaries)), UNSTABLE_LIMIT,
              "", at_least=False),
        judge("intervals that overlap", agreement(*summaries[:2]), AGREE_LIMIT, "", at_least=True),
        judge("fork of 16M, base pages over huge pages", fork_ratio(summaries[0]), FORK_LIMIT,
              "", at_least=True),
        all(backing(frame) for frame in frames),
    ]  # fmt: skip


def main() -> int:
    results = [judge("vmabench --help, median", help_s(), HELP_LIMIT_S, "s", at_least=False)]
    with tempfile.TemporaryDirectory() as folder:
        runs = [quick(Path(folder) / name) for name in ("first", "second", "third")]
        results += judge_runs(runs)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
