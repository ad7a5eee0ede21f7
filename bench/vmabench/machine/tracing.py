# SPDX-License-Identifier: GPL-2.0-only
"""How long processes wait for their mmap_lock, by the kernel's own tracepoints.

They are switched on in an instance of our own, so that nobody else's trace is touched, and kept
for the range of our processes. The instance is removed at the end, and what a killed run has left
by the next one or by ``tune --restore``: it is named for its process. The trace has microseconds: a
lock that was free counts as 0 or 1.
"""

import contextlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from vmabench.machine.facts import read_text

#: where tracefs is mounted, if it is
PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))

_PREFIX = "vmabench-"
_EVENTS = ("mmap_lock_start_locking", "mmap_lock_acquire_returned")
_BUFFER_KB = 8192
_LINE = re.compile(r"^.*?-(\d+)\s+\[\d+\].*?\s(\d+)\.(\d{6}): (\w+): mm=\S+")


@dataclass(frozen=True, slots=True)
class LockWaits:
    """``acquires`` of the lock that were seen, how long they waited together and at most."""

    acquires: int
    wait_ns: int
    longest_ns: int


def mounted() -> Path | None:
    """The root of tracefs where it is mounted and has the events."""
    return next((place for place in PLACES if has_events(place)), None)


def has_events(root: Path) -> bool:
    with contextlib.suppress(OSError):
        return all((root / "events/mmap_lock" / event).is_dir() for event in _EVENTS)
    return False


def remove_stale(root: Path) -> list[str]:
    """Removes the instances of runs that are gone; a line for each."""
    lines = []
    with contextlib.suppress(OSError):
        for instance in sorted((root / "instances").glob(f"{_PREFIX}*")):
            if not Path("/proc", instance.name.removeprefix(_PREFIX)).exists():
                lines.append(f"trace instance {instance.name}: {_remove(instance)}")
    return lines


def _remove(instance: Path) -> str:
    try:
        instance.rmdir()
    except OSError as error:
        return f"can't be removed: {error.strerror}"
    return "removed"


class LockTrace:
    """Traces the mmap_lock of ``pids`` while the context is open; OSError where it may not."""

    def __init__(self, root: Path, owner: int, pids: Collection[int]) -> None:
        self._instance = root / "instances" / f"{_PREFIX}{owner}"
        self._pids = pids

    def __enter__(self) -> Self:
        self._instance.mkdir()
        try:
            # What does not fit is lost at the end, so what there is has no holes.
            (self._instance / "options/overwrite").write_text("0")
            (self._instance / "buffer_size_kb").write_text(str(_BUFFER_KB))
            # Not set_event_pid, which hooks into every wake-up and every switch of the machine.
            low, high = min(self._pids), max(self._pids)
            for event in _EVENTS:
                (self._event(event) / "filter").write_text(
                    f"common_pid >= {low} && common_pid <= {high}"
                )
            self._switch("1")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def read(self) -> LockWaits:
        """What was traced up to now; ends the tracing."""
        self._switch("0")
        return parse_waits(read_text(self._instance / "trace"), self._pids)

    def _event(self, name: str) -> Path:
        return self._instance / "events/mmap_lock" / name

    def _switch(self, state: str) -> None:
        for event in _EVENTS:
            (self._event(event) / "enable").write_text(state)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._switch("0")
        with contextlib.suppress(OSError):
            self._instance.rmdir()


def parse_waits(trace: str, pids: Collection[int]) -> LockWaits:
    """The waits of ``pids`` in the text of a trace: from asking for a lock to having it."""
    ours = set(map(str, pids))
    asked_ns: dict[str, int] = {}
    waits_ns: list[int] = []
    for line in trace.splitlines():
        match = _LINE.match(line)
        if not match or match[1] not in ours:
            continue
        task, event = match[1], match[4]
        at_ns = (int(match[2]) * 1_000_000 + int(match[3])) * 1000
        if event == _EVENTS[0]:
            asked_ns[task] = at_ns
        elif event == _EVENTS[1] and task in asked_ns:
            waits_ns.append(at_ns - asked_ns.pop(task))
    return LockWaits(len(waits_ns), sum(waits_ns), max(waits_ns, default=0))
