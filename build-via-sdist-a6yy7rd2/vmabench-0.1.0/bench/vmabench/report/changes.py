# SPDX-License-Identifier: GPL-2.0-only
"""The picture of a comparison: how B differs from A, case by case."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from vmabench.analysis.compare import bare_name
from vmabench.report.canvas import INK, PAPER, grid, measure
from vmabench.report.charts import intervals

_DECIDED = ("slower", "faster", "longer", "shorter")


def changes(compared: pd.DataFrame, axes: Axes) -> None:
    """A point for each case, with its interval where it has one: cases down, the first on top.

    Takes rows of ``analysis.compare``, of times or of paths. Hollow points have no verdict.
    """
    rows = compared[compared["ratio"].notna()].iloc[::-1]
    places = np.arange(len(rows), dtype=np.float64)
    ratio = rows["ratio"].to_numpy(dtype=np.float64)
    if "lo" in rows:
        intervals(axes, places, *(rows[name] for name in ("ratio", "lo", "hi")))
    decided = rows["verdict"].isin(_DECIDED).to_numpy()
    for chosen, face in ((decided, INK), (~decided, PAPER)):
        axes.plot(
            ratio[chosen], places[chosen], linestyle="none", marker="o", markersize=5,
            markerfacecolor=face, markeredgecolor=INK,
        )  # fmt: skip
    axes.axvline(1.0, color=INK, linewidth=0.8, zorder=1)
    axes.set_yticks(places, [_words(row) for row in rows.to_dict("records")])
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    axes.set_xlabel(measure("B as a multiple of A", "lower", "x"))
    grid(axes, "x")


def _words(row: dict[Any, Any]) -> str:
    phase = "" if row["phase"] == "total" else f", {row['phase']}"
    return f"{bare_name(str(row['case_id']))}{phase}"
