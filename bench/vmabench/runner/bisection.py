# SPDX-License-Identifier: GPL-2.0-only
"""Find the cases that halve the bracket of a crossover, to be added to a plan. Pure.

Between two neighbouring points of a curve, of which one mechanism wins the one and its rival the
other, the two break even somewhere. The point half way between them is measured next, until they
are close. The points are sizes in the scenario ``transfer`` and touched fractions in ``touch``.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

from vmabench.matrix.case import Case

#: the mechanism that defers the copying, and the rival that copies at once
PAIRS = (("clone", "readv"), ("fork", "readv"), ("memfd-private", "readv"))

#: of the base pages; a bracket as narrow is not halved again
RESOLUTION_PCT = 2
#: the same of sizes: the larger one over the smaller one
RESOLUTION_SIZES = 2

#: the most points that are added for a pair and curve, whatever noise does with their order
MOST_ADDED = 8

#: scenarios with curves over sizes, and over touched fractions
_OVER_SIZES, _OVER_FRACTIONS = "transfer", "touch"


def next_cases(
    op_ns: Mapping[Case, float], planned: Iterable[Case], *, sizes: bool = True
) -> list[Case]:
    """Return the cases that halve each bracket, in an order that depends on nothing else.

    ``op_ns`` has the time of one operation for each case that was measured; ``planned`` are the
    plan's own. Without ``sizes``, only touched fractions are added.
    """
    curves: dict[Case, dict[int, Case]] = {}
    for case in op_ns:
        if case.scenario == _OVER_SIZES and not sizes:
            continue
        for key in _curves_of(case, op_ns):
            curves.setdefault(key, {})[_place(case)] = case
    own = set(planned)
    found: dict[Case, None] = {}
    for key in sorted(curves):
        for mechanism, rival in PAIRS:
            if key.mechanism == mechanism:
                rivals = curves.get(replace(key, mechanism=rival), {})
                for place in _halves(curves[key], rivals, op_ns, own):
                    for name in (mechanism, rival):
                        found.setdefault(_at(replace(key, mechanism=name), place))
    return [case for case in found if case not in op_ns]


def _curves_of(case: Case, op_ns: Iterable[Case]) -> list[Case]:
    """Return the curves that a case is a point of, each as a case at the place 0.

    A case that touches nothing is in all curves over touched fractions.
    """
    if case.scenario not in (_OVER_SIZES, _OVER_FRACTIONS):
        return []
    if case.scenario == _OVER_SIZES or case.touch_mode != "none":
        return [_at(case, 0)]
    ways = {(c.touch_mode, c.touch_order) for c in op_ns if c.touch_mode != "none"}
    return [replace(case, touch_mode=mode, touch_order=order) for mode, order in ways]


def _place(case: Case) -> int:
    return case.size_bytes if case.scenario == _OVER_SIZES else case.touch_pct


def _at(case: Case, place: int) -> Case:
    if case.scenario == _OVER_SIZES:
        return replace(case, size_bytes=place)
    return replace(case, touch_pct=place)


def _halves(
    mine: Mapping[int, Case],
    rivals: Mapping[int, Case],
    op_ns: Mapping[Case, float],
    planned: set[Case],
) -> list[int]:
    places = sorted(mine.keys() & rivals.keys())
    added = sum(mine[place] not in planned for place in places)
    wins = {place: op_ns[mine[place]] < op_ns[rivals[place]] for place in places}
    halves = [
        half
        for low, high in pairwise(places)
        if wins[low] != wins[high] and (half := _half(mine[low], mine[high]))
    ]
    return halves[: max(0, MOST_ADDED - added)]


def _half(low: Case, high: Case) -> int | None:
    """Return the place half way between two points; None where they are close."""
    if low.scenario == _OVER_FRACTIONS:
        close = high.touch_pct - low.touch_pct <= RESOLUTION_PCT
        return None if close else (low.touch_pct + high.touch_pct) // 2
    pages = low.size_bytes // low.page_bytes, high.size_bytes // high.page_bytes
    if pages[1] <= RESOLUTION_SIZES * pages[0]:
        return None
    return math.isqrt(pages[0] * pages[1]) * low.page_bytes
