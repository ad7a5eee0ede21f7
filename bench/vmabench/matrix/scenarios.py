# SPDX-License-Identifier: GPL-2.0-only
"""What Python says of each scenario, once: its phases and axes, and which cases have no part in it.

Results of other machines and other versions are read without the C core, so these rows can't ask
it. A test holds phases and axes against the table in C (scene_table.c).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from vmabench.matrix.axes import MOST_RECEIVERS
from vmabench.matrix.table import TABLE, Row
from vmabench.units import format_size

if TYPE_CHECKING:
    from vmabench.matrix.case import Case

#: names of what is true of a mechanism, as ``mechanisms.Mechanism`` has them: ``source_acts``,
#: ``both_act``, ``in_place``, ``local``, ``fresh_only``, ``talks``, ``shares``, ``moves_nothing``
Traits = Collection[str]

#: case, traits of its mechanism, number of CPUs, name of the base page -> why it has no part
Rule = Callable[["Case", Traits, int, str], str | None]

#: the parts of a delivery, in their order; a scenario that times one thing has "total" alone
PHASES = ("attach", "transfer", "touch", "release", "total")

#: of a case whose source writes: its first writes after the operation, and these and "total", which
#: is the receiver's, together
OF_SOURCE = ("source-rewrite", "system")

#: the parts of all scenarios, in the order in which they happen
ALL_PHASES = (
    "fill", "pause", "attach", "transfer", "ready", "unmap", "first", "touch", "work", "all",
    "release", "total",
    *OF_SOURCE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is measured. ``phases`` are timed apart and "total" is the whole.

    ``axes``: the optional axes that it has -> what a plan that does not name them gets.
    ``most_ops``: where what surrounds an operation, untimed, takes far longer than it: so many of
    them in a round, each a value of its own. 0: values are of as many operations as useful.
    ``apart``: its cases have a source, and a memory cgroup, that no other scenario uses.
    ``two_way``: a case is a message, which goes there and back.
    ``charted``: single operations, or writes, are kept in their order as well: a run chart.
    ``buffers`` returns how many buffers of the case's size exist at once; None: those of the
    mechanism's row, once for each receiver or pair.
    ``rule`` returns why a case has no part in the scenario, or None.
    """

    description: str
    phases: tuple[str, ...] = ("total",)
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    most_ops: int = 0
    apart: bool = False
    two_way: bool = False
    charted: bool = False
    buffers: Callable[["Case", Row], float] | None = None
    rule: Rule = lambda _case, _traits, _cpus, _base_page: None

    @property
    def once(self) -> bool:
        """An operation is so rare that a value and a round are one of it."""
        return self.most_ops == 1


#: from this size on transfer and scatter time each operation for itself: VMB_EACH_BYTES
EACH_BYTES = 1 << 20

MOST_MESSAGE_BYTES = 64 << 10
_WORD_BYTES = 8

#: the mechanisms by which a server hands out parts of its memory to several processes
SERVED = (
    "clone", "fork", "readv", "writev", "procmem-read", "memfd", "memfd-inplace", "shm",
)  # fmt: skip


def _only_fresh(case: "Case", traits: Traits, _cpus: int, _base_page: str) -> str | None:
    if "fresh_only" in traits:
        return f"{case.mechanism} fills fresh memory alone, there is no {case.scenario} of it"
    return None


def _pingpong(case: "Case", traits: Traits, cpus: int, base_page: str) -> str | None:
    name = case.mechanism
    if "talks" not in traits:
        return f"{name} carries no message there and back"
    if case.size_bytes % _WORD_BYTES or case.size_bytes > MOST_MESSAGE_BYTES:
        most = format_size(MOST_MESSAGE_BYTES)
        return f"a message has a multiple of {_WORD_BYTES} bytes, and {most} at most"
    if case.page != base_page:
        return f"messages lie on pages of {base_page} alone"
    return _wrong_wait(case, "both_act" in traits, cpus)


def _wrong_wait(case: "Case", tells: bool, cpus: int) -> str | None:
    """``tells``: the channel itself wakes the side that waits for a message."""
    name = case.mechanism
    if tells and case.wait != "channel":
        return f"a message through {name} tells itself that it is there: wait channel"
    if not tells and case.wait == "channel":
        return f"{name} tells nobody that a message is there: wait futex, eventfd or busy"
    if case.wait == "busy" and cpus < 2:
        return "busy waiting needs a CPU for each side, there is 1"
    return None


