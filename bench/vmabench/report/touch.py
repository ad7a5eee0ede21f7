# SPDX-License-Identifier: GPL-2.0-only
"""The scenario ``touch`` in words and tables: break-evens, and who wins where."""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, cast

import pandas as pd

from vmabench.analysis.crossover import TOTALS, BreakEven, break_evens
from vmabench.analysis.frame import CONDITIONS, timed
from vmabench.analysis.rivals import CHOSEN, FASTEST_COPY, fastest_copies, with_fastest_copy
from vmabench.analysis.winners import WAYS, winners
from vmabench.report.layout import layout
from vmabench.report.words import (
    bracketed,
    condition_words,
    label,
    shows_none,
    subject,
    three_digits,
    undecided,
    whose_time,
)
from vmabench.units import format_size

#: what defers the copying: each is set against the fastest copy
DEFERRING = ("clone", "fork", "memfd-private")

#: what may win: with a receiver that needs memory of its own, and with one that does not
CONTESTS = {
    "the receiver has memory of its own": ("cloning", "copying"),
    "the source's memory may be shared": tuple(WAYS),
}

MAP_NOTE = """\
The fastest, and by what factor over the fastest of the other ways; ~: no difference shown, with the
interval of the ratio of their times.
Cloning defers the copy, copying does it at once, sharing isolates nothing."""

_DOING = {"read": "read", "write": "written"}


def touch_findings(frame: pd.DataFrame) -> list[str]:
    """Return a sentence for each mechanism, total, page, size and way of touching of ``touch``.

    The rival is the fastest copy of each fraction. The sentence names it.
    """
    answers = with_copies(frame)
    if not answers:
        return []
    rivals = fastest_copies(frame[frame["scenario"] == "touch"])
    return [
        sentence(one, copies_in_words(_of_curve(rivals, one), one.phase, cells, "touch_pct"))
        for one in answers
        for cells in [dict(one.conditions) | {"size_bytes": one.size_bytes}]
    ]


def with_copies(frame: pd.DataFrame, phases: Iterable[str] = TOTALS) -> list[BreakEven]:
    """Return the break-evens of ``touch`` with the fastest copy that were measured."""
    touched = frame[frame["scenario"] == "touch"]
    names = timed(touched, DEFERRING)
    if not names:
        return []
    used = with_fastest_copy(touched)
    return [
        one
        for name in names
        for phase in phases
        for one in break_evens(used, name, FASTEST_COPY, phase=phase)
        if one.answer != "unmeasured"
    ]


def _of_curve(rivals: pd.DataFrame, found: BreakEven) -> pd.DataFrame:
    """Return the rows of the way of touching of an answer, and those that touch nothing."""
    mine = (rivals["touch_mode"] == found.touch_mode) & (rivals["touch_order"] == found.touch_order)
    return rivals[mine | (rivals["touch_mode"] == "none")]


def copies_in_words(
    rivals: pd.DataFrame, phase: str, conditions: Mapping[str, Any], order: str
) -> str:
    """Return the fastest copies under ``conditions``, each once, in the order of a column.

    ``rivals`` is what ``fastest_copies`` returns.
    """
    here = rivals["phase"] == phase
    for name, value in conditions.items():
        if name not in CHOSEN:
            here &= rivals[name] == value
    rows = rivals[here].sort_values(order)
    return ", then ".join(dict.fromkeys(map(_copy, rows.to_dict("records"))))


def _copy(row: Mapping[Any, Any]) -> str:
    buffer = row.get("buffer", "fresh")
    return str(row["mechanism"]) + ("" if buffer == "fresh" else f" into {buffer} memory")


