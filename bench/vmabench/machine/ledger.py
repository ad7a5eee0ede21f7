# SPDX-License-Identifier: GPL-2.0-only
"""Lists on the disk of what was changed on this machine, so that another process can undo it.

There is one place for the whole machine, whatever the user's HOME or TMPDIR, and only root writes
to it. It outlives a boot, as swap files do. A change is noted before it is made, so the next run
can undo what a killed one has left.
"""

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vmabench.atomic import replacing
from vmabench.errors import MachineError
from vmabench.signals import uninterrupted

STATE = Path("/var/lib/vmabench")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

Entry = dict[str, Any]


class Undoing:
    """Changes of the machine; a context manager that calls ``restore`` at both ends.

    Its user holds the lock of the machine, so what is noted at the beginning is from a killed run.
    A Ctrl-C waits until everything is restored; commands such as swapoff(8) inherit the mask.
    """

    def restore(self) -> list[str]:
        """Undo everything; return a line for each thing that was noted."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        with uninterrupted():
            self.restore()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with uninterrupted():
            self.restore()


class Ledger:
    """The entries of one file, under ``key``; written within ``locked``."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._key = key

    def any(self) -> bool:
        """Return whether there may be an entry that this user can undo."""
        return os.access(self.path, os.W_OK)

    def load(self) -> tuple[list[Entry], bool]:
        """Return the entries, and whether they are from this boot. Raise MachineError."""
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return [], True
        except OSError as error:
            raise MachineError(f"cannot read {self.path}: {error.strerror}") from error
        try:
            kept = json.loads(text)
            entries = [dict(entry) for entry in kept[self._key]]
            return entries, kept["boot_id"] == _boot_id()
        except (ValueError, KeyError, TypeError) as error:
            raise self.damaged(error) from error

    def damaged(self, error: Exception) -> MachineError:
        return MachineError(
            f"{self.path} is damaged ({error}): restore what it names by hand, then remove it"
        )

    def save(self, entries: Sequence[Entry]) -> None:
        if not entries:
            self.path.unlink(missing_ok=True)
            return
        data = {"boot_id": _boot_id(), self._key: list(entries)}
        with replacing(self.path) as unfinished:
            unfinished.write_text(json.dumps(data, indent=1) + "\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory of the file: one process at a time. Raise MachineError."""
        descriptor = _open_directory(self.path.parent)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def why_not_noted(directory: Path = STATE) -> str:
    """Return why no change can be noted, and so none is made; empty where it can."""
    try:
        os.close(_open_directory(directory))
    except MachineError as error:
        return str(error)
    return ""


def check_restorable(directory: Path = STATE) -> None:
    """Raise MachineError where there may be entries that this user cannot undo."""
    if directory.exists() and (why := why_not_noted(directory)):
        raise MachineError(why)


def _open_directory(directory: Path) -> int:
    """Open it, made if missing, where this user alone may write; raise MachineError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(directory, flags)
    except OSError as error:
        raise _not_noted(directory, _reason(error)) from error
    status = os.fstat(descriptor)
    own = status.st_uid == os.geteuid()
    if not os.access(directory, os.W_OK):
        reason = os.strerror(errno.EROFS) if own else f"{os.strerror(errno.EACCES)} (root may)"
    elif not own or status.st_mode & 0o022:
        reason = f"another user owns it or may write to it (as root: rm -r {directory})"
    else:
        return descriptor
    os.close(descriptor)
    raise _not_noted(directory, reason)


def _reason(error: OSError) -> str:
    may = " (root may)" if error.errno in (errno.EACCES, errno.EPERM) else ""
    return f"{error.strerror}{may}"


def _not_noted(directory: Path, reason: str) -> MachineError:
    return MachineError(f"cannot note what is borrowed in {directory}: {reason}")


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError as error:
        raise MachineError(f"cannot read {_BOOT_ID}: {error.strerror}") from error
