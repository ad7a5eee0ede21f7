# SPDX-License-Identifier: GPL-2.0-only
"""What branching a process into children costs it and them: from the tidy frame."""

import numpy as np
import pandas as pd

from vmabench.analysis.intervals import median_interval
from vmabench.analysis.samples import samples

_AXES = ["mechanism", "page", "size_bytes", "rate", "receivers"]

#: phase -> column
_PHASES = {"pause": "pause_ns", "first": "first_ns", "all": "all_ns"}

#: on the row of the total; medians over rounds
_BESIDE = (
    "cow_ns", "stall_ns", "child_read_bytes", "child_written_bytes", "child_private_bytes",
    "source_huge_bytes", "child_huge_bytes",
)  # fmt: skip


def branches(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each case of ``vmbranch`` that has values; empty without any.

    Its axes; ``pause_ns``, ``first_ns`` and ``all_ns`` (medians over rounds, with ``lo_`` and
    ``hi_`` of the pause and of the stall); ``cow_ns``, the write stall: what the writes of the
    source took beyond plain ones, all together; ``stall_ns``, the longest time between two
    writes; the memory of a child and the huge pages in bytes, NaN where unknown.
    """
    rows = frame[(frame["scenario"] == "vmbranch") & frame["time_ns"].notna()]
    if rows.empty:
        return pd.DataFrame()
    keyed = rows.assign(case_id=rows["case_id"].astype(str))
    found = keyed.drop_duplicates("case_id").set_index("case_id")[_AXES]
    for phase, name in _PHASES.items():
        found = found.join(_medians(keyed[keyed["phase"] == phase], "time_ns", name))
    whole = keyed[keyed["phase"] == "total"]
    for name in _BESIDE:
        found = found.join(_medians(whole, name, name))
    return found.reset_index()


def _medians(rows: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    """Return the median of a column over rounds for each case, with its interval."""
    of_rounds = samples(rows, ["case_id"], column)
    values = of_rounds.to_numpy(dtype=np.float64)
    median, lo, hi = median_interval(values) if values.size else (np.array([]),) * 3
    columns = {name: median, f"lo_{name}": lo, f"hi_{name}": hi}
    return pd.DataFrame(columns, index=of_rounds.index, dtype="float64")
