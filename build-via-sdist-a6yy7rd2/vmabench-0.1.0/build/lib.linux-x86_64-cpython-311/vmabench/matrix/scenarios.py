# SPDX-License-Identifier: GPL-2.0-only
"""Why a mechanism has no part in a scenario: pure, from what it does and how many CPUs there are.

``traits`` of a mechanism are the names of what is true of it, as ``mechanisms.Mechanism`` has them:
``source_acts``, ``both_act``, ``in_place``, ``local``, ``fresh_only``, ``talks``, ``shares``,
``moves_nothing``.
"""

from collections.abc import Callable, Collection

from vmabench.matrix.case import Case
from vmabench.units import format_size

Traits = Collection[str]

MOST_MESSAGE_BYTES = 64 << 10
_WORD_BYTES = 8


def why_no_part(case: Case, traits: Traits, cpus: int, base_page: str) -> str | None:
    """The reason for which the mechanism of the case has no part in its scenario, or None."""
    ask = _RULES.get(case.scenario)
    return ask(case, traits, cpus, base_page) if ask else None


def _only_fresh(case: Case, traits: Traits, _cpus: int, _base_page: str) -> str | None:
    if "fresh_only" in traits:
        return f"{case.mechanism} fills fresh memory alone, there is no {case.scenario} of it"
    return None


def _pingpong(case: Case, traits: Traits, cpus: int, base_page: str) -> str | None:
    name = case.mechanism
    if "talks" not in traits:
        return f"{name} carries no message there and back"
    if case.size_bytes % _WORD_BYTES or case.size_bytes > MOST_MESSAGE_BYTES:
        most = format_size(MOST_MESSAGE_BYTES)
        return f"a message has a multiple of {_WORD_BYTES} bytes, and {most} at most"
    if case.page != base_page:
        return f"messages lie on pages of {base_page} alone"
    return _wrong_wait(case, "both_act" in traits, cpus)


def _wrong_wait(case: Case, tells: bool, cpus: int) -> str | None:
    """``tells``: the channel itself wakes who waits for a message."""
    name = case.mechanism
    if tells and case.wait != "channel":
        return f"a message through {name} tells itself that it is there: wait channel"
    if not tells and case.wait == "channel":
        return f"{name} tells nobody that a message is there: wait futex, eventfd or busy"
    if case.wait == "busy" and cpus < 2:
        return "busy waiting needs a CPU for each side, there is 1"
    return None


def _contention(case: Case, traits: Traits, cpus: int, base_page: str) -> str | None:
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
    if at_once > cpus:
        return f"{at_once} at once need as many CPUs, there are {cpus}: more would take turns"
    return None


def _snapshot(case: Case, traits: Traits, cpus: int, _base_page: str) -> str | None:
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


_RULES: dict[str, Callable[[Case, Traits, int, str], str | None]] = {
    "transfer": _only_fresh,
    "pingpong": _pingpong,
    "contention": _contention,
    "snapshot": _snapshot,
}
