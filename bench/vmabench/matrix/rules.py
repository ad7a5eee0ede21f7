# SPDX-License-Identifier: GPL-2.0-only
"""Reasons for which a case cannot run here: pure functions of facts and of earlier tries."""

from collections.abc import Mapping
from types import MappingProxyType

from vmabench.machine.facts import MachineFacts
from vmabench.machine.pages import Page, Pool, why_not_under, why_pool_is_small
from vmabench.matrix.case import Case
from vmabench.matrix.scenarios import SCENARIOS, Traits, why_no_part
from vmabench.matrix.table import TABLE
from vmabench.units import format_size

#: the buffers of a mechanism without a row: one of each kind
_STRANGE_BUFFERS = 4

#: From this size on a worker frees each buffer that its case does not need, as it does for pages of
#: a pool; below, the rivals of a block find them populated. As in core.h.
LARGE_BYTES = 512 << 20

#: the buffers that a worker keeps below that: a destination and the local source of the baselines
KEPT_BUFFERS = 2

#: the fraction of each buffer that the entries of base pages take
_TABLES = 1 / 512

#: the need of a case with a limit, beside a swap device
GROUP = "memory cgroup"

#: the memory that is left to the rest of the machine
RESERVE_BYTES = 256 << 20

#: (mechanism, page, setting of THP, empty for the machine's own) -> why it is blocked
Blocked = Mapping[tuple[str, str, str], str]


def peak_bytes(case: Case) -> int:
    """Return the most memory that the processes of a case take together.

    A written page of memory that is shared until then is one more.
    """
    row = TABLE.get(case.mechanism)
    of_scenario = SCENARIOS[case.scenario].buffers
    if row and of_scenario:
        return int(of_scenario(case, row) * case.region_bytes * (1 + _TABLES))
    buffers = float(row.buffers if row else _STRANGE_BUFFERS)
    if row and row.way == "clone" and case.touch_mode == "write":
        buffers += case.touch_pct / 100
    return int(buffers * case.region_bytes * max(case.receivers, case.pairs) * (1 + _TABLES))


def needed_bytes(case: Case) -> int:
    """Return the memory that a case needs: its peak, and the buffers that earlier rivals keep."""
    kept = KEPT_BUFFERS * case.region_bytes if case.size_bytes < LARGE_BYTES else 0
    return peak_bytes(case) + kept + RESERVE_BYTES


def why_not(  # noqa: PLR0913, PLR0917 - each is another way not to run
    case: Case,
    facts: MachineFacts,
    blocked: Blocked,
    traits: Mapping[str, Traits] = MappingProxyType({}),
    pools: Mapping[str, Pool] = MappingProxyType({}),
    lacking: Mapping[str, str] = MappingProxyType({}),
) -> str | None:
    """Return the reason for which a case is skipped, or None.

    ``traits`` has the traits of each mechanism, see ``matrix.scenarios``; ``pools`` the pool of
    each hugetlb page; ``lacking`` the reason for each kind of swap device, and for the memory
    cgroup (``GROUP``), that could not be made, and for each placement that the CPUs lack.
    """
    if case.region_bytes % case.page_bytes:
        return f"{format_size(case.size_bytes)} is no multiple of the page size {case.page}"
    return (
        why_no_part(case, traits.get(case.mechanism, ()), len(facts.cpus), facts.pages[0])
        or next((lacking[need] for need in needs(case) if need in lacking), None)
        or (case.thp and why_not_under(case.thp, Page(case.page), facts))
        or why_not_in_pool(case, pools)
        or why_too_large(case, facts)
        or blocked.get((case.mechanism, case.page, case.thp))
    )


def needs(case: Case) -> list[str]:
    """Return the swap device and placement of a case, and GROUP for one with a limit."""
    found = [case.swap_device] if case.swap_device else []
    found += [case.placement] if case.placement else []
    return found + ([GROUP] if case.limit_bytes else [])


def swap_bytes(case: Case) -> int:
    """Return the size of its swap device; one over half full drops copies of clean pages."""
    return 4 * case.size_bytes + (64 << 20)


def pool_bytes(case: Case) -> int:
    """Return the bytes of a pool that a case takes; unused buffers of a pool are freed at once."""
    row = TABLE.get(case.mechanism)
    buffers = row.pool_buffers if row else _STRANGE_BUFFERS
    return buffers * case.region_bytes * max(case.receivers, case.pairs)


def why_not_in_pool(case: Case, pools: Mapping[str, Pool]) -> str:
    """Return why the pool has no room for the case; empty if it has, or if none is needed."""
    pool = pools.get(case.page)
    if pool is None or pool_bytes(case) <= pool.free_bytes:
        return ""
    return why_pool_is_small(Page(case.page), pool_bytes(case), pool)


def why_too_large(case: Case, facts: MachineFacts) -> str | None:
    """Return why the case does not fit; None if it does, or if free memory is unknown."""
    needed = needed_bytes(case)
    if facts.available_bytes is None or needed <= facts.available_bytes:
        return None
    return (
        f"size {format_size(case.size_bytes)} needs about {needed / (1 << 30):.1f} GiB of memory, "
        f"{facts.available_bytes / (1 << 30):.1f} GiB are available"
    )
