# SPDX-License-Identifier: GPL-2.0-only
"""Counts of functions, as an emulator takes them, put to the cases that they belong to."""

from collections.abc import Iterator, Mapping
from statistics import median

from vmabench.matrix.case import Case
from vmabench.store.format import Record, Result

#: whose timed parts the core marks; the other scenarios have loops of their own
MARKED = ("transfer", "scatter", "deliver", "touch")

#: value (its ``at_ns``) -> phase -> function -> instructions of all its loops
Counts = Mapping[int, Mapping[str, Mapping[str, int]]]


def function_records(result: Result, counts: Counts) -> Iterator[Record]:
    """A ``functions`` record for each phase of each case and round that was counted."""
    for record in result.of_kind("case"):
        case = Case.parse(record["case"])
        if record["outcome"] != "ok" or not record["round"] or case.scenario not in MARKED:
            continue
        phases = case.phases
        values = [
            _by_phase(counts[value["at_ns"]], phases)
            for value in record["values"]
            if value.get("at_ns") in counts
        ]
        for phase in phases:
            of_phase = [value[phase] for value in values if phase in value]
            if of_phase:
                yield {
                    "kind": "functions",
                    "round": record["round"],
                    "case": record["case"],
                    "phase": phase,
                    "counts": _of_one_operation(of_phase, record["loops"]),
                }


def _by_phase(
    counted: Mapping[str, Mapping[str, int]], phases: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """Return the counts of each phase of a case, with the sums ``total`` and ``system``.

    A source that acts on its own clock marks its part as ``total``: it is the transfer of a case
    that has this phase.
    """
    found: dict[str, dict[str, int]] = {phase: {} for phase in phases}
    for phase, counts in counted.items():
        own = "transfer" if phase == "total" and "transfer" in phases else phase
        sums = {"system"} if phase == "source-rewrite" else {"total", "system"}
        for name, count in counts.items():
            for of in ({own} | sums) & set(phases):
                found[of][name] = found[of].get(name, 0) + count
    return found


def _of_one_operation(values: list[dict[str, int]], loops: int) -> dict[str, float]:
    """The median over values for each function: what came in between is in few of them."""
    names = sorted({name for value in values for name in value})
    medians = {name: median(value.get(name, 0) for value in values) / loops for name in names}
    return {name: round(count, 3) for name, count in medians.items() if count}
