# SPDX-License-Identifier: GPL-2.0-only
"""The headline findings in words: what crosses where, and what is fastest."""

import math
from collections.abc import Sequence
from typing import cast

import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.crossover import Crossover, crossovers
from vmabench.analysis.ratios import ratio_of_cases
from vmabench.report.memory import memory_findings
from vmabench.report.pageserver import pageserver_findings
from vmabench.report.touch import touch_findings
from vmabench.report.words import (
    approximate_size,
    bracketed,
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
    found += [text for name in SHARING if (text := _effect_of_pages(frame, summary, name))]
    found += _fastest_copies(summary)
    found += _fastest_deliveries(summary)
    found += touch_findings(frame)
    found += memory_findings(frame)
    found += pageserver_findings(frame)
    return found


def main_crossovers(frame: pd.DataFrame) -> list[Crossover]:
    """Clone and fork against readv, for the bare operation."""
    bare = frame[frame["scenario"] == "transfer"]
    return [one for name in SHARING for one in crossovers(bare, name, RIVAL)]


def crossover_findings(frame: pd.DataFrame) -> list[str]:
    """A sentence for each of them that was measured."""
    return [sentence(one) for one in main_crossovers(frame) if one.answer != "unmeasured"]


def sentence(found: Crossover) -> str:
    """What one answer says, with its interval and range."""
    who, rival = subject(found.mechanism), subject(found.baseline)
    start = f"With {found.page} pages, "
    if found.answer == "crossover":
        return f"{start}{who} beats {rival} {place(found)}."
    if found.decided_bytes is None:
        return f"{start}{who} and {rival} {undecided(found.answer, found.processes)}."
    winner, loser = (who, rival) if found.answer == "always" else (rival, who)
    sizes = sizes_between(*found.decided_bytes)
    if found.undecided:
        return (
            f"{start}{winner} beats {loser} where a difference shows, {sizes};"
            f" {shows_none(found.undecided, 'size')}, so a crossover is not excluded."
        )
    return (
        f"{start}{winner} beats {loser} at every size, {sizes}: no crossover in the measured range."
    )


def sizes_between(first_bytes: int, last_bytes: int) -> str:
    first, last = format_size(first_bytes), format_size(last_bytes)
    return first if first == last else f"{first} to {last}"


def headline(answers: Sequence[Crossover]) -> str:
    """The message of the crossovers on one line, for a title; clone goes before its proxy."""
    measured = [one for one in answers if one.answer != "unmeasured"]
    if not measured:
        return "How fast memory gets from one process to another"
    name, rival = measured[0].mechanism, measured[0].baseline
    who = {"fork": "Forking (proxy for clone)", "clone": "Cloning"}.get(name, name)
    of_name = [one for one in measured if (one.mechanism, one.baseline) == (name, rival)]
    where = [f"{short_place(one, interval=False)} ({one.page} pages)" for one in of_name]
    return f"{who} beats {rival} {', '.join(where)}"


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
    mine = _measured(summary, "transfer").query("mechanism == @mechanism")
    pages = levels.page_order(mine["page"].astype(str))
    if len(pages) < 2:
        return None
    small, large = pages[:2]
    sizes = [set(mine.loc[mine["page"] == page, "size_bytes"]) for page in (small, large)]
    common = sizes[0] & sizes[1]
    if not common:
        return None
    size_bytes = int(max(common))
    at_size = mine[mine["size_bytes"] == size_bytes].set_index("page")["case_id"]
    ids = [str(at_size[page]) for page in (small, large)]
    ratio, lo, hi = ratio_of_cases(frame, *ids)
    who = subject(mechanism)
    start = f"{who[0].upper()}{who[1:]}, {format_size(size_bytes)} of"
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
    """For each page and touch, the first few at a size that all pages have."""
    delivered = _measured(summary, "deliver")
    delivered = delivered[~delivered["mechanism"].isin((*levels.BASELINES, *levels.OWN))]
    lines = []
    for key, rows in delivered.groupby(["page", "touch_mode", "touch_pct"], observed=True):
        page, mode, pct = cast(tuple[str, str, int], key)
        size_bytes = typical_size(rows["size_bytes"])
        at_size = rows[rows["size_bytes"] == size_bytes].sort_values("median_ns")
        times = [
            f"{label(str(name))} {format_time(time_ns)}"
            for name, time_ns in zip(at_size["mechanism"], at_size["median_ns"], strict=True)
        ]
        of_all = f" (the fastest of {len(times)})" if len(times) > _SHOWN else ""
        what = f"{format_size(size_bytes)} in {page} pages{touch_words(mode, int(pct))}"
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
    return summary[whole & summary["median_ns"].notna()]
