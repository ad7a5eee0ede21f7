# SPDX-License-Identifier: GPL-2.0-only
"""Trace how long the receivers of ``contention`` wait for the mmap_lock, untimed."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path

from vmabench.errors import NativeError
from vmabench.machine.ledger import Undoing
from vmabench.machine.tracing import LockTrace, has_events, mounted, remove_stale
from vmabench.mechanisms import OpenCase, open_tracefs
from vmabench.runner.calls import killed_calls
from vmabench.runner.process import WorkerStartError


@cache
def tracefs() -> Path | None:
    """Return the root of tracefs, mounted by this process if need be; None without one."""
    root = mounted()
    if root is None:
        with contextlib.suppress(NativeError):
            own = Path(f"/proc/self/fd/{open_tracefs()}")
            root = own if has_events(own) else None
    return root


class TraceInstances(Undoing):
    """The trace instances; a context manager that removes the stale ones of killed runs."""

    def restore(self) -> list[str]:
        root = tracefs() if mounted() or _may_mount() else None
        return remove_stale(root) if root else []


def _may_mount() -> bool:
    """Return whether this process survives fsopen(), which a seccomp filter may kill it for."""
    try:
        return "fsopen" not in killed_calls()
    except WorkerStartError:
        return False


def lock_wait(opened: OpenCase, source_pid: int) -> dict[str, int]:
    """Return ``acquires``, ``wait_ns`` and ``longest_ns`` of one operation; empty if forbidden."""
    root = tracefs()
    receivers = [pid for pid in _family(os.getpid()) if pid not in (os.getpid(), source_pid)]
    if root is None or not receivers:
        return {}
    try:
        with LockTrace(root, os.getpid(), receivers) as trace:
            opened.run(1, 1.0)
            return asdict(trace.read())
    except OSError:
        return {}


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _family(int(child))
