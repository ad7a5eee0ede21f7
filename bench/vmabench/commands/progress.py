# SPDX-License-Identifier: GPL-2.0-only
"""How far a run is: a live line on a terminal, plain lines elsewhere."""

import time
from typing import Any, TextIO

from vmabench.units import format_duration

#: Drawing takes CPU time that the pair of processes needs: seldom, and never in between.
REDRAW_S = 0.5


class PlainProgress:
    """One line for each phase of the run; for logs and pipes."""

    def __init__(self, stream: TextIO, budget_s: float) -> None:
        self._stream = stream
        self._budget_s = budget_s
        self._start = time.monotonic()

    def phase(self, name: str, cases: int) -> None:
        left = max(0.0, self._budget_s - (time.monotonic() - self._start))
        print(
            f"{name}: {cases} cases, about {format_duration(left)} of the budget left",
            file=self._stream,
            flush=True,
        )

    def case(self, case: str) -> None:
        """Takes no notice: a line for each case would be noise."""

    def close(self) -> None:
        """Does nothing: there is nothing to take down."""


class LiveProgress:
    """What is measured, rounds done and time left, redrawn in place with rich."""

    def __init__(self, stream: TextIO, budget_s: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.fields[phase]:<12}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]}/{task.fields[cases]}"),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]}"),
            TextColumn("{task.fields[case]}", style="dim", table_column=None),
            console=Console(file=stream),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task(
            "", total=budget_s, phase="starting", done=0, cases=0, left="", case=""
        )
        self._budget_s = budget_s
        self._start = self._drawn = time.monotonic()
        self._done = -1
        self._progress.start()

    def phase(self, name: str, cases: int) -> None:
        self._done = -1
        self._update(phase=name, cases=cases)

    def case(self, case: str) -> None:
        self._done += 1
        if time.monotonic() - self._drawn >= REDRAW_S:
            self._update(case=case)

    def close(self) -> None:
        self._progress.stop()

    def _update(self, **fields: Any) -> None:
        self._drawn = time.monotonic()
        spent = self._drawn - self._start
        left = format_duration(max(0.0, self._budget_s - spent))
        self._progress.update(
            self._task, completed=spent, done=max(0, self._done), left=left, **fields
        )
        self._progress.refresh()


def make_progress(stream: TextIO, budget_s: float) -> PlainProgress | LiveProgress:
    kind = LiveProgress if stream.isatty() else PlainProgress
    return kind(stream, budget_s)
