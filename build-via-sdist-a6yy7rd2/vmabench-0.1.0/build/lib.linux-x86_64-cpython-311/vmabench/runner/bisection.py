# SPDX-License-Identifier: GPL-2.0-only
"""Where two mechanisms break even: the shares of touched pages that are added to a plan.

Pure. Of the scenario ``touch``: between two neighbouring shares of which one mechanism wins the
one and its rival the other, the break-even lies somewhere; half way between them is measured next,
until they are close.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

from vmabench.matrix.case import Case

#: whose break-evens are looked for: the mechanism that defers the copying, and who copies at once
PAIRS = (("clone", "readv"), ("fork", "readv"), ("memfd-private", "readv"))

#: of the base pages; a bracket as narrow is not halved again
RESOLUTION_PCT = 2

#: so many shares a pair and curve at the most, whatever noise does with the order of neighbours
MOST_ADDED = 8


def next_cases(op_ns: Mapping[Case, float], planned: Iterable[Case]) -> list[Case]:
    """The cases that halve each bracket, in an order that depends on nothing else; maybe none.

    ``op_ns`` has what one operation takes, for each case that was measured; ``planned`` are the
    plan's own.
    """
    curves: dict[Case, dict[int, Case]] = {}
    for case in op_ns:
        if case.scenario == "touch":
            for key in _curves_of(case, op_ns):
                curves.setdefault(key, {})[case.touch_pct] = case
    own = set(planned)
    found: dict[Case, None] = {}
    for key in sorted(curves):
        for mechanism, rival in PAIRS:
            if key.mechanism == mechanism:
                rivals = curves.get(replace(key, mechanism=rival), {})
                for pct in _halves(curves[key], rivals, op_ns, own):
                    for name in (mechanism, rival):
                        found.setdefault(replace(key, mechanism=name, touch_pct=pct))
    return [case for case in found if case not in op_ns]


def _curves_of(case: Case, op_ns: Iterable[Case]) -> list[Case]:
    """A case stands for its curve with a share of 0; one that touches nothing is in all curves."""
    if case.touch_mode != "none":
        return [replace(case, touch_pct=0)]
    ways = {(c.touch_mode, c.touch_order) for c in op_ns if c.touch_mode != "none"}
    return [replace(case, touch_mode=mode, touch_order=order) for mode, order in ways]


def _halves(
    mine: Mapping[int, Case],
    rivals: Mapping[int, Case],
    op_ns: Mapping[Case, float],
    planned: set[Case],
) -> list[int]:
    shares = sorted(mine.keys() & rivals.keys())
    added = sum(mine[pct] not in planned for pct in shares)
    wins = {pct: op_ns[mine[pct]] < op_ns[rivals[pct]] for pct in shares}
    brackets = [
        (low, high)
        for low, high in pairwise(shares)
        if wins[low] != wins[high] and high - low > RESOLUTION_PCT
    ]
    return [(low + high) // 2 for low, high in brackets[: max(0, MOST_ADDED - added)]]
