# SPDX-License-Identifier: GPL-2.0-only
"""Show the progress of a run: a live line on a terminal or in a notebook, plain lines elsewhere."""

import sys
import time
from typing import Any, TextIO

from vmabench.units import format_duration

#: Drawing takes CPU time that the pair of processes needs: seldom, and never in between.
REDRAW_S = 0.5


class PlainProgress:
    """One line for each phase of the run; for logs and pipes. ``budget_s`` is None without one."""

    def __init__(self, stream: TextIO, budget_s: float | None) -> None:
        self._stream = stream
        self._budget_s = budget_s
        self._start = time.monotonic()

    def phase(self, name: str, cases: int) -> None:
        line = f"{name}: {cases} cases"
        if self._budget_s is not None:
            left = max(0.0, self._budget_s - (time.monotonic() - self._start))
            line += f", about {format_duration(left)} of the budget left"
        print(line, file=self._stream, flush=True)

    def case(self, case: str) -> None:
        """Takes no notice: a line for each case would be noise."""

    def close(self) -> None:
        """Does nothing: there is nothing to take down."""


class SilentProgress:
    """Shows nothing."""

    def phase(self, name: str, cases: int) -> None:
        """Takes no notice."""

    def case(self, case: str) -> None:
        """Takes no notice."""

    def close(self) -> None:
        """Does nothing: there is nothing to take down."""


class NotebookProgress:
    """One line below the cell of a notebook, replaced as the run goes on."""

    def __init__(self, budget_s: float | None) -> None:
        import IPython.display

        display: Any = IPython.display  # without types
        self._budget_s = budget_s
        self._start = self._drawn = time.monotonic()
        self._name, self._done, self._cases = "starting", 0, 0
        self._pretty = display.Pretty
        self._line = display.display(display.Pretty("starting"), display_id=True)

    def phase(self, name: str, cases: int) -> None:
        self._name, self._done, self._cases = name, 0, cases
        self._draw()

    def case(self, case: str) -> None:
        if time.monotonic() - self._drawn >= REDRAW_S:
            self._draw(f"  {case}")
        self._done += 1

    def close(self) -> None:
        spent = format_duration(time.monotonic() - self._start)
        self._line.update(self._pretty(f"measured for {spent}"))

    def _draw(self, case: str = "") -> None:
        self._drawn = time.monotonic()
        left = ""
        if self._budget_s is not None:
            seconds = max(0.0, self._budget_s - (self._drawn - self._start))
            left = f"  left {format_duration(seconds)}"
        self._line.update(self._pretty(f"{self._name}  {self._done}/{self._cases}{left}{case}"))


class LiveProgress:
    """Shows phase, cases done and time left, redrawn in place with rich."""

    def __init__(self, stream: TextIO, budget_s: float | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.fields[phase]:<12}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]}/{task.fields[cases]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
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
        if self._budget_s is not None:
            left = max(0.0, self._budget_s - spent)
            fields |= {"left": f"left {format_duration(left)}"}
        self._progress.update(self._task, completed=spent, done=max(0, self._done), **fields)
        self._progress.refresh()


Progress = SilentProgress | NotebookProgress | PlainProgress | LiveProgress


def make_progress(stream: TextIO | None, budget_s: float | None) -> Progress:
    """Return the progress for where this process runs; without a stream it shows nothing."""
    if stream is None:
        return SilentProgress()
    if _in_notebook():
        return NotebookProgress(budget_s)
    kind = LiveProgress if stream.isatty() else PlainProgress
    return kind(stream, budget_s)


def _in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, which has imported ipykernel."""
    ipython = sys.modules.get("IPython")
    return "ipykernel" in sys.modules and ipython is not None and bool(ipython.get_ipython())


class PlainBuild:
    """A line now and then; nothing for a build that is done before the first one is due."""

    EVERY_S = 30.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = time.monotonic() + self.EVERY_S

    def made(self, objects: int, expected: int | None) -> None:
        if time.monotonic() >= self._next:
            self._next += self.EVERY_S
            of_all = f" of about {expected}" if expected else ""
            print(f"kernel: {objects}{of_all} objects", file=self._stream, flush=True)

    def close(self) -> None:
        """Does nothing: there is nothing to take down."""


class LiveBuild:
    """A bar, or a running count where nobody knows yet how many objects there are."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        self._progress = Progress(
            "kernel", BarColumn(bar_width=24), MofNCompleteColumn(), "objects", TimeElapsedColumn(),
            console=Console(file=stream), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None)

    def made(self, objects: int, expected: int | None) -> None:
        if not self._progress.live.is_started:  # what the cache has is not worth a bar
            self._progress.start()
        total = max(objects, expected) if expected else None
        self._progress.update(self._task, completed=objects, total=total)

    def close(self) -> None:
        self._progress.stop()


def make_build_progress(stream: TextIO) -> PlainBuild | LiveBuild:
    return (LiveBuild if stream.isatty() else PlainBuild)(stream)