def sentence(found: BreakEven, copies: str = "") -> str:
    """Return what one answer says, with its interval, or that no break-even is in range.

    ``copies`` names what the fastest copy is.
    """
    who, rival = subject(found.mechanism), subject(found.baseline)
    if found.baseline == FASTEST_COPY:
        rival = f"the {FASTEST_COPY}" + (f" ({copies})" if copies else "")
    order = " at random" if found.touch_order == "random" else ""
    doing = f"pages {_DOING[found.touch_mode]}{order} afterwards"
    words = condition_words(dict(found.conditions) | {"touch_mode": "none"})
    words += whose_time(found.phase, found.conditions)
    start = f"With {format_size(found.size_bytes)} of {found.conditions['page']} pages{words}, "
    if found.answer == "crossover":
        side = "above" if found.faster_above else "below"
        return f"{start}{who} beats {rival} {side} {share(found)} of the {doing}."
    if found.answer == "undecided":
        why = undecided(found.answer, found.processes)
        return f"{start}{who} and {rival} {why}, whatever share of the {doing}."
    winner, loser = (who, rival) if found.answer == "always" else (rival, who)
    first, last = found.decided_pct or (math.nan, math.nan)
    text = f"{start}{winner} beats {loser} from {first:.0f} to {last:.0f} % of the {doing}"
    if found.undecided:
        return (
            f"{text}, wherever a difference shows; {shows_none(found.undecided, 'fraction')},"
            " so a break-even is not excluded."
        )
    return f"{text}: no break-even in range."


def share(found: BreakEven) -> str:
    """``63 % [58..70]``; without the brackets where there is no interval."""
    text = f"{found.touch_pct:.0f} %"
    if math.isnan(found.lo_pct):
        return text
    return f"{text} {bracketed(f'{found.lo_pct:.0f}', f'{found.hi_pct:.0f}')}"


def map_tables(frame: pd.DataFrame) -> Iterator[str]:
    """Yield the crossover map of each contest and total: sizes down, fractions touched across."""
    if not (frame["scenario"] == "touch").any():
        return
    for (contest, ways), phase in product(CONTESTS.items(), TOTALS):
        for key, rows in maps(winners(frame, ways, phase=phase)):
            touching = _way_of_touching(key) + whose_time(phase, key)
            yield f"touch, {key['page']} pages{touching}: who wins where {contest}\n{_map(rows)}"


def maps(cells: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """What a map's cells have in common, and its rows; what touches nothing is in each mode's."""
    common = [name for name in CONDITIONS if name != "touch_pct"]
    untouched = cells[cells["touch_mode"] == "none"]
    for key, rows in cells[cells["touch_mode"] != "none"].groupby(common, observed=True):
        conditions = dict(zip(common, cast(tuple[Any, ...], key), strict=True))
        fixed = [n for n in common if n not in ("touch_mode", "touch_order")]
        same = (untouched[fixed].astype(object) == [conditions[n] for n in fixed]).all(axis=1)
        yield conditions, pd.concat([untouched[same], rows])


def _way_of_touching(conditions: dict[str, Any]) -> str:
    order = " at random" if conditions["touch_order"] == "random" else ""
    others = conditions | {"touch_mode": "none"}
    return f", then {conditions['touch_mode']} a share{order}{condition_words(others)}"


def _map(rows: pd.DataFrame) -> str:
    shares = sorted(rows["touch_pct"].unique())
    cells = {
        (row["size_bytes"], row["touch_pct"]): _cell(row)
        for row in cast(list[dict[str, Any]], rows.to_dict("records"))
    }
    lines = [
        [format_size(int(size)), *(cells.get((size, pct), "-") for pct in shares)]
        for size in sorted(rows["size_bytes"].unique())
    ]
    return layout(["size", *(f"{pct} %" for pct in shares)], lines)


def _cell(row: dict[str, Any]) -> str:
    if not row["decided"]:
        bounds = bracketed(three_digits(row["lo"]), three_digits(row["hi"]))
        known = "" if math.isnan(row["lo"]) else f" {bounds}"
        return f"{label(row['mechanism'])} ~ {label(row['rival'])}{known}"
    return f"{label(row['mechanism'])} {three_digits(1 / row['ratio'])}"
