# SPDX-License-Identifier: GPL-2.0-only
"""A noisy neighbour: a process that runs for half of the time, wherever the scheduler puts it.

    python bench/crosscheck/neighbour.py        until it is interrupted, or who started it is gone

It works for a second on the average and rests for as long, at times that nothing foresees. It
copies memory that no cache holds, so that it takes time on a CPU, cache, and memory bandwidth.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

BUFFER_BYTES = 64 << 20
PERIOD_S = 1.0


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    source, target = bytes(BUFFER_BYTES), bytearray(BUFFER_BYTES)
    # a check that was killed would leave a neighbour to whatever is measured next; it says who
    # it is, as it may be gone before this line
    parent = int(sys.argv[1]) if sys.argv[1:] else os.getppid()
    while os.getppid() == parent:
        end = time.monotonic() + random.uniform(0.5, 1.5) * PERIOD_S  # noqa: S311
        while time.monotonic() < end:
            target[:] = source
        time.sleep(random.uniform(0.5, 1.5) * PERIOD_S)  # noqa: S311


@contextlib.contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """One beside the block, if wanted; it ends with it."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, __file__, str(os.getpid())])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
