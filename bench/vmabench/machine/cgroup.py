# SPDX-License-Identifier: GPL-2.0-only
"""A memory cgroup of the suite's own, version 1 or 2: for the peak of a pair, and for a limit.

It has two groups below it. Workers join ``pair`` with their sources; ``server`` has a limit and
holds small C processes alone, never an interpreter.
"""

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import MachineError
from vmabench.machine.ledger import STATE, Entry, Ledger, Undoing
from vmabench.machine.procfs import rows

PAIR, SERVER = "pair", "server"

#: processes of a run that was killed end by themselves, but not at once
_EMPTY_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where memory cgroups can be made: below ``parent``."""

    version: int
    parent: Path


def find_hierarchy(proc: Path = Path("/proc")) -> Hierarchy | None:
    """Return version 1 where it has the memory controller, else version 2 if that has it.

    A group of version 1 is made below our own, so that limits on us hold for it; in version 2
    a group with processes can't have groups with limits below it, so it is made at the top.
    """
    try:
        mounts = rows(proc / "mounts")
    except OSError:  # /proc is not mounted
        return None
    for _device, where, kind, options, *_ in mounts:
        if kind == "cgroup" and "memory" in options.split(","):
            own = Path(where) / _own_path(proc).lstrip("/")
            return Hierarchy(1, own if own.is_dir() else Path(where))
    for _device, where, kind, *_ in mounts:
        controllers = Path(where) / "cgroup.controllers"
        if kind != "cgroup2" or not controllers.exists():
            continue
        if "memory" in controllers.read_text().split():
            return Hierarchy(2, Path(where))
    return None


def _own_path(proc: Path) -> str:
    """Return the group of this process; /proc/self/cgroup has no escapes, and a path any byte."""
    for line in (proc / "self" / "cgroup").read_bytes().split(b"\n"):
        _number, controllers, path = (*line.split(b":", 2), b"", b"")[:3]
        if b"memory" in controllers.split(b","):
            return os.fsdecode(path)
    return "/"


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A group that was made, as its users see it."""

    version: int
    path: Path

    def join(self, pid: int, name: str) -> None:
        """Move a process into ``pair`` or ``server``, which is charged for its memory from now."""
        _write(self.path / name / "cgroup.procs", str(pid))

    def leave(self, pid: int) -> None:
        """Move a process to where the group was made."""
        _write(self.path.parent / "cgroup.procs", str(pid))

    def set_limit(self, size_bytes: int) -> None:
        """Limit ``server``; MachineError where more is in use and cannot be reclaimed."""
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        _write(self.path / SERVER / name, str(size_bytes))

    def wait_until_empty(self, name: str) -> None:
        """Wait until every process there has ended, for a few seconds at most.

        Children of a killed process end after it, and hold memory and swap till then.
        """
        _wait_until_empty(self.path / name)

    def oom_kills(self) -> int:
        """Return how many processes of ``server`` the OOM killer has killed."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        try:
            lines = (self.path / SERVER / name).read_text().splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def peak_file(self, name: str = "") -> Path:
        """Return the file with the peak of all groups together, or of one of them."""
        file = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        return self.path / name / file

    @property
    def peak_how(self) -> str:
        return f"cgroup-v{self.version}"


class MemoryGroups(Undoing):
    """The groups that were made; a context manager that removes them.

    Its user holds the lock of the machine.
    """

    def __init__(self, hierarchy: Hierarchy | None = None, state: Path = STATE) -> None:
        self._ledger = Ledger(state / "groups.json", "groups")
        self._hierarchy = hierarchy

    def make(self) -> MemoryGroup:
        """Make the group of this process; MachineError says why it can't be made."""
        found = self._hierarchy or find_hierarchy()
        if found is None:
            raise MachineError("no memory cgroup: the controller is not mounted, or not built in")
        path = found.parent / f"vmabench-{os.getpid()}"
        with self._ledger.locked():
            entries, _ = self._ledger.load()
            entry: Entry = {"path": str(path), "switched": False}
            if found.version == 2:
                entry["switched"] = "memory" not in _read(_switch_of(found.parent)).split()
            self._ledger.save([*entries, entry])
            try:
                _make(found, path, entry)
            except MachineError:
                why = _unmake(entry)
                self._ledger.save(entries if why is None else [*entries, entry])
                raise
        return MemoryGroup(found.version, path)

    def why_not(self) -> str:
        """Return why no group can be made, by making one; empty where it can."""
        try:
            self.make()
        except MachineError as error:
            return str(error)
        self.restore()
        return ""

    def restore(self) -> list[str]:
        """Remove everything; return a line for each group. One that cannot be removed is kept."""
        if not self._ledger.any():
            return []
        lines, kept = [], []
        with self._ledger.locked():
            entries, same_boot = self._ledger.load()
            for entry in entries if same_boot else []:
                why = _unmake(entry)
                lines.append(f"{entry['path']}: {'removed' if why is None else why}")
                kept += [entry] if why else []
            self._ledger.save(kept)
        return lines


def _make(found: Hierarchy, path: Path, entry: Entry) -> None:
    """Make the group and those below it; MachineError."""
    try:
        if entry["switched"]:
            _write(_switch_of(found.parent), "+memory")
        path.mkdir()
        if found.version == 2:
            _write(_switch_of(path), "+memory")
        for name in (PAIR, SERVER):
            (path / name).mkdir()
        if found.version == 1:
            _write(path / SERVER / "memory.swappiness", "100")
    except OSError as error:
        raise MachineError(
            f"can't make the memory cgroup {path}: {error.strerror} (root may)"
        ) from error


def _switch_of(group: Path) -> Path:
    """Return the file of version 2 that has the controllers of the groups below a group."""
    return group / "cgroup.subtree_control"


def _unmake(entry: Entry) -> str | None:
    path = Path(str(entry["path"]))
    try:
        for group in (path / PAIR, path / SERVER, path):
            if group.is_dir():
                _wait_until_empty(group)
                group.rmdir()
        if entry["switched"]:
            _write(_switch_of(path.parent), "-memory")
    except (OSError, MachineError) as error:
        return f"can't be removed: {error}"
    return None


def _wait_until_empty(group: Path) -> None:
    """Poll cgroup.procs: its becoming empty is the only sign that version 1 gives."""
    deadline = time.monotonic() + _EMPTY_LIMIT_S
    while _read(group / "cgroup.procs") and time.monotonic() < deadline:
        time.sleep(0.01)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise MachineError(f"can't read {path}: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        if error.errno == errno.EBUSY and path.name == "cgroup.subtree_control":
            # as in a private cgroup namespace, whose root is no exception to the rule
            raise MachineError(
                f"no memory cgroup: {path.parent} holds processes, and such a group can have no "
                "groups with limits below it (move its processes into a group below it)"
            ) from error
        raise MachineError(f"can't write {text} to {path}: {error.strerror} (root may)") from error
