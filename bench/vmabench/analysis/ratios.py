# SPDX-License-Identifier: GPL-2.0-only
"""Ratios of two cases or mechanisms of one run, paired by process: speed-ups and distortion.

Two machines may have ratios in common where their times have nothing.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.intervals import median_interval
from vmabench.analysis.samples import refuse_several, samples
from vmabench.matrix.case import Case

#: what two mechanisms must have in common to be compared
CELL = (*CONDITIONS, "size_bytes", "phase")

#: columns of ``speedups``
SPEEDUPS = ("mechanism", *CELL, "times", "lo", "hi", "processes")

#: distortion compares the others with a copy that every kernel has
BASELINE = "readv"


def paired_ratio(frame: pd.DataFrame, mechanism: str, baseline: str) -> pd.DataFrame:
    """Return the time of ``mechanism`` over that of ``baseline``: below 1 it is the faster one.

    One row for each cell (scenario, page, touch, size, phase) that the frame has for any
    mechanism, in the order of the levels. ``ratio`` is the median over processes of the ratio
    within the process, ``lo`` and ``hi`` its interval, all NaN where no process has both; lo and
    hi are NaN where fewer than 5 have. The inverse comparison gives exactly the inverse numbers.
    """
    return _ratio(paired_logs(frame, mechanism, baseline))


def paired_ratios(frame: pd.DataFrame, mechanisms: Iterable[str], baseline: str) -> pd.DataFrame:
    """Return the rows of ``paired_ratio`` that have a ratio, with ``mechanism`` in front.

    The samples are taken once for all mechanisms.
    """
    logs, cells = _logs(frame)
    parts = []
    for name in mechanisms:
        found = _ratio(_paired(logs, cells, name, baseline)).dropna(subset=["ratio"])
        found.insert(0, "mechanism", name)
        parts.append(found)
    columns = ["mechanism", *CELL, "ratio", "lo", "hi", "processes"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _ratio(logs: pd.DataFrame) -> pd.DataFrame:
    median, lo, hi = median_interval(logs.to_numpy())
    ratios = {"ratio": np.exp(median), "lo": np.exp(lo), "hi": np.exp(hi)}
    counted = pd.DataFrame(ratios, logs.index).assign(processes=logs.notna().sum(axis=1))
    return counted.reset_index()


def paired_logs(frame: pd.DataFrame, mechanism: str, baseline: str) -> pd.DataFrame:
    """Return the log of the time ratio within each process: rows by CELL, columns by process.

    NaN where a process lacks one of the two, or one of them took no time. Logs, so that the
    inverse comparison is the exact inverse.
    """
    return _paired(*_logs(frame), mechanism, baseline)


def _logs(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.MultiIndex]:
    """Return the logs of the samples, and all cells of the frame in their order."""
    times = cell_samples(frame)
    cells = frame[list(CELL)].drop_duplicates().sort_values(list(CELL))
    return times.where(times > 0).apply(np.log), pd.MultiIndex.from_frame(cells)


def _paired(
    logs: pd.DataFrame, cells: pd.MultiIndex, mechanism: str, baseline: str
) -> pd.DataFrame:
    left, right = (
        _of_mechanism(logs, name).reindex(index=cells, columns=logs.columns)
        for name in (mechanism, baseline)
    )
    return left - right


def ratio_of_cases(
    frame: pd.DataFrame, case_id: str, baseline_id: str, *, phase: str = "total"
) -> tuple[float, float, float]:
    """Return the ratio of two cases of one frame and its bounds: as paired_ratio, across pages.

    NaN where no process has both; the bounds are NaN where fewer than 5 have.
    """
    rows = frame[(frame["phase"] == phase) & frame["case_id"].isin([case_id, baseline_id])]
    times = samples(rows, ["case_id"]).reindex([case_id, baseline_id])
    both = np.log(times.to_numpy(dtype=np.float64))
    median, lo, hi = (float(np.exp(number[0])) for number in median_interval(both[:1] - both[1:]))
    return median, lo, hi


def cell_samples(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the samples in ns: a row for each mechanism and cell, a column for each process.

    NaN where a process has no value. Raises ValueError for a frame of several runs, kernels or
    machines, whose processes are not pairs.
    """
    refuse_several(frame, "kernel", "virt")
    return samples(frame, ["mechanism", *CELL])


