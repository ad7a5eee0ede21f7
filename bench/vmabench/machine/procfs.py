# SPDX-License-Identifier: GPL-2.0-only
"""Tables of procfs whose fields may hold any path, such as /proc/mounts and /proc/swaps."""

import os
import re
from pathlib import Path

_ESCAPE = re.compile(rb"\\([0-7]{3})")


def rows(table: Path) -> list[list[str]]:
    """Return the fields of each line as file names: octal escapes and bytes decoded. OSError."""
    # splitlines() and split() would also divide at a \r or \v, which the kernel does not escape
    lines = table.read_bytes().split(b"\n")
    return [[_name(field) for field in re.split(rb"[ \t]+", line)] for line in lines if line]


def _name(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field))
