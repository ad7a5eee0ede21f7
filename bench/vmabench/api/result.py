# SPDX-License-Identifier: GPL-2.0-only
"""The result that a run from Python returns."""

import html
from pathlib import Path

import pandas as pd

from vmabench.analysis.load import load
from vmabench.report.build import Report
from vmabench.store.reader import read


class RunResult:
    """A result directory: pass it to ``load``, or take its frame; a notebook shows its report."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"RunResult({str(self.path)!r})"

    def frame(self) -> pd.DataFrame:
        """Return the tidy frame, as ``load`` does."""
        return load(self.path)

    def report(self, *, brief: bool = True) -> str:
        """Return the report as text; the brief one fits a screen."""
        return Report(read(self.path)).text(brief=brief)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.report())}</pre>"
