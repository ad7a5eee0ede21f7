# SPDX-License-Identifier: GPL-2.0-only
"""The report of a result, as files: derived from the stored data alone, made anew at any time."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from vmabench.analysis.frame import tidy
from vmabench.analysis.instructions import path_lengths
from vmabench.analysis.stats import judged
from vmabench.atomic import replacing
from vmabench.errors import MachineError
from vmabench.report.findings import transfer_crossovers
from vmabench.report.text import brief_report, path_report, small_print, text_report
from vmabench.store.format import Result
from vmabench.store.reader import refuse_injected

TEXT = "report.txt"
FIGURES = ("throughput.png", "throughput.svg")
MAPS = ("crossover-map.png", "crossover-map.svg")


class Report:
    """The report of ``result``; the statistics behind it are computed once.

    By the instruction clock it is one of path lengths, without figures.
    """

    def __init__(self, result: Result) -> None:
        refuse_injected(result)
        self._result = result
        self._counted = result.header.get("clock") == "instructions"
        if self._counted:
            self._frame = tidy(result)
            self._summary = path_lengths(self._frame)
        else:
            self._frame, self._summary = judged(result)

    @property
    def unstable_cases(self) -> int:
        """How many cases are unstable in their total time; a count repeats itself."""
        if self._counted:
            return 0
        total = self._summary["phase"] == "total"
        return int((total & (self._summary["outcome"] == "unstable")).sum())

    def text(self, *, brief: bool = False) -> str:
        """The whole report, or what a screen has room for."""
        if self._counted:
            return path_report(self._result, self._frame, self._summary)
        compose = brief_report if brief else text_report
        return compose(self._result, self._frame, self._summary)

    def html(self) -> str:
        """The whole report as one HTML file that needs nothing else."""
        with quiet_matplotlib():
            from vmabench.report.page import page  # half a second

            return page(self._result, self._frame, self._summary)

    def write(self, directory: Path | str) -> list[Path]:
        """Write text and figures into ``directory``, made if need be; raises MachineError.

        Returns the paths, the text first. The same result gives the same bytes.
        """
        base = make_folder(Path(directory))
        with replacing(base / TEXT) as unfinished:
            unfinished.write_text(self.text(), encoding="utf-8")
        if self._counted:
            return [base / TEXT]
        with quiet_matplotlib():
            from vmabench.report.canvas import save  # half a second
            from vmabench.report.figures import throughput_figure

            figure = throughput_figure(
                self._summary, transfer_crossovers(self._frame), small_print(self._result)
            )
            for name in FIGURES:
                save(figure, base / name)
            maps = self._write_maps(base)
        return [*(base / name for name in (TEXT, *FIGURES)), *maps]

    def _write_maps(self, base: Path) -> list[Path]:
        """The crossover map, where there is one."""
        from vmabench.report.canvas import save
        from vmabench.report.crossover_map import map_figure

        figure = map_figure(self._frame)
        if figure is None:
            return []
        for name in MAPS:
            save(figure, base / name)
        return [base / name for name in MAPS]


def make_folder(directory: Path) -> Path:
    """The directory, made if need be; raises MachineError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"could not make {directory}: {error.strerror}") from error
    return directory


@contextlib.contextmanager
def quiet_matplotlib() -> Iterator[None]:
    """Without matplotlib's remarks on a home directory that can't be written to: it needs none."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
