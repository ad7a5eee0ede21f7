# SPDX-License-Identifier: GPL-2.0-only
"""Name the limit that refuses memory or a CPU to a case, by trying it again in the worker."""

import errno
import mmap
import os
import re
import resource
from pathlib import Path

from vmabench.errors import NativeError

#: the kernel's default of vm.max_map_count
_DEFAULT_MAPS = 65530

#: mappings that this process may lose between the count and the failure
_MERGED = 8


def why_refused(error: NativeError, mappings: int) -> str:
    """Return the limit behind an error of a case with that many mappings, and its fix.

    Empty where no limit of this process or of the machine refuses the same here.
    """
    if error.errno == errno.EINVAL and error.detail.startswith("pinning to CPU"):
        return _why_no_cpu(error.detail)
    if error.errno != errno.ENOMEM:
        return ""
    size = re.search(r"(\d+) bytes", error.detail)
    return _why_no_space(int(size[1]) if size else 0) or _why_no_mappings(mappings)


def _why_no_cpu(detail: str) -> str:
    cpu = re.search(r"CPU (\d+)", detail)
    allowed = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    return f"CPU {cpu[1] if cpu else '?'} is offline or outside of the cpuset (allowed: {allowed})"


def _why_no_space(size_bytes: int) -> str:
    """Return RLIMIT_AS or RLIMIT_DATA if it forbids a mapping of that size to this process."""
    used = _status_bytes()
    for limit, name, option, field in (
        (resource.RLIMIT_AS, "RLIMIT_AS", "-v", "VmSize"),
        (resource.RLIMIT_DATA, "RLIMIT_DATA", "-d", "VmData"),
    ):
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY and used.get(field, 0) + size_bytes > most:
            return f"{name} is {most >> 10} KiB (ulimit {option} unlimited)"
    return ""


def _status_bytes() -> dict[str, int]:
    text = Path("/proc/self/status").read_text(errors="surrogateescape")
    return {name: int(kib) << 10 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}


def _why_no_mappings(mappings: int) -> str:
    """Return vm.max_map_count if it forbids that many mappings more to this process."""
    most = int(Path("/proc/sys/vm/max_map_count").read_text())
    before = len(Path("/proc/self/maps").read_bytes().splitlines())
    held: list[mmap.mmap] = []
    try:
        for _ in range(mappings):
            held.append(mmap.mmap(-1, mmap.PAGESIZE))  # a shared object each: they never merge
    except OSError:
        if before + len(held) >= most - _MERGED:
            fix = f"sysctl vm.max_map_count={max(_DEFAULT_MAPS, most + 2 * mappings)}"
            return f"vm.max_map_count is {most}, too few for {mappings} more mappings ({fix})"
    finally:
        for one in held:
            one.close()
    return ""