def speedups(frame: pd.DataFrame, mechanisms: Iterable[str], baseline: str) -> pd.DataFrame:
    """Return one row for each mechanism and cell that was measured together with ``baseline``.

    ``times`` is the baseline's time over the mechanism's, paired by process: above 1 the mechanism
    is the faster one. ``lo`` and ``hi`` are its 95 % interval, NaN with fewer than 5 processes. The
    frame must be of one kernel.
    """
    found = paired_ratios(frame, mechanisms, baseline)
    inverse = {"times": 1 / found["ratio"], "lo": 1 / found["hi"], "hi": 1 / found["lo"]}
    return found.assign(**inverse)[list(SPEEDUPS)]


def distortion(real: pd.DataFrame, emulated: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each mechanism and cell that both frames have, in the order of the levels.

    ``real`` and ``emulated`` are the time of the mechanism over that of readv, each with its
    interval (``real_lo``, ...). ``distortion`` is the second over the first: 1 where emulation
    keeps the ratio. readv itself and ``null`` are left out.

    Rows are matched by what the case is. The THP setting of the machine is not part of a case,
    since each case proves its page size: ``thp`` is the setting that the case names, empty where
    it takes the machine's. ``real_thp`` and ``emulated_thp`` are the settings in force,
    ``real_kernel`` and ``emulated_kernel`` the releases: unless they are of one version, the
    quotient is due to the kernels as well as to emulation.
    """
    shared = set(real["mechanism"].dropna()) & set(emulated["mechanism"].dropna())
    names = sorted(shared - {BASELINE, "null"})
    left, right = _ratios(real, names, "real"), _ratios(emulated, names, "emulated")
    both = left.merge(right, on=["mechanism", *CELL])
    both["distortion"] = both["emulated"] / both["real"]
    for axis in ("mechanism", *CONDITIONS, "phase"):
        if axis not in ("thp", "placement") and isinstance(real[axis].dtype, pd.CategoricalDtype):
            both[axis] = pd.Categorical(both[axis], real[axis].cat.categories, ordered=True)
    keys = [*CONDITIONS, "phase", "size_bytes", "mechanism"]
    return both.sort_values(keys, kind="stable").reset_index(drop=True)


def _ratios(frame: pd.DataFrame, mechanisms: list[str], kind: str) -> pd.DataFrame:
    """Return the ratios of one machine by case, in columns that begin with ``kind``."""
    cases = {name: Case.parse(name) for name in frame["case_id"].cat.categories}
    ids = frame["case_id"].astype("object")
    own = ids.map({name: case.thp for name, case in cases.items()})
    placed = ids.map({name: case.placement for name, case in cases.items()})
    of_machine = frame.loc[own == "", "thp"].dropna().astype(str)
    frame = frame.assign(thp=own, placement=placed)
    columns = ["mechanism", *CELL, kind, f"{kind}_lo", f"{kind}_hi"]
    if not mechanisms:
        return pd.DataFrame(columns=[*columns, f"{kind}_thp", f"{kind}_kernel"])
    found = paired_ratios(frame, mechanisms, BASELINE).astype(dict.fromkeys(CELL, "object"))
    found = found.rename(columns={"ratio": kind, "lo": f"{kind}_lo", "hi": f"{kind}_hi"})[columns]
    setting = of_machine.iloc[0] if len(of_machine) else ""
    found[f"{kind}_thp"] = found["thp"].replace("", setting)
    found[f"{kind}_kernel"] = str(frame["kernel"].iloc[0])
    return found


def _of_mechanism(samples: pd.DataFrame, mechanism: str) -> pd.DataFrame:
    mine = samples.index.get_level_values("mechanism") == mechanism
    return samples[mine].droplevel("mechanism")
