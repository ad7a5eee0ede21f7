# SPDX-License-Identifier: GPL-2.0-only
"""The parent's view of a worker: start it, read its messages, end it whatever happens."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from vmabench.errors import MachineError
from vmabench.runner.protocol import Job, Message
from vmabench.runner.signals import uninterrupted


class WorkerLostError(Exception):
    """The worker ended, or fell silent, before its job was done."""


class Worker:
    """A worker process with its job; a context manager that leaves no process behind.

    It gets a session of its own, so that Ctrl-C reaches the parent alone, which decides.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.started_ns = 0
        self._started = False

    def __enter__(self) -> Self:
        self._buffer = b""
        self.started_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        try:
            # An interrupt amid the start would leave a worker that nobody knows. It comes when
            # the block ends. The worker lifts the mask that it inherits.
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
            [sys.executable, "-m", "vmabench.runner.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._started = True
        assert self._process.stdin and self._process.stdout
        self._pipe = self._process.stdout.fileno()
        # A worker that died at once does not take its job: messages() will say how it died.
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
        # Its source process has asked the kernel to be killed with it.
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()

    def messages(self, limit_s: Callable[[Message | None], float]) -> Iterator[Message]:
        """Each message as it comes; raises WorkerLostError.

        ``limit_s`` says how many seconds the worker may be silent after a message, or at the
        start.
        """
        last: Message | None = None
        while (line := self._read_line(limit_s(last))) is not None:
            last = json.loads(line)
            yield last
        if self._process.wait() != 0:
            raise WorkerLostError(self._how_it_ended())

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

    def _how_it_ended(self) -> str:
        status = self._process.returncode
        if status < 0:
            return f"the worker process was killed by signal {-status} ({_signal_name(-status)})"
        assert self._process.stderr
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        why = f": {lines[-1]}" if lines else ""
        return f"the worker process ended with status {status}{why}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
