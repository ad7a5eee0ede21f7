# SPDX-License-Identifier: GPL-2.0-only
"""Metrics beside the time: find out which can be measured here, by trying."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from vmabench.machine.cgroup import MemoryGroups

#: bits of an entry of /proc/PID/pagemap: the page is present, and its frame number
_PRESENT, _FRAME = 1 << 63, (1 << 55) - 1


@dataclass(frozen=True, slots=True)
class Metric:
    """A state, ``ok``, ``degraded`` or ``blocked``, with the cause (gate) and its fix (mend)."""

    name: str
    state: str
    gate: str = ""
    mend: str = ""


def metrics(groups: MemoryGroups, root: Path = Path("/")) -> list[Metric]:
    """Return the state of each metric; the caller holds the lock of the machine."""
    return [_page_frames(root), _swap(root), _peak_memory(groups), _stolen_time(root)]


def _page_frames(root: Path) -> Metric:
    """Return whether folios can be proved one by one; for THP alone, smaps is enough."""
    name = "folio sizes"
    mend = "run as root, or with CAP_SYS_ADMIN"
    try:
        with (root / "proc/self/pagemap").open("rb", buffering=0) as file:
            here = bytearray(1)  # any address that is populated will do
            file.seek(id(here) // os.sysconf("SC_PAGE_SIZE") * 8)
            (entry,) = struct.unpack("Q", file.read(8))
        with (root / "proc/kpageflags").open("rb"):
            pass
    except (OSError, struct.error) as error:
        gate = f"page frames may not be seen ({getattr(error, 'strerror', None) or error})"
        return Metric(name, "degraded", gate, mend)
    if entry & _PRESENT and not entry & _FRAME:
        return Metric(name, "degraded", "the kernel hides page frames from this user", mend)
    return Metric(name, "ok")


def _swap(root: Path) -> Metric:
    lines = _text(root / "proc/swaps").splitlines()[1:]
    if not lines:
        return Metric("swap", "blocked", "there is no swap", "modprobe zram, or swapon a file")
    return Metric("swap", "ok")


def _peak_memory(groups: MemoryGroups) -> Metric:
    """Return whether the memory cgroup of a run can be made, which counts the peak of a pair."""
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
