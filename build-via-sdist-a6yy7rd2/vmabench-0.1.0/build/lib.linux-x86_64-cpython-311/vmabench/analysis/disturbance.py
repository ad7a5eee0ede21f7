# SPDX-License-Identifier: GPL-2.0-only
"""Values that something came between: another task on the CPU, or the host that took it away.

They are marked and counted, never dropped: a median over processes bears some of them, and a
machine on which most are hit is one that its reader must know about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmabench.store.format import Result

#: what disturbs; a voluntary switch does not, it is how two processes hand over to each other
_HITS = ("preemptions", "steal_ns")


@dataclass(frozen=True, slots=True)
class Disturbances:
    """How many values of a result were hit, of the ``known`` ones for which it was counted."""

    known: int = 0
    hit: int = 0
    preempted: int = 0
    stolen: int = 0


def disturbed(value: Mapping[str, Any]) -> bool | None:
    """Whether a stored value was hit; None where this was not counted."""
    counts = [value[name] for name in _HITS if value.get(name) is not None]
    return any(count > 0 for count in counts) if counts else None


def disturbances(result: Result) -> Disturbances:
    """Those of all values of cases that are ok."""
    values = [
        value
        for record in result.of_kind("case")
        if record["outcome"] == "ok"
        for value in record["values"]
    ]
    marks = [disturbed(value) for value in values]
    return Disturbances(
        known=sum(mark is not None for mark in marks),
        hit=sum(mark is True for mark in marks),
        preempted=sum((value.get("preemptions") or 0) > 0 for value in values),
        stolen=sum((value.get("steal_ns") or 0) > 0 for value in values),
    )
