# SPDX-License-Identifier: GPL-2.0-only
"""The only place that prints."""

import codecs
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

#: what a terminal without UTF-8 shows instead; longer than one letter may only be what ends a cell
_PLAIN = {"\N{PLUS-MINUS SIGN}": "+-", "\N{RIGHTWARDS ARROW}": "->", "\N{MIDDLE DOT}": "-"}


def suit_terminal() -> None:
    """Let output that the terminal's letters can't hold be written in others, not end us."""
    codecs.register_error("plain", _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter, "?") for letter in letters), error.end


def say(text: str) -> None:
    print(text, flush=True)


def warn(text: str) -> None:
    print(f"vmabench: {text}", file=sys.stderr, flush=True)


def say_json(data: object) -> None:
    say(json.dumps(data, indent=1))


def say_files(directory: Path, files: Sequence[Path]) -> None:
    """Where everything is, as a person would type it."""
    say(f"\nresults  {os.path.relpath(directory)}")
    for file in files:
        kind = "report" if file.suffix == ".txt" else "figure"
        say(f"{kind:8} {os.path.relpath(file)}")
