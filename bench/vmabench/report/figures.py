# SPDX-License-Identifier: GPL-2.0-only
"""Whole figures, made of panels: explicit Figure objects, no global state of pyplot."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from vmabench.analysis.crossover import Crossover
from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.ratios import paired_ratio
from vmabench.report.canvas import DPI, STYLE, add_legend, measure
from vmabench.report.curves import mark_crossover, panels, throughput
from vmabench.report.style import by_family
from vmabench.report.words import condition_words

_TITLE = "Throughput of transfer: the bare operation, before the receiver uses a page"

_TITLE_COLUMNS = 90
_LEGEND_INCHES = 2.6
_LEAST_INCHES = (11.0, 6.4)

#: more lines than this in one panel can't be told apart: each family gets panels of its own
MOST_LINES = 10

#: a line of the map of ratios
MAP_ROW_INCHES = 0.34

#: a panel of few sizes still has room for its labels
_LEAST_OCTAVES = 6.0
_INCHES_PER_OCTAVE = 0.35

#: the row of panels that has the marks of the crossovers is that much higher than the others
_MARKED_ROW = 1.8


def throughput_figure(
    summary: pd.DataFrame, crossovers: Sequence[Crossover], small_print: str = ""
) -> Figure:
    """Throughput of ``transfer`` against size, a panel for each page size.

    With many mechanisms there is a row of panels for each family of them. ``crossovers`` are
    marked in the panels of their pages. A summary without a number gives a
    figure that says so.
    """
    bare = summary[(summary["scenario"] == "transfer") & (summary["phase"] == "total")]
    bare = bare[bare["bytes_per_s"].notna()]
    columns = list(panels(bare))
    names = set(bare["mechanism"].astype(str))
    families: list[str | None] = list(by_family(names)) if len(names) > MOST_LINES else [None]
    with mpl.rc_context(STYLE):
        octaves = [_octaves(rows) for _, rows in columns]
        width = sum(octaves) * _INCHES_PER_OCTAVE + 0.4 * len(columns) + _LEGEND_INCHES
        height = max(_LEAST_INCHES[1], 2.4 * (len(families) + _MARKED_ROW - 1) + 1.4)
        figure = Figure(figsize=(max(_LEAST_INCHES[0], width), height), dpi=DPI)
        # The small print stands below what the layout may use.
        below = 0.4 / height
        layout = ConstrainedLayoutEngine(rect=(0.0, below, 1.0, 0.99 - below), w_pad=0.08)
        figure.set_layout_engine(layout)
        title = _TITLE if columns else "Nothing was measured"
        figure.suptitle(_balanced(title), x=0.01, ha="left", fontsize=14, weight="bold")
        figure.text(0.01, 0.08 / height, small_print, fontsize=8.5, color="#555555", va="bottom")
        if columns:
            axes = _draw(figure, columns, families, octaves)
            _mark(axes[0], columns, crossovers)
            add_legend(figure, sorted(names))
    return figure


def map_rows(frame: pd.DataFrame, mechanism: str, baseline: str) -> pd.DataFrame:
    """What ``charts.ratio_map`` draws: whole operations that were measured of both."""
    ratios = paired_ratio(frame, mechanism, baseline)
    ratios = ratios[(ratios["phase"] == "total") & ratios["ratio"].notna()]
    return ratios.assign(row=[row_words(row) for row in ratios.to_dict("records")])


def row_words(row: dict[Any, Any]) -> str:
    """Return the words for the scenario, page and conditions of a row."""
    conditions = {name: row[name] for name in CONDITIONS}
    return f"{row['scenario']}, {row['page']}{condition_words(conditions)}"


def _draw(
    figure: Figure,
    columns: Sequence[tuple[str, pd.DataFrame]],
    families: Sequence[str | None],
    octaves: Sequence[float],
) -> list[list[Axes]]:
    """One scale for all: an octave is as wide, and a factor as high, in every panel."""
    drawn = figure.subplots(
        len(families), len(columns), sharex="col", sharey=True, squeeze=False,
        width_ratios=octaves, height_ratios=[_MARKED_ROW, *[1.0] * (len(families) - 1)],
    )  # fmt: skip
    rows: list[list[Axes]] = [list(row) for row in drawn]
    for row, family in zip(rows, families, strict=True):
        for axes, (title, cells) in zip(row, columns, strict=True):
            if family is None or family in by_family(cells["mechanism"].astype(str)):
                throughput(cells, axes, family)
            else:
                axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center")
            if row is rows[0]:
                axes.set_title(title, loc="left")
        if family is not None:
            row[0].set_ylabel(family, fontsize=10)
    for axes in rows[-1]:
        axes.set_xlabel("size")
    rate = measure("throughput, GB/s", "higher")
    if families == [None]:
        rows[0][0].set_ylabel(rate)
    else:
        figure.supylabel(rate, fontsize=12)
    return rows


def _mark(
    row: Sequence[Axes],
    columns: Sequence[tuple[str, pd.DataFrame]],
    crossovers: Sequence[Crossover],
) -> None:
    for axes, (_, rows) in zip(row, columns, strict=True):
        here = [one for one in crossovers if one.answer != "unmeasured" and one.is_of(rows)]
        for level, found in enumerate(here):
            mark_crossover(axes, found, level)


def _octaves(rows: pd.DataFrame) -> float:
    size = rows["size_bytes"].astype("float64")
    return max(_LEAST_OCTAVES, float(np.log2(size.max() / size.min())))


def _balanced(title: str) -> str:
    """Lines of about the same length, as few as there is room for."""
    lines = -(-len(title) // _TITLE_COLUMNS)
    return textwrap.fill(title, len(title) // lines + 8)
