# SPDX-License-Identifier: GPL-2.0-only
"""A memory cgroup of the suite's own, version 1 or 2: for the peak of a pair, and for a limit.

It has two groups below it: ``pair``, which workers join with their sources, and ``server``, which
has a limit and holds small C processes alone, never an interpreter.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import MachineError
from vmabench.machine.ledger import Ledger, Undoing, state_path

PAIR, SERVER = "pair", "server"

#: processes of a run that was killed end by themselves, but not at once
_EMPTY_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where memory cgroups can be made: below ``parent``."""

    version: int
    parent: Path


def find_hierarchy(proc: Path = Path("/proc")) -> Hierarchy | None:
    """Version 1 where the memory controller is there, else version 2 if it has it.

    A group of version 1 is made below our own, so that limits on us hold for it; in version 2
    a group with processes can't have groups with limits below it, so it is made at the top.
    """
    mounts = [line.split() for line in (proc / "mounts").read_text().splitlines()]
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
    for line in (proc / "self" / "cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return path
    return "/"


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A group that was made, as its users see it."""

    version: int
    path: Path

    def join(self, pid: int, name: str) -> None:
        """Move a process into ``pair`` or ``server``; what it has already is not charged there."""
        _write(self.path / name / "cgroup.procs", str(pid))

    def leave(self, pid: int) -> None:
        """Move a process to where the group was made."""
        _write(self.path.parent / "cgroup.procs", str(pid))

    def set_limit(self, size_bytes: int) -> None:
        """Of ``server``; MachineError where more than that is in use and can't be reclaimed."""
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        _write(self.path / SERVER / name, str(size_bytes))

    def wait_until_empty(self, name: str) -> None:
        """Until every process there has ended, for a few seconds at most.

        What a killed process leaves behind ends after it, and holds memory and swap till then.
        """
        _wait_until_empty(self.path / name)

    def oom_kills(self) -> int:
        """How many processes of ``server`` the OOM killer has ended."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        try:
            lines = (self.path / SERVER / name).read_text().splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def peak_file(self, name: str = "") -> Path:
        """Of all groups together, or of one of them."""
        file = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        return self.path / name / file

    @property
    def peak_how(self) -> str:
        return f"cgroup-v{self.version}"


class MemoryGroups(Undoing):
    """What was made; a context manager that removes it. Its user holds the lock of the one run."""

    def __init__(self, hierarchy: Hierarchy | None = None) -> None:
        self._ledger = Ledger(state_path().with_name("groups.json"), "groups")
        self._hierarchy = hierarchy

    def make(self) -> MemoryGroup:
        """The group of this process; MachineError says why it can't be made."""
        found = self._hierarchy or find_hierarchy()
        if found is None:
            raise MachineError("no memory cgroup: the controller is not mounted, or not built in")
        path = found.parent / f"vmabench-{os.getpid()}"
        switch = found.parent / "cgroup.subtree_control"
        with self._ledger.locked():
            entries, _ = self._ledger.load()
            entry = {"path": str(path), "switched": False}
            if found.version == 2:
                entry["switched"] = "memory" not in _read(switch).split()
            self._ledger.save([*entries, entry])
            try:
                if entry["switched"]:
                    _write(switch, "+memory")
                path.mkdir()
                if found.version == 2:
                    _write(path / "cgroup.subtree_control", "+memory")
                for name in (PAIR, SERVER):
                    (path / name).mkdir()
                if found.version == 1:
                    _write(path / SERVER / "memory.swappiness", "100")
            except (OSError, MachineError) as error:
                why = _unmake(entry)
                self._ledger.save(entries if why is None else [*entries, entry])
                if isinstance(error, MachineError):
                    raise
                raise MachineError(
                    f"can't make the memory cgroup {path}: {error.strerror} (root may)"
                ) from error
        return MemoryGroup(found.version, path)

    def restore(self) -> list[str]:
        """Remove everything; a line for each group that was there. What can't be stays listed."""
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


def _unmake(entry: dict[str, object]) -> str | None:
    path = Path(str(entry["path"]))
    try:
        for group in (path / PAIR, path / SERVER, path):
            if group.is_dir():
                _wait_until_empty(group)
                group.rmdir()
        if entry["switched"]:
            _write(path.parent / "cgroup.subtree_control", "-memory")
    except (OSError, MachineError) as error:
        return f"can't be removed: {error}"
    return None


def _wait_until_empty(group: Path) -> None:
    """The kernel tells when the last process has ended by the file being empty, nothing else."""
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
        raise MachineError(f"can't write {text} to {path}: {error.strerror} (root may)") from error
