# SPDX-License-Identifier: GPL-2.0-only
"""Curves over the size: throughput, and the marks of crossovers on it.

Each function draws into an Axes that is given, and takes the rows of one panel.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from vmabench.analysis import levels
from vmabench.analysis.crossover import Crossover
from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.intervals import Floats
from vmabench.report.canvas import GRID, INK, PAPER, grid, measure, short_time, size_axis
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
    _log_axes(axes, rows["size_bytes"])


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


def relative(times: pd.DataFrame, axes: Axes) -> None:
    """A line for each mechanism: how many times as fast as the rival, against size.

    Takes rows of ``analysis.ratios.speedups`` of one set of conditions. The rival is the line at 1.
    """
    axes.axhline(1.0, color=INK, linewidth=0.9, zorder=1.5)
    _curves(axes, times, ("times", "lo", "hi"))


def durations(summary: pd.DataFrame, axes: Axes) -> None:
    """A line for each mechanism: the time of one operation against size, with its intervals.

    Takes the rows of ``total`` of one set of conditions. A memory limit is a dotted line.
    """
    rows = summary[(summary["phase"] == "total") & (summary["median_ns"] > 0)]
    _curves(axes, rows, ("median_ns", "lo_ns", "hi_ns"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda time_ns, _: short_time(time_ns)))
    axes.set_ylabel(measure("time", "lower"))
    for limit_bytes in rows.loc[rows["limit_bytes"] > 0, "limit_bytes"].unique():
        axes.axvline(float(limit_bytes), color=INK, linewidth=1.0, linestyle=":", zorder=1.5)
        axes.annotate(
            "memory limit", (float(limit_bytes), 1.0), xycoords=("data", "axes fraction"),
            xytext=(4, -2), textcoords="offset points", va="top", fontsize="small",
        )  # fmt: skip


def _curves(axes: Axes, rows: pd.DataFrame, columns: Sequence[str]) -> None:
    """``columns``: the middle of an interval and its ends."""
    for name in levels.with_strangers(levels.MECHANISMS, rows["mechanism"].astype(str)):
        mine = rows[rows["mechanism"] == name].sort_values("size_bytes")
        if len(mine):
            _curve(axes, name, *_numbers(mine, ("size_bytes", *columns)))
    _log_axes(axes, rows["size_bytes"])


def _numbers(rows: pd.DataFrame, columns: Sequence[str]) -> list[Floats]:
    return [rows[name].to_numpy(dtype=np.float64) for name in columns]


def _line(axes: Axes, mechanism: str, rows: pd.DataFrame) -> None:
    style = look(mechanism)
    columns = ("bytes_per_s", "lo_bytes_per_s", "hi_bytes_per_s")
    sizes, *rates = _numbers(rows, ("size_bytes", *columns))
    rate, lo, hi = (one / 1e9 for one in rates)
    _curve(axes, mechanism, sizes, rate, lo, hi)
    unstable = (rows["outcome"] == "unstable").to_numpy()
    if unstable.any():
        axes.plot(
            sizes[unstable], rate[unstable], linestyle="none", marker=style.marker, markersize=6,
            markerfacecolor=PAPER, markeredgecolor=style.colour, zorder=4,
        )  # fmt: skip


def _curve(  # noqa: PLR0913, PLR0917 - a curve with its intervals
    axes: Axes, mechanism: str, sizes: Floats, middle: Floats, lo: Floats, hi: Floats
) -> None:
    style = look(mechanism)
    shares = mechanism not in levels.COPYING
    axes.errorbar(
        sizes, middle, yerr=np.array([middle - lo, hi - middle]), label=label(mechanism),
        color=style.colour, marker=style.marker, markersize=6, capsize=2.5, elinewidth=1.1,
        linewidth=2.0 if shares else 1.5, linestyle=style.dash, zorder=3 if shares else 2.5,
    )  # fmt: skip


def _log_axes(axes: Axes, sizes: "pd.Series[int]") -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    if len(sizes):
        size_axis(axes.xaxis, sizes)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    grid(axes)
