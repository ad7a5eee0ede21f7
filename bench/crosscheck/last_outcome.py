# SPDX-License-Identifier: GPL-2.0-only
"""The last outcome of a check, in a small file that can be quoted: results/checks/NAME.json."""

import json
import time
from pathlib import Path

from vmabench.atomic import replacing
from vmabench.machine.facts import read_facts

CHECKS = Path(__file__).parents[2] / "results" / "checks"


def keep(name: str, outcome: dict[str, object], folder: Path = CHECKS) -> Path:
    """Writes what a check found, with the machine and the day; returns the file."""
    facts = read_facts()
    machine = {
        "machine": facts.slug,
        "kernel": facts.kernel,
        "virt": facts.virt,
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(machine | outcome, indent=1) + "\n")
    return path
