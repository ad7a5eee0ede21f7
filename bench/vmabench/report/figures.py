# SPDX-License-Identifier: GPL-2.0-only
"""Figures of a summary: explicit Figure objects, no global state of pyplot.

``throughput`` draws into an Axes that is given; ``throughput_figure`` makes the whole figure.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from vmabench.analysis import levels
from vmabench.analysis.crossover import Crossover
from vmabench.atomic import replacing
from vmabench.report.findings import headline, short_place
from vmabench.report.style import look
from vmabench.report.words import label
from vmabench.units import format_size

#: what differs from matplotlib's defaults; the salt makes the same SVG each time
STYLE: Any = {  # Any: its type is a Literal of all keys there are
    "font.family": "DejaVu Sans",
    "font.size": 12.0,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "vmabench",
}
DPI = 150
_SIZE_INCHES = (11.0, 6.4)
_TITLE_COLUMNS = 90

#: a panel of few sizes still has room for its labels
_LEAST_OCTAVES = 6.0
_OUTLINED = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5}


def throughput_figure(
    summary: pd.DataFrame, crossovers: Sequence[Crossover], small_print: str = ""
) -> Figure:
    """Throughput of ``transfer`` against size, a panel for each page size.

    ``crossovers`` are marked in the panels of their pages and give the title. A summary without
    a number gives a figure that says so.
    """
    bare = _drawn(summary)
    pages = levels.page_order(bare["page"].astype(str))
    with mpl.rc_context(STYLE):
        # The small print stands below what the layout may use.
        layout = ConstrainedLayoutEngine(rect=(0.0, 0.06, 1.0, 0.93), w_pad=0.08)
        figure = Figure(figsize=_SIZE_INCHES, dpi=DPI, layout=layout)
        title = headline(crossovers) if pages else "Nothing was measured"
        figure.suptitle(_balanced(title), x=0.01, ha="left", fontsize=14, weight="bold")
        figure.text(0.01, 0.012, small_print, fontsize=8.5, color="#555555", va="bottom")
        if pages:
            _panels(figure, bare, pages, crossovers)
    return figure


def throughput(summary: pd.DataFrame, axes: Axes, page: str) -> None:
    """A line for each mechanism: bytes per second against size, with the intervals of the medians.

    Takes the rows of ``transfer`` and of ``page``. Hollow markers are unstable. ``null`` moves
    nothing and has no line.
    """
    rows = _drawn(summary)
    rows = rows[rows["page"] == page].sort_values("size_bytes")
    for mechanism in levels.with_strangers(levels.MECHANISMS, rows["mechanism"].astype(str)):
        mine = rows[rows["mechanism"] == mechanism]
        if len(mine):
            _line(axes, mechanism, mine)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_title(f"{page} pages", loc="left")
    axes.set_xlabel("size of one operation")
    axes.xaxis.set_major_locator(FixedLocator(_ticks(rows["size_bytes"])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: format_size(round(size))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)


def mark_crossover(axes: Axes, found: Crossover, level: int = 0) -> None:
    """The place of a crossover with its interval, or in words that there is none.

    ``level`` counts the marks that the axes already have; the words of each stand above those
    of the one before. Takes the axes as ``throughput`` left them.
    """
    words = f"{label(found.mechanism)} beats {found.baseline}\n{short_place(found)}"
    height = 0.03 + 0.09 * level
    style: dict[str, Any] = {"va": "bottom", "fontsize": "small", "bbox": _OUTLINED}
    if found.answer != "crossover":
        axes.annotate(words, (0.98, height), xycoords="axes fraction", ha="right", **style)
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
        words, (hi if on_the_left else lo, height), xycoords=("data", "axes fraction"),
        xytext=(6 if on_the_left else -6, 0), textcoords="offset points",
        ha="left" if on_the_left else "right", **style,
    )  # fmt: skip


def save(figure: Figure, path: Path) -> None:
    """Write a ``.png`` or ``.svg``, complete or not at all. Raises MachineError."""
    # Dates and versions would make each run's file another one.
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with mpl.rc_context(STYLE), replacing(path) as unfinished:
        figure.savefig(unfinished, dpi=DPI, metadata=metadata, facecolor="white")


def _drawn(summary: pd.DataFrame) -> pd.DataFrame:
    bare = (summary["scenario"] == "transfer") & (summary["phase"] == "total")
    return summary[bare & summary["bytes_per_s"].notna()]


def _panels(
    figure: Figure, bare: pd.DataFrame, pages: list[str], crossovers: Sequence[Crossover]
) -> None:
    """One scale for all: an octave is as wide, and a factor as high, in every panel."""
    sizes = [bare.loc[bare["page"] == page, "size_bytes"].astype("float64") for page in pages]
    octaves = [max(_LEAST_OCTAVES, float(np.log2(size.max() / size.min()))) for size in sizes]
    panels = figure.subplots(1, len(pages), sharey=True, squeeze=False, width_ratios=octaves)[0]
    for axes, page in zip(panels, pages, strict=True):
        throughput(bare, axes, page)
        here = [one for one in crossovers if one.page == page and one.answer != "unmeasured"]
        for level, found in enumerate(here):
            mark_crossover(axes, found, level)
    panels[0].set_ylabel("throughput, GB/s  (higher is better \N{RIGHTWARDS ARROW})")
    handles = {
        str(handle.get_label()): handle for axes in panels for handle in axes.containers
    }  # a mechanism may be in one panel only
    order = [label(name) for name in _by_height(bare)]
    figure.legend(
        [handles[name] for name in order], order, loc="outside right center", frameon=False
    )


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
        linewidth=2.0 if shares else 1.5, linestyle="--" if style.dashed else "-",
        zorder=3 if shares else 2.5,
    )  # fmt: skip
    unstable = (rows["outcome"] == "unstable").to_numpy()
    if unstable.any():
        axes.plot(
            sizes[unstable], rate[unstable], linestyle="none", marker=style.marker, markersize=6,
            markerfacecolor="white", markeredgecolor=style.colour, zorder=4,
        )  # fmt: skip


def _balanced(title: str) -> str:
    """Lines of about the same length, as few as there is room for."""
    lines = -(-len(title) // _TITLE_COLUMNS)
    return textwrap.fill(title, len(title) // lines + 8)


def _ticks(sizes: "pd.Series[int]") -> list[int]:
    """4K, 64K, 1M and so on; the sizes themselves where these would be too few."""
    measured = sorted({int(size) for size in sizes})
    steps = [4096 * 16**step for step in range(8)]
    within = [size for size in steps if measured[0] <= size <= measured[-1]]
    return within if len(within) > 2 else measured


def _by_height(bare: pd.DataFrame) -> list[str]:
    """The mechanisms as the lines end on the right, highest first, like the legend beside them."""
    last_page = bare[bare["page"] == levels.page_order(bare["page"].astype(str))[-1]]
    ends = last_page.sort_values("size_bytes").groupby("mechanism", observed=True)["bytes_per_s"]
    order = list(ends.last().sort_values(ascending=False).index.astype(str))
    return order + sorted(set(bare["mechanism"].astype(str)) - set(order))
