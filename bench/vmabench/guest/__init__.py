# SPDX-License-Identifier: GPL-2.0-only
"""A kernel in a virtual machine: build it, run commands and tests in it.

``build`` returns a Kernel; ``run``, ``selftests`` and ``shell`` take one.
"""

from vmabench.errors import LostGuest
from vmabench.guest.boot import Outcome, choose, run, shell
from vmabench.guest.cache import Kernel
from vmabench.guest.kbuild import build, cached
from vmabench.guest.kselftest import Selftests
from vmabench.guest.kselftest import run as selftests
from vmabench.guest.qemu import Machine
from vmabench.guest.spec import Spec

__all__ = [
    "Kernel",
    "LostGuest",
    "Machine",
    "Outcome",
    "Selftests",
    "Spec",
    "build",
    "cached",
    "choose",
    "run",
    "selftests",
    "shell",
]
