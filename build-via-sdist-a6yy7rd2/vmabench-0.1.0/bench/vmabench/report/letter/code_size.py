# SPDX-License-Identifier: GPL-2.0-only
"""What the series adds to the kernel's image: the sections of two vmlinux, in bytes."""

import struct
from collections.abc import Iterator
from pathlib import Path

from vmabench.errors import UsageError
from vmabench.report.letter.plain import table

_WRITE, _ALLOC, _EXEC = 1, 2, 4
_NOBITS = 8
_KINDS = ("text", "rodata", "data", "bss")


def code_size(base: Path | str, patched: Path | str, number: int) -> str:
    """A table of both; raises UsageError for what is no 64-bit little-endian ELF file."""
    a, b = (section_bytes(Path(path)) for path in (base, patched))
    rows = [(kind, a[kind], b[kind]) for kind in _KINDS]
    rows.append(("total", sum(a.values()), sum(b.values())))
    lines = [[kind, str(here), str(there), f"{there - here:+d}"] for kind, here, there in rows]
    caption = f"{number}) Size of the image, bytes, A vs B, lower is better:"
    return f"{caption}\n\n{table(['section', 'A', 'B', 'change'], lines)}"


def section_bytes(path: Path) -> dict[str, int]:
    """Bytes by kind of section, of those that are loaded."""
    found = dict.fromkeys(_KINDS, 0)
    for kind, flags, size in _sections(path):
        if not flags & _ALLOC:
            continue
        if flags & _EXEC:
            name = "text"
        elif not flags & _WRITE:
            name = "rodata"
        else:
            name = "bss" if kind == _NOBITS else "data"
        found[name] += size
    return found


def _sections(path: Path) -> Iterator[tuple[int, int, int]]:
    """Type, flags and size of each section."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
            if head[:6] != b"\x7fELF\x02\x01" or len(head) < 64:
                raise UsageError(f"{path} is no kernel image: give the file vmlinux of its build")
            (start,) = struct.unpack_from("<Q", head, 0x28)
            width, count = struct.unpack_from("<HH", head, 0x3A)
            file.seek(start)
            headers = file.read(width * count)
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror}") from error
    if width < 64 or len(headers) < width * count:
        raise UsageError(f"{path} is cut off: its table of sections is not whole")
    for place in range(0, len(headers), width):
        _, kind, flags, _, _, size = struct.unpack_from("<IIQQQQ", headers, place)
        yield kind, flags, size
