# SPDX-License-Identifier: GPL-2.0-only
"""Measure when cloning a mapping beats copying it or sharing it, and what it costs.

    import vmabench as vb

    result = vb.run("quick", mechanism=["readv", "memfd"], budget="30s")
    frame = vb.load(result, "results/published/host-standard")
    summary = vb.summarize(result.frame())
    vb.plot.throughput(summary.query("scenario == 'transfer' and page == '4K'"))

Each name is imported when it is first used, so that ``vmabench --help`` loads neither pandas nor
matplotlib.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmabench.analysis.costs import costs
    from vmabench.analysis.load import load
    from vmabench.analysis.side_by_side import side_by_side
    from vmabench.analysis.stats import summarize
    from vmabench.api import plot
    from vmabench.api.diagnosis import doctor
    from vmabench.api.frames import (
        breakevens,
        claims,
        compare,
        crossovers,
        distortion,
        path_lengths,
        ratios,
    )
    from vmabench.api.options import Guest
    from vmabench.api.run import run, run_against

__version__ = "0.1.0"
__all__ = [
    "Guest", "__version__", "breakevens", "claims", "compare", "costs", "crossovers",
    "distortion", "doctor", "load", "path_lengths", "plot", "ratios", "run", "run_against",
    "side_by_side", "summarize",
]  # fmt: skip

#: name -> the module that defines it
_HOMES = {
    "breakevens": "vmabench.api.frames",
    "claims": "vmabench.api.frames",
    "compare": "vmabench.api.frames",
    "costs": "vmabench.analysis.costs",
    "crossovers": "vmabench.api.frames",
    "distortion": "vmabench.api.frames",
    "doctor": "vmabench.api.diagnosis",
    "Guest": "vmabench.api.options",
    "load": "vmabench.analysis.load",
    "path_lengths": "vmabench.api.frames",
    "ratios": "vmabench.api.frames",
    "run": "vmabench.api.run",
    "run_against": "vmabench.api.run",
    "side_by_side": "vmabench.analysis.side_by_side",
    "summarize": "vmabench.analysis.stats",
}


def __getattr__(name: str) -> Any:
    if name == "plot":
        return importlib.import_module("vmabench.api.plot")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
