# SPDX-License-Identifier: GPL-2.0-only
"""What a test needs of the machine: a test without it is skipped, and fails in CI.

``VMABENCH_REQUIRE`` names the needs (or ``all``) whose absence is a failure.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vmabench.guest import cache
from vmabench.machine.cgroup import find_hierarchy
from vmabench.runner.lockwait import tracefs

THP_ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def checkpatch() -> Path | None:
    """The script of the kernel, from a tree that was unpacked for the guest or is in KSRC."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmabench/kernels"
    trees = [Path(os.environ["KSRC"])] if os.environ.get("KSRC") else []
    found = [tree / "scripts/checkpatch.pl" for tree in [*trees, *sorted(cache.glob("*"))]]
    return next((path for path in found if path.is_file()), None)


def thpmaps() -> Path | None:
    """Return tools/mm/thpmaps of a kernel tree that was unpacked for the guest."""
    return next(iter(sorted(cache.root().glob("tree-*/tools/mm/thpmaps"))), None)


def _has_swap_tools() -> bool:
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("mkswap", "swapon"))


_NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "root": (lambda: os.geteuid() == 0, "must run as root"),
    "thp": (
        lambda: THP_ENABLED.exists() and "[never]" not in THP_ENABLED.read_text(),
        "needs THP: echo madvise > " + str(THP_ENABLED),
    ),
    "groff": (lambda: shutil.which("groff") is not None, "needs groff"),
    "mandoc": (lambda: shutil.which("mandoc") is not None, "needs mandoc"),
    "compiler": (lambda: shutil.which("gcc") is not None, "needs gcc"),
    "chromium": (
        lambda: all(map(shutil.which, ("chromium", "chromedriver"))),
        "needs a browser: apt-get install chromium chromium-driver",
    ),
    "git": (lambda: shutil.which("git") is not None, "needs git"),
    "kernel-source": (
        lambda: checkpatch() is not None,
        "needs checkpatch.pl of a kernel: vmabench guest build, or KSRC",
    ),
    "thpmaps": (
        lambda: thpmaps() is not None,
        "needs tools/mm/thpmaps of a kernel: vmabench guest build",
    ),
    "shellcheck": (lambda: shutil.which("shellcheck") is not None, "needs shellcheck"),
    "tracefs": (lambda: tracefs() is not None, "needs root and tracefs with mmap_lock events"),
    "swap": (_has_swap_tools, "needs root, mkswap and swapon (util-linux)"),
    "zram": (
        lambda: os.geteuid() == 0 and Path("/sys/class/zram-control/hot_add").exists(),
        "needs root and zram: modprobe zram",
    ),
    "memory-cgroup": (
        lambda: os.geteuid() == 0 and find_hierarchy() is not None,
        "needs root and a memory cgroup",
    ),
    "setpriv": (lambda: shutil.which("setpriv") is not None, "needs setpriv (util-linux)"),
}


#: ``@needs("root", "thp")``: the test needs these of the machine
needs = pytest.mark.needs


def skip_without(item: pytest.Item) -> None:
    """Skip a test whose needs are not met, unless they are required.

    A missing need that is required is not looked at: the test runs, and fails without it.
    """
    required = os.environ.get("VMABENCH_REQUIRE", "").split(",")
    asked = {name: _NEEDS[name] for mark in item.iter_markers("needs") for name in mark.args}
    if "all" in required:
        return
    missing = {
        name: reason
        for name, (is_met, reason) in asked.items()
        if name not in required and not is_met()
    }
    if missing:
        reasons, hint = "; ".join(missing.values()), ",".join(missing)
        pytest.skip(f"{reasons} (VMABENCH_REQUIRE={hint} makes this a failure)")
