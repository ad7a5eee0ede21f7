# SPDX-License-Identifier: GPL-2.0-only
"""Path lengths: what a result holds that was measured by the instruction clock.

A count is no time, so nothing here is ever put together with times: ``stats`` refuses frames
that hold counts, and this module takes no others.
"""

import pandas as pd

from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.samples import samples
from vmabench.matrix.case import Case

#: of one case, whatever its size; the smallest size of a sweep has the fixed part of a call
_SWEEP = ["mechanism", *CONDITIONS, "phase"]

COLUMNS = (
    "case_id", "mechanism", *CONDITIONS, "size_bytes", "phase", "entries",
    "per_call", "least", "spread", "per_entry", "per_kib", "processes",
)  # fmt: skip


def path_lengths(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each case and phase that has counts, in the order of the levels.

    ``per_call`` is the mean over processes of the median over values of the instructions of one
    operation: ticks of the timer are in few values, so the median has none; processes differ in
    steps, by where their pages lie, and the median of two clusters would be a matter of chance.
    ``least`` is the smallest value, as a cross-check. ``spread`` is the range of the processes'
    medians over ``per_call``. ``entries`` is the number of page-table entries of the range at the
    page's level, ``per_entry`` what an entry adds to a call: the difference to the smallest size of
    the same sweep, over the difference in entries (NaN at that size). ``per_kib`` is ``per_call``
    over the size.
    """
    counted = frame[frame["instructions"].notna()].astype({"instructions": "float64"})
    keys = ["case_id", *_SWEEP, "size_bytes"]
    values = counted.groupby(keys, observed=True)["instructions"]
    of_process = samples(counted, keys, "instructions")
    lengths = pd.DataFrame(
        {
            "per_call": of_process.mean(axis=1),
            "least": values.min(),
            "processes": of_process.notna().sum(axis=1),
            "range": of_process.max(axis=1) - of_process.min(axis=1),
        }
    ).reset_index()
    lengths["spread"] = lengths["range"] / lengths["per_call"].where(lengths["per_call"] > 0)
    lengths["entries"] = [
        int(size) // Case.parse(str(name)).page_bytes
        for name, size in zip(lengths["case_id"], lengths["size_bytes"], strict=True)
    ]
    lengths["per_kib"] = lengths["per_call"] / (lengths["size_bytes"].astype("float64") / 1024)
    lengths = lengths.sort_values([*CONDITIONS, "size_bytes", "mechanism", "phase"], kind="stable")
    firsts = lengths.groupby(_SWEEP, observed=True)
    more = (lengths["entries"] - firsts["entries"].transform("first")).astype("float64")
    beyond = lengths["per_call"] - firsts["per_call"].transform("first")
    lengths["per_entry"] = beyond / more.where(more > 0)
    return lengths.reindex(columns=list(COLUMNS)).reset_index(drop=True)
