# SPDX-License-Identifier: GPL-2.0-only
"""What a test changes of the machine is undone when it ends, and also if it is killed."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Waits for the end of its standard input, whose other end only the test has: the kernel closes it
#: whatever becomes of the test. No signal that is meant for the test ends the waiting.
_KEEPER = """
trap "" HUP INT TERM
while read -r _line; do :; done
exec "$@"
"""

_WRITER = 'printf %s "$1" >"$2"'

#: an undoing that takes longer than this hangs
_LIMIT_S = 30


@contextmanager
def afterwards(*command: str) -> Iterator[None]:
    """A block after which the command is done, by a process that outlives this one."""
    keeper = subprocess.Popen(
        ["sh", "-c", _KEEPER, "keeper", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield
    finally:
        _, errors = keeper.communicate(timeout=_LIMIT_S)
        assert keeper.returncode == 0, f"{command} failed: {errors.decode()}"


def chosen(text: str) -> str:
    """The value of a setting, as it is written back: of ``always [madvise]`` that in brackets."""
    return text.partition("[")[2].partition("]")[0] or text.strip()


@contextmanager
def restored(path: Path) -> Iterator[None]:
    """A setting that the block may change."""
    with afterwards("sh", "-c", _WRITER, "writer", chosen(path.read_text()), str(path)):
        yield


@contextmanager
def borrowed(path: Path, value: str) -> Iterator[None]:
    """A setting in sysfs or /proc/sys for the time of a block; what was there comes back."""
    with restored(path):
        path.write_text(value)
        yield
