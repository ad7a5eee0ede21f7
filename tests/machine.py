# SPDX-License-Identifier: GPL-2.0-only
"""One session at a time changes this machine, and a session that is killed leaves it as it was."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.undo import afterwards, chosen
from vmabench.machine.ledger import STATE
from vmabench.machine.tuning import ADVICE
from vmabench.runner.lock import lock_path

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

#: Waits for a run that outlives a killed session: it would borrow settings again. A value that is
#: still there is not written: a write of overcommit_ratio has side effects.
_RESTORE = """
[ "$ended" ] || flock "$1" true
shift
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
    say: Callable[[str], None],
    lock: Path = LOCK,
    runs: Path | None = None,
    changed: Sequence[Path] | None = None,
) -> Iterator[None]:
    """Hold the lock; say so when another session has it. Restore the settings in any case.

    ``runs`` is the lock of the runs of vmabench. A killed session leaves the lock to the process
    that restores its settings: the next one starts with the settings from before.
    """
    runs = runs or lock_path()
    with _locked(lock, say, "other tests on this machine hold") as descriptor:
        with _locked(runs, say, "a run on this machine holds"):
            pass
        if changed is None:
            _restore_loans()
            changed = settings()
        pairs = [text for path in changed for text in (chosen(path.read_text()), str(path))]
        command = ("sh", "-c", _RESTORE, "restore", str(runs), *pairs)
        with afterwards(*command, keep=[descriptor]):
            yield


@contextmanager
def _locked(path: Path, say: Callable[[str], None], who: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: {who} the lock of {path}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _restore_loans() -> None:
    """Restore what a killed run has borrowed, before it is taken for the setting to restore."""
    if any(STATE.glob("*.json")):
        command = (sys.executable, "-m", "vmabench", "tune", "--restore")
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
