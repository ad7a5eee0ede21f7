# SPDX-License-Identifier: GPL-2.0-only
"""Which cases are worth more rounds once the wanted ones are done. Pure.

A case comes back with all its rivals, those that differ in the mechanism alone: they are compared
within a round, so a round that had one without the others would be of no use to either.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from vmabench.matrix.case import Case

#: share of the budget that is kept for them; what they don't need is not spent
RESERVE = 1 / 7

Judge = Callable[[Sequence[float]], bool]


def worth_repeating(samples: Mapping[str, Sequence[float]], is_loose: Judge) -> list[str]:
    """The cases that share a cell with one that is loose, in the order of ``samples``.

    ``samples`` has the medians of the processes for each case that may be repeated.
    """
    cells = {_cell(case) for case, medians in samples.items() if is_loose(medians)}
    return [case for case in samples if _cell(case) in cells]


def _cell(case: str) -> Case:
    return replace(Case.parse(case), mechanism="any")
