# SPDX-License-Identifier: GPL-2.0-only
"""Who wins at which size and share of touched pages: the crossover map as a frame.

Mechanisms stand for three ways: cloning defers the copy, copying does it at once, sharing never
does. Each way sends its fastest mechanism; the fastest of all wins where the paired ratio against
the next way is decided, by an interval that excludes 1 and an effect above the minimum. Who is the
fastest is chosen and judged on the same rounds, which favours the winner a little, and more so the
more mechanisms a way has.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.buffers import across_buffers
from vmabench.analysis.intervals import Floats, median_interval
from vmabench.analysis.ratios import CELL, cell_samples

#: an effect below this is no difference
LEAST_EFFECT = 0.02

#: way -> its mechanisms; fork stands in for clone only where there is none
WAYS = {
    "cloning": ("clone", "fork"),
    "copying": levels.COPYING,
    "sharing": ("memfd-inplace", "memfd-private", "xpmem"),
}

COLUMNS = ("way", "mechanism", "median_ns", "rival_way", "rival", "ratio", "lo", "hi", "decided")

_CELL = [name for name in CELL if name != "phase"]
_PLACE = [name for name in _CELL if not name.startswith("touch_")]


def winners(
    frame: pd.DataFrame,
    ways: Collection[str] = tuple(WAYS),
    scenario: str = "touch",
    phase: str = "total",
) -> pd.DataFrame:
    """Return one row for each cell (conditions and size) with two ways or more, of one phase.

    A mechanism without a receive buffer competes in the cells of each buffer.

    ``ways`` are the keys of WAYS that compete. ``ratio`` is the winner's time over that of the
    next way's fastest (below 1), paired by process, with its 95 % interval; ``decided`` is false
    where no difference was shown. Cells that lack mechanisms which others of their size have, such
    as the shares that a bisection adds for one pair, are left out: their winner would be the best
    of a few.
    """
    rows = across_buffers(frame[(frame["scenario"] == scenario) & (frame["phase"] == phase)])
    table = cell_samples(rows).dropna(how="all")
    times = table.to_numpy(dtype=np.float64)
    cells = table.index.to_frame(index=False).drop(columns="phase")
    cells = cells.astype({"mechanism": str}).assign(
        row=np.arange(len(cells)), median_ns=table.median(axis=1).to_numpy()
    )
    best = _best_of_ways(_complete(_with_ways(cells, ways)))
    first, second = (best[best["rank"] == rank].set_index(_CELL) for rank in (0, 1))
    first = first.loc[second.index]
    with np.errstate(divide="ignore", invalid="ignore"):  # an operation of 0 ns decides nothing
        logs: Floats = np.log(times[first["row"]]) - np.log(times[second["row"]])
    ratio, lo, hi = map(np.exp, median_interval(np.where(np.isfinite(logs), logs, np.nan)))
    found = first[["way", "mechanism", "median_ns"]].assign(
        rival_way=second["way"],
        rival=second["mechanism"],
        ratio=ratio,
        lo=lo,
        hi=hi,
        decided=(hi < 1) & (ratio < 1 - LEAST_EFFECT),  # NaN, of few processes: not
    )
    return found.reset_index()[[*_CELL, *COLUMNS]]


def _with_ways(cells: pd.DataFrame, ways: Collection[str]) -> pd.DataFrame:
    way_of = {name: way for way in ways for name in WAYS[way]}
    if (cells["mechanism"] == "clone").any():
        way_of.pop("fork", None)
    cells = cells.assign(way=cells["mechanism"].map(way_of))
    return cells[cells["way"].notna()]


def _complete(cells: pd.DataFrame) -> pd.DataFrame:
    """Those of cells that have as many mechanisms as any of their size and page."""
    here = cells.groupby(_CELL, observed=True)["row"].transform("size")
    most = cells.assign(here=here).groupby(_PLACE, observed=True)["here"].transform("max")
    return cells[here == most]


def _best_of_ways(cells: pd.DataFrame) -> pd.DataFrame:
    """Each way's fastest mechanism in each cell; ``rank`` 0 is the fastest way."""
    best = cells.sort_values("median_ns", kind="stable").drop_duplicates([*_CELL, "way"])
    best = best.assign(rank=best.groupby(_CELL, observed=True).cumcount())
    return best.sort_values(_CELL, kind="stable")
