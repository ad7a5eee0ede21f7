# SPDX-License-Identifier: GPL-2.0-only
"""Summarize samples: medians with intervals, and the outcome of each case.

An interval is the 95 % interval of the median over processes (or boots), between order statistics
(see intervals.py); with fewer than 5 there is none.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from vmabench.analysis.frame import AXES, CONDITIONS, tidy
from vmabench.analysis.intervals import median_interval
from vmabench.analysis.samples import Unit, samples
from vmabench.store.format import Result

#: Where the interval is wider than this share of its median, the case is unstable. 0.30 is
#: 15 % on each side: enough to tell one mechanism from another that takes 1.5 times as long,
#: which is what the tables are read for, and within reach of 5 rounds on a shared machine.
#: A plan that hunts for 2 % asks for less.
TARGET_WIDTH = 0.30

#: why a value has no time although its round is ok: a frame may have been edited
_NO_NUMBER = "its time is no number"

#: nothing is moved by it, so it has no throughput
_MOVES_NOTHING = ("null",)

SUMMARY_COLUMNS = (
    "case_id", *AXES, "phase", "median_ns", "lo_ns", "hi_ns", "spread", "processes", "values",
    "outcome", "reason", "note", "bytes_per_s", "lo_bytes_per_s", "hi_bytes_per_s",
)  # fmt: skip

_SORT = (*CONDITIONS, "size_bytes", "mechanism", "phase")


class Judged(NamedTuple):
    """The tidy frame of a result and the summary of it."""

    frame: pd.DataFrame
    summary: pd.DataFrame


def judged(result: Result) -> Judged:
    """Return frame and summary of a result, judged by the target of its own plan."""
    # 0 in a plan: too short for that judgement
    target_width = float(result.plan.get("target_width", TARGET_WIDTH)) or math.inf
    frame = tidy(result)
    return Judged(frame, summarize(frame, target_width=target_width))


def summarize(
    frame: pd.DataFrame, *, target_width: float = TARGET_WIDTH, unit: Unit = "process"
) -> pd.DataFrame:
    """Return one row for each run, case and phase, in the fixed order of the levels.

    ``median_ns``, ``lo_ns`` and ``hi_ns`` are of one operation; ``lo`` and ``hi`` are NaN with
    fewer than 5 samples, of which ``processes`` is the number (boots with ``unit="boot"``).
    ``spread`` is the width of the interval over the median. ``outcome`` is ``ok`` where at least
    one process is (``note`` says what became of the others), ``unstable`` where the spread is
    above ``target_width``, and else ``failed`` or ``skipped``. ``bytes_per_s`` is the size over
    the median, for the phases ``total`` and ``transfer``.
    Raises ValueError for counts of instructions, which are not times.

    >>> import vmabench as vb
    >>> summary = vb.summarize(vb.load("results/published/host-standard"))
    >>> one = "mechanism == 'readv' and scenario == 'transfer' and page == '4K'"
    >>> row = summary.query(f"{one} and size_bytes == 65536").iloc[0]
    >>> int(row["processes"]), bool(row["lo_ns"] < row["median_ns"] < row["hi_ns"])
    (10, True)
    >>> round(float(row["median_ns"]), -2)  # one operation takes 5.9 us
    5900.0
    """
    if frame["instructions"].notna().any():
        raise ValueError("a frame of instructions has no times: see analysis.instructions")
    numbered = frame.assign(case=_case_numbers(frame))
    summary = _numbers(numbered, unit).join(_fates(numbered), how="outer")
    summary["phase"] = summary["phase"].fillna("total")  # a case without values is one row
    axes = numbered.drop_duplicates("case").set_index("case")[["case_id", *AXES]]
    summary = summary.join(axes)
    _judge(summary, target_width)
    _add_rates(summary)
    summary["phase"] = summary["phase"].astype(frame["phase"].dtype)
    summary["outcome"] = summary["outcome"].astype(frame["outcome"].dtype)
    summary = summary.sort_values(list(_SORT), kind="stable")
    return summary[list(SUMMARY_COLUMNS)].reset_index(drop=True)


def with_unstable(frame: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Return the tidy frame with the summary's ``unstable`` as outcome and reason of the values."""
    keys = ["run", "case_id", "phase"]
    unstable = summary.loc[summary["outcome"] == "unstable", [*keys, "reason"]]
    reasons = unstable.set_index(keys)["reason"]
    rows = pd.MultiIndex.from_frame(frame[keys])
    found = pd.Series(reasons.reindex(rows).to_numpy(), index=frame.index)
    marked = frame.copy()
    marked.loc[found.notna(), "outcome"] = "unstable"
    marked.loc[found.notna(), "reason"] = found[found.notna()]
    return marked


