# SPDX-License-Identifier: GPL-2.0-only
"""Why a case can't run here: pure, from facts and from what was tried."""

from collections.abc import Mapping
from types import MappingProxyType

from vmabench.machine.facts import MachineFacts
from vmabench.machine.pages import Page, why_pool_is_small
from vmabench.matrix.case import Case
from vmabench.matrix.scenarios import Traits, why_no_part
from vmabench.units import format_size

#: A worker keeps at most this many buffers of a case's size: the source, a populated
#: destination, the local source of the baselines, and fresh memory or a forked copy.
BUFFERS = 4

#: beside the pair's source, a source and a destination of their own, or two private mappings
_THREE_BUFFERS = ("memcpy", "mremap", "uffd-move", "memfd-private")

#: What is left to the rest of the machine.
RESERVE_BYTES = 256 << 20


def peak_bytes(case: Case) -> int:
    """The most memory that all processes take for this case."""
    return BUFFERS * case.region_bytes * max(case.receivers, case.pairs)


def why_not(
    case: Case,
    facts: MachineFacts,
    blocked: Mapping[tuple[str, str], str],
    traits: Mapping[str, Traits] = MappingProxyType({}),
    pools: Mapping[str, int] = MappingProxyType({}),
) -> str | None:
    """The reason for which a case is skipped, or None.

    ``blocked`` has the reason for each pair of mechanism and page that was tried in vain.
    ``traits`` has what is true of each mechanism, see ``matrix.scenarios``. ``pools`` has the
    bytes that there are of each page of a pool.
    """
    base_page = facts.pages[0]
    reason = why_no_part(case, traits.get(case.mechanism, ()), len(facts.cpus), base_page)
    if reason:
        return reason
    if case.region_bytes % case.page_bytes:
        return f"{format_size(case.size_bytes)} is no multiple of the page size {case.page}"
    too_small = why_not_in_pool(case, pools)
    too_large = why_too_large(case, facts)
    return too_small or too_large or blocked.get((case.mechanism, case.page))


def pool_bytes(case: Case) -> int:
    """What a case takes of a pool: there, a buffer that no case needs is given back at once."""
    buffers = 3 if case.mechanism in _THREE_BUFFERS else 2
    return buffers * case.region_bytes * max(case.receivers, case.pairs)


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
