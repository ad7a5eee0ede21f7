# SPDX-License-Identifier: GPL-2.0-only
"""From which size one mechanism beats another: ``analysis.crossing`` over the log of the size."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from vmabench.analysis.crossing import Answer, Crossing, crossings
from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.stats import paired_logs

#: a curve over the sizes
CURVE = (*CONDITIONS, "phase")


@dataclass(frozen=True, slots=True)
class Crossover:
    """One answer for one curve; a curve that crosses several times has several.

    The fields are those of ``Crossing``, with sizes for places. ``conditions``: column of
    CONDITIONS -> value, what the curve's cases have in common.
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

    def is_of(self, rows: pd.DataFrame) -> bool:
        """Whether rows of a summary are under the conditions of this curve."""
        return all(bool((rows[name] == value).all()) for name, value in self.conditions.items())


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
        answers += [
            _of_size(Crossover(mechanism, baseline, conditions, phase, found.answer), found)
            for found in crossings(np.log2(sizes), curve.to_numpy())
        ]
    return answers


def _of_size(start: Crossover, found: Crossing) -> Crossover:
    place, lo, hi = (float(np.exp2(place)) for place in (found.place, found.lo, found.hi))
    ends = found.decided and tuple(round(2.0**end) for end in found.decided)
    return replace(
        start,
        faster_above=found.faster_above,
        size_bytes=place,
        lo_bytes=lo,
        hi_bytes=hi,
        decided_bytes=cast(tuple[int, int] | None, ends),
        undecided=found.undecided,
        processes=found.processes,
    )
