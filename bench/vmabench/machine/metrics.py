# SPDX-License-Identifier: GPL-2.0-only
"""Try which metrics besides the time can be measured here."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from vmabench.machine.cgroup import MemoryGroups

#: bits of an entry of /proc/PID/pagemap: the page is present, and its frame number
_PRESENT, _FRAME = 1 << 63, (1 << 55) - 1


@dataclass(frozen=True, slots=True)
class Metric:
    """The state of a metric, ``ok``, ``degraded`` or ``blocked``, with its cause and the fix."""

    name: str
    state: str
    blocked_by: str = ""
    fix: str = ""


def metrics(groups: MemoryGroups, root: Path = Path("/")) -> list[Metric]:
    """Return the state of each metric; the caller holds the lock of the machine."""
    return [_page_frames(root), _swap(root), _peak_memory(groups), _stolen_time(root)]


def _page_frames(root: Path) -> Metric:
    """Return whether page frames are visible, which prove the size of each folio."""
    name = "folio sizes"
    fix = "run as root, or with CAP_SYS_ADMIN"
    try:
        with (root / "proc/self/pagemap").open("rb", buffering=0) as file:
            here = bytearray(1)  # any populated address
            file.seek(id(here) // os.sysconf("SC_PAGE_SIZE") * 8)
            (entry,) = struct.unpack("Q", file.read(8))
        with (root / "proc/kpageflags").open("rb"):
            pass
    except (OSError, struct.error) as error:
        cause = f"page frames may not be seen ({getattr(error, 'strerror', None) or error})"
        return Metric(name, "degraded", cause, fix)
    if entry & _PRESENT and not entry & _FRAME:
        return Metric(name, "degraded", "the kernel hides page frames from this user", fix)
    return Metric(name, "ok")


def _swap(root: Path) -> Metric:
    lines = _text(root / "proc/swaps").splitlines()[1:]
    if not lines:
        return Metric("swap", "blocked", "there is no swap", "modprobe zram, or swapon a file")
    return Metric("swap", "ok")


def _peak_memory(groups: MemoryGroups) -> Metric:
    """Return whether a memory cgroup, which counts the peak of a pair, can be made."""
    why = groups.why_not()
    if not why:
        return Metric("peak memory", "ok")
    return Metric("peak memory", "degraded", f"{why}: peaks are sampled", "")


def _stolen_time(root: Path) -> Metric:
    words = _text(root / "proc/stat").partition("\n")[0].split()
    if len(words) > 8:
        return Metric("stolen time", "ok")
    return Metric("stolen time", "blocked", "the kernel does not account it")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""
