# SPDX-License-Identifier: GPL-2.0-only
"""Up to which share of touched pages one mechanism beats another: ``analysis.crossing`` over it.

Of the scenario ``touch``. The curve of a mode (reading, writing) begins with the case in which
nothing is touched, which both modes have in common.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vmabench.analysis.crossing import Answer, crossings
from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.stats import paired_logs

#: what the points of one curve have in common, apart from the mode and order of touching
_TOUCHING = ("touch_mode", "touch_pct", "touch_order")
_COMMON = [name for name in CONDITIONS if name not in _TOUCHING] + ["size_bytes"]


@dataclass(frozen=True, slots=True)
class BreakEven:
    """One answer for one size, page and way of touching; fields as in ``Crossing``.

    ``conditions``: the columns of CONDITIONS but those of touching. The places are percentages of
    the base pages; ``measured_pct`` are those that were measured on both sides, and of these
    ``undecided`` show no difference.
    """

    mechanism: str
    baseline: str
    conditions: Mapping[str, Any]
    size_bytes: int
    touch_mode: str
    touch_order: str
    answer: Answer
    faster_above: bool | None = None
    touch_pct: float = np.nan
    lo_pct: float = np.nan
    hi_pct: float = np.nan
    measured_pct: tuple[int, ...] = ()
    decided_pct: tuple[float, float] | None = None
    undecided: int = 0
    processes: int = 0


def break_evens(frame: pd.DataFrame, mechanism: str, baseline: str) -> list[BreakEven]:
    """The answers for each curve of the frame's scenario ``touch``, in the order of the levels.

    ``pandas.DataFrame(break_evens(...))`` makes a table of them.
    """
    answers = []
    for common, mode, order, curve in _curves(frame, mechanism, baseline):
        size_bytes = int(common.pop("size_bytes"))
        logs = curve.drop(columns="touch_pct").to_numpy(dtype=np.float64)
        pcts = curve["touch_pct"].to_numpy(dtype=np.float64)
        measured = tuple(int(pct) for pct in pcts[(~np.isnan(logs)).any(axis=1)])
        answers += [
            BreakEven(
                mechanism, baseline, common, size_bytes, mode, order, found.answer,
                found.faster_above, found.place, found.lo, found.hi, measured, found.decided,
                found.undecided, found.processes,
            )
            for found in crossings(pcts, logs)
        ]  # fmt: skip
    return answers


def _curves(
    frame: pd.DataFrame, mechanism: str, baseline: str
) -> Iterator[tuple[dict[str, Any], str, str, pd.DataFrame]]:
    """What is common, mode, order, and the rows of the curve: touch_pct and a log a process."""
    touch = frame[(frame["scenario"] == "touch") & (frame["phase"] == "total")]
    logs = paired_logs(touch, mechanism, baseline)
    processes = list(logs.columns)
    rows = logs.reset_index().astype({"touch_mode": str, "touch_order": str})
    for key, points in rows.groupby(_COMMON, observed=True, sort=False):
        common = dict(zip(_COMMON, key, strict=True))
        untouched = points[points["touch_mode"] == "none"]
        touched = points[points["touch_mode"] != "none"]
        for (mode, order), curve in touched.groupby(["touch_mode", "touch_order"]):
            whole = pd.concat([untouched, curve]).sort_values("touch_pct", kind="stable")
            yield dict(common), str(mode), str(order), whole[["touch_pct", *processes]]
