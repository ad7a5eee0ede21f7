# SPDX-License-Identifier: GPL-2.0-only
"""How many times as fast as one of them the others are: figures without a unit.

Two machines may have them in common where their times have nothing.
"""

from collections.abc import Iterable

import pandas as pd

from vmabench.analysis.stats import CELL, paired_ratio

COLUMNS = ("mechanism", *CELL, "times", "lo", "hi", "processes")


def speedups(frame: pd.DataFrame, mechanisms: Iterable[str], baseline: str) -> pd.DataFrame:
    """One row for each mechanism and cell that was measured together with ``baseline``.

    ``times`` is the baseline's time over the mechanism's, paired by process: above 1 the mechanism
    is the faster one. ``lo`` and ``hi`` are its 95 % interval, NaN with fewer than 5 processes. The
    frame must be of one kernel.
    """
    parts = []
    for name in mechanisms:
        ratios = paired_ratio(frame, name, baseline)
        ratios = ratios[ratios["ratio"].notna()]
        parts.append(
            ratios.assign(
                mechanism=name, times=1 / ratios["ratio"], lo=1 / ratios["hi"], hi=1 / ratios["lo"]
            )
        )
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    return found[list(COLUMNS)]
