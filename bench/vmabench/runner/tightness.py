# SPDX-License-Identifier: GPL-2.0-only
"""Choose the cases that get more rounds once the planned ones are done. Pure.

A loose case is repeated together with readv of the same cell, the case that differs in the
mechanism alone: ratios to readv are paired within a round. The other rivals are not repeated. With
all of them, two thirds of the cases of a noisy quick run came back for the loose quarter, and the
budget ended with three times as many cases unstable (see ``tests/test_tightness.py``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from vmabench.matrix.case import Case

#: fraction of the budget that is kept for loose cases; what they do not need is not spent
RESERVE = 0.3

#: the mechanism that ratios are taken to
PARTNER = "readv"

Judge = Callable[[Sequence[float]], bool]


def worth_repeating(samples: Mapping[str, Sequence[float]], is_loose: Judge) -> list[str]:
    """Return the loose cases and readv of their cells, in the order of ``samples``.

    ``samples`` has the medians of the processes for each case that may be repeated.
    """
    loose = {name: is_loose(medians) for name, medians in samples.items()}
    partners = {
        replace(Case.parse(name), mechanism=PARTNER) for name, wide in loose.items() if wide
    }
    return [name for name in samples if loose[name] or Case.parse(name) in partners]
