# SPDX-License-Identifier: GPL-2.0-only
"""Format what a plan can show, and what it takes to show more."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from vmabench.analysis.intervals import Floats
from vmabench.analysis.power import (
    COVERED_CASES,
    POWER,
    Variation,
    boots_for,
    reach_of_boots,
    reach_of_processes,
    rounds_for,
)
from vmabench.report.layout import layout
from vmabench.report.words import wrapped
from vmabench.store.boots import MOST_BOOTS
from vmabench.units import format_duration

#: fractions of the cases
QUANTILES = (0.25, 0.5, 0.75, 0.9)
_BOOTS = (3, 5, 8, 10, 20)
#: what a boot takes beside its rounds, in a guest
BOOT_S = 20.0


def percent(fraction: float) -> str:
    """Return ``3 %``, ``2.5 %``, or ``none`` where no change is large enough."""
    if not math.isfinite(fraction):
        return "none"
    return f"{100 * fraction:.0f} %" if fraction >= 1 else f"{100 * fraction:.3g} %"


def power_text(
    head: Sequence[str], found: Variation, rounds: int, round_s: float, change: float
) -> str:
    """Return the tables of a plan of ``rounds``, each of ``round_s``, and what ``change`` takes."""
    measured = "" if found.boots > 1 else " (assumed: one boot was measured)"
    middle = found.cases[["boot", "process", "value"]].median()
    deviations = (
        f"Standard deviation in the median case: {percent(middle['boot'])} between"
        f" boots{measured}, {percent(middle['process'])} between the processes of a boot,"
        f" {percent(middle['value'])} between the values of a process."
    )
    parts = [
        "\n".join([*head, wrapped(deviations)]),
        _scenarios(found, rounds),
        _boots(found, rounds, round_s, change),
        "\n".join(wrapped(line) for line in needs(found, rounds, round_s, change)),
    ]
    return "\n\n".join(parts) + "\n"


def _quantiles(reach: Floats) -> list[str]:
    return [percent(float(value)) for value in np.quantile(reach, QUANTILES, method="higher")]


def _scenarios(found: Variation, rounds: int) -> str:
    """Return the reach of two runs by scenario."""
    reach = reach_of_processes(found, rounds)
    lines = [["all", str(len(reach)), *_quantiles(reach)]]
    for name, rows in found.cases.groupby("scenario", sort=False):
        lines.append([str(name), str(len(rows)), *_quantiles(reach[rows.index.to_numpy()])])
    title = (
        f"Two runs of {rounds} rounds, the processes as samples: the smallest change found in"
        f" {percent(POWER)} of the runs"
    )
    table = f"{title}\n{layout(['scenario', 'cases', *_columns()], lines)}"
    if np.isinf(reach).all():
        table += "\nnone: too few rounds to show that one case has changed, however much"
    return table


def _boots(found: Variation, rounds: int, round_s: float, change: float) -> str:
    """Return the reach of several boots by their number."""
    lines = []
    for boots in _BOOTS:
        each = math.ceil(rounds / boots)
        reach = reach_of_boots(found, boots, each)
        shown = f"{100 * float(np.mean(reach <= change)):.0f} %"
        time = format_duration(boots_s(boots, each, round_s))
        lines.append([str(boots), str(each), time, *_quantiles(reach), shown])
    header = ["boots", "rounds", "time", *_columns(), f"find {percent(change)}"]
    title = (
        "Boots of each kernel (run --guest --against), rounds of a boot, time of both kernels: the"
        f" smallest change found in {percent(POWER)} of the runs"
    )
    return f"{wrapped(title)}\n{layout(header, lines)}"


def _columns() -> list[str]:
    return [f"{100 * share:.0f} % of cases" for share in QUANTILES]


def boots_s(boots: int, rounds: int, round_s: float) -> float:
    """Return the seconds that so many boots of both kernels take."""
    return 2 * boots * (rounds * round_s + BOOT_S)


def needs(found: Variation, rounds: int, round_s: float, change: float) -> Iterator[str]:
    """Yield what it takes to find the change in most of the cases."""
    start = f"To find {percent(change)} in {percent(COVERED_CASES)} of the cases:"
    boots = boots_for(found, change, rounds)
    if boots is None:
        yield f"{start} more than {MOST_BOOTS} boots of each kernel."
    else:
        each = math.ceil(rounds / boots)
        time = format_duration(boots_s(boots, each, round_s))
        rounds_each = f"{each} round{'s' if each > 1 else ''}"
        yield f"{start} {boots} boots of each kernel, {rounds_each} a boot, {time} in all."
    processes = rounds_for(found, change)
    time = format_duration(2 * processes * round_s)
    yield (
        f"Or about {processes} rounds of one boot of each, {time} in all: such verdicts may be due"
        " to the boots."
    )
