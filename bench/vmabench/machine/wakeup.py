# SPDX-License-Identifier: GPL-2.0-only
"""How long a CPU may take to leave idle, as a process asks the kernel.

The request lasts as long as a file is open, so there is nothing to restore, also after a SIGKILL.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DEVICE = "dev/cpu_dma_latency"


@contextmanager
def awake_cpus(root: Path = Path("/")) -> Iterator[int | None]:
    """Ask for a latency of 0 us until the block ends; yield it, or None where that is refused.

    The side that waits for a message would leave a deep idle state first, the other one not.
    """
    try:
        device = (root / _DEVICE).open("r+b", buffering=0)
    except OSError:
        yield None
        return
    with device:
        try:
            device.write(struct.pack("=i", 0))
            latency_us: int | None = 0
        except OSError:
            latency_us = None
        yield latency_us
