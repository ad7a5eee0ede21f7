# SPDX-License-Identifier: GPL-2.0-only
"""A case: one mechanism in one scenario, on memory of one page size, at one size."""

import re
from dataclasses import dataclass, fields
from typing import Any, Self

from vmabench.errors import UsageError
from vmabench.matrix.axes import AXES, write_touch
from vmabench.matrix.scenarios import ALL_PHASES, OF_SOURCE, PHASES, SCENARIOS
from vmabench.units import format_size, parse_size

__all__ = ["ALL_PHASES", "OPTIONAL_FIELDS", "PHASES", "SCENARIOS", "Case", "name_without_doubles"]

#: two axes that say how many receive: a scenario has one of them, or neither
_OF_RECEIVERS = ("crowd", "receivers")


def name_without_doubles(name: str) -> str:
    """A name in which both of them stand, as in the first results, with the one that counts."""
    found = re.fullmatch(r"(.*)/crowd:receivers-(\d+)(.*)/receivers:\2(.*)", name)
    if not found:
        return name
    start, count, middle, end = found.groups()
    if "/scenario:contention/" in name:
        return f"{start}/crowd:receivers-{count}{middle}{end}"
    return f"{start}{middle}/receivers:{count}{end}"


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """A frozen value with a name that can be parsed: ``parse(str(case)) == case``.

    ``page`` is a size name as in ``4K``, or ``hugetlb-2M`` for pages of a pool; the base page is
    named by its size, whatever the architecture's is. ``touch_pct`` is the share of the base pages
    that the receiver uses after each delivery; it is 0 where ``touch_mode`` is ``none``. ``thp`` is
    the setting that the case is measured under; empty leaves what the machine has. ``swapped_pct``
    is the share of the source that is paged out before each operation, to ``swap_device``.
    ``receivers`` is how many processes receive at once from one source, ``segments`` into how many
    the data is cut, ``pairs`` how many pairs work side by side. ``wait`` is how a side learns of a
    message, ``rate`` how many pages a second the source writes meanwhile, and ``limit_bytes`` the
    limit of the processes' memory cgroup, 0 without one. ``source`` is what the source does between
    two operations: ``idle``, or ``rewritten``, where it writes to each of its pages;
    ``source_threads`` is how many threads of it run meanwhile. ``buffer`` is the memory of the
    receiver: ``fresh`` for each delivery, ``reused``, or ``populated`` by it.
    ``placement`` is where the CPUs of the two sides lie; empty leaves what the run has chosen.
    ``congruent`` is whether a clone lies at the same multiple of a huge page as its source.
    """

    mechanism: str
    scenario: str
    page: str
    size_bytes: int
    touch_mode: str = "none"
    touch_pct: int = 0
    touch_order: str = "sequential"
    thp: str = ""
    swapped_pct: int = 0
    receivers: int = 1
    segments: int = 1
    pairs: int = 1
    wait: str = "none"
    rate: str = "none"
    swap_device: str = ""
    limit_bytes: int = 0
    source: str = "idle"
    source_threads: int = 0
    buffer: str = "fresh"
    placement: str = ""
    congruent: str = "yes"

    @property
    def page_bytes(self) -> int:
        return parse_size(self.page.removeprefix("hugetlb-"))

    @property
    def region_bytes(self) -> int:
        """The memory of the source; of messages, whole pages for each of the two ways."""
        if not SCENARIOS[self.scenario].two_way:
            return self.size_bytes
        return 2 * -(-self.size_bytes // self.page_bytes) * self.page_bytes

    @property
    def is_one_page(self) -> bool:
        return self.size_bytes == self.page_bytes

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases that are timed; those of the source only where it writes."""
        of_source = OF_SOURCE if self.source == "rewritten" else ()
        return SCENARIOS[self.scenario].phases + of_source

    @property
    def touch(self) -> str:
        """``none``, or mode, share and order as in ``read-100`` or ``write-10-random``."""
        return write_touch(self)

    def __str__(self) -> str:
        parts = [
            f"{self.mechanism}/scenario:{self.scenario}/page:{self.page}"
            f"/size:{format_size(self.size_bytes)}"
        ]
        for name, axis in AXES.items():
            foreign = name in _OF_RECEIVERS and name not in SCENARIOS[self.scenario].axes
            text = axis.neutral if foreign else axis.write(self)
            parts += [f"{name}:{text}"] if text != axis.neutral else []
        return "/".join(parts)

    @classmethod
    def parse(cls, name: str) -> Self:
        """The case of that name; raises UsageError."""
        mechanism, *axes = name.split("/")
        try:
            values = dict(axis.split(":", 1) for axis in axes)
            values_of: dict[str, Any] = {
                "mechanism": mechanism,
                "scenario": values.pop("scenario"),
                "page": values.pop("page"),
                "size_bytes": parse_size(values.pop("size")),
            }
            for axis, text in values.items():
                values_of |= AXES[axis].parse(text)
            case = cls(**values_of)
        except (ValueError, KeyError) as error:
            raise UsageError(f"{name!r} is no name of a case") from error
        if case.scenario not in SCENARIOS or str(case) != name:
            raise UsageError(f"{name!r} is no name of a case")
        return case


_FIXED = ("mechanism", "scenario", "page", "size_bytes")

#: the fields that only some scenarios use
OPTIONAL_FIELDS = tuple(one.name for one in fields(Case) if one.name not in _FIXED)
