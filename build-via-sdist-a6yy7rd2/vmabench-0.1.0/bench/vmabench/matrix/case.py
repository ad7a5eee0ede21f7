# SPDX-License-Identifier: GPL-2.0-only
"""A case: one mechanism in one scenario, on memory of one page size, at one size."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Self

from vmabench.errors import UsageError
from vmabench.matrix.axes import AXES, write_touch
from vmabench.units import format_size, parse_size

#: the parts of a delivery, in their order; a scenario that times one thing has "total" alone
PHASES = ("attach", "transfer", "touch", "release", "total")

#: the parts of all scenarios, in the order in which they happen
ALL_PHASES = (
    "fill", "attach", "transfer", "ready", "unmap", "first", "touch", "work", "release", "total",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is measured. ``phases`` are timed apart and "total" is the whole.

    ``axes``: the optional axes that it has -> what a plan that does not name them gets.
    ``most_ops``: where what surrounds an operation, untimed, takes far longer than it: so many of
    them in a round, each a value of its own. 0: values are of as many operations as useful.
    ``apart``: its cases have a source, and a memory cgroup, that no other scenario uses.
    """

    description: str
    phases: tuple[str, ...] = ("total",)
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    most_ops: int = 0
    apart: bool = False

    @property
    def once(self) -> bool:
        """An operation is so rare that a value and a round are one of it."""
        return self.most_ops == 1


_CURRENT_THP: dict[str, tuple[str, ...]] = {"thp": ("current",)}

#: percentages of the pages that are touched, beside none at all; at random, for the ends of curves
_IN_ORDER = tuple(f"{mode}-{pct}" for mode in ("read", "write") for pct in (1, 10, 50, 100))
_AT_RANDOM = tuple(f"{mode}-{pct}-random" for mode in ("read", "write") for pct in (10, 100))

#: by name, in the order of lists and legends
SCENARIOS = {
    "transfer": Scenario(
        "both sides populated, buffers reused: the bare operation", axes=_CURRENT_THP
    ),
    "scatter": Scenario(
        "like transfer, in 1 to 1024 segments that lie in another order afterwards",
        axes={"segments": ("1", "16", "256", "1024")} | _CURRENT_THP,
    ),
    "deliver": Scenario(
        "fresh memory at the receiver each time: attach, transfer, touch, release apart",
        PHASES,
        {"touch": ("read-100", "write-100")} | _CURRENT_THP,
    ),
    "touch": Scenario(
        "deliver, then a share of the pages used: up to which one is deferring the copy cheaper?",
        PHASES,
        {"touch": ("none", *_IN_ORDER, *_AT_RANDOM)} | _CURRENT_THP,
    ),
    "pingpong": Scenario(
        "one small message there and back, each round trip timed: percentiles",
        axes={"wait": ("channel", "futex", "eventfd", "busy")},
    ),
    "contention": Scenario(
        "receivers that pull from one source at once, or pairs side by side",
        axes={"crowd": ("alone", "receivers", "pairs")},
    ),
    "snapshot": Scenario(
        "the source goes on writing while it is copied or cloned: how long is it held up?",
        axes={"rate": ("10000", "max")},
        most_ops=3,
    ),
    "swapped": Scenario(
        "deliver, of a source that is paged out in part: what does the call read back?",
        ("attach", "transfer", "first", "touch", "release", "total"),
        {
            "touch": ("read-10",),
            "swapped": ("0-zram", "50-zram", "90-zram", "100-zram", "100-file"),
        },
        most_ops=1,
    ),
    "handoff": Scenario(
        "the source fills memory, hands it over and unmaps it: time, and peak of the pair",
        ("fill", "attach", "transfer", "unmap", "touch", "release", "total"),
        {"touch": ("read-100",)},
        apart=True,
    ),
    "pageserver": Scenario(
        "a server under a memory limit hands each of several processes its share",
        ("fill", "ready", "work", "release", "total"),
        {
            "touch": ("read-50",),
            "swapped": ("0-zram",),
            "receivers": ("4",),
            "limit": ("64M",),
        },
        apart=True,
        most_ops=1,
    ),
}


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
    limit of the processes' memory cgroup, 0 without one.
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

    @property
    def page_bytes(self) -> int:
        return parse_size(self.page.removeprefix("hugetlb-"))

    @property
    def region_bytes(self) -> int:
        """The memory of the source: a message, there and back, lies on pages of its own."""
        if self.scenario != "pingpong":
            return self.size_bytes
        return 2 * -(-self.size_bytes // self.page_bytes) * self.page_bytes

    @property
    def is_one_page(self) -> bool:
        return self.size_bytes == self.page_bytes

    @property
    def phases(self) -> tuple[str, ...]:
        return SCENARIOS[self.scenario].phases

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
