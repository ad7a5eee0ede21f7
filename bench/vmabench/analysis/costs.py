# SPDX-License-Identifier: GPL-2.0-only
"""Compute the costs of an operation other than time: memory, page tables, faults, swap traffic."""

import pandas as pd

from vmabench.analysis.frame import AXES
from vmabench.analysis.intervals import median_interval
from vmabench.analysis.samples import samples

#: column of the tidy frame -> what it is, for people
COUNTERS = {
    "peak_bytes": "peak memory",
    "page_table_bytes": "page tables",
    "swap_in_bytes": "read from swap",
    "swap_out_bytes": "written to swap",
    "minor_faults": "minor faults",
    "major_faults": "major faults",
    "context_switches": "context switches",
    "cycles": "cycles",
    "tlb_misses": "TLB misses",
}

COLUMNS = ("case_id", *AXES, "counter", "median", "lo", "hi", "processes")


def costs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each run, case and measured counter, in the columns COLUMNS.

    Counters are those of one operation, of both processes together: ``median`` over processes with
    its 95 % interval ``lo`` and ``hi`` (NaN with fewer than 5), in bytes or as a number. A counter
    that was not measured has no row; 0 is a measurement.

    >>> import vmabench as vb
    >>> found = vb.costs(vb.load("results/published/host-standard"))
    >>> one = "scenario == 'handoff' and page == '4K' and size_bytes == 67108864"
    >>> peaks = found.query(f"counter == 'peak_bytes' and {one}")
    >>> (peaks.set_index("mechanism")["median"] / 2**20).round().to_dict()
    {'fork': 65.0, 'readv': 129.0, 'writev': 129.0, 'memfd': 129.0, 'memfd-inplace': 65.0}
    """
    totals = frame[(frame["phase"] == "total") & frame["process"].notna()]
    parts = [part for name in COUNTERS if len(part := _of_counter(totals, name))]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    axes = totals.drop_duplicates(["run", "case_id"])[["case_id", *AXES]]
    found = axes.merge(pd.concat(parts), on=["run", "case_id"], sort=False)
    return found.sort_values(list(AXES), kind="stable")[list(COLUMNS)].reset_index(drop=True)


def _of_counter(totals: pd.DataFrame, counter: str) -> pd.DataFrame:
    table = samples(totals, ["run", "case_id"], counter)
    if table.empty:
        return pd.DataFrame()
    median, lo, hi = median_interval(table.to_numpy())
    numbers = {"counter": counter, "median": median, "lo": lo, "hi": hi}
    counts = table.notna().sum(axis=1)
    return pd.DataFrame(numbers, table.index).assign(processes=counts).reset_index()
