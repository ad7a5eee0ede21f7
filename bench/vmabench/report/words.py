# SPDX-License-Identifier: GPL-2.0-only
"""How a report names mechanisms, sizes, ratios and the machine."""

import math
import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from vmabench.analysis.intervals import fewest_for_interval
from vmabench.machine.conditions import FAST_CLOCKSOURCES
from vmabench.matrix.table import TABLE
from vmabench.store.format import Result
from vmabench.store.reader import machine_facts
from vmabench.units import format_size

WIDTH = 100

#: what a mechanism does, as the subject of a sentence
SUBJECTS = {
    "clone": "cloning the mapping",
    "fork": "forking the source (the stock proxy for clone)",
}


def label(mechanism: str) -> str:
    """Its name; no reader may miss what stands in for clone or move on a stock kernel."""
    row = TABLE.get(mechanism)
    return f"{mechanism} (proxy)" if row and row.proxy else mechanism


def subject(mechanism: str) -> str:
    return SUBJECTS.get(mechanism, mechanism)


def approximate_size(size_bytes: float) -> str:
    """A size to three significant digits: 229435 gives ``224K``."""
    for factor, unit in ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if size_bytes >= factor * 0.9995:
            digits = three_digits(size_bytes / factor)
            return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}{unit}"
    return f"{size_bytes:.0f}"