def _contention(case: "Case", traits: Traits, cpus: int, base_page: str) -> str | None:
    name = case.mechanism
    if reason := _only_fresh(case, traits, cpus, base_page):
        return reason
    if case.receivers > 1 and "local" in traits:
        return f"{name} works within one process, there are no receivers of one source"
    if case.receivers > 1 and {"source_acts", "both_act"} & set(traits):
        return (
            f"with {name} the source has its part in each transfer: one after another, not at once"
        )
    at_once = max(case.receivers, case.pairs)
    if at_once > MOST_RECEIVERS:
        return f"{at_once} at once are too many: contention keeps the times of {MOST_RECEIVERS}"
    if at_once > cpus:
        return f"{at_once} at once need as many CPUs, there are {cpus}: more would take turns"
    return None


def _snapshot(case: "Case", traits: Traits, cpus: int, _base_page: str) -> str | None:
    name = case.mechanism
    if cpus < 2:
        return "a source that writes while it is copied needs a CPU of its own, there is 1"
    if "moves_nothing" in traits:
        return None
    if "local" in traits:
        return f"{name} works within one process, where nobody writes meanwhile"
    if "shares" in traits:
        return f"{name} shows the source as it is now: there is nothing that stays as it was"
    if "both_act" in traits:
        return f"to send by {name} the source stops writing, as it does for writev"
    return None


def _scatter(case: "Case", _traits: Traits, _cpus: int, _base_page: str) -> str | None:
    if case.size_bytes % (case.segments * case.page_bytes):
        return f"{format_size(case.size_bytes)} has no {case.segments} segments of whole pages"
    row = TABLE.get(case.mechanism)
    return row.unscattered or None if row else None


def _renewed(case: "Case", _traits: Traits, _cpus: int, _base_page: str) -> str | None:
    row = TABLE.get(case.mechanism)
    if row and row.unrenewed:
        return f"{case.mechanism} has no source whose memory could be made anew or paged out"
    return None


def _swapped(case: "Case", traits: Traits, cpus: int, base_page: str) -> str | None:
    if case.page != base_page:
        return "swapped takes base pages: others come back from the device as such"
    return _why_not_on_disk(case) or _renewed(case, traits, cpus, base_page)


def _why_not_on_disk(case: "Case") -> str | None:
    row = TABLE.get(case.mechanism)
    if row and row.in_object and case.swapped_pct and case.swap_device == "file":
        return "what a shared object has on a disk stays in the swap cache: nothing would be read"
    return None


def _pageserver(case: "Case", _traits: Traits, _cpus: int, _base_page: str) -> str | None:
    if case.mechanism not in SERVED:
        served = ", ".join(SERVED)
        return f"{case.mechanism} serves one receiver at a time: pageserver takes {served}"
    if case.size_bytes % (case.receivers * case.page_bytes):
        return f"{format_size(case.size_bytes)} are no whole pages for {case.receivers} receivers"
    return _why_not_on_disk(case)


def _vmbranch(case: "Case", traits: Traits, cpus: int, _base_page: str) -> str | None:
    if cpus < 2:
        return "a source that writes while its children read needs a CPU of its own, there is 1"
    if case.page.startswith("hugetlb-"):
        return "a write after a branch takes the page from the children if the pool is empty"
    if "moves_nothing" in traits:
        return None
    for trait, why in _UNBRANCHED.items():
        if trait in traits:
            return f"{case.mechanism} {why}"
    return None


_CHANNEL = "takes a channel for each child: of the copies, vmbranch has those without"

#: trait of a mechanism that branches no process -> why
_UNBRANCHED = {
    "local": "works within one process, which has no children",
    "shares": "shows the source as it is now: a branch has the data of one moment",
    "both_act": _CHANNEL,
    "fresh_only": _CHANNEL,
}


def _branch_buffers(case: "Case", row: Row) -> float:
    """The source, a copy of it for each child or one for all, and the page tables of each."""
    copies = case.receivers if row.way == "copy" else 1
    return 1 + copies + case.receivers / 512


#: the axes of the scenarios in which the source has one range that is handed over again and again
_OF_ONE_RANGE: dict[str, tuple[str, ...]] = {
    "thp": ("current",),
    "source": ("rewritten",),
    "source_threads": ("0",),
    "placement": ("chosen",),
}

#: of those that hand it over in one piece
_WHOLE = _OF_ONE_RANGE | {"congruent": ("yes",)}

#: of those that deliver to memory of the receiver
_DELIVERED = _WHOLE | {"buffer": ("fresh",)}

#: percentages of the pages that are touched, beside none at all; at random, for the ends of curves
_IN_ORDER = tuple(f"{mode}-{pct}" for mode in ("read", "write") for pct in (1, 10, 50, 100))
_AT_RANDOM = tuple(f"{mode}-{pct}-random" for mode in ("read", "write") for pct in (10, 100))

