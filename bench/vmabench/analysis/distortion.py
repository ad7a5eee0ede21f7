# SPDX-License-Identifier: GPL-2.0-only
"""Compare the ratios of an emulated machine with those of the real one."""

import pandas as pd

from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.stats import CELL, paired_ratio
from vmabench.matrix.case import Case

#: the others are compared with a copy that every kernel has
BASELINE = "readv"


def distortion(real: pd.DataFrame, emulated: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each mechanism and cell that both frames have, in the order of the levels.

    ``real`` and ``emulated`` are the time of the mechanism over that of readv, each with its
    interval (``real_lo``, ...). ``distortion`` is the second over the first: 1 where emulation
    keeps the ratio. readv itself and ``null`` are left out.

    Rows are matched by what the case is. The THP setting of the machine is not part of a case,
    since each case proves its page size: ``thp`` is the setting that the case names, empty where
    it takes the machine's. ``real_thp`` and ``emulated_thp`` are the settings in force.
    """
    shared = set(real["mechanism"].dropna()) & set(emulated["mechanism"].dropna())
    names = sorted(shared - {BASELINE, "null"})
    left, right = _ratios(real, names, "real"), _ratios(emulated, names, "emulated")
    both = left.merge(right, on=["mechanism", *CELL])
    both["distortion"] = both["emulated"] / both["real"]
    for axis in ("mechanism", *CONDITIONS, "phase"):
        if axis != "thp" and isinstance(real[axis].dtype, pd.CategoricalDtype):
            both[axis] = pd.Categorical(both[axis], real[axis].cat.categories, ordered=True)
    keys = [*CONDITIONS, "phase", "size_bytes", "mechanism"]
    return both.sort_values(keys, kind="stable").reset_index(drop=True)


def _ratios(frame: pd.DataFrame, mechanisms: list[str], kind: str) -> pd.DataFrame:
    """Return the ratios of one machine by case, in columns that begin with ``kind``."""
    named = {name: Case.parse(name).thp for name in frame["case_id"].cat.categories}
    own = frame["case_id"].astype("object").map(named)
    of_machine = frame.loc[own == "", "thp"].dropna().astype(str)
    frame = frame.assign(thp=own)
    columns = ["mechanism", *CELL, kind, f"{kind}_lo", f"{kind}_hi"]
    parts = [
        paired_ratio(frame, name, BASELINE).dropna(subset=["ratio"]).assign(mechanism=name)
        for name in mechanisms
    ]
    if not parts:
        return pd.DataFrame(columns=[*columns, f"{kind}_thp"])
    found = pd.concat(parts, ignore_index=True).astype(dict.fromkeys(CELL, "object"))
    found = found.rename(columns={"ratio": kind, "lo": f"{kind}_lo", "hi": f"{kind}_hi"})[columns]
    setting = of_machine.iloc[0] if len(of_machine) else ""
    return found.assign(**{f"{kind}_thp": found["thp"].replace("", setting)})
