# SPDX-License-Identifier: GPL-2.0-only
"""The headline findings in words: what crosses where, and what is fastest."""

import math
from collections.abc import Sequence
from typing import Any, cast

import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.crossover import Crossover, Disagreement, crossovers, disagreements
from vmabench.analysis.frame import CONDITIONS, timed
from vmabench.analysis.ratios import ratio_of_cases
from vmabench.analysis.rivals import FASTEST_COPY, fastest_copies, with_fastest_copy
from vmabench.report.memory import memory_findings
from vmabench.report.pageserver import pageserver_findings
from vmabench.report.touch import DEFERRING, copies_in_words, touch_findings
from vmabench.report.words import (
    WHOSE_TIME,
    approximate_size,
    bracketed,
    condition_words,
    label,
    listed,
    shows_none,
    subject,
    three_digits,
    undecided,
)
from vmabench.units import format_rate, format_size, format_time, parse_size

#: what shares pages instead of copying bytes, and what it is set against
SHARING = ("clone", "fork")
RIVAL = "readv"

#: in what the answers of one headline may differ
_OF_HEADLINE = ("page", "thp", "touch_mode")

_SHOWN = 4

NOTHING_MEASURED = "Nothing was measured."


def findings(frame: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """One sentence each, the most important first; empty where nothing was measured.

    Of several settings of THP each has its own, which begin with it.
    """
    measured = summary.loc[summary["median_ns"].notna(), "thp"]
    settings = list(dict.fromkeys(measured.dropna().astype(str)))
    if len(settings) < 2:
        return _findings(frame, summary)
    return [
        f"THP {thp}: {text}"
        for thp in settings
        for text in _findings(frame[frame["thp"] == thp], summary[summary["thp"] == thp])
    ]


def in_words(frame: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """The findings, or one sentence on why there are none."""
    if found := findings(frame, summary):
        return found
    if summary["median_ns"].notna().any():
        return ["What was measured stands in the tables: no sentence sums it up."]
    return [NOTHING_MEASURED]


def _findings(frame: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    found = crossover_findings(frame)
    found += disagreement_findings(frame)
    found += [text for name in SHARING if (text := _effect_of_pages(frame, summary, name))]
    found += _fastest_copies(summary)
    found += _fastest_deliveries(summary)
    found += touch_findings(frame)
    found += memory_findings(frame)
    found += pageserver_findings(frame)
    return found


def main_crossovers(frame: pd.DataFrame) -> list[Crossover]:
    """Return the answers for clone and fork against the fastest copy, of data that is used.

    ``deliver`` with each page read or written once. Phase ``total`` is the receiver's time,
    ``system`` that of both sides.
    """
    used = _used(frame)
    names = timed(used, SHARING)
    if not names:
        return []
    used = with_fastest_copy(used)
    return [
        one
        for phase in WHOSE_TIME
        for name in names
        for one in crossovers(used, name, FASTEST_COPY, phase=phase)
    ]


def transfer_crossovers(frame: pd.DataFrame) -> list[Crossover]:
    """Return the answers for clone and fork against readv, of the bare operation."""
    bare = frame[frame["scenario"] == "transfer"]
    return [one for name in timed(bare, SHARING) for one in crossovers(bare, name, RIVAL)]


def crossover_findings(frame: pd.DataFrame) -> list[str]:
    """Return a sentence for each mechanism, use of the data and total: its answers, by page."""
    answers = [one for one in main_crossovers(frame) if one.answer != "unmeasured"]
    found: dict[str, dict[str, list[str]]] = {}
    if answers:
        rivals = fastest_copies(_used(frame))
        for one in answers:
            names = copies_in_words(rivals, one.phase, one.conditions, "size_bytes")
            answer = outcome(one) + (f" ({names})" if names else "")
            found.setdefault(_contest(one), {}).setdefault(answer, []).append(one.page)
    return [
        f"{contest}: "
        + "; ".join(f"{listed(pages)} pages {answer}" for answer, pages in answers.items())
        + "."
        for contest, answers in found.items()
    ]


def disagreement_findings(frame: pd.DataFrame) -> list[str]:
    """Return a sentence for each contest in which the receiver's time and that of both differ.

    ``deliver`` and ``touch``, against the fastest copy.
    """
    touched = frame[frame["scenario"] == "touch"]
    return [
        _disagreement(one)
        for rows, names in ((_used(frame), SHARING), (touched, DEFERRING))
        if (measured := timed(rows, names)) and (rows["phase"] == "system").any()
        for used in [with_fastest_copy(rows)]
        for name in measured
        for one in disagreements(used, name, FASTEST_COPY)
    ]


def _disagreement(found: Disagreement) -> str:
    who, rival = subject(found.mechanism), subject(found.baseline)
    rival = f"the {rival}" if rival == FASTEST_COPY else rival
    verbs = ("loses", "wins") if found.for_receiver else ("wins", "loses")
    shares: dict[int, list[str]] = {}
    for size_bytes, pct in found.cells:
        shares.setdefault(size_bytes, []).append(f"{pct} %")
    mode = found.conditions["touch_mode"]
    order = " at random" if found.conditions["touch_order"] == "random" else ""
    then = f", then {mode}{order}" if mode != "none" else ""
    words = condition_words(dict(found.conditions) | {"touch_mode": "none"})
    places = "; ".join(f"{format_size(size)} ({', '.join(of)})" for size, of in shares.items())
    return (
        f"Counting the source's time as well, {who} {verbs[0]} against {rival},"
        f" and {verbs[1]} by the receiver's time alone: {found.conditions['page']} pages"
        f"{then}{words}, at {places}."
    )


def _contest(found: Crossover) -> str:
    who = subject(found.mechanism)
    conditions = condition_words(found.conditions)
    whose = WHOSE_TIME[found.phase]
    return f"{who[0].upper()}{who[1:]} against the {found.baseline}{conditions} ({whose})"


def _used(frame: pd.DataFrame) -> pd.DataFrame:
    whole = (frame["touch_pct"] == 100) & (frame["touch_order"] == "sequential")
    return frame[(frame["scenario"] == "deliver") & whole]


def outcome(found: Crossover) -> str:
    """Return what one answer says of the mechanism, with its interval or its range of sizes."""
    if found.answer == "crossover":
        return f"faster {place(found)}"
    if found.decided_bytes is None:
        return undecided(found.answer, found.processes)
    side = "faster" if found.answer == "always" else "slower"
    sizes = sizes_between(*found.decided_bytes)
    if found.undecided:
        return f"{side} where a difference shows, {sizes}; {shows_none(found.undecided, 'size')}"
    return f"{side} at every size, {sizes}"


def sizes_between(first_bytes: int, last_bytes: int) -> str:
    first, last = format_size(first_bytes), format_size(last_bytes)
    return first if first == last else f"{first} to {last}"


def headline(answers: Sequence[Crossover]) -> str:
    """Return the message of the main crossovers on one line, for a title.

    Clone goes before its proxy, and the receiver's time before that of both sides.
    """
    measured = [one for one in answers if one.answer != "unmeasured"]
    if not measured:
        return "How fast memory gets from one process to another"
    first = max(measured, key=lambda one: one.conditions.get("source") == "rewritten")
    who = {"fork": "Forking (proxy for clone)", "clone": "Cloning"}.get(
        first.mechanism, first.mechanism
    )
    alike = [one for one in measured if _scope(one) == _scope(first)]
    places: dict[str, list[str]] = {}
    for one in alike:
        places.setdefault(one.page, []).append(_short(one))
    where = "; ".join(f"{', '.join(each)} ({page} pages)" for page, each in places.items())
    scope = WHOSE_TIME[first.phase] + _source_words(first)
    return f"{who} against the {first.baseline}, {scope}: faster {where}"


def _scope(found: Crossover) -> tuple[object, ...]:
    """Return what the answers of one headline have in common."""
    others = {name: value for name, value in found.conditions.items() if name not in _OF_HEADLINE}
    return found.mechanism, found.baseline, found.phase, tuple(others.items())


def _source_words(found: Crossover) -> str:
    return ", a source that writes" if found.conditions.get("source") == "rewritten" else ""


def _short(found: Crossover) -> str:
    """Return ``from 2M up if read``."""
    used = {"read": " if read", "write": " if written"}.get(found.conditions["touch_mode"], "")
    return f"{short_place(found, interval=False)}{used}"


def short_place(found: Crossover, *, interval: bool = True) -> str:
    """Where the mechanism beats the baseline: ``from 96K up [64K..160K]``, ``at every size``."""
    if found.answer == "crossover":
        return place(found) if interval else place(found).partition(" [")[0]
    if found.answer == "always" and found.decided_bytes:
        first, last = found.decided_bytes
        some = f"at {format_size(first)}" if first == last else f"from {sizes_between(first, last)}"
        return some if found.undecided else "at every size"
    decided = found.answer == "never" and not found.undecided
    return "at no size" if decided else "at no size for certain"


def place(found: Crossover) -> str:
    """``from 96K up [64K..160K]``; without the brackets where there is no interval."""
    text = f"from {approximate_size(found.size_bytes)} {'up' if found.faster_above else 'down'}"
    if math.isnan(found.lo_bytes):
        return text
    bounds = bracketed(approximate_size(found.lo_bytes), approximate_size(found.hi_bytes))
    return f"{text} {bounds}"


def _effect_of_pages(frame: pd.DataFrame, summary: pd.DataFrame, mechanism: str) -> str | None:
    """Return how much faster the largest common size is with the next larger page."""
    read = (summary["touch_mode"] == "read") & (summary["touch_pct"] == 100)
    mine = _measured(summary[read], "deliver").query("mechanism == @mechanism")
    pages = levels.page_order(mine["page"].astype(str))
    if len(pages) < 2:
        return None
    small, large = pages[:2]
    sizes = [set(mine.loc[mine["page"] == page, "size_bytes"]) for page in (small, large)]
    common = sizes[0] & sizes[1]
    if not common:
        return None
    size_bytes = int(max(common))
    at_size = (
        mine[mine["size_bytes"] == size_bytes].drop_duplicates("page").set_index("page")["case_id"]
    )
    ids = [str(at_size[page]) for page in (small, large)]
    ratio, lo, hi = ratio_of_cases(frame, *ids)
    who = subject(mechanism)
    start = f"{who[0].upper()}{who[1:]} and reading the data, {format_size(size_bytes)} of"
    if not (lo > 1 or hi < 1):
        return f"{start} {large} and of {small} pages: no difference was shown."
    verb, ratio, lo, hi = (
        ("faster", ratio, lo, hi) if ratio >= 1 else ("slower", 1 / ratio, 1 / hi, 1 / lo)
    )
    bounds = bracketed(three_digits(lo), three_digits(hi))
    return f"{start} {large} pages is {three_digits(ratio)}x {bounds} {verb} than of {small} pages."


def _fastest_copies(summary: pd.DataFrame) -> list[str]:
    """Name the best copy at a small, a middle and the largest size of each page.

    The best baseline that was measured with each of them stands beside it.
    """
    bare = _measured(summary, "transfer")
    copies = bare[bare["mechanism"].isin(levels.COPYING)]
    baselines = bare[bare["mechanism"].isin(levels.COPIES_WITHIN)]
    lines = []
    for page in levels.page_order(copies["page"].astype(str)):
        of_page = copies[copies["page"] == page]
        sizes = sorted(of_page["size_bytes"].unique())
        chosen = sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]})
        local = baselines[baselines["page"] == page]
        best = [
            _best(
                of_page[of_page["size_bytes"] == size],
                local[local["size_bytes"] == size],
                int(size),
            )
            for size in chosen
        ]
        lines.append(f"Fastest copy with {page} pages: {'; '.join(best)}.")
    return lines


