# SPDX-License-Identifier: GPL-2.0-only
"""Where results lie: results/<machine>/<kernel>/<UTC stamp>, and results/latest."""

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path("results")
#: below it: the last outcomes of checks, and results that are committed
CHECKS, PUBLISHED = "checks", "published"


def default_directory(machine: str, kernel: str, now: datetime | None = None) -> Path:
    """A new directory below ``results`` of the working directory; it does not exist yet."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    return RESULTS / machine / kernel / stamp


def point_latest(directory: Path) -> None:
    """Lets ``results/latest`` point to a directory below ``results``; a link only."""
    base = RESULTS.resolve()
    target = directory.resolve()
    if base not in target.parents:
        return
    link = base / "latest"
    unfinished = base / f".latest-{os.getpid()}"
    # The link is a convenience: a file system without links is no reason to fail.
    with contextlib.suppress(OSError):
        unfinished.symlink_to(target.relative_to(base), target_is_directory=True)
        unfinished.replace(link)
