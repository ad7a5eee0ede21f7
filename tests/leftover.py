# SPDX-License-Identifier: GPL-2.0-only
"""Find workers and sources that outlive what started them."""

import os
import re
import signal
from pathlib import Path

from vmabench.mechanisms import SOURCE_PROGRAM

PROC = Path("/proc")

_PF_EXITING = 0x4
_SIGKILL = 1 << (signal.SIGKILL - 1)


def processes() -> set[int]:
    """Return the PIDs of all processes."""
    return {int(path.name) for path in PROC.iterdir() if path.name.isdigit()}


def workers() -> set[int]:
    """Return the PIDs of the workers of this session."""
    return {pid for pid in processes() if _is_own_worker(pid)}


def _is_own_worker(pid: int) -> bool:
    try:
        return _is_worker(PROC / str(pid))
    except OSError:  # it has ended
        return False


def is_left_behind(pid: int) -> bool:
    """Return whether it is a source without a worker, or a worker of this session, and stays.

    A process that is exiting or has a SIGKILL pending does not stay: the kernel kills a source
    with its worker (PR_SET_PDEATHSIG), and on a busy machine it dies a little later.
    """
    process = PROC / str(pid)
    try:
        if not (_is_lone_source(process) or _is_worker(process)):
            return False
        return not _is_dying(process)
    except OSError:  # it has ended
        return False


def _is_lone_source(process: Path) -> bool:
    """Tests of two checkouts may run at once: their programs lie in different places."""
    if (process / "comm").read_text() != "vmabench-source\n":
        return False
    program, parent = (process / "exe").readlink(), int(_stat(process)[1])
    is_other = program.parts[-2:] == SOURCE_PROGRAM.parts[-2:] and program != SOURCE_PROGRAM
    return parent in (1, os.getpid()) and not is_other


def _is_worker(process: Path) -> bool:
    if b"vmabench.runner.worker" not in (process / "cmdline").read_bytes():
        return False
    session_mark = f"VMABENCH_TEST_SESSION={os.getpid()}".encode()
    return session_mark in (process / "environ").read_bytes()


def _is_dying(process: Path) -> bool:
    pending = re.findall(r"(?:SigPnd|ShdPnd):\s+(\w+)", (process / "status").read_text())
    is_killed = any(int(mask, 16) & _SIGKILL for mask in pending)
    return is_killed or bool(int(_stat(process)[6]) & _PF_EXITING)


def _stat(process: Path) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on."""
    return (process / "stat").read_text().rpartition(")")[2].split()
