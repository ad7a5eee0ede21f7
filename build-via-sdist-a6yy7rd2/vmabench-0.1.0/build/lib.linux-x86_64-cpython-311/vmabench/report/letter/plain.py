# SPDX-License-Identifier: GPL-2.0-only
"""Plain text for a mail: ASCII, no tab, at most 72 columns, whatever the words are."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from vmabench.report.words import three_digits
from vmabench.units import format_time

WIDTH = 72

#: no name in a table is longer; what is cut shows it
_NAME = 30
_CELL = 20
_INDENT = "   "
_CUT = ".."

#: unit -> nanoseconds
UNITS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


def clean(text: object) -> str:
    """One line of printable ASCII."""
    words = " ".join(str(text).split())
    return "".join(letter if " " <= letter <= "~" else "?" for letter in words)


def enumeration(value: object) -> str:
    """The words of a list, of an object as ``name=value``, or the value itself."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def cut(text: object, limit: int) -> str:
    words = clean(text)
    return words if len(words) <= limit else words[: limit - len(_CUT)] + _CUT


def labelled(label: str, text: object, width: int = 8) -> str:
    """``Machine : words``, the further lines below the words."""
    start = f"{label:{width}}: "
    return filled(text, start, " " * len(start))


def filled(text: object, first: str = "", rest: str = "") -> str:
    lines = textwrap.wrap(
        clean(text), WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
    return "\n".join(line.rstrip() for line in lines) or first.rstrip()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns with a rule below their names; what is too wide goes on below, first column again."""
    limits = [_NAME, *[_CELL] * (len(head) - 1)]
    lines = [
        [cut(cell, limit) for cell, limit in zip(line, limits, strict=True)]
        for line in (head, *rows)
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n\n".join(
        "\n".join(_lines(lines, widths, [0, *block])) for block in _blocks(widths)
    )  # fmt: skip


def unit_of(times_ns: Sequence[float]) -> str:
    """One unit for a table: the one that its middle value has."""
    middle = sorted(times_ns)[len(times_ns) // 2] if times_ns else 0.0
    return format_time(middle).split()[-1]


def in_unit(time_ns: float, unit: str) -> str:
    """Three significant digits, four where they stand before the point."""
    value = time_ns / UNITS[unit]
    return f"{float(f'{value:.4g}'):.0f}" if value >= 1000 else three_digits(value)


def _blocks(widths: Sequence[int]) -> Iterator[list[int]]:
    """The columns after the first, in lines that are not too long."""
    block: list[int] = []
    for index in range(1, len(widths)):
        taken = len(_INDENT) + widths[0] + sum(widths[other] + 3 for other in [*block, index])
        if block and taken > WIDTH:
            yield block
            block = []
        block.append(index)
    yield block


def _lines(
    lines: Sequence[Sequence[str]], widths: Sequence[int], block: Sequence[int]
) -> Iterator[str]:
    for number, line in enumerate(lines):
        first = line[0].ljust(widths[0])
        cells = [line[index].rjust(widths[index]) for index in block[1:]]
        yield (_INDENT + " | ".join([first, *cells])).rstrip()
        if number == 0:
            yield _INDENT + "-+-".join("-" * widths[index] for index in block)
