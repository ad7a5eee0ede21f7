# SPDX-License-Identifier: GPL-2.0-only
"""Figures of a page: small enough for a phone, in the colours of the reader's theme."""

import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import matplotlib as mpl
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vmabench.analysis.costs import COUNTERS
from vmabench.analysis.crossover import Crossover
from vmabench.report import charts
from vmabench.report.canvas import GRID, INK, PAPER, STYLE, handle, measure
from vmabench.report.crossover_map import map_figure
from vmabench.report.curves import mark_crossover, panels, throughput
from vmabench.report.figures import MAP_ROW_INCHES, MOST_LINES, map_rows
from vmabench.report.findings import typical_size
from vmabench.report.scenarios import OWN_TABLES, of_scenario, row_words
from vmabench.report.style import by_family
from vmabench.report.words import label
from vmabench.units import format_size

_WIDTH_INCHES = 4.6
_WIDE_INCHES = 9.4
_PAD_POINTS = 4.0

_NO_PART = ("null",)

#: words stay words, so that they can be searched and the file is small
_STYLE: Any = STYLE | {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "text.parse_math": False,
    "font.family": "sans-serif",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_THEME = {INK: "currentColor", GRID: "var(--line)", PAPER: "var(--paper)"}
#: a tenth of a pixel is more than anybody sees; small numbers may be shares
_LONG_NUMBER = re.compile(r"(\b\d{2,}\.\d|\b\d\.\d\d)\d+")
_INDENT = re.compile(r"\n\s*")
_PROLOGUE = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure, and the words above it. ``wide`` takes the whole width where there is some."""

    title: str
    svg: Markup
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend; with ``svg`` None it is the name of a family."""

    name: str
    svg: Markup | None = None


def legend(mechanisms: Iterable[str]) -> list[Key]:
    keys = []
    for family, names in by_family(mechanisms).items():
        keys += [Key(family), *(Key(label(name), _swatch(name)) for name in names)]
    return keys


def maps(frame: pd.DataFrame, mechanisms: Sequence[str], baseline: str) -> Iterator[Drawing]:
    """A map for each of the mechanisms that was measured together with ``baseline``."""
    for name in mechanisms:
        ratios = map_rows(frame, name, baseline)
        if ratios.empty:
            continue
        title = f"{label(name)}: how many times as fast as {baseline}"
        height = 1.0 + MAP_ROW_INCHES * ratios["row"].nunique()
        svg = _svg(title, partial(charts.ratio_map, ratios), height, _WIDE_INCHES)
        yield Drawing(title, svg, wide=True)


def shares(frame: pd.DataFrame) -> Iterator[Drawing]:
    """Who wins at which size and share of touched pages, where that was measured."""
    title = "Who is the fastest, by size and share of the pages used afterwards"
    with mpl.rc_context(_STYLE | {"svg.hashsalt": title, "figure.facecolor": PAPER}):
        figure = map_figure(frame)
        if figure is not None:
            # on white in each theme: letters stand on pale cells
            yield Drawing(title, _element(figure, title, {}), wide=True)


def rates(summary: pd.DataFrame, crossovers: Sequence[Crossover]) -> Iterator[Drawing]:
    """Throughput against size: a figure for each page, or for each page and family."""
    bare = summary[(summary["scenario"] == "transfer") & (summary["phase"] == "total")]
    bare = bare[bare["bytes_per_s"].notna()]
    families = by_family(bare["mechanism"].astype(str))
    split = sum(map(len, families.values())) > MOST_LINES
    for title, rows in panels(bare):
        found = [one for one in crossovers if one.answer == "crossover" and one.is_of(rows)]
        here = list(by_family(rows["mechanism"].astype(str))) if split else [None]
        for family in here:
            marks = found if family in (None, *list(families)[:1]) else []
            name = f"{title}: {family}" if family else title
            yield Drawing(name, _svg(name, partial(_rate, rows, family, marks)))


def deliveries(summary: pd.DataFrame) -> Iterator[Drawing]:
    """The phases of each scenario that has some, at one size of each set of conditions.

    The maps show touch, and scenarios with tables of their own have phases that overlap.
    """
    timed = summary[summary["median_ns"].notna() & ~summary["mechanism"].isin(_NO_PART)]
    timed = timed[~timed["scenario"].isin(["touch", *OWN_TABLES])]
    for scenario in timed.loc[timed["phase"].isin(charts.PHASE_LOOKS), "scenario"].unique():
        for title, rows in panels(timed[timed["scenario"] == scenario]):
            size_bytes = typical_size(rows["size_bytes"])
            at_size = rows[rows["size_bytes"] == size_bytes]
            name = f"{scenario} {format_size(size_bytes)}, {title}"
            yield Drawing(name, _bars(name, at_size, partial(charts.phases, at_size)))


def side_effects(costs: pd.DataFrame) -> Iterator[Drawing]:
    """Bars of each counter that is not 0 throughout, at one size of each scenario's first pages."""
    shown = costs[~costs["mechanism"].isin(_NO_PART)]
    for counter, words in COUNTERS.items():
        of_counter = shown[shown["counter"] == counter]
        for scenario, rows in of_counter.groupby("scenario", observed=True):
            title, first = next(iter(panels(rows)))
            size_bytes = typical_size(first["size_bytes"])
            at_size = first[first["size_bytes"] == size_bytes]
            if (at_size["median"] > 0).any():
                name = f"{words}: {scenario} {format_size(size_bytes)}, {title}"
                draw = partial(charts.cost_bars, at_size, what=words)
                yield Drawing(name, _bars(name, at_size, draw))


def run_charts(drift: pd.DataFrame) -> Iterator[Drawing]:
    families = by_family(set(drift["mechanism"].astype(str)) - set(_NO_PART))
    for family, names in families.items():
        draw = partial(charts.rounds, drift, mechanisms=names)
        yield Drawing(family, _svg(family, draw, 2.6))


def round_trips(latencies: pd.DataFrame) -> Iterator[Drawing]:
    """Percentiles of the scenario pingpong: a figure for each page and size of message."""
    if latencies.empty:
        return
    rows = of_scenario(latencies, "pingpong")
    rows = rows.assign(row=[row_words(row) for row in rows.to_dict("records")])
    for key, mine in rows.groupby(["page", "size_bytes"]):
        page, size_bytes = cast(tuple[str, int], key)
        name = f"{format_size(int(size_bytes))} there and back, {page} pages"
        height = 0.9 + 0.27 * len(mine)
        yield Drawing(name, _svg(name, partial(charts.percentiles, mine), height))


def percentile_keys() -> list[tuple[str, str]]:
    """Percentile and colour, for the legend."""
    return [(name, colour) for name, colour, _ in charts.PERCENTILE_LOOKS.values()]


def phase_keys() -> list[tuple[str, str]]:
    """Phase and colour, for the legend."""
    return [(phase, colour) for phase, (colour, _) in charts.PHASE_LOOKS.items()]


def _rate(
    rows: pd.DataFrame, family: str | None, crossovers: Sequence[Crossover], axes: Axes
) -> None:
    mine = rows
    if family is not None:  # the others would be most of the file; what stays is their scale
        mine = rows[rows["mechanism"].isin(by_family(rows["mechanism"].astype(str))[family])]
    throughput(mine, axes)
    rate = rows["bytes_per_s"].astype("float64") / 1e9
    axes.set_ylim(rate.min() / 1.5, rate.max() * 1.5)
    axes.set_xlim(rows["size_bytes"].min() / 1.4, rows["size_bytes"].max() * 1.4)
    axes.set_xlabel("size")
    axes.set_ylabel(measure("GB/s", "higher"))
    for level, found in enumerate(crossovers):
        mark_crossover(axes, found, level)


def _bars(title: str, rows: pd.DataFrame, draw: Callable[[Axes], None]) -> Markup:
    return _svg(title, draw, 0.9 + 0.27 * rows["mechanism"].nunique())


def _swatch(mechanism: str) -> Markup:
    title = label(mechanism)
    with mpl.rc_context(_STYLE | {"svg.hashsalt": title}):
        figure = Figure(figsize=(0.5, 0.2))
        line = handle(mechanism)
        line.set_data([0, 0.5, 1], [0.5, 0.5, 0.5])
        line.set_markevery([1])
        figure.add_artist(line)
        return _element(figure, title, _THEME)


def _svg(
    title: str,
    draw: Callable[[Axes], None],
    height: float = 3.4,
    width: float = _WIDTH_INCHES,
) -> Markup:
    """A figure of one Axes as an element of HTML."""
    # ids are of the whole page: those of one figure must not be those of another
    with mpl.rc_context(_STYLE | {"svg.hashsalt": title}):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0.2, 0.2, 0.75, 0.7))
        draw(axes)
        fit(axes)
        return _element(figure, title, _THEME)


