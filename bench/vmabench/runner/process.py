# SPDX-License-Identifier: GPL-2.0-only
"""The parent's view of a worker: start it, check its code, read its messages, end it."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

from vmabench.errors import MachineError
from vmabench.runner.protocol import Job, Message, identity
from vmabench.signals import uninterrupted

#: The options of a Python process of this package: -P leaves the current directory out of
#: sys.path, which may hold another checkout, or a json.py.
PYTHON = (sys.executable, "-P")


class WorkerLostError(Exception):
    """The worker ended, or fell silent, before its job was done.

    ``signal`` is the number of the signal that killed it, or 0.
    """

    def __init__(self, message: str, signal: int = 0) -> None:
        super().__init__(message)
        self.signal = signal


class WorkerStartError(WorkerLostError, MachineError):
    """The worker ended before its first message: no worker can run here."""

    def __init__(self, lost: WorkerLostError) -> None:
        super().__init__(f"can't start a worker process: {lost}", lost.signal)


class Worker:
    """A worker process with its job; a context manager that leaves no process behind.

    The worker has a session of its own: Ctrl-C reaches the parent alone.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.started_ns = 0
        self._started = False

    def __enter__(self) -> Self:
        self._buffer = b""
        self.started_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        try:
            # An interrupt during the start would leak the worker: it is held back until the block
            # ends. The worker lifts the mask that it inherits.
            with uninterrupted():
                self._start()
        except OSError as error:
            self._end()
            raise MachineError(f"can't start a worker process: {error.strerror}") from error
        except BaseException:
            self._end()
            raise
        return self

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [*PYTHON, "-m", "vmabench.runner.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._started = True
        assert self._process.stdin and self._process.stdout
        self._pipe = self._process.stdout.fileno()
        # A worker that died at once does not read its job: messages() reports how it died.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(self._job.to_json().encode())
            self._process.stdin.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        if not self._started:
            return
        # An interrupt in here would leave the worker behind, or as a zombie of a process that lives
        # on, such as the kernel of a notebook.
        with uninterrupted():
            # PR_SET_PDEATHSIG kills its source process with it.
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdout, self._process.stderr):
                if stream:
                    stream.close()

    def messages(self, limit_s: Callable[[Message | None], float]) -> Iterator[Message]:
        """Yield each message as it comes.

        ``limit_s`` returns how many seconds the worker may be silent after a message, or before
        the first one. Raises WorkerLostError, WorkerStartError before the first message, and
        MachineError if the worker runs other code than this process.
        """
        try:
            hello = self._read_message(limit_s(None))
            if hello is None:
                raise self._lost()
        except WorkerLostError as error:
            raise WorkerStartError(error) from error
        check_identity(hello, identity())
        last: Message | None = None
        while (message := self._read_message(limit_s(last))) is not None:
            last = message
            yield message
        if self._process.wait() != 0:
            raise self._lost()

    def _read_message(self, limit_s: float) -> Message | None:
        line = self._read_line(limit_s)
        if line is None:
            return None
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise WorkerLostError(f"the worker process wrote {line[:80]!r}: no message")
        return message

    def _read_line(self, limit_s: float) -> bytes | None:
        deadline = time.monotonic() + limit_s
        while b"\n" not in self._buffer:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._pipe], [], [], left_s)[0]:
                raise WorkerLostError(f"the worker process was silent for {limit_s:.0f} s")
            chunk = os.read(self._pipe, 1 << 16)
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _lost(self) -> WorkerLostError:
        """Return how the worker ended, which has closed its output."""
        status = self._process.wait()
        if status < 0:
            name = _signal_name(-status)
            return WorkerLostError(f"the worker process was killed by signal {name}", -status)
        assert self._process.stderr
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        why = f": {lines[-1]}" if lines else ""
        return WorkerLostError(f"the worker process ended with status {status}{why}")


def check_identity(found: Mapping[str, object], expected: Mapping[str, str]) -> None:
    """Raise MachineError if a worker of identity ``found`` runs other code than ``expected``."""
    for name, value in expected.items():
        if found.get(name) != value:
            raise MachineError(
                f"the worker process has another {name} than its parent: {found.get(name)}, not "
                f"{value} (run the vmabench command of one installation; python -m vmabench takes "
                "the package of the current directory)"
            )


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)
