# SPDX-License-Identifier: GPL-2.0-only
"""Reduce values to samples: the primitive that every statistic rests on.

The values of one process are dependent, and the processes of one boot share what the boot decided,
such as where the kernel lies in memory. A statistic therefore takes one number for each process,
or for each boot where a result has several.
"""

from collections.abc import Sequence
from typing import Literal

import pandas as pd

Unit = Literal["process", "boot"]


def samples(
    frame: pd.DataFrame, keys: Sequence[str], column: str = "time_ns", unit: Unit = "process"
) -> pd.DataFrame:
    """Return the samples of ``column`` as float64: a row for each ``keys``, a column for each unit.

    The sample of a process is the median of its values, that of a boot the median of its
    processes' samples. NaN where a unit has no value; keys without any value have no row.
    Raises ValueError for a frame of several runs unless ``run`` is among the keys: their processes
    and boots have the same numbers and are different ones.
    """
    if "run" not in keys:
        refuse_several(frame, "run")
    names = list(
        dict.fromkeys([*keys, "boot", "process"] if unit == "boot" else [*keys, "process"])
    )
    valued = frame.loc[frame[column].notna(), [*names, column]].astype({column: "float64"})
    found = valued.groupby(names, observed=True)[column].median()
    if unit == "boot":
        found = found.groupby([*keys, "boot"], observed=True).median()
    return found.unstack(unit)


def refuse_several(frame: pd.DataFrame, *columns: str) -> None:
    """Raise ValueError where one of the columns has more than one value."""
    for name in columns:
        if (count := frame[name].nunique()) > 1:
            raise ValueError(f"the frame holds {count} values of {name}: take one at a time")


def unit_of(*frames: pd.DataFrame) -> Unit:
    """Return ``boot`` where every frame is of several boots, and else ``process``."""
    return "boot" if all(frame["boot"].notna().any() for frame in frames) else "process"
