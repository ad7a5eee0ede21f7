# SPDX-License-Identifier: GPL-2.0-only
"""What can be measured beside the time here, found by trying to."""

import contextlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

#: of an entry of /proc/PID/pagemap: the page is there, and the bits of its frame
_PRESENT, _FRAME = 1 << 63, (1 << 55) - 1


@dataclass(frozen=True, slots=True)
class Metric:
    """``ok``, ``degraded`` or ``blocked``, with what is in the way and what would mend it."""

    name: str
    state: str
    gate: str = ""
    mend: str = ""


def metrics(root: Path = Path("/")) -> list[Metric]:
    return [_page_frames(root), _swap(root), _peak_memory(root), _stolen_time(root)]


def _page_frames(root: Path) -> Metric:
    """Whether folios can be proved one by one; smaps does for THP without."""
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


def _peak_memory(root: Path) -> Metric:
    """Whether a cgroup can be made whose peak is that of the pair: by making one."""
    base = _own_cgroup(root)
    probe = base / f"vmabench-probe-{os.getpid()}"
    try:
        probe.mkdir()
    except OSError as error:
        gate = f"no cgroup can be made ({error.strerror}): peaks would be sampled"
        return Metric("peak memory", "degraded", gate, "run as root, or in a delegated cgroup")
    try:
        files = ("memory.peak", "memory.max_usage_in_bytes")
        counted = any((probe / file).exists() for file in files)
    finally:
        with contextlib.suppress(OSError):
            probe.rmdir()
    if counted:
        return Metric("peak memory", "ok")
    gate = "the cgroup has no memory controller: peaks would be sampled"
    return Metric("peak memory", "degraded", gate, "enable it in cgroup.subtree_control")


def _own_cgroup(root: Path) -> Path:
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return root / "sys/fs/cgroup/memory" / path.lstrip("/")
    unified = _text(root / "proc/self/cgroup").rpartition("::")[2].strip()
    return root / "sys/fs/cgroup" / unified.lstrip("/")


def _stolen_time(root: Path) -> Metric:
    words = _text(root / "proc/stat").partition("\n")[0].split()
    if len(words) > 8:
        return Metric("stolen time", "ok")
    return Metric("stolen time", "blocked", "the kernel does not account it")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
