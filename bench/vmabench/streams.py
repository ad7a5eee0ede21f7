# SPDX-License-Identifier: GPL-2.0-only
"""Standard streams that never stop the work: a failure to write is kept for the end."""

import codecs
import errno
import io
import os
import select
import sys
from typing import Any, TextIO

#: ASCII for a terminal without UTF-8; a replacement of several letters is used at the end of cells
_PLAIN = {"\N{PLUS-MINUS SIGN}": "+-", "\N{RIGHTWARDS ARROW}": "->", "\N{MIDDLE DOT}": "-"}


class _Output(io.BufferedWriter):
    """A descriptor that becomes /dev/null on its first failure, which is kept.

    Not a raw stream: an interrupt in its write() would let the buffer write the same text again.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(io.FileIO(descriptor, "w", closefd=False))
        self.failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        rest = memoryview(data)
        size = rest.nbytes
        while rest:
            try:
                rest = rest[super().write(rest) :]
            except BlockingIOError as full:
                rest = rest[full.characters_written :]
                self._wait()
            except OSError as error:
                self._lose(error)
        return size

    def flush(self) -> None:
        while True:
            try:
                return super().flush()
            except BlockingIOError:
                self._wait()
            except OSError as error:
                self._lose(error)

    def _wait(self) -> None:
        """Wait for room: a parent may leave its pipe non-blocking, as node does."""
        select.select([], [self.fileno()], [])

    def _lose(self, error: OSError) -> None:
        self.failure = self.failure or error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)


def prepare() -> None:
    """Replace the interpreter's standard streams; writing to a closed one is a failure to keep.

    A stream that another program has put in place, as pytest does, stays.
    """
    codecs.register_error("plain", _in_plain_letters)
    for descriptor in range(3):
        _occupy(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(1, sys.stdout, line_buffering=os.isatty(1))
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(2, sys.stderr, line_buffering=True)


def lost_output() -> OSError | None:
    """Return the error that kept text from standard output; a closed pipe is none."""
    sys.stdout.flush()
    output = getattr(sys.stdout, "buffer", None)
    failure = output.failure if isinstance(output, _Output) else None
    return None if failure and failure.errno == errno.EPIPE else failure


def _occupy(descriptor: int) -> None:
    """Open a closed descriptor, so that no file of ours gets its number; writing to it fails."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDONLY)


def _text(descriptor: int, before: TextIO | None, *, line_buffering: bool) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        _Output(descriptor),
        encoding=before.encoding if before else "utf-8",
        errors="plain",
        line_buffering=line_buffering,
    )


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter, "?") for letter in letters), error.end
