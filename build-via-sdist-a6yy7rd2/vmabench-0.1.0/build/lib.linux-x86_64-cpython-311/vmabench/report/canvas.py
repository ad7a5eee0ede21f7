# SPDX-License-Identifier: GPL-2.0-only
"""What all figures have in common: style, axes, legends, and how they become files."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    MultipleLocator,
    NullLocator,
)

from vmabench.atomic import replacing
from vmabench.report.style import by_family, look
from vmabench.report.words import approximate_size, label
from vmabench.units import format_size, format_time

#: what is no data: words and axes, lines behind the data, the paper
INK, GRID, PAPER = "#222222", "#dddddd", "#ffffff"

#: what differs from matplotlib's defaults; the salt makes the same SVG each time
STYLE: Any = {  # Any: its type is a Literal of all keys there are
    "font.family": "DejaVu Sans",
    "font.size": 12.0,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "vmabench",
}
DPI = 150

Better = Literal["higher", "lower"]


def measure(what: str, better: Better, axis: Literal["x", "y"] = "y") -> str:
    """The title of an axis that holds a measure, with an arrow to where it is better.

    The title of a y axis is turned: its arrow to the right points up.
    """
    towards_end = better == "higher"
    arrow = "\N{RIGHTWARDS ARROW}" if towards_end else "\N{LEFTWARDS ARROW}"
    gap = "\n" if axis == "x" else "  "
    return f"{what}{gap}({better} is better {arrow})"


def size_axis(axis: Axis, sizes: Iterable[int]) -> None:
    """A log axis of sizes: 4K, 64K, 1M and so on; the sizes themselves where these are few."""
    measured = sorted({int(size) for size in sizes})
    steps = [4096 * 16**step for step in range(8)]
    within = [size for size in steps if measured[0] <= size <= measured[-1]]
    axis.set_major_locator(FixedLocator(within if len(within) > 2 else measured))
    axis.set_major_formatter(FuncFormatter(lambda size, _: format_size(round(size))))
    axis.set_minor_locator(NullLocator())


def time_axis(axis: Axis) -> None:
    """A linear axis of nanoseconds, from 0: ``0``, ``20 us``, ``40 us``."""
    axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda time_ns, _: short_time(time_ns)))


def log_time_axis(axis: Axis, first_ns: float, last_ns: float) -> None:
    """Ticks of a log axis of nanoseconds: at each power of ten, or at a few steps of it.

    ``1 us``, ``10 us``, ``100 us``; of less than a decade ``2 us``, ``3 us``, ``5 us``.
    """
    wide = last_ns / first_ns > 30
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 3.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda time_ns, _: short_time(time_ns)))
    axis.set_minor_locator(NullLocator())


def bytes_axis(axis: Axis, most_bytes: float) -> None:
    """A linear axis of bytes from 0 on, with ticks at powers of two: ``0``, ``16K``, ``32K``."""
    step = 2.0 ** np.ceil(np.log2(most_bytes / 4))
    axis.set_major_locator(MultipleLocator(step))
    axis.set_major_formatter(FuncFormatter(lambda size, _: approximate_size(size)))


def grid(axes: Axes, which: Literal["x", "y", "both"] = "both") -> None:
    axes.grid(axis=which, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def legend_of(mechanisms: Iterable[str]) -> tuple[list[Line2D | Patch], list[str]]:
    """Handles and labels by family, each family under its name."""
    handles: list[Line2D | Patch] = []
    labels: list[str] = []
    for family, names in by_family(mechanisms).items():
        handles.append(Patch(alpha=0.0))
        labels.append(family)
        handles += [handle(name) for name in names]
        labels += [label(name) for name in names]
    return handles, labels


def handle(mechanism: str) -> Line2D:
    style = look(mechanism)
    return Line2D(
        [], [], color=style.colour, marker=style.marker, linestyle=style.dash, markersize=6.5,
        linewidth=1.6,
    )  # fmt: skip


def add_legend(figure: Figure, mechanisms: Sequence[str]) -> None:
    """Outside of all panels, on their right."""
    handles, labels = legend_of(mechanisms)
    legend = figure.legend(
        handles, labels, loc="outside right center", frameon=False, handlelength=2.6,
        fontsize=10.5, labelspacing=0.35,
    )  # fmt: skip
    for line, text in zip(handles, legend.get_texts(), strict=True):
        if isinstance(line, Patch):
            text.set_fontweight("bold")


def picture(
    *draw: Callable[[Axes], object],
    titles: Sequence[str] = (),
    width: float = 5.2,
    height: float = 3.8,
    legend: bool = False,
) -> Figure:
    """A figure with a panel for each function, beside each other; ``width`` is that of one panel.

    With ``legend`` the names of what is drawn stand below, each once.

    >>> picture(lambda axes: axes.set_title("an empty panel")).axes[0].get_title()
    'an empty panel'
    """
    with mpl.rc_context(STYLE | {"font.size": 10.5}):
        figure = Figure(figsize=(width * len(draw), height), dpi=DPI, layout="constrained")
        for one, axes in zip(draw, figure.subplots(1, len(draw), squeeze=False)[0], strict=True):
            one(axes)
        for title, axes in zip(titles, figure.axes, strict=False):
            axes.set_title(title, loc="left")
        if legend:
            named = [axes.get_legend_handles_labels() for axes in figure.axes]
            found = {text: handle for pair in named for handle, text in zip(*pair, strict=True)}
            figure.legend(
                list(found.values()), list(found), loc="outside lower center", ncols=4,
                frameon=False,
            )  # fmt: skip
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a ``.png`` or ``.svg``, complete or not at all. Raises MachineError."""
    # Dates and versions would make each run's file another one.
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with mpl.rc_context(STYLE), replacing(path) as unfinished:
        figure.savefig(unfinished, dpi=DPI, metadata=metadata, facecolor=PAPER)


def short_time(time_ns: float) -> str:
    """``10 us`` for what ``format_time`` writes as ``10.0 us``."""
    if time_ns == 0:
        return "0"
    number, unit = format_time(time_ns).split()
    return f"{float(number):g} {unit}"
