# SPDX-License-Identifier: GPL-2.0-only
"""The other pictures: crossover map, phases, costs, rounds, percentiles.

Each function draws rows into an Axes that is given.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.ticker import MaxNLocator

from vmabench.analysis import levels
from vmabench.analysis.intervals import Floats
from vmabench.report.canvas import (
    GRID,
    INK,
    PAPER,
    bytes_axis,
    grid,
    log_time_axis,
    measure,
    time_axis,
)
from vmabench.report.style import look
from vmabench.report.words import label, three_digits
from vmabench.units import format_size

#: phase -> colour and hatch: the parts of a delivery are told apart without the colour too
PHASE_LOOKS = {
    "attach": ("#4477AA", ""),
    "transfer": ("#EE9955", "//"),
    "touch": ("#55AA88", "\\\\"),  # lines: dots are a hundred curves in a file
    "release": ("#BB88AA", "xx"),
}

#: column -> name, colour, marker; the markers tell them apart without the colour too
PERCENTILE_LOOKS = {
    "p50_ns": ("p50", "#0072B2", "o"),
    "p99_ns": ("p99", "#009E73", "s"),
    "p999_ns": ("p99.9", "#E69F00", "D"),
    "max_ns": ("longest", "#D55E00", "X"),
}

#: in the colours of readv (it wins) and clone; pale, so that dark words stand out
_MAP = LinearSegmentedColormap.from_list("winners", ["#F0905A", "#F7F7F7", "#6FB2DC"])
_MAP_LIMIT = 3.0  # decades
_MAP_INK = "#111111"


def ratio_map(ratios: pd.DataFrame, axes: Axes) -> None:
    """How many times faster a mechanism is than its rival: sizes across, conditions down.

    Takes the rows of ``analysis.ratios.paired_ratio`` with a column ``row``, the words for their
    conditions. ``~`` marks a ratio whose interval holds 1; below 1, as in ``1/9``, the rival
    is the faster one.
    """
    measured = ratios[ratios["ratio"].notna()]
    rows = list(dict.fromkeys(measured["row"]))
    sizes = sorted({int(size) for size in measured["size_bytes"]})
    table = np.full((len(rows), len(sizes)), np.nan)
    for cell in measured.to_dict("records"):
        place = rows.index(cell["row"]), sizes.index(int(cell["size_bytes"]))
        table[place] = np.log10(1 / cell["ratio"])
        undecided = not (cell["lo"] > 1 or cell["hi"] < 1)
        words = _times(1 / cell["ratio"])
        axes.text(
            place[1], place[0], f"~{words}" if undecided else words, ha="center", va="center",
            fontsize=8, color=_MAP_INK,
        )  # fmt: skip
    norm = TwoSlopeNorm(0.0, -_MAP_LIMIT, _MAP_LIMIT)
    axes.imshow(table, cmap=_MAP, norm=norm, aspect="auto")
    axes.set_xticks(range(len(sizes)), [format_size(size) for size in sizes])
    axes.set_yticks(range(len(rows)), rows)
    # A map of all conditions is longer than a screen.
    axes.tick_params(length=0, labelsize=9, labeltop=True)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("size")


def phases(summary: pd.DataFrame, axes: Axes) -> None:
    """Bars of the phases, one on the other, and the interval of the whole: mechanisms down.

    Takes the rows of one scenario, size and set of conditions.
    """
    measured = summary[summary["median_ns"].notna()]
    total = measured[measured["phase"] == "total"].sort_values("median_ns", ascending=False)
    names = [str(name) for name in total["mechanism"]]
    places = np.arange(len(names), dtype=np.float64)
    start = np.zeros(len(names))
    for phase, (colour, hatch) in PHASE_LOOKS.items():
        of_phase = measured[measured["phase"] == phase].set_index("mechanism")["median_ns"]
        width = of_phase.reindex(names).fillna(0.0).to_numpy(dtype=np.float64)
        axes.barh(
            places, width, left=start, height=0.7, label=phase, color=colour, hatch=hatch,
            edgecolor=PAPER, linewidth=0.4,
        )  # fmt: skip
        start += width
    intervals(axes, places, *(total[f"{name}_ns"] for name in ("median", "lo", "hi")))
    axes.set_yticks(places, [label(name) for name in names])
    time_axis(axes.xaxis)
    axes.set_xlabel(measure("time of one operation", "lower", "x"))
    grid(axes, "x")


def cost_bars(costs: pd.DataFrame, axes: Axes, what: str) -> None:
    """A bar with its interval for each mechanism. Takes the rows of one counter and size."""
    rows = costs.sort_values("median", ascending=False)
    names = [str(name) for name in rows["mechanism"]]
    places = np.arange(len(names), dtype=np.float64)
    values = rows["median"].to_numpy(dtype=np.float64)
    axes.barh(places, values, height=0.7, color=[look(name).colour for name in names])
    intervals(axes, places, *(rows[name] for name in ("median", "lo", "hi")))
    axes.set_yticks(places, [label(name) for name in names])
    axes.xaxis.set_major_locator(MaxNLocator(4))
    if str(rows["counter"].iloc[0]).endswith("_bytes"):
        bytes_axis(axes.xaxis, max(float(np.nanmax(rows[["median", "hi"]].to_numpy())), 1.0))
    axes.set_xlabel(measure(what, "lower", "x"))
    grid(axes, "x")


def rounds(drift: pd.DataFrame, axes: Axes, mechanisms: Sequence[str] | None = None) -> None:
    """Each round against the whole run, a line for each mechanism with its intervals.

    Takes the rows of ``analysis.drift``. ``mechanisms``: those to draw, all by default.
    """
    present = set(drift["mechanism"].astype(str))
    names = levels.with_strangers(levels.MECHANISMS, present) if mechanisms is None else mechanisms
    for name in names:
        mine = drift[drift["mechanism"] == name].sort_values("process")
        if mine.empty:
            continue
        style = look(name)
        ratio, lo, hi = (
            mine[column].to_numpy(dtype=np.float64) for column in ("ratio", "lo", "hi")
        )
        axes.errorbar(
            mine["process"].to_numpy(dtype=np.float64), ratio, yerr=_reach(ratio, lo, hi),
            label=label(name), color=style.colour, marker=style.marker, linestyle=style.dash,
            markersize=4.5, linewidth=1.2, elinewidth=0.8, capsize=2,
        )  # fmt: skip
    axes.axhline(1.0, color=INK, linewidth=0.8, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("round")
    axes.set_ylabel("time, 1 is the\nmedian of the run")
    grid(axes)


def percentiles(rows: pd.DataFrame, axes: Axes) -> None:
    """Single operations on a log axis, from p50 to the longest of all: mechanisms down.

    Takes the rows of ``analysis.latency.percentiles`` of one page and size, with a column ``row``,
    the words for their mechanism. The line through p50 is its 95 % interval.
    """
    places = np.arange(len(rows), dtype=np.float64)[::-1]
    first, last = (rows[name].to_numpy(dtype=np.float64) for name in ("p50_ns", "max_ns"))
    axes.hlines(places, first, last, color=GRID, linewidth=2.5, zorder=1)
    for column, (_, colour, marker) in PERCENTILE_LOOKS.items():
        axes.plot(
            rows[column].to_numpy(dtype=np.float64), places, linestyle="none", marker=marker,
            color=colour, markersize=6,
        )  # fmt: skip
    intervals(axes, places, *(rows[name] for name in ("p50_ns", "lo_p50_ns", "hi_p50_ns")))
    axes.set_yticks(places, list(rows["row"]))
    axes.set_xscale("log")
    log_time_axis(axes.xaxis, first.min(), last.max())
    axes.set_xlabel(measure("time of one round trip", "lower", "x"))
    grid(axes, "x")


def intervals(axes: Axes, places: Floats, middle: Any, lo: Any, hi: Any) -> None:
    """The intervals of bars or points that lie one above the other, at ``places``."""
    ends = [series.to_numpy(dtype=np.float64) for series in (middle, lo, hi)]
    axes.errorbar(
        ends[0], places, xerr=_reach(*ends), linestyle="none", color=INK, capsize=2.5,
        elinewidth=1.0,
    )  # fmt: skip


def _reach(middle: Floats, lo: Floats, hi: Floats) -> Floats:
    """How far an interval goes to each side; NaN, and no bar, where there is none."""
    return np.array([np.maximum(middle - lo, 0.0), np.maximum(hi - middle, 0.0)])


def _times(factor: float) -> str:
    """``4.31`` times as fast, or ``1/9.6`` of it; two digits are what a cell has room for."""
    if factor >= 1:
        return three_digits(factor)
    digits = next((count for limit, count in ((2, 2), (10, 1)) if 1 / factor < limit), 0)
    return f"1/{1 / factor:.{digits}f}"
