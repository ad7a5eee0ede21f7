# SPDX-License-Identifier: GPL-2.0-only
"""Tables of text."""

from collections.abc import Sequence

from vmabench.report.words import WIDTH


def layout(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Right-aligned columns; what is too wide goes on below, with the first column again."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    blocks: list[list[int]] = [[]]
    for index in range(1, len(header)):
        taken = widths[0] + sum(widths[other] + 2 for other in [*blocks[-1], index])
        if blocks[-1] and taken > WIDTH:
            blocks.append([])
        blocks[-1].append(index)
    return "\n\n".join(
        "\n".join(
            "  ".join(line[index].rjust(widths[index]) for index in [0, *block])
            for line in [header, *rows]
        )
        for block in blocks
    )
