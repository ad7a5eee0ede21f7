# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench list``: print the names of one kind, one line each."""

from vmabench.api.output import say, say_json
from vmabench.machine.facts import read_facts
from vmabench.machine.pages import HUGETLB
from vmabench.matrix.case import SCENARIOS
from vmabench.matrix.claims import published_claims
from vmabench.matrix.plans import builtin_plans


def list_names(what: str, *, as_json: bool) -> int:
    """Print the names of one kind with their descriptions."""
    entries = _ENTRIES[what]()
    if as_json:
        say_json(entries)
        return 0
    width = max(len(name) for name in entries)
    for name, description in entries.items():
        say(f"{name:{width}}  {description}")
    return 0


def _mechanisms() -> dict[str, str]:
    from vmabench.mechanisms import MECHANISMS

    return {name: mechanism.description for name, mechanism in MECHANISMS.items()}


def _pages() -> dict[str, str]:
    facts = read_facts()
    base, huge = facts.pages
    named = {
        base: "the base page of this machine",
        huge: "transparent huge pages, one PMD entry each",
    }
    for page in facts.all_pages[2:]:
        pool = page.startswith(HUGETLB)
        named[page] = (
            "huge pages of a hugetlb pool"
            if pool
            else "multi-size THP: large folios, mapped by entries of base pages"
        )
    return named


def _claims() -> dict[str, str]:
    return {one.name: one.claim for one in published_claims()}


_ENTRIES = {
    "mechanisms": _mechanisms,
    "scenarios": lambda: {name: one.description for name, one in SCENARIOS.items()},
    "pages": _pages,
    "plans": builtin_plans,
    "claims": _claims,
}
