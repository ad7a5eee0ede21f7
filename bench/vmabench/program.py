# SPDX-License-Identifier: GPL-2.0-only
"""The frame of every command: signals, standard streams, and one line for each error.

Exit status 0: done. 1: an error, in one line on standard error. 130: interrupted by SIGINT, SIGTERM
or SIGHUP. A command returns other statuses itself.
"""

import os
import sys
from collections.abc import Callable

from vmabench import streams
from vmabench.errors import LostGuest, VmabenchError
from vmabench.signals import interruptible

ERROR, INTERRUPTED = 1, 130

#: an environment variable; a traceback precedes the line of each error where it is set
DEBUG = "VMABENCH_DEBUG"


def run_program(command: Callable[[], int]) -> int:
    """Run a command and return the exit status of the process; no exception leaves it."""
    streams.prepare()
    with interruptible():
        try:
            status = _status(command)
        except KeyboardInterrupt:
            _complain("interrupted")
            status = INTERRUPTED
    if lost := streams.lost_output():
        _complain(f"standard output is incomplete: {lost.strerror}")
        status = status or ERROR
    return status


def _status(command: Callable[[], int]) -> int:
    try:
        return command()
    except SystemExit as end:  # after --help, and of pyperf
        return end.code if isinstance(end.code, int) else ERROR if end.code else 0
    except Exception as error:
        if os.environ.get(DEBUG):
            import traceback  # with pathlib, a fifth of the time of --help

            traceback.print_exc()
        _complain(sentence(error))
        if isinstance(error, LostGuest) and error.log_tail:
            sys.stderr.write(f"the end of its log:\n{error.log_tail}\n")
        return ERROR


def sentence(error: Exception) -> str:
    """One line that says what failed, on what and why."""
    return " ".join(_explained(error).splitlines())


def _explained(error: Exception) -> str:
    match error:
        case VmabenchError():
            return str(error)
        case OSError():
            names = [str(name) for name in (error.filename, error.filename2) if name is not None]
            reason = error.strerror or str(error) or type(error).__name__
            text = f"{' and '.join(names)}: {reason}" if names else reason
        case RecursionError():
            text = f"data is nested too deeply: {error}"
        case MemoryError():
            text = "out of memory"
        case ImportError():
            text = f"vmabench is not whole, install it again: {error}"
        case UnicodeError() | RuntimeError():
            text = str(error)
        case _:
            import traceback

            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename.rpartition('/')[2]}, line {place.lineno}"
            text = (
                f"a fault in vmabench, please report it: {type(error).__name__}: {error} ({where})"
            )
    return f"{text} (set {DEBUG}=1 for a traceback)"


def _complain(text: str) -> None:
    sys.stderr.write(f"vmabench: {text}\n")
    sys.stderr.flush()
