# SPDX-License-Identifier: GPL-2.0-only
"""Boots as samples: what is decided once a boot is the same in all of its processes."""

import pandas as pd

_PROCESS = ["case_id", "phase", "process"]


def has_boots(frame: pd.DataFrame) -> bool:
    """Whether the frame is of a result of several boots; one that says so is one."""
    return bool(frame["boot"].notna().any())


def by_boot(frame: pd.DataFrame) -> pd.DataFrame:
    """The tidy frame with boots in place of processes, and processes in place of values.

    One row for each case, phase and process that has values: ``time_ns`` is their median, and
    ``process`` the number of the boot, so whatever takes processes for samples takes boots. Other
    columns are those of the process's first value.
    """
    valued = frame.loc[frame["time_ns"].notna(), [*_PROCESS, "time_ns"]]
    valued = valued.astype({"time_ns": "float64"})
    medians = valued.groupby(_PROCESS, observed=True)["time_ns"].transform("median")
    reduced = frame.assign(time_ns=medians.reindex(frame.index).astype("Float64"))
    later = frame["time_ns"].notna() & frame.duplicated(_PROCESS)
    return reduced[~later].assign(process=lambda rows: rows["boot"])
