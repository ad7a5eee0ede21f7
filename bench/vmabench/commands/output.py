# SPDX-License-Identifier: GPL-2.0-only
"""The only place that prints."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path


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
