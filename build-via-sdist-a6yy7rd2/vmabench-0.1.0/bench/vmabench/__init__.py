# SPDX-License-Identifier: GPL-2.0-only
"""Measures when cloning a mapping beats copying it or sharing it, and what it costs.

``vmabench.load("results/latest")`` is the data of a result as a pandas frame.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmabench.analysis.load import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """The door for notebooks; pandas is loaded by who goes through it, and by nobody else."""
    if name == "load":
        from vmabench.analysis.load import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
