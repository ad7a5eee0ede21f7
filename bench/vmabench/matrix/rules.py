# SPDX-License-Identifier: GPL-2.0-only
"""Why a case can't run here: pure, from facts and from what was tried."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from vmabench.machine.facts import MachineFacts
from vmabench.machine.pages import Page, why_pool_is_small
from vmabench.matrix.case import Case
from vmabench.units import format_size

#: A worker keeps at most this many buffers of a case's size: the source, a populated
#: destination, the local source of the baselines, and fresh memory or a forked copy.
BUFFERS = 4

#: beside the pair's source, a source and a destination of their own, or two private mappings
_THREE_BUFFERS = ("memcpy", "mremap", "uffd-move", "memfd-private")

#: within one process, or of memory that can't be renewed in its place
_NO_SOURCE = ("memcpy", "mremap", "mremap-dup", "uffd-move", "sysv", "memfd-private", "xpmem")

#: the source's data lies in a shared object, which is dirty again as soon as it is looked at
_OBJECTS = ("memfd", "memfd-inplace", "memfd-getfd", "shm")

#: by these a server hands out shares to several processes
SERVED = (
    "clone", "fork", "readv", "writev", "procmem-read", "memfd", "memfd-inplace", "shm",
)  # fmt: skip
_SERVED_LIST = ", ".join(SERVED)

#: what a case with a limit needs beside a swap device
GROUP = "memory cgroup"

#: What is left to the rest of the machine.
RESERVE_BYTES = 256 << 20


def peak_bytes(case: Case) -> int:
    """The most memory that the pair of processes takes for this case."""
    return BUFFERS * case.size_bytes


def why_not(  # noqa: PLR0913, PLR0917 - each is another way not to run
    case: Case,
    facts: MachineFacts,
    blocked: Mapping[tuple[str, str], str],
    fresh_only: Collection[str] = (),
    pools: Mapping[str, int] = MappingProxyType({}),
    lacking: Mapping[str, str] = MappingProxyType({}),
) -> str | None:
    """The reason for which a case is skipped, or None.

    ``blocked`` has the reason for each pair of mechanism and page that was tried in vain.
    ``fresh_only`` are the mechanisms that need memory that is not populated. ``pools`` has the
    bytes that there are of each page of a pool. ``lacking`` has the reason for each kind of swap
    device, and for the memory cgroup (``GROUP``), that could not be made.
    """
    if case.scenario == "transfer" and case.mechanism in fresh_only:
        return f"{case.mechanism} fills fresh memory alone, there is no transfer of it"
    if case.size_bytes % case.page_bytes:
        return f"{format_size(case.size_bytes)} is no multiple of the page size {case.page}"
    unfit = _why_unfit(case, facts)
    if unfit:
        return unfit
    for need in needs(case):
        if need in lacking:
            return lacking[need]
    too_small = why_not_in_pool(case, pools)
    too_large = why_too_large(case, facts)
    return too_small or too_large or blocked.get((case.mechanism, case.page))


def needs(case: Case) -> list[str]:
    """The kinds of swap devices that a case takes, and GROUP for one that has a limit."""
    found = [case.swap_device] if case.swap_device else []
    return found + ([GROUP] if case.limit_bytes else [])


def swap_bytes(case: Case) -> int:
    """The size of its swap device: over half full, the kernel gives up copies that are clean."""
    return 4 * case.size_bytes + (64 << 20)


def _why_unfit(case: Case, facts: MachineFacts) -> str | None:
    """Of the scenarios that not every mechanism or page has."""
    if case.scenario == "swapped" and case.page != facts.pages[0]:
        return "swapped takes base pages: others come back from the device as such"
    if case.swapped_pct and case.swap_device == "file" and case.mechanism in _OBJECTS:
        return "what a shared object has on a disk stays in the swap cache: nothing would be read"
    if case.scenario in ("swapped", "handoff") and case.mechanism in _NO_SOURCE:
        return f"{case.mechanism} has no source whose memory could be made anew or paged out"
    return _why_not_served(case) if case.scenario == "pageserver" else None


def _why_not_served(case: Case) -> str | None:
    if case.mechanism not in SERVED:
        return f"{case.mechanism} serves one receiver at a time: pageserver takes {_SERVED_LIST}"
    if case.size_bytes % (case.receivers * case.page_bytes):
        return f"{format_size(case.size_bytes)} are no whole pages for {case.receivers} receivers"
    return None


def pool_bytes(case: Case) -> int:
    """What a case takes of a pool: there, a buffer that no case needs is given back at once."""
    return (3 if case.mechanism in _THREE_BUFFERS else 2) * case.size_bytes


def why_not_in_pool(case: Case, pools: Mapping[str, int]) -> str:
    """Empty where the case fits, or needs no pool."""
    if case.page not in pools or pool_bytes(case) <= pools[case.page]:
        return ""
    return why_pool_is_small(Page(case.page), pool_bytes(case), pools[case.page])


def why_too_large(case: Case, facts: MachineFacts) -> str | None:
    needed = peak_bytes(case) + RESERVE_BYTES
    if needed <= facts.available_bytes:
        return None
    return (
        f"size {format_size(case.size_bytes)} needs about {needed / (1 << 30):.1f} GiB of memory, "
        f"{facts.available_bytes / (1 << 30):.1f} GiB are available"
    )