def three_digits(value: float) -> str:
    """Three significant digits without an exponent: ``0.0123``, ``1.23``, ``12.3``, ``1230``."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "?"
    before = math.floor(math.log10(abs(value)))
    rounded = round(value, 2 - before)
    before = math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(0, 2 - before)}f}"


def bracketed(lo: str, hi: str) -> str:
    return f"[{lo}..{hi}]"


#: column of CONDITIONS -> what a plain case has, and the words for anything else
_WORDS: dict[str, tuple[Any, Callable[[Any], str]]] = {
    "swapped_pct": (0, "{} % of it swapped out".format),
    "swap_device": ("", "swap in {}".format),
    "segments": (1, "{} segments".format),
    "receivers": (1, "{} receivers".format),
    "pairs": (1, "{} pairs".format),
    "wait": ("none", "wait {}".format),
    "rate": ("none", "writing {} pages/s".format),
    "limit_bytes": (0, lambda size: f"limit {format_size(int(size))}"),
    "source": ("idle", "source {}".format),
    "congruent": ("yes", lambda _: "not congruent"),
    "source_threads": (0, "{} source threads".format),
    "buffer": ("fresh", "buffer {}".format),
}


#: phase -> whose time it is
WHOSE_TIME = {"total": "receiver's time", "system": "time of both sides"}


def whose_time(phase: str, conditions: Mapping[str, Any]) -> str:
    """Return `` (receiver's time)`` or `` (time of both sides)``; empty with an idle source.

    A source that does not write has no part in the time of both sides.
    """
    return f" ({WHOSE_TIME[phase]})" if conditions.get("source", "idle") != "idle" else ""


def condition_words(conditions: Mapping[str, Any], varying: Collection[str] = ()) -> str:
    """Return what sets a case apart from a plain one, to go on with after its scenario and page.

    ``, then read 10 %, 2 receivers``; empty for a plain one. ``conditions``: column of
    ``analysis.frame.CONDITIONS`` -> value, of those that the case has. THP's setting and the
    placement are named where they are ``varying``: the head of a report has the machine's.
    """
    words = []
    if conditions.get("touch_mode", "none") != "none":
        order = " at random" if conditions["touch_order"] == "random" else ""
        words.append(f"then {conditions['touch_mode']} {conditions['touch_pct']} %{order}")
    if "thp" in varying:
        words.append(f"THP {conditions['thp']}")
    if "placement" in varying:
        words.append(f"CPUs {conditions['placement']}")
    for column, (neutral, say) in _WORDS.items():
        value = conditions.get(column, neutral)
        if value != neutral:
            words.append(say(value))
    return "".join(f", {word}" for word in words)


def undecided(answer: str, processes: int) -> str:
    """Return why two mechanisms have no winner, as the predicate of a sentence."""
    if answer == "unmeasured":
        return "were not both measured"
    if processes < fewest_for_interval():
        return "were measured in too few rounds for an interval"
    return "show no difference"


def shows_none(count: int, what: str) -> str:
    """Return ``3 measured sizes show none``, of differences."""
    return f"{count} measured {what}{' shows' if count == 1 else 's show'} none"


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def wrapped(text: str, indent: str = "  ") -> str:
    """Lines of at most WIDTH, all but the first indented; a long name is never broken."""
    return textwrap.fill(
        text,
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def bulleted(title: str, sentences: Iterable[str]) -> str:
    """A title and a line or more for each sentence."""
    return "\n".join([title, *(wrapped(f"- {text}") for text in sentences)])


def machine_line(result: Result) -> str:
    """Return processor, CPUs, memory, and a slow clocksource, as far as they are known."""
    facts = machine_facts(result)
    parts = [str(facts.get("cpu_model") or "unknown processor")]
    cpus = facts.get("cpus")
    if isinstance(cpus, list | tuple):
        parts.append(f"{len(cpus)} CPU{'s' if len(cpus) != 1 else ''}")
    memory_bytes = facts.get("memory_bytes")
    if isinstance(memory_bytes, int) and memory_bytes > 0:
        gib = memory_bytes / (1 << 30)
        parts.append(f"{gib:.0f}G memory" if gib >= 1 else f"{format_size(memory_bytes)} memory")
    conditions = result.machine.get("conditions")
    clock = (conditions.get("clocksource") or {}) if isinstance(conditions, dict) else {}
    if clock.get("now") not in (None, *FAST_CLOCKSOURCES):
        parts.append(f"CLOCKSOURCE {clock['now']}: reading the clock adds to every value")
    return ", ".join(parts)


def _emulator(result: Result) -> str:
    """Return the QEMU and the CPU model of a guest in parentheses; empty where unknown."""
    guest = machine_facts(result).get("guest") or {}
    if not guest.get("cpu"):
        return ""
    return f" (QEMU {guest.get('qemu', 'unknown')}, CPU {guest['cpu'].partition(',')[0]})"


def rounds_of_a_case(result: Result) -> str:
    """Return ``10 rounds`` or ``10 to 16 rounds``: whole rounds that tried a case, by case.

    Rounds beyond the planned ones repeat the cases that are not tight yet, and only those.
    """
    whole = {record["round"] for record in result.of_kind("round") if record["complete"]}
    counts = Counter(
        record["case"] for record in result.of_kind("case") if record["round"] in whole
    )
    fewest, most = min(counts.values(), default=0), max(counts.values(), default=0)
    rounds = f"{most} round{'s' if most != 1 else ''}"
    return rounds if fewest == most else f"{fewest} to {rounds}"


def rounds_words(result: Result) -> str:
    """Return ``16 rounds (10 to 16 of each case)``; the brackets only where the counts differ."""
    finished = sum(1 for record in result.of_kind("round") if record["complete"])
    rounds = f"{finished} round{'s' if finished != 1 else ''}"
    of_a_case = rounds_of_a_case(result)
    same = of_a_case in (rounds, "0 rounds")
    return (
        rounds
        if same
        else f"{rounds} ({of_a_case.removesuffix('s').removesuffix(' round')} of each case)"
    )


def kernel_line(result: Result) -> str:
    """Return kernel, architecture, THP setting and virtualisation; mark an emulated machine."""
    arch = machine_facts(result).get("arch")
    virt = str(result.header.get("virt", "unknown"))
    parts = [
        f"{result.header.get('kernel', 'unknown')}" + (f" ({arch})" if arch else ""),
        f"THP {result.header.get('thp', 'unknown')}",
        "no virtualisation" if virt == "none" else f"virtualisation {virt}{_emulator(result)}",
    ]
    if virt == "emulated":
        counted = result.header.get("clock") == "instructions"
        parts.append("clock: instructions" if counted else "EMULATED: no absolute time holds")
    return ", ".join(parts)