def _best(rivals: pd.DataFrame, baselines: pd.DataFrame, size_bytes: int) -> str:
    """Return the fastest mechanism, and with ``~`` those whose intervals overlap with its own.

    Without intervals none is shown to be the fastest.
    """
    ordered = rivals.sort_values("median_ns")
    first = ordered.iloc[0]
    if len(ordered) > 1 and ordered[["lo_ns", "hi_ns"]].isna().any(axis=None):
        return f"at {format_size(size_bytes)} none for certain, without intervals"
    equal = ordered.loc[ordered["lo_ns"] <= first["hi_ns"], "mechanism"].astype(str)
    names = " ~ ".join(dict.fromkeys([str(first["mechanism"]), *equal]))
    rates = [format_rate(first["bytes_per_s"])]
    for best in baselines.sort_values("median_ns").head(1).to_dict("records"):
        rates.append(f"baseline {best['mechanism']} {format_rate(best['bytes_per_s'])}")
    return f"at {format_size(size_bytes)} {names} ({'; '.join(rates)})"


def _fastest_deliveries(summary: pd.DataFrame) -> list[str]:
    """For each set of conditions, the first few at a size that all pages have."""
    delivered = _measured(summary, "deliver")
    delivered = delivered[~delivered["mechanism"].isin((*levels.BASELINES, *levels.OWN))]
    lines = []
    for key, rows in delivered.groupby(list(CONDITIONS), observed=True):
        conditions = dict(zip(CONDITIONS, cast(tuple[Any, ...], key), strict=True))
        page, mode, pct = (conditions[name] for name in ("page", "touch_mode", "touch_pct"))
        size_bytes = typical_size(rows["size_bytes"])
        at_size = rows[rows["size_bytes"] == size_bytes].sort_values("median_ns")
        times = [
            f"{label(str(name))} {format_time(time_ns)}"
            for name, time_ns in zip(at_size["mechanism"], at_size["median_ns"], strict=True)
        ]
        of_all = f" (the fastest of {len(times)})" if len(times) > _SHOWN else ""
        what = f"{format_size(size_bytes)} in {page} pages{touch_words(mode, int(pct))}"
        what += condition_words(conditions | {"touch_mode": "none"})
        lines.append(f"Delivering {what}: {listed(times[:_SHOWN])}{of_all}.")
    return lines


def typical_size(sizes: "pd.Series[int]") -> int:
    """The largest size up to 64M, or the smallest of all: beyond it only memory is measured."""
    limit = parse_size("64M")
    return int(max((size for size in sizes if size <= limit), default=min(sizes)))


def touch_words(mode: str, pct: int) -> str:
    """What the receiver does: `` and reading 10 % of its pages``, one word of each."""
    if mode == "none":
        return ""
    verb = {"read": "reading", "write": "writing"}.get(mode, mode)
    return f" and {verb} {'each page' if pct == 100 else f'{pct} % of its pages'} once"


def _measured(summary: pd.DataFrame, scenario: str) -> pd.DataFrame:
    whole = (summary["scenario"] == scenario) & (summary["phase"] == "total")
    return summary[whole & (summary["median_ns"] > 0)]
