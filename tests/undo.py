# SPDX-License-Identifier: GPL-2.0-only
"""Undo what a test changes of the machine, when it ends and also when it is killed."""

import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

#: Waits for a line that the block has ended, or for the end of its standard input. Only the test
#: has the other end, and the kernel closes it when the test is killed: $ended is empty then.
#: Signals for the test do not end the wait.
_KEEPER = """
trap "" HUP INT TERM
read -r ended
export ended
exec "$@"
"""

_WRITER = 'printf %s "$1" >"$2"'

#: a command that takes longer hangs
_LIMIT_S = 30


@contextmanager
def afterwards(*command: str, keep: Collection[int] = ()) -> Iterator[None]:
    """Run the command after the block, by a process that outlives this one.

    The process inherits the descriptors in ``keep``, so their locks end after the command.
    """
    keeper = subprocess.Popen(
        ["sh", "-c", _KEEPER, "keeper", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=keep,
    )
    try:
        yield
    finally:
        _, errors = keeper.communicate(b"ended\n", timeout=_LIMIT_S)
        assert keeper.returncode == 0, f"{command} failed: {errors.decode()}"


def chosen(text: str) -> str:
    """Return the value of a setting as it is written: of ``always [madvise]`` that in brackets."""
    return text.partition("[")[2].partition("]")[0] or text.strip()


@contextmanager
def restored(path: Path) -> Iterator[None]:
    """Restore a setting after the block, which may change it."""
    with afterwards("sh", "-c", _WRITER, "writer", chosen(path.read_text()), str(path)):
        yield


@contextmanager
def borrowed(path: Path, value: str) -> Iterator[None]:
    """Set a setting in sysfs or /proc/sys for the time of the block, then restore it."""
    with restored(path):
        path.write_text(value)
        yield
