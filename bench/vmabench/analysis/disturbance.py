# SPDX-License-Identifier: GPL-2.0-only
"""Mark values that lost time to the host.

A value is disturbed where stolen time is at least LEAST_SHARE of its length. In
results/published/host-standard 13 of 24,515 values are; the 6 of them with undisturbed values
beside them in their process take 8 % longer than those in the median, and up to 2.2 times as long.
Preemptions are stored, but mark nothing: there, 1,752 preempted values take 1 % longer in the
median, and a tenth of the values without one differs by more than 7 %. Disturbed values are marked
and counted, never dropped: a median over processes tolerates some of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmabench.store.format import Result

LEAST_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Disturbances:
    """Count the disturbed values of a result, of the ``known`` ones with a count of stolen time."""

    known: int = 0
    hit: int = 0


def disturbed(value: Mapping[str, Any]) -> bool | None:
    """Return whether a stored value lost time to the host; None where that was not counted."""
    steal_ns = value.get("steal_ns")
    if steal_ns is None:
        return None
    return bool(steal_ns > 0 and steal_ns >= LEAST_SHARE * value["time_ns"]["total"])


def disturbances(result: Result) -> Disturbances:
    """Return the counts over all values of cases that are ok."""
    marks = [
        disturbed(value)
        for record in result.of_kind("case")
        if record["outcome"] == "ok"
        for value in record["values"]
    ]
    return Disturbances(known=sum(mark is not None for mark in marks), hit=marks.count(True))
