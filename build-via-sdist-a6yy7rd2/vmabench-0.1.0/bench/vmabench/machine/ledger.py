# SPDX-License-Identifier: GPL-2.0-only
"""A list on the disk of what was changed on this machine, so that another process can undo it.

What is to be done stands there before it is done: whoever is killed leaves it to the next one.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vmabench.atomic import replacing
from vmabench.errors import MachineError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

Entry = dict[str, Any]


def state_path() -> Path:
    """Where the lists are kept: in a place that outlives the process, one for each user."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "vmabench" / "settings.json"


class Undoing:
    """What was changed or made; a context manager that undoes it with ``restore`` at both ends.

    Whoever enters it holds the lock of the one run: what is there then, a killed one has left.
    """

    def restore(self) -> list[str]:
        """Undo everything; a line for each thing that was there."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.restore()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()


class Ledger:
    """The entries of one file, under ``key``; read and written within ``locked``."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._key = key

    def any(self) -> bool:
        """Whether there may be an entry, without a look at what."""
        return self.path.exists()

    def load(self) -> tuple[list[Entry], bool]:
        """The entries, and whether they were made since this machine was booted. MachineError."""
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return [], True
        except OSError as error:
            raise MachineError(f"can't read {self.path}: {error.strerror}") from error
        try:
            kept = json.loads(text)
            entries = [dict(entry) for entry in kept[self._key]]
            return entries, kept["boot_id"] == _boot_id()
        except (ValueError, KeyError, TypeError) as error:
            raise self.damaged(error) from error

    def damaged(self, error: Exception) -> MachineError:
        return MachineError(
            f"{self.path} is damaged ({error}): mend what it names by hand, then remove it"
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
        """One process at a time; the kernel drops the lock of one that is killed."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.with_suffix(".lock").open("a")
        except OSError as error:
            raise MachineError(
                f"can't keep what is borrowed in {self.path.parent}: {error.strerror}"
            ) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()
