# SPDX-License-Identifier: GPL-2.0-only
"""Draw frames: each function takes Axes, or makes one, and returns the Axes.

``ax=None`` makes a new figure of matplotlib.pyplot, which a notebook shows by itself. The rows of
one Axes have one set of conditions: filter a frame with ``query`` first.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes

from vmabench.analysis.costs import COUNTERS
from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.winners import WAYS, winners
from vmabench.report import changes as _changes
from vmabench.report import charts, curves
from vmabench.report import crossover_map as _map
from vmabench.report.canvas import STYLE, measure
from vmabench.report.figures import row_words
from vmabench.report.touch import maps, with_copies

__all__ = [
    "changes", "costs", "crossover_map", "durations", "phases", "ratio_map", "ratios",
    "throughput",
]  # fmt: skip


def throughput(summary: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw bytes per second over the size, a line for each mechanism, with 95 % intervals.

    Takes rows of ``summarize`` with one set of conditions and one run; phases other than ``total``
    are left out. Raises ValueError for several sets of conditions, and for none.

    >>> import vmabench as vb
    >>> summary = vb.summarize(vb.load("results/published/host-standard"))
    >>> bare = summary.query("scenario == 'transfer' and page == '4K'")
    >>> vb.plot.throughput(bare).get_xlabel()
    'size'
    """
    rows = summary[(summary["phase"] == "total") & summary["bytes_per_s"].notna()]
    _check_one_curve(rows)
    with _over_sizes(ax) as axes:
        curves.throughput(rows, axes)
        axes.set_ylabel(measure("throughput in GB/s", "higher"))
    return axes


