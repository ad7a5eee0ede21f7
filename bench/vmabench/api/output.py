# SPDX-License-Identifier: GPL-2.0-only
"""Print for the commands; vmabench.streams keeps a failure to write for the end."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vmabench.atomic import refuse_existing, replacing
from vmabench.errors import UsageError

#: as a name of an output file: standard output
STDOUT = "-"


def say(text: str) -> None:
    print(text, flush=True)


def warn(text: str) -> None:
    print(f"vmabench: {text}", file=sys.stderr, flush=True)


def say_json(data: object) -> None:
    say(json.dumps(data, indent=1))


def say_files(directory: Path, files: Sequence[Path]) -> None:
    """Print where the results are, as a person would type it."""
    say(f"\nresults  {short(directory)}")
    for file in files:
        kind = "report" if file.suffix == ".txt" else "figure"
        say(f"{kind:8} {short(file)}")


def short(path: Path) -> str:
    """Return a path relative to the current directory, if there still is one."""
    try:
        return os.path.relpath(path)
    except OSError:
        return str(path)


def write_output(output: str | None, text: str) -> None:
    """Print a text, or write it to the new file that ``-o`` names; ``-`` is standard output."""
    if output is None or output == STDOUT:
        say(text.rstrip("\n"))
        return
    with replacing(new_file(output)) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def new_file(output: str) -> Path:
    """Return the path of a file that is to be made; raises UsageError where something is there."""
    refuse_existing(Path(output), "file")
    return Path(output)


def new_directory(output: str | None, default: Path) -> Path:
    """Return the path of a directory that is to be made; raises UsageError."""
    if output == STDOUT:
        raise UsageError("-o - is standard output, which takes no directory: write ./- for a name")
    directory = Path(output) if output else default
    refuse_existing(directory, "directory")
    return directory
