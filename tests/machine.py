# SPDX-License-Identifier: GPL-2.0-only
"""One session at a time changes this machine, and a session that is killed leaves it as it was."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.undo import afterwards, chosen
from vmabench.machine.tuning import ADVICE

#: a directory of sysfs is the same for all checkouts, users and temporary directories
LOCK = Path("/sys/kernel")

_SETTINGS = (
    "/sys/kernel/mm/transparent_hugepage/*enabled",
    "/sys/kernel/mm/transparent_hugepage/hugepages-*/*enabled",
    "/sys/kernel/mm/hugepages/*/nr_hugepages",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/overcommit_ratio",
    "/proc/sys/vm/unprivileged_userfaultfd",
    "/proc/sys/vm/page-cluster",
    "/proc/sys/fs/pipe-*",
    *(f"/{advice.file}" for advice in ADVICE),
)

#: a value that is still there is not written again: a write of overcommit_ratio has side effects
_RESTORE = """
while [ $# -gt 1 ]; do
	case $(cat "$2") in "$1" | *"[$1]"*) ;; *) printf %s "$1" >"$2" ;; esac
	shift 2
done
"""


def settings() -> list[Path]:
    """Return the settings of this machine that tests change, as far as this user can."""
    found = [path for pattern in _SETTINGS for path in Path("/").glob(pattern[1:])]
    return [path for path in found if os.access(path, os.W_OK)]


@contextmanager
def alone(
    say: Callable[[str], None], lock: Path = LOCK, changed: Sequence[Path] | None = None
) -> Iterator[None]:
    """Hold the lock; say so when another session has it. Restore the settings in any case."""
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: other tests on this machine hold the lock of {lock}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        paths = settings() if changed is None else changed
        pairs = [text for path in paths for text in (chosen(path.read_text()), str(path))]
        with afterwards("sh", "-c", _RESTORE, "restore", *pairs):
            yield
    finally:
        os.close(descriptor)
