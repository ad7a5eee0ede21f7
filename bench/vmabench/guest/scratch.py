# SPDX-License-Identifier: GPL-2.0-only
"""Temporary directories and child processes that do not outlive a killed process.

Each directory is locked while its process lives. A SIGKILL drops the lock, and the next process
that creates a directory removes those without one.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

_PREFIX = "vmabench-guest-"


def tied(command: Sequence[str], signal: str = "KILL") -> list[str]:
    """Return ``command`` such that it gets ``signal`` when this process ends (PR_SET_PDEATHSIG)."""
    return ["setpriv", "--pdeathsig", signal, "--", *command]


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Create a temporary directory and remove it at the end."""
    remove_stale()
    # Under its final name the directory is locked from the start: remove_stale() of another
    # process must not find it before.
    unlocked = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
    with _opened(unlocked) as descriptor:
        with contextlib.suppress(OSError):  # ENOLCK: nobody can take it for stale then
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        path = unlocked.rename(unlocked.with_name(unlocked.name[1:]))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def remove_stale() -> None:
    """Remove this user's directories whose process was killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _opened(path) as descriptor:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
