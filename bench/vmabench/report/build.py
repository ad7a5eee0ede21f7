# SPDX-License-Identifier: GPL-2.0-only
"""The report of a result, as files: derived from the stored data alone, made anew at any time."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from vmabench.analysis.frame import tidy
from vmabench.analysis.stats import summarize
from vmabench.errors import MachineError
from vmabench.report.findings import main_crossovers
from vmabench.report.text import small_print, text_report
from vmabench.store.atomic import replacing
from vmabench.store.format import Result

TEXT = "report.txt"
FIGURES = ("throughput.png", "throughput.svg")


def write_report(result: Result, directory: Path | str) -> list[Path]:
    """Write the text and the figures of ``result`` into ``directory``, made if need be.

    Returns the paths, the text first. The same result gives the same bytes. Raises MachineError.
    """
    base = Path(directory)
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"could not make {base}: {error.strerror}") from error
    frame = tidy(result)
    summary = summarize(frame)
    with replacing(base / TEXT) as unfinished:
        unfinished.write_text(text_report(result, frame, summary), encoding="utf-8")
    with _quiet_matplotlib():
        from vmabench.report.figures import save, throughput_figure  # half a second

        figure = throughput_figure(summary, main_crossovers(frame), small_print(result))
        for name in FIGURES:
            save(figure, base / name)
    return [base / name for name in (TEXT, *FIGURES)]


@contextlib.contextmanager
def _quiet_matplotlib() -> Iterator[None]:
    """Without matplotlib's remarks on a home directory that can't be written to: it needs none."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