def fit(axes: Axes) -> None:
    """Give the only Axes of a figure all the room that the words around it leave.

    The words are looked at once, and again where the Axes became much smaller, for labels of ticks
    reach further out then. A layout engine always looks twice, and that was a fifth of the time
    that a page takes: it has to, where several Axes push each other.
    """
    whole = axes.get_figure(root=True).bbox  # type: ignore[union-attr]
    for _ in range(2):
        outer, inner = axes.get_tightbbox(for_layout_only=True), axes.bbox.frozen()
        assert outer is not None
        left, bottom = inner.x0 - outer.x0 + _PAD_POINTS, inner.y0 - outer.y0 + _PAD_POINTS
        right, top = outer.x1 - inner.x1 + _PAD_POINTS, outer.y1 - inner.y1 + _PAD_POINTS
        width, height = whole.width - left - right, whole.height - bottom - top
        place = (left / whole.width, bottom / whole.height)
        axes.set_position((*place, width / whole.width, height / whole.height))
        if width > 0.9 * inner.width and height > 0.9 * inner.height:
            break


def _element(figure: Figure, title: str, theme: Mapping[str, str]) -> Markup:
    """A figure as an element of HTML; ``theme``: colour -> what it is in the style of the page."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = _PROLOGUE.sub("", text.getvalue())
    for colour, name in theme.items():
        drawn = drawn.replace(colour, name)
    drawn = _INDENT.sub("\n", _LONG_NUMBER.sub(r"\1", drawn))
    prefix = f"f{zlib.crc32(title.encode('utf-8', 'replace')):x}-"
    drawn = re.sub(r'\b(id="|href="#|url\(#)(?=\w)', rf"\1{prefix}", drawn)
    drawn = drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    return Markup(drawn)  # noqa: S704 - matplotlib escapes the words in it
