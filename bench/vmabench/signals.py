# SPDX-License-Identifier: GPL-2.0-only
"""Signals that ask a process to end become one KeyboardInterrupt, so that it ends in order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C must not stop the saving and restoring that the first one has started.
    for ending in ENDING:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first of these signals into a KeyboardInterrupt and ignore those after it.

    A signal that was ignored at the start stays ignored, as nohup(1) wants it.
    """
    handlers = {number: signal.getsignal(number) for number in ENDING}
    caught = [number for number in ENDING if handlers[number] is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, handlers[number])


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold these signals back until the block has ended.

    The mask is that of this thread and of the commands that it starts. Another thread, of numpy or
    of a notebook, may still take a signal, and Python then calls the handler in the main thread: so
    handlers are deferred as well.
    """
    with _deferred():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _deferred() -> Iterator[None]:
    """Call the handlers of the main thread after the block; other threads are not interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in ENDING}
    deferred = {number: one for number, one in handlers.items() if callable(one)}
    came: list[int] = []
    for number in deferred:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in deferred.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)