def _case_numbers(frame: pd.DataFrame) -> pd.Series:
    """Return the same number for all rows of a case; a case of another run has another number."""
    keys = ["run", "kernel", "virt", "thp", "case_id"]
    return frame.groupby(keys, observed=True, dropna=False).ngroup()


def _numbers(numbered: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """Return median, interval and counts of each case and phase with values, by case."""
    times = samples(numbered, ["run", "case", "phase"], unit=unit).droplevel("run")
    median, lo, hi = median_interval(times.to_numpy())
    numbers = pd.DataFrame({"median_ns": median, "lo_ns": lo, "hi_ns": hi}, times.index)
    with np.errstate(invalid="ignore", divide="ignore"):
        numbers["spread"] = (hi - lo) / np.where(median > 0, median, np.nan)
    numbers["processes"] = times.notna().sum(axis=1)
    valued = numbered[numbered["time_ns"].notna()]
    numbers["values"] = valued.groupby(["case", "phase"], observed=True).size()
    return numbers.reset_index("phase").astype({"phase": "object"})


def _fates(numbered: pd.DataFrame) -> pd.DataFrame:
    """What became of each case: the worst outcome but ok, its reason and in how many rounds."""
    rows = []
    for case, tries in numbered[numbered["time_ns"].isna()].groupby("case"):
        outcome = "skipped" if (tries["outcome"] == "skipped").all() else "failed"
        lost = tries[tries["outcome"] == outcome]
        reasons = (lost if len(lost) else tries)["reason"].fillna(_NO_NUMBER).value_counts()
        rows.append((case, outcome, reasons.index[0], int(reasons.sum())))
    fates = pd.DataFrame(rows, columns=["case", "bad_outcome", "bad_reason", "bad_rounds"])
    rounds = numbered.groupby("case")["process"].nunique().rename("rounds")
    return fates.set_index("case").join(rounds, how="outer")


def _judge(summary: pd.DataFrame, target_width: float) -> None:
    """Add ``outcome``, ``reason`` and ``note``."""
    measured = summary["processes"].fillna(0) > 0
    unstable = measured & (summary["spread"] > target_width)
    summary["outcome"] = summary["bad_outcome"].where(~measured, "ok").mask(unstable, "unstable")
    # astype: an empty column, of a run without values, would stay one of numbers
    width = (summary["spread"] * 100).map("{:.0f}".format).astype("string")
    too_wide = "the interval is " + width + f" % of the median, above {target_width * 100:.0f} %"
    reason = summary["bad_reason"].astype("object").where(~measured)
    summary["reason"] = reason.mask(unstable, too_wide).astype("string")
    fates = zip(measured, summary["bad_rounds"], summary["rounds"], strict=True)
    of_rounds = [
        f"{bad:.0f} of {rounds:.0f} rounds " if ok and bad > 0 else pd.NA
        for ok, bad, rounds in fates
    ]
    what = summary["bad_outcome"].astype("string") + ": " + summary["bad_reason"].astype("string")
    summary["note"] = pd.Series(of_rounds, index=summary.index, dtype="string") + what
    for name in ("processes", "values"):
        summary[name] = summary[name].fillna(0).astype("Int64")


def _add_rates(summary: pd.DataFrame) -> None:
    """Add the columns of bytes_per_s; NaN where no bytes are moved, or in no time."""
    moves = summary["phase"].isin(["total", "transfer"])
    moves &= ~summary["mechanism"].isin(_MOVES_NOTHING)
    size = summary["size_bytes"].astype("float64")
    for name, time in (
        ("bytes_per_s", "median"),
        ("lo_bytes_per_s", "hi"),
        ("hi_bytes_per_s", "lo"),
    ):
        time_ns = summary[f"{time}_ns"]
        summary[name] = size / time_ns.where(moves & (time_ns > 0)) * 1e9