#: the scenarios in which the memory of the receiver is not fresh
_REUSED = ("transfer", "scatter")

#: by name, in the order of lists and legends
SCENARIOS = {
    "transfer": Scenario(
        "both sides populated, buffers reused: the bare operation",
        axes=_WHOLE,
        rule=_only_fresh,
    ),
    "scatter": Scenario(
        "like transfer, in 1 to 1024 segments that lie in another order afterwards",
        axes={"segments": ("1", "16", "256", "1024")} | _OF_ONE_RANGE,
        rule=_scatter,
    ),
    "deliver": Scenario(
        "attach, transfer, touch and release apart, at fresh memory or a buffer of the receiver",
        PHASES,
        {"touch": ("read-100", "write-100")} | _DELIVERED,
    ),
    "touch": Scenario(
        "deliver, then a share of the pages used: up to which one is deferring the copy cheaper?",
        PHASES,
        {"touch": ("none", *_IN_ORDER, *_AT_RANDOM)} | _DELIVERED,
    ),
    "pingpong": Scenario(
        "one small message there and back, each round trip timed: percentiles",
        axes={"wait": ("channel", "futex", "eventfd", "busy")},
        two_way=True,
        charted=True,
        rule=_pingpong,
    ),
    "contention": Scenario(
        "receivers that pull from one source at once, or pairs side by side",
        axes={"crowd": ("alone", "receivers", "pairs")},
        rule=_contention,
    ),
    "snapshot": Scenario(
        "the source goes on writing while it is copied or cloned: how long is it held up?",
        axes={"rate": ("10000", "max")},
        most_ops=3,
        charted=True,
        rule=_snapshot,
    ),
    "swapped": Scenario(
        "deliver, of a source that is paged out in part: what does the call read back?",
        ("attach", "transfer", "first", "touch", "release", "total"),
        {
            "touch": ("read-10",),
            "swapped": ("0-zram", "50-zram", "90-zram", "100-zram", "100-file"),
        },
        most_ops=1,
        rule=_swapped,
    ),
    "handoff": Scenario(
        "the source fills memory, hands it over and unmaps it: time, and peak of the pair",
        ("fill", "attach", "transfer", "unmap", "touch", "release", "total"),
        {"touch": ("read-100",)},
        apart=True,
        rule=_renewed,
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
        rule=_pageserver,
    ),
    "vmbranch": Scenario(
        "a process branches into several children and goes on writing: pause, stall, memory",
        ("pause", "first", "all", "total"),
        {"rate": ("max",), "receivers": ("1", "4")},
        most_ops=1,
        charted=True,
        buffers=_branch_buffers,
        rule=_vmbranch,
    ),
}


def _why_not_rewritten(case: "Case") -> str | None:
    row = TABLE.get(case.mechanism)
    if case.source == "rewritten" and case.scenario in _REUSED and row and row.swings:
        return (
            f"{case.mechanism} moves its memory there and back in {case.scenario}, so there is no"
            " source that could write meanwhile: source idle"
        )
    return None


def _why_not_threads(case: "Case", traits: Traits, cpus: int) -> str | None:
    if case.source_threads and "local" in traits:
        return f"{case.mechanism} works within one process: it has no source with threads"
    if case.source_threads > cpus - 1:
        return (
            f"{case.source_threads} threads of the source need as many CPUs beside that of the"
            f" receiver, there are {cpus - 1}"
        )
    return None


def _why_not_incongruent(case: "Case", base_page: str) -> str | None:
    if case.congruent == "yes":
        return None
    if case.mechanism != "clone":
        return (
            f"{case.mechanism} copies no entries to an address that a user chooses: congruent yes"
        )
    return "base pages are congruent at every address" if case.page == base_page else None


def _why_not_buffer(case: "Case") -> str | None:
    row = TABLE.get(case.mechanism)
    reasons = {"reused": row.unkept, "populated": row.unpopulated} if row else {}
    return reasons.get(case.buffer) or None


def _why_not_of_mechanism(case: "Case") -> str | None:
    row = TABLE.get(case.mechanism)
    if row and row.only and case.scenario not in row.only:
        return f"{case.mechanism} has a part in {', '.join(row.only)} alone"
    return None


def why_no_part(case: "Case", traits: Traits, cpus: int, base_page: str) -> str | None:
    """Return why the mechanism of the case has no part in its scenario, or None."""
    reason = SCENARIOS[case.scenario].rule(case, traits, cpus, base_page)
    return (
        reason
        or _why_not_of_mechanism(case)
        or _why_not_rewritten(case)
        or _why_not_threads(case, traits, cpus)
        or _why_not_buffer(case)
        or _why_not_incongruent(case, base_page)
    )
