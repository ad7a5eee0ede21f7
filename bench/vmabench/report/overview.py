# SPDX-License-Identifier: GPL-2.0-only
"""The figure of several results: how many times as fast as a copy, on each machine, by size.

Ratios, since they are all that a machine and an emulated guest can be asked alike.
"""

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from vmabench.analysis import levels
from vmabench.analysis.frame import tidy
from vmabench.analysis.ratios import speedups
from vmabench.errors import UsageError
from vmabench.report.canvas import DPI, STYLE, add_legend, measure
from vmabench.report.curves import relative
from vmabench.report.findings import RIVAL, headline, main_crossovers
from vmabench.report.words import kernel_line, machine_line
from vmabench.store.format import Result

#: what is drawn: ways to end with the data, by their families
SHOWN = ("clone", "fork", "writev", "memfd", "memfd-inplace")

_ROW_INCHES, _WIDTH_INCHES, _TITLE_COLUMNS = 3.4, 10.5, 76


class _Row(NamedTuple):
    """What was measured on one machine, of the pages that the figure has."""

    result: Result
    title: str
    times: pd.DataFrame


def overview_figure(results: Sequence[Result]) -> Figure:
    """A row of panels for each result that delivered data and read it, a panel for each page.

    Base pages and those of a PMD entry, if there are any. Raises UsageError where no result has
    such cases.
    """
    rows = list(_rows(results))
    if not rows:
        raise UsageError(f"no result has the scenario deliver with {RIVAL}: nothing to draw")
    pages = levels.page_order({page for row in rows for page in row.times["page"].astype(str)})
    with mpl.rc_context(STYLE):
        size = (_WIDTH_INCHES, _ROW_INCHES * len(rows) + 0.4)
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        drawn = figure.subfigures(len(rows), 1, squeeze=False, hspace=0.04)
        for row, part in zip(rows, drawn[:, 0], strict=True):
            _draw(row, part, pages)
        names = {str(name) for row in rows for name in row.times["mechanism"]}
        add_legend(figure, sorted(names))
    return figure


def _rows(results: Sequence[Result]) -> Iterator[_Row]:
    for result in results:
        if result.header.get("clock") == "instructions":
            continue
        frame = tidy(result)
        used = (frame["touch_mode"] == "read") & (frame["touch_pct"] == 100)
        frame = frame[(frame["scenario"] == "deliver") & (frame["phase"] == "total") & used]
        frame = _alike(frame[frame["page"].isin(_plain_pages(frame))])
        times = speedups(frame, SHOWN, RIVAL)
        if len(times):
            yield _Row(result, headline(main_crossovers(frame)), times)


def _alike(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cases with fresh memory and a source that writes, or is idle where none writes."""
    plain = frame[(frame["buffer"] == "fresh") & (frame["source_threads"] == 0)]
    named = plain["case_id"].astype(str).str.contains("/placement:")
    plain = plain[~named]
    written = plain["source"] == "rewritten"
    return plain[written] if written.any() else plain


def _plain_pages(frame: pd.DataFrame) -> list[str]:
    """The base page and the one of a PMD entry, where they were measured."""
    pages = [page for page in levels.page_order(frame["page"].astype(str)) if "-" not in page]
    return list(dict.fromkeys([*pages[:1], *pages[-1:]]))


def _draw(row: _Row, part: SubFigure, pages: Sequence[str]) -> None:
    emulated = row.result.header.get("virt") == "emulated"
    where = "EMULATED guest: " if emulated else ""
    title = textwrap.fill(f"{where}{row.title}", _TITLE_COLUMNS)
    part.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
    panels: list[Axes] = list(part.subplots(1, len(pages), sharey=True, squeeze=False)[0])
    for page, axes in zip(pages, panels, strict=True):
        relative(row.times[row.times["page"] == page], axes)
        axes.set_title(f"{page} pages", loc="left")
        axes.set_xlabel("size")
    words = measure(f"times as fast as {RIVAL}", "higher").replace("  ", "\n")
    panels[0].set_ylabel(words, fontsize=10)
    part.supxlabel(
        f"{machine_line(row.result)}; kernel {kernel_line(row.result)}",
        x=0.01, ha="left", fontsize=8.5, color="#555555",
    )  # fmt: skip
