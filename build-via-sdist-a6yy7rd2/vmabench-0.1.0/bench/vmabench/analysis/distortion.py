# SPDX-License-Identifier: GPL-2.0-only
"""How far an emulated machine can be trusted: the same ratios there and on the real one."""

import pandas as pd

from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.stats import CELL, paired_ratio

#: what the others are set against: a copy that every kernel has
BASELINE = "readv"


def distortion(real: pd.DataFrame, emulated: pd.DataFrame) -> pd.DataFrame:
    """One row for each mechanism and cell that both frames have, in the order of the levels.

    ``real`` and ``emulated`` are how long a mechanism takes as a share of readv, each with its
    interval (``real_lo``, ...), and ``distortion`` is the second over the first: 1 where emulation
    keeps the ratio. Baselines within one process are left in; readv itself is 1 by definition
    and left out.
    """
    parts = []
    shared = set(real["mechanism"].dropna()) & set(emulated["mechanism"].dropna())
    for name in sorted(shared - {BASELINE, "null"}):
        left, right = (
            paired_ratio(frame, name, BASELINE)
            .dropna(subset=["ratio"])
            .astype(dict.fromkeys(CELL, "object"))
            .rename(columns={"ratio": kind, "lo": f"{kind}_lo", "hi": f"{kind}_hi"})
            .drop(columns="processes")
            for frame, kind in ((real, "real"), (emulated, "emulated"))
        )
        parts.append(left.merge(right, on=list(CELL)).assign(mechanism=name))
    if not parts:
        return pd.DataFrame(columns=["mechanism", *CELL, "real", "emulated", "distortion"])
    both = pd.concat(parts, ignore_index=True)
    both["distortion"] = both["emulated"] / both["real"]
    for axis in ("mechanism", *CONDITIONS, "phase"):
        if not isinstance(real[axis].dtype, pd.CategoricalDtype):
            continue
        both[axis] = pd.Categorical(both[axis], real[axis].cat.categories, ordered=True)
    keys = [*CONDITIONS, "phase", "size_bytes", "mechanism"]
    return both.sort_values(keys, kind="stable").reset_index(drop=True)