def durations(summary: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the time of one operation over the size, a line for each mechanism.

    Takes the same rows as ``throughput``; a limit of the memory cgroup is a dotted line.

    >>> import vmabench as vb
    >>> summary = vb.summarize(vb.load("results/published/host-standard"))
    >>> served = summary.query("scenario == 'pageserver' and limit_bytes > 0")
    >>> len(vb.plot.durations(served).get_lines()) > 0
    True
    """
    rows = summary[(summary["phase"] == "total") & (summary["median_ns"] > 0)]
    _check_one_curve(rows)
    with _over_sizes(ax) as axes:
        curves.durations(rows, axes)
    return axes


def ratios(ratios: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many times as fast as the baseline each mechanism is, over the size.

    Takes rows of ``ratios`` with one set of conditions, one phase and one run; the baseline is the
    line at 1.

    >>> import vmabench as vb
    >>> found = vb.ratios(vb.load("results/published/host-standard"), mechanisms=["fork", "memfd"])
    >>> bare = found.query("scenario == 'transfer' and page == '4K'")
    >>> vb.plot.ratios(bare).get_xlabel()
    'size'
    """
    _check_one_curve(ratios)
    times = ratios.assign(times=1 / ratios["ratio"], lo=1 / ratios["hi"], hi=1 / ratios["lo"])
    with _over_sizes(ax) as axes:
        curves.relative(times, axes)
        axes.set_ylabel(measure("times as fast", "higher"))
    return axes


def ratio_map(ratios: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many times as fast as the baseline one mechanism is: sizes across, conditions down.

    Takes rows of ``ratios`` with one mechanism and one run; phases other than ``total`` are left
    out. ``~`` marks a ratio whose interval holds 1, and ``1/9`` is nine times slower.

    >>> import vmabench as vb
    >>> frame = vb.load("results/published/host-standard")
    >>> len(vb.plot.ratio_map(vb.ratios(frame, mechanisms=["fork"])).texts) > 10
    True
    """
    rows = ratios[(ratios["phase"] == "total") & ratios["ratio"].notna()]
    _check_one(rows, ("run", "mechanism"))
    rows = rows.assign(row=[row_words(row) for row in rows.to_dict("records")])
    with _axes(ax, (9.4, 1.2 + 0.34 * rows["row"].nunique())) as axes:
        charts.ratio_map(rows, axes)
    return axes


def crossover_map(
    frame: pd.DataFrame, ax: Axes | None = None, *, ways: tuple[str, ...] = tuple(WAYS)
) -> Axes:
    """Draw the fastest way for each size and fraction touched, and the break-even line.

    Takes a tidy frame with the scenario ``touch`` of one run, page, and way of touching. ``ways``
    compete: ``cloning``, ``copying`` and ``sharing``; the break-even with the fastest copy is drawn
    without ``sharing``.
    Raises ValueError for several ways of touching, and for none.

    >>> import vmabench as vb
    >>> frame = vb.load("results/published/host-standard")
    >>> reads = frame.query("page == '4K' and touch_mode != 'write' and touch_order != 'random'")
    >>> vb.plot.crossover_map(reads).get_ylabel()
    'pages used afterwards'
    """
    panels = list(maps(winners(frame, ways)))
    if len(panels) != 1:
        raise ValueError(f"the frame holds {len(panels)} pages and ways of touching: filter it")
    cells = panels[0][1]
    answers = with_copies(frame, ("total",))
    with _axes(ax, (8.0, 5.0)) as axes:
        _map.crossover_map(cells, () if "sharing" in ways else answers, axes)
    return axes


def phases(summary: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the phases of one operation as bars, mechanisms down, with the interval of the total.

    Takes rows of ``summarize`` with one scenario, size, set of conditions and run.

    >>> import vmabench as vb
    >>> summary = vb.summarize(vb.load("results/published/host-standard"))
    >>> one = "scenario == 'deliver' and page == '4K' and size_bytes == 16777216"
    >>> delivered = summary.query(f"{one} and touch_mode == 'read'")
    >>> [text.get_text() for text in vb.plot.phases(delivered).get_legend().get_texts()]
    ['attach', 'transfer', 'touch', 'release']
    """
    _check_one(summary, ("run", "size_bytes", *CONDITIONS))
    with _axes(ax, (9.0, 4.0)) as axes:
        charts.phases(summary, axes)
        axes.legend(fontsize="small", frameon=False)
    return axes


def costs(costs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw one counter as a bar for each mechanism, with its interval.

    Takes rows of ``costs`` with one counter, scenario, size, set of conditions and run.

    >>> import vmabench as vb
    >>> found = vb.costs(vb.load("results/published/host-standard"))
    >>> one = "counter == 'peak_bytes' and scenario == 'handoff' and page == '4K'"
    >>> vb.plot.costs(found.query(f"{one} and size_bytes == 67108864")).get_xlabel()[:4]
    'peak'
    """
    _check_one(costs, ("counter", "run", "size_bytes", *CONDITIONS))
    what = COUNTERS[str(costs["counter"].iloc[0])]
    with _axes(ax, (7.0, 3.0)) as axes:
        charts.cost_bars(costs, axes, what)
    return axes


def changes(compared: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the ratio of B to A, a point for each case, with its interval where it has one.

    Takes rows of ``compare``. Filled points have a verdict.

    >>> import vmabench as vb
    >>> names = ("paths-base", "paths-series")
    >>> a, b = (vb.load(f"results/published/{name}") for name in names)
    >>> len(vb.plot.changes(vb.compare(a, b).head(10)).get_yticklabels())
    10
    """
    with _axes(ax, (9.0, 1.0 + 0.2 * len(compared))) as axes:
        _changes.changes(compared, axes)
    return axes


@contextmanager
def _axes(ax: Axes | None, size: tuple[float, float] = (8.0, 5.0)) -> Iterator[Axes]:
    """Yield the Axes to draw into, in the style of the reports."""
    if ax is not None:
        yield ax
        return
    from matplotlib import pyplot  # chooses a backend

    with mpl.rc_context(STYLE | {"font.size": 10.5}):
        yield pyplot.subplots(figsize=size, layout="constrained")[1]


@contextmanager
def _over_sizes(ax: Axes | None) -> Iterator[Axes]:
    """Yield the Axes of curves over sizes, one for each mechanism, and add size and legend."""
    with _axes(ax) as axes:
        yield axes
        axes.set_xlabel("size")
        axes.legend(fontsize="small", frameon=False)


def _check_one_curve(rows: pd.DataFrame) -> None:
    _check_one(rows, ("run", *CONDITIONS))


def _check_one(rows: pd.DataFrame, columns: tuple[str, ...]) -> None:
    """Raise ValueError unless each column has one value."""
    if rows.empty:
        raise ValueError("there is nothing to draw: the frame has no such rows")
    for name in columns:
        if rows[name].nunique(dropna=False) > 1:
            found = ", ".join(str(one) for one in rows[name].unique()[:4])
            raise ValueError(f"one Axes takes one {name}, and there are {found}: filter the frame")
