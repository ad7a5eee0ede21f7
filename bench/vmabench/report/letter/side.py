# SPDX-License-Identifier: GPL-2.0-only
"""One result as a letter sees it: what was measured, under what, and on which kernel."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vmabench.analysis.costs import costs
from vmabench.analysis.samples import samples, unit_of
from vmabench.analysis.stats import judged
from vmabench.errors import UsageError
from vmabench.store.boots import boots_of
from vmabench.store.format import Result
from vmabench.store.reader import machine_facts

_COMMIT = re.compile(r"-g([0-9a-f]{12,40})\b")


@dataclass(frozen=True, slots=True)
class Side:
    """``commit`` is 12 hex digits or more, None where nobody said and the release has none.

    ``deviation`` is a standard deviation over boots, or over processes where all are of one, as a
    share of their mean, by case.
    """

    result: Result
    frame: pd.DataFrame
    summary: pd.DataFrame
    costs: pd.DataFrame
    deviation: Mapping[str, float]
    commit: str | None

    @property
    def facts(self) -> dict[str, Any]:
        return machine_facts(self.result)

    @property
    def conditions(self) -> dict[str, Any]:
        found = self.result.machine.get("conditions")
        return found if isinstance(found, dict) else {}

    @property
    def kernel(self) -> str:
        return str(self.result.header.get("kernel", "unknown"))

    @property
    def emulated(self) -> bool:
        return bool(self.result.header.get("virt") == "emulated")

    @property
    def rounds(self) -> int:
        return sum(1 for record in self.result.of_kind("round") if record["complete"])

    @property
    def boots(self) -> list[int]:
        """The whole rounds of each boot that has any; empty for a result of one."""
        return [record["rounds"] for record in boots_of(self.result) if record["rounds"]]

    @property
    def lost_boots(self) -> int:
        return sum(1 for record in boots_of(self.result) if record["status"] == "lost")

    @property
    def compiler(self) -> str | None:
        guest = self.facts.get("guest")
        told = guest.get("compiler") if isinstance(guest, dict) else None
        return told or self.conditions.get("compiler")


def side(result: Result, commit: str | None = None) -> Side:
    """The side of a result that holds times; ``commit`` is what the user says of its kernel.

    Raises UsageError for counts of instructions.
    """
    if result.header.get("clock") == "instructions":
        raise UsageError(f"{result.directory} holds counts of instructions: a letter is of times")
    frame, summary = judged(result)
    told = _COMMIT.search(str(result.header.get("kernel", "")))
    found = commit or (told[1] if told else None)
    return Side(result, frame, summary, costs(frame), _deviations(frame), found)


def _deviations(frame: pd.DataFrame) -> dict[str, float]:
    totals = frame[frame["phase"] == "total"]
    times = samples(totals, ["case_id"], unit=unit_of(frame))
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = times.std(axis=1) / times.mean(axis=1)
    return {str(name): float(share) for name, share in shares.items()}
