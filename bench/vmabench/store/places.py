# SPDX-License-Identifier: GPL-2.0-only
"""Places of results: results/<machine>/<kernel>/<UTC stamp>, and results/latest."""

import contextlib
import os
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from vmabench.store.format import PLAN, SAMPLES

RESULTS = Path("results")
#: below it: the last outcomes of checks, and results that are committed
CHECKS, PUBLISHED = "checks", "published"


def default_directory(machine: str, kernel: str, now: datetime | None = None) -> Path:
    """Return a path below ``results`` of the working directory for a new directory."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    return RESULTS / machine / kernel / stamp


def stored(plan: str, kind: str = "*") -> Path | None:
    """Return the newest result of a plan below ``results/<kind>``; None where there is none.

    Of a comparison of boots it is that of the second kernel.
    """
    found = [
        directory
        for directory in RESULTS.glob(f"{kind}/*/*")
        if directory.parent.parent.name not in (CHECKS, PUBLISHED, "latest")
    ]
    for directory in sorted(found, key=lambda path: path.name, reverse=True):
        for result in (directory / "B", directory):
            if (result / SAMPLES).is_file() and _name_of_plan(result / PLAN) == plan:
                return result
    return None


def _name_of_plan(path: Path) -> str:
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8")).get("name", ""))
    except (OSError, ValueError):
        return ""


def point_latest(directory: Path) -> str:
    """Let ``results/latest`` point to a directory below ``results``; return why it does not.

    The link is a convenience, so nothing fails for it. A directory elsewhere is no reason.
    """
    try:
        base, target = RESULTS.resolve(), directory.resolve()
    except OSError:  # the current directory was removed
        return ""
    if base not in target.parents:
        return ""
    unfinished = base / f".latest-{os.getpid()}"
    try:
        unfinished.symlink_to(target.relative_to(base), target_is_directory=True)
        unfinished.replace(base / "latest")
    except OSError as error:
        return f"{RESULTS / 'latest'} can't point to the new result: {error.strerror}"
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return ""
