# SPDX-License-Identifier: GPL-2.0-only
"""Whether the machine changed while it measured: each round against the whole run."""

import pandas as pd

from vmabench.analysis.intervals import median_interval
from vmabench.analysis.ratios import cell_samples

COLUMNS = ("mechanism", "process", "ratio", "lo", "hi", "cases")


def drift(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each mechanism and round: ``ratio`` is 1 where it was as fast as in all rounds.

    The ratio of a case is its median in the round over the median of its rounds; ``ratio`` is the
    median over the cases of the mechanism, ``lo`` and ``hi`` its 95 % interval (NaN with one case).
    """
    times = cell_samples(frame[frame["phase"] == "total"])
    times = times.where(times > 0)
    relative = times.div(times.median(axis=1), axis=0)
    rows: list[pd.DataFrame] = []
    for name, mine in relative.groupby(level="mechanism", observed=True):
        of_rounds = mine.T
        of_rounds = of_rounds[of_rounds.notna().any(axis=1)]
        ratio, lo, hi = median_interval(of_rounds.to_numpy())
        numbers = {"mechanism": name, "ratio": ratio, "lo": lo, "hi": hi}
        counted = pd.DataFrame(numbers, of_rounds.index.rename("process"))
        rows.append(counted.assign(cases=of_rounds.notna().sum(axis=1)).reset_index())
    empty = pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(rows, ignore_index=True)[list(COLUMNS)] if rows else empty
