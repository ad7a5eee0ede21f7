# SPDX-License-Identifier: GPL-2.0-only
"""A case: one mechanism in one scenario, on memory of one page size, at one size."""

import re
from dataclasses import dataclass
from typing import Self

from vmabench.errors import UsageError
from vmabench.units import format_size, parse_size

#: what is measured; the names and their order are those of enum vmb_scenario
SCENARIOS = {
    "transfer": "both sides populated, buffers reused: the bare operation",
    "deliver": "fresh memory at the receiver each time: attach, transfer, touch, release apart",
}

#: the parts of a delivery, in their order; a scenario that times one thing has "total" alone
PHASES = ("attach", "transfer", "touch", "release", "total")

TOUCH_MODES = ("none", "read", "write")

_TOUCH = re.compile(r"(read|write)-(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """A frozen value with a name that can be parsed: ``parse(str(case)) == case``.

    ``page`` is a size name as in ``4K``, or ``hugetlb-2M`` for pages of a pool; the base page is
    named by its size, whatever the architecture's is. ``touch_pct`` is the share of the base pages
    that the receiver uses after each delivery; it is 0 where ``touch_mode`` is ``none``.
    """

    mechanism: str
    scenario: str
    page: str
    size_bytes: int
    touch_mode: str = "none"
    touch_pct: int = 0

    @property
    def page_bytes(self) -> int:
        return parse_size(self.page.removeprefix("hugetlb-"))

    @property
    def is_one_page(self) -> bool:
        return self.size_bytes == self.page_bytes

    @property
    def phases(self) -> tuple[str, ...]:
        return PHASES if self.scenario == "deliver" else ("total",)

    def __str__(self) -> str:
        name = (
            f"{self.mechanism}/scenario:{self.scenario}/page:{self.page}"
            f"/size:{format_size(self.size_bytes)}"
        )
        return name if self.touch_mode == "none" else f"{name}/touch:{self.touch}"

    @property
    def touch(self) -> str:
        """``none``, or mode and share as in ``read-100``."""
        return "none" if self.touch_mode == "none" else f"{self.touch_mode}-{self.touch_pct}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """The case of that name; raises UsageError."""
        mechanism, *axes = name.split("/")
        try:
            values = dict(axis.split(":", 1) for axis in axes)
            mode, pct = parse_touch(values.pop("touch", "none"))
            case = cls(
                mechanism=mechanism,
                scenario=values.pop("scenario"),
                page=values.pop("page"),
                size_bytes=parse_size(values.pop("size")),
                touch_mode=mode,
                touch_pct=pct,
            )
        except (ValueError, KeyError) as error:
            raise UsageError(f"{name!r} is no name of a case") from error
        if values or str(case) != name:
            raise UsageError(f"{name!r} is no name of a case")
        return case


def parse_touch(text: str) -> tuple[str, int]:
    """Mode and share of ``none`` or ``read-100``; raises UsageError."""
    if text == "none":
        return "none", 0
    match = _TOUCH.fullmatch(text)
    if not match or not 0 <= int(match[2]) <= 100:
        raise UsageError(f"{text!r} is no touch: write none, read-100 or write-10")
    return match[1], int(match[2])
