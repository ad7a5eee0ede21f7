# SPDX-License-Identifier: GPL-2.0-only
"""One run at a time on a machine: two would measure each other."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmabench.errors import MachineError


def lock_path() -> Path:
    """In the directory that all users of the machine share."""
    return Path(tempfile.gettempdir()) / "vmabench.lock"


@contextmanager
def only_run() -> Iterator[None]:
    """Holds the machine's lock; raises MachineError while another run holds it.

    The lock ends with its process, however that ends; the file is left, since removing it
    would let two processes hold locks of two files of one name.
    """
    path = lock_path()
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise MachineError(
            f"another run is measuring on this machine (process {holder}): wait until it has ended"
        ) from None
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    # Without O_CREAT first: in a sticky directory the kernel refuses to create what another
    # user has created already (fs.protected_regular).
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        os.fchmod(descriptor, 0o666)  # the umask must not lock the other users out
    except OSError as error:
        raise MachineError(f"can't take the lock of the machine: {error}") from error
    return descriptor
