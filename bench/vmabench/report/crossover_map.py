# SPDX-License-Identifier: GPL-2.0-only
"""The crossover map as a figure: who wins at which size and share of touched pages."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from vmabench.analysis.crossover import TOTALS, BreakEven
from vmabench.analysis.rivals import FASTEST_COPY
from vmabench.analysis.winners import winners
from vmabench.report.canvas import DPI, STYLE
from vmabench.report.touch import CONTESTS, maps, with_copies
from vmabench.report.words import label, three_digits, whose_time
from vmabench.units import format_size

#: by Okabe and Ito (2008), light enough for black letters; the letters say the same
WAY_COLOURS = {"cloning": "#F2B27A", "copying": "#8FC3E8", "sharing": "#8FD3BC"}
_UNDECIDED = "#E6E6E6"
_LINE = "#222222"
_CELL_INCHES = (1.15, 0.62)


def map_figure(frame: pd.DataFrame) -> Figure | None:
    """Return a figure: a panel for each page and way of touching, a row for each contest and total.

    None where the scenario ``touch`` was not measured by two ways.
    """
    if not (frame["scenario"] == "touch").any():
        return None
    found = [
        (contest, phase, list(maps(winners(frame, ways, phase=phase))))
        for (contest, ways), phase in product(CONTESTS.items(), TOTALS)
    ]
    found = [row for row in found if row[2] or row[1] == "total"]
    columns = max(len(panels) for *_, panels in found)
    if not columns:
        return None
    answers = with_copies(frame)
    with mpl.rc_context(STYLE):
        figure = _empty(found, columns)
        grid = figure.subplots(len(found), columns, squeeze=False)
        for row, (contest, phase, panels) in zip(grid, found, strict=True):
            for axes, (conditions, cells) in zip(row, panels, strict=False):
                both_copy = "sharing" not in CONTESTS[contest]
                crossover_map(cells, _of(answers, conditions, phase) if both_copy else (), axes)
                axes.label_outer()
                axes.set_title(_title(contest, conditions, phase), loc="left", fontsize="medium")
            for axes in row[len(panels) :]:
                axes.set_axis_off()
        handles = [Patch(facecolor=colour, label=way) for way, colour in WAY_COLOURS.items()]
        handles.append(Patch(facecolor=_UNDECIDED, hatch="//", label="no difference shown"))
        if any(one.answer == "crossover" for one in answers):
            names = " or ".join(
                _short(name) for name in dict.fromkeys(a.mechanism for a in answers)
            )
            line = f"break-even of {names} with the {FASTEST_COPY}, 95 % interval"
            handles.append(Patch(facecolor=_LINE, label=line))
        figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)
    return figure


def crossover_map(cells: pd.DataFrame, answers: Sequence[BreakEven], axes: Axes) -> None:
    """Cells of ``analysis.winners`` (one panel's), coloured by the way that wins.

    Sizes go across and shares of touched pages up, each step as wide as any other. ``answers``
    draw the break-even of their pair with its interval, where there is one.
    """
    sizes = sorted({int(size) for size in cells["size_bytes"]})
    shares = sorted({int(pct) for pct in cells["touch_pct"]})
    for cell in cells.to_dict("records"):
        _draw(axes, sizes.index(cell["size_bytes"]), shares.index(cell["touch_pct"]), cell)
    for one in answers:
        if one.answer == "crossover" and one.size_bytes in sizes:
            _mark(axes, sizes.index(one.size_bytes), shares, one)
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.set_ylim(-0.5, len(shares) - 0.5)
    axes.set_xticks(range(len(sizes)), [format_size(size) for size in sizes])
    axes.set_yticks(range(len(shares)), [f"{pct} %" for pct in shares])
    axes.set_xlabel("size")
    axes.set_ylabel("pages used afterwards")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw(axes: Axes, x: int, y: int, cell: dict[Any, Any]) -> None:
    decided = bool(cell["decided"])
    axes.add_patch(
        Rectangle(
            (x - 0.48, y - 0.46), 0.96, 0.92, linewidth=0,
            facecolor=WAY_COLOURS[cell["way"]] if decided else _UNDECIDED,
            hatch=None if decided else "//", edgecolor="#C4C4C4",
        )
    )  # fmt: skip
    factor = f"{three_digits(1 / cell['ratio'])} times" if decided else f"~ {_short(cell['rival'])}"
    words = f"{_short(cell['mechanism'])}\n{factor}"
    axes.text(x, y, words, ha="center", va="center", fontsize=8.5, zorder=5)


def _short(mechanism: str) -> str:
    """The star of a proxy is explained above."""
    return label(mechanism).replace(" (proxy)", "*")


def _mark(axes: Axes, x: int, shares: Sequence[int], one: BreakEven) -> None:
    """The break-even of one size, on the scale of the shares, as a bar with its interval."""
    place, lo, hi = (
        float(np.interp(pct, shares, range(len(shares))))
        for pct in (one.touch_pct, one.lo_pct, one.hi_pct)
    )
    axes.plot([x - 0.45, x + 0.45], [place, place], color=_LINE, linewidth=2.2, zorder=4)
    if np.isfinite(lo) and np.isfinite(hi):
        axes.add_patch(
            Rectangle((x - 0.45, lo), 0.9, hi - lo, color=_LINE, alpha=0.25, zorder=3, linewidth=0)
        )


def _of(answers: Sequence[BreakEven], conditions: dict[str, Any], phase: str) -> list[BreakEven]:
    way = conditions["touch_mode"], conditions["touch_order"]
    return [
        one
        for one in answers
        if (one.touch_mode, one.touch_order, one.phase) == (*way, phase)
        and all(conditions[name] == value for name, value in one.conditions.items())
    ]


def _title(contest: str, conditions: dict[str, Any], phase: str) -> str:
    order = ", at random" if conditions["touch_order"] == "random" else ""
    total = whose_time(phase, conditions)
    return f"{conditions['page']} pages, then {conditions['touch_mode']}{order}{total}:\n{contest}"


def _empty(found: Sequence[tuple[str, str, list[Any]]], columns: int) -> Figure:
    """As large as the cells of the largest panel need."""
    panels = [cells for *_, row in found for _, cells in row]
    across = max(cells["size_bytes"].nunique() for cells in panels)
    up = max(cells["touch_pct"].nunique() for cells in panels)
    width = columns * (across * _CELL_INCHES[0] + 1.1)
    height = len(found) * (up * _CELL_INCHES[1] + 1.0) + 1.2
    figure = Figure(figsize=(max(width, 8.0), height), dpi=DPI, layout="constrained")
    proxies = any((cells["mechanism"] == "fork").any() for cells in panels)
    figure.suptitle(
        "Who is the fastest where, and by what factor over the next way"
        + ("\n*: proxy for clone" if proxies else ""),
        x=0.01, ha="left", fontsize=13,
    )  # fmt: skip
    return figure
