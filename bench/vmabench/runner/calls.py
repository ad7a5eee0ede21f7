# SPDX-License-Identifier: GPL-2.0-only
"""System calls that a seccomp filter kills their caller for, found by trying them in a worker."""

import os
from functools import cache

from vmabench.machine.facts import read_facts
from vmabench.mechanisms import CALLS
from vmabench.runner.process import Worker, WorkerLostError, WorkerStartError
from vmabench.runner.protocol import Job

#: a call that takes longer hangs
_LIMIT_S = 30.0


@cache
def killed_calls() -> frozenset[str]:
    """Return the names of ``mechanisms.CALLS`` that kill; raise WorkerStartError without a worker.

    A process without a seccomp filter has none.
    """
    if read_facts().seccomp == 0:
        return frozenset()
    killed: list[str] = []
    left = CALLS
    while left:
        current = _first_killed(left)
        if current is None:
            break
        killed.append(current)
        left = left[left.index(current) + 1 :]
    return frozenset(killed)


def _first_killed(names: tuple[str, ...]) -> str | None:
    """Try the calls in turn in one worker; return the one that it died of."""
    current = names[0]
    with Worker(Job(os.getpid(), 1, 1, 0, 0, (), tries=names)) as worker:
        try:
            for message in worker.messages(lambda _last: _LIMIT_S):
                current = message["case"]
        except WorkerStartError:
            raise
        except WorkerLostError:
            return current
    return None
