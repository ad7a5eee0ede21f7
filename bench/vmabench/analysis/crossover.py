# SPDX-License-Identifier: GPL-2.0-only
"""From which size one mechanism beats another, and between which bounds that size lies.

The curve is the median over processes of the log of the paired time ratio (same process), over
the log of the size. Only sizes where the ratio's interval excludes 1 count as decided; a crossing
lies between two neighbours among these that were decided differently, so that the noise around
equal speeds is no crossing. Its place is interpolated linearly on the curve; the bounds come from
doing the same on curves of resampled processes.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from vmabench.analysis.bootstrap import Floats, median_interval, percentile_interval, resamples
from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.stats import paired_logs

Answer = Literal["crossover", "always", "never", "undecided", "unmeasured"]

#: a curve over the sizes
CURVE = (*CONDITIONS, "phase")


@dataclass(frozen=True, slots=True)
class Crossover:
    """One answer for one curve; a curve that crosses several times has several.

    ``conditions``: column of CONDITIONS -> value, what the curve's cases have in common.
    ``crossover``: ``mechanism`` is the faster one above ``size_bytes`` where ``faster_above``,
    and else below it; ``lo_bytes`` and ``hi_bytes`` are the 95 % interval, NaN with a single
    process. ``always`` and ``never``: no crossover in the measured range, since ``mechanism``
    wins or loses at each decided size. ``undecided``: no difference was shown at any size.
    ``unmeasured``: no process has both. The sizes are NaN in all but the first.
    ``decided_bytes`` are the smallest and the largest decided size; ``undecided`` is how many of
    the measured sizes show no difference.
    """

    mechanism: str
    baseline: str
    conditions: Mapping[str, Any]
    phase: str
    answer: Answer
    faster_above: bool | None = None
    size_bytes: float = np.nan
    lo_bytes: float = np.nan
    hi_bytes: float = np.nan
    decided_bytes: tuple[int, int] | None = None
    undecided: int = 0
    processes: int = 0

    @property
    def page(self) -> str:
        return str(self.conditions["page"])


def crossovers(
    frame: pd.DataFrame, mechanism: str, baseline: str, *, phase: str = "total"
) -> list[Crossover]:
    """The answers for each set of conditions in the frame, in the order of the levels.

    ``pandas.DataFrame(crossovers(...))`` makes a table of them.
    """
    logs = paired_logs(frame, mechanism, baseline)
    logs = logs[logs.index.get_level_values("phase") == phase]
    answers: list[Crossover] = []
    for key, curve in logs.groupby(list(CURVE), observed=True):
        conditions = dict(zip(CURVE, cast(tuple[Any, ...], key), strict=True))
        del conditions["phase"]
        sizes = curve.index.get_level_values("size_bytes").to_numpy(dtype=np.float64)
        for found in _answers(sizes, curve.to_numpy()):
            answers.append(Crossover(mechanism, baseline, conditions, phase, **found))
    return answers


def _answers(sizes: Floats, logs: Floats) -> list[dict[str, Any]]:
    """The fields of Crossover from ``answer`` on; ``logs`` has a row for each size."""
    winners = _winners(logs)
    decided = np.flatnonzero(winners)
    processes = int((~np.isnan(logs)).any(axis=0).sum())
    if not processes or not len(decided):
        return [{"answer": "undecided" if processes else "unmeasured", "processes": processes}]
    ends = (int(sizes[decided[0]]), int(sizes[decided[-1]]))
    undecided = int((~np.isnan(logs)).any(axis=1).sum()) - len(decided)
    common = {"decided_bytes": ends, "undecided": undecided, "processes": processes}
    changes = [
        (first, last) for first, last in pairwise(decided) if winners[first] != winners[last]
    ]
    if not changes:
        return [{"answer": "always" if winners[decided[0]] < 0 else "never"} | common]
    return [
        {"answer": "crossover", "faster_above": bool(winners[last] < 0)}
        | _place(sizes[first : last + 1], logs[first : last + 1] * winners[first])
        | common
        for first, last in changes
    ]


def _winners(logs: Floats) -> Floats:
    """For each size -1 where the mechanism is faster, 1 where the baseline is, 0 if undecided."""
    median, lo, hi = median_interval(logs)
    single = np.sum(~np.isnan(logs), axis=1) == 1
    lo, hi = np.where(single, median, lo), np.where(single, median, hi)
    return np.where(hi < 0, -1.0, np.where(lo > 0, 1.0, 0.0))


def _place(sizes: Floats, logs: Floats) -> dict[str, float]:
    """Size and interval of the one place where the curve goes from above 0 to below it."""
    place = _positive_until(sizes, np.nanmedian(logs, axis=1)[np.newaxis])[0]
    present = logs[:, (~np.isnan(logs)).any(axis=0)]
    if present.shape[1] < 2:
        return {"size_bytes": float(place)}
    chosen = present[:, resamples(present.shape[1])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample without a value is NaN
        curves = np.nanmedian(chosen, axis=2).T
    curves = np.where(np.isnan(curves), np.nanmedian(logs, axis=1), curves)
    lo, hi = percentile_interval(_positive_until(sizes, curves))
    return {"size_bytes": float(place), "lo_bytes": lo, "hi_bytes": hi}


def _positive_until(sizes: Floats, curves: Floats) -> Floats:
    """The size at which each row of ``curves`` gets negative, linear over the log of the size.

    It is the length on which the curve is positive. With one crossing that is its place; a
    curve that wavers around 0 has one answer too, and one that never crosses has an end.
    """
    steps = np.diff(np.log2(sizes))
    left, right = curves[:, :-1], curves[:, 1:]
    positive = np.maximum(left, 0) + np.maximum(right, 0)
    whole = np.abs(left) + np.abs(right)
    share = np.divide(positive, whole, out=np.full_like(whole, 0.5), where=whole > 0)
    places: Floats = sizes[0] * np.exp2((share * steps).sum(axis=1))
    return places
