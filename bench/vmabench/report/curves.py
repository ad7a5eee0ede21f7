# SPDX-License-Identifier: GPL-2.0-only
"""Curves over the size: throughput, and the marks of crossovers on it.

Each function draws into an Axes that is given, and takes the rows of one panel.
"""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from vmabench.analysis import levels
from vmabench.analysis.crossover import Crossover
from vmabench.analysis.frame import CONDITIONS
from vmabench.report.canvas import GRID, PAPER, grid, size_axis
from vmabench.report.findings import short_place
from vmabench.report.style import by_family, look
from vmabench.report.words import condition_words, label

_OUTLINED = {"facecolor": PAPER, "alpha": 0.85, "edgecolor": "none", "pad": 1.5}

#: two lines of small print and the air between them and the next two
_MARK_POINTS = 32


def panels(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """A title and the rows for each set of conditions: what one Axes can hold."""
    several = rows["thp"].nunique() > 1
    for key, mine in rows.groupby(list(CONDITIONS), observed=True):
        conditions = dict(zip(CONDITIONS, cast(tuple[Any, ...], key), strict=True))
        thp = f", THP {conditions['thp']}" if several else ""
        yield f"{conditions['page']} pages{condition_words(conditions)}{thp}", mine


def throughput(summary: pd.DataFrame, axes: Axes, family: str | None = None) -> None:
    """A line for each mechanism: bytes per second against size, with the intervals of the medians.

    Takes the rows of ``total`` of one set of conditions. Hollow markers are unstable. ``null``
    moves nothing and has no line. With ``family``, a key of ``style.FAMILIES``, the other
    mechanisms stay in the background.
    """
    rows = summary[(summary["phase"] == "total") & summary["bytes_per_s"].notna()]
    rows = rows.sort_values("size_bytes")
    names = levels.with_strangers(levels.MECHANISMS, rows["mechanism"].astype(str))
    front = names if family is None else by_family(names)[family]
    for name in names:
        mine = rows[rows["mechanism"] == name]
        if len(mine) and name in front:
            _line(axes, name, mine)
        elif len(mine):
            rate = mine["bytes_per_s"].to_numpy(dtype=np.float64) / 1e9
            axes.plot(mine["size_bytes"], rate, color=GRID, linewidth=1.0, zorder=1.2)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    size_axis(axes.xaxis, rows["size_bytes"])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    grid(axes)


def mark_crossover(axes: Axes, found: Crossover, level: int = 0) -> None:
    """The place of a crossover with its interval, or in words that there is none.

    ``level`` counts the marks that the axes already have; the words of each stand above those
    of the one before. Takes the axes as ``throughput`` left them.
    """
    words = f"{label(found.mechanism)} beats {found.baseline}\n{short_place(found)}"
    raised = 6 + _MARK_POINTS * level
    style: dict[str, Any] = {
        "va": "bottom", "fontsize": "small", "bbox": _OUTLINED, "textcoords": "offset points",
    }  # fmt: skip
    if found.answer != "crossover":
        axes.annotate(
            words, (0.98, 0.0), xycoords="axes fraction", xytext=(0, raised), ha="right", **style
        )
        return
    colour = look(found.mechanism).colour
    axes.axvline(found.size_bytes, color=colour, linewidth=1.2, linestyle=":", zorder=1.5)
    lo, hi = (
        found.size_bytes if np.isnan(bound) else bound for bound in (found.lo_bytes, found.hi_bytes)
    )
    if lo < hi:
        axes.axvspan(lo, hi, color=colour, alpha=0.25, zorder=1)
    first, last = axes.get_xlim()
    on_the_left = found.size_bytes < np.sqrt(first * last)
    axes.annotate(
        words, (hi if on_the_left else lo, 0.0), xycoords=("data", "axes fraction"),
        xytext=(6 if on_the_left else -6, raised),
        ha="left" if on_the_left else "right", **style,
    )  # fmt: skip


def _line(axes: Axes, mechanism: str, rows: pd.DataFrame) -> None:
    style = look(mechanism)
    sizes = rows["size_bytes"].to_numpy(dtype=np.float64)
    rate, lo, hi = (
        rows[f"{name}bytes_per_s"].to_numpy(dtype=np.float64) / 1e9 for name in ("", "lo_", "hi_")
    )
    shares = mechanism not in levels.COPYING
    axes.errorbar(
        sizes, rate, yerr=np.array([rate - lo, hi - rate]), label=label(mechanism),
        color=style.colour, marker=style.marker, markersize=6, capsize=2.5, elinewidth=1.1,
        linewidth=2.0 if shares else 1.5, linestyle=style.dash, zorder=3 if shares else 2.5,
    )  # fmt: skip
    unstable = (rows["outcome"] == "unstable").to_numpy()
    if unstable.any():
        axes.plot(
            sizes[unstable], rate[unstable], linestyle="none", marker=style.marker, markersize=6,
            markerfacecolor=PAPER, markeredgecolor=style.colour, zorder=4,
        )  # fmt: skip
