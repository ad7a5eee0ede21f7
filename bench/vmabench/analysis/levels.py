# SPDX-License-Identifier: GPL-2.0-only
"""The fixed order of the levels of each axis, for frames, tables and legends."""

import re
from collections.abc import Iterable

from vmabench.matrix import axes
from vmabench.matrix.axes import BUFFERS, SOURCES, TOUCH_MODES, TOUCH_ORDERS
from vmabench.matrix.case import ALL_PHASES as PHASES
from vmabench.matrix.case import SCENARIOS
from vmabench.matrix.table import ROWS, names_of
from vmabench.units import parse_size

#: the order of lists and legends
MECHANISMS = tuple(row.name for row in ROWS)

#: they move bytes from one process to another
COPYING = names_of("copy")

#: they stay within one process: others are read by them, and they take no part in the race
BASELINES = names_of("baseline")

#: the baselines that copy; the fastest of them is what a copy is compared with
COPIES_WITHIN = tuple(name for name in BASELINES if name != "null")

#: negative controls of ``transfer``: they stay within one process and in user space
CONTROLS = ("memcpy", "null")

#: what a process can do with mappings of its own: proxies, and no way to another process
OWN = names_of("own")

#: they copy page-table entries, and are compared by what one entry takes
ENTRIES = names_of("clone")

#: of a result that does not tell: it is older than format 5, or its machine hides its topology
UNKNOWN = "unknown"
PLACEMENTS = (*axes.PLACEMENTS, UNKNOWN)

#: none is a case of another scenario than pingpong
WAITS = ("none", *axes.WAITS)

OUTCOMES = ("ok", "skipped", "failed", "unstable")

__all__ = [
    "BASELINES", "BUFFERS", "CONTROLS", "COPIES_WITHIN", "COPYING", "ENTRIES", "MECHANISMS",
    "OUTCOMES", "OWN", "PHASES", "SCENARIOS", "SOURCES", "TOUCH_MODES", "TOUCH_ORDERS",
    "WAITS", "page_order",
    "with_strangers",
]  # fmt: skip


def with_strangers(known: Iterable[str], present: Iterable[str]) -> list[str]:
    """The known levels in their order, then those that a later version added, by name."""
    order = list(known)
    return order + sorted(set(present) - set(order))


def page_order(pages: Iterable[str]) -> list[str]:
    """Page names by their size; of one size, the plain one first: ``4K, 2M, hugetlb-2M``."""
    return sorted(set(pages), key=lambda page: (_page_bytes(page), len(page), page))


def _page_bytes(page: str) -> int:
    match = re.search(r"\d+[KMGT]?$", page)
    return parse_size(match[0]) if match else 0
