# SPDX-License-Identifier: GPL-2.0-only
"""One run at a time on a machine: two runs would measure each other.

The lock is flock(2) on an object of the kernel: the time namespace, or a directory of sysfs where
the kernel has no time namespaces. Nothing is created or written, so no link of another user can
lead the lock elsewhere, every user can take it, and neither TMPDIR nor a private /tmp, a chroot or
a container changes which lock it is. The lock ends with its process, however that ends.

Limit: a process in a time namespace of its own (``unshare --time``; container runtimes do not make
one by default) is not excluded. On a kernel without CONFIG_TIME_NS the same holds for a network
namespace of its own, which mounts another sysfs.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmabench.errors import MachineError

#: the first that the kernel has; the last needs no option of the kernel
_SHARED = (Path("/proc/self/ns/time"), Path("/sys/kernel/mm"))

_LOCKS = Path("/proc/locks")


@contextmanager
def only_run() -> Iterator[None]:
    """Hold the lock of the machine; raise MachineError while another run holds it."""
    path = lock_path()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MachineError(f"cannot open {path} to lock it: {error.strerror}") from error
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def holder() -> int | None:
    """Return the process that holds the lock; None without one, or where it is not visible.

    /proc/locks has lines such as ``1: FLOCK  ADVISORY  WRITE 815 00:04:4026531834 0 EOF``, none
    for a process outside the reader's PID namespace.
    """
    status = lock_path().stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    try:
        lines = [line.split() for line in _LOCKS.read_text().splitlines()]
    except OSError:  # /proc with subset=pid
        return None
    name = f"{device}:{status.st_ino}"
    return next((int(words[4]) for words in lines if words[1::4] == ["FLOCK", name]), None)


def lock_path() -> Path:
    """Return what the lock is taken on; MachineError where there is none."""
    for path in _SHARED:
        if path.exists():
            return path
    raise MachineError(f"cannot lock the machine: there is no {' and no '.join(map(str, _SHARED))}")


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MachineError(
            f"another run is measuring on this machine (process {holder() or 'not visible here'}): "
            "wait until it has ended"
        ) from None
    except OSError as error:
        raise MachineError(f"cannot lock {path}: {error.strerror}") from error
