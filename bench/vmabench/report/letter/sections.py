# SPDX-License-Identifier: GPL-2.0-only
"""The numbers of a letter: a caption that says which direction is better, and a table."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.compare import VERDICTS, bare_name
from vmabench.analysis.costs import COUNTERS
from vmabench.analysis.ratios import CELL, paired_ratio
from vmabench.matrix.case import Case
from vmabench.report.findings import RIVAL, SHARING, typical_size
from vmabench.report.letter.plain import WIDTH, clean, enumeration, filled, in_unit, table, unit_of
from vmabench.report.letter.side import Side
from vmabench.report.words import approximate_size, condition_words, label
from vmabench.units import format_size, format_time

Row = dict[str, Any]

#: what every rival has in a plain case
_PLAIN = {"swapped_pct": 0, "receivers": 1, "touch_order": "sequential"}
_UNSURE = "TODO(author): theory for each line with a sign"
_MOST_ROWS = 24
_ORDER = ("clone", "fork", "readv", "writev", "memfd", "shm")


def hand_over(side: Side) -> pd.DataFrame:
    """The cells of the first table: one size, the plain conditions, every page and mechanism."""
    timed = side.summary[side.summary["median_ns"].notna() & (side.summary["mechanism"] != "null")]
    for name, value in _PLAIN.items():
        timed = timed[timed[name] == value]
    for scenario, mode in (("deliver", "read"), ("deliver", "write"), ("transfer", "none")):
        rows = timed[(timed["scenario"] == scenario) & (timed["touch_mode"] == mode)]
        rows = rows[rows["touch_pct"] == rows["touch_pct"].max()]
        if len(rows):
            break
    return rows[rows["size_bytes"] == typical_size(rows["size_bytes"])] if len(rows) else rows


def first_table(side: Side, cells: pd.DataFrame, number: int = 1) -> str:
    """Pages down, mechanisms across; the change of clone against readv at the end."""
    if cells.empty:
        return ""
    whole = cells[cells["phase"] == "total"]
    rows = {(str(row["page"]), str(row["mechanism"])): row for row in _dicts(whole)}
    names = _names(whole)
    unit = unit_of(list(whole["median_ns"]))
    hero = _hero(names)
    head = ["page", "huge", *map(label, names)]
    lines = [
        [
            page,
            _huge(side, rows, page),
            *(_cell(side, rows.get((page, name)), unit) for name in names),
        ]
        for page in levels.page_order({page for page, _ in rows})
    ]
    if hero:  # beside its own column, in the lines that are read first
        place = 3 + names.index(hero)
        head.insert(place, f"vs {RIVAL}")
        for line in lines:
            line.insert(place, _change(side, rows.get((line[0], hero))))
    caption = f"{number}) {_subject(whole)} Total time in {unit}, lower is better:"
    return f"{filled(caption, '', '   ')}\n\n{table(head, lines)}"


def where_time_goes(cells: pd.DataFrame, number: int) -> str:
    """The phases of the first row of the first table, and what an entry of a page table takes."""
    if cells.empty or set(cells["phase"]) <= {"total"}:
        return ""
    page = levels.page_order(cells["page"].astype(str))[0]
    rows = cells[cells["page"] == page]
    names = _names(rows)
    found = {(str(row["phase"]), str(row["mechanism"])): row for row in _dicts(rows)}
    unit = unit_of(list(rows.loc[rows["phase"] == "total", "median_ns"]))
    hero = next((name for name in SHARING if name in names), None)
    entries = int(rows["size_bytes"].iloc[0]) // _page_bytes(rows)
    lines = []
    for phase in levels.PHASES:
        values = [found.get((phase, name)) for name in names]
        if not any(values):
            continue
        line = [phase, *("-" if v is None else in_unit(v["median_ns"], unit) for v in values)]
        mine = found.get((phase, hero or ""))
        each = f"{mine['median_ns'] / entries:.3g} ns" if mine else ""
        lines.append([*line, *([each] if hero else [])])
    head = ["phase", *map(label, names), *([f"{hero}, an entry"] if hero else [])]
    caption = f"{number}) Where the time goes, {page} pages, {unit}, lower is better:"
    return f"{filled(caption, '', '   ')}\n\n{table(head, lines)}"


def side_effects(side: Side, cells: pd.DataFrame, number: int) -> str:
    """Counters of the first row of the first table."""
    if cells.empty:
        return ""
    page = levels.page_order(cells["page"].astype(str))[0]
    chosen = cells[(cells["page"] == page) & (cells["phase"] == "total")]
    counted = side.costs[side.costs["case_id"].isin(chosen["case_id"])]
    if counted.empty:
        return ""
    names = _names(chosen)
    values = {(str(row["counter"]), str(row["mechanism"])): row for row in _dicts(counted)}
    lines = [
        [words, *(_count(values.get((counter, name)), counter) for name in names)]
        for counter, words in COUNTERS.items()
        if (counted["counter"] == counter).any()
    ]
    caption = f"{number}) Side effects of 1), {page} pages, both processes, lower is better:"
    return f"{filled(caption, '', '   ')}\n\n{table(['counter', *map(label, names)], lines)}"


def swapped(side: Side, number: int) -> str:
    """Source paged out before the operation: one size, its shares down."""
    timed = side.summary[side.summary["median_ns"].notna() & (side.summary["phase"] == "total")]
    out = timed[timed["swapped_pct"] > 0]
    if out.empty:
        return ""
    like = out.iloc[0]
    same = ["scenario", "page", "touch_mode", "touch_pct", "thp"]
    rows = timed[(timed[same] == like[same]).all(axis=1)]
    rows = rows[rows["size_bytes"] == typical_size(out["size_bytes"])]
    names = _names(rows)
    unit = unit_of(list(rows["median_ns"]))
    cells = {(int(row["swapped_pct"]), str(row["mechanism"])): row for row in _dicts(rows)}
    lines = [
        [f"{pct} %", *(_cell(side, cells.get((pct, name)), unit) for name in names)]
        for pct in sorted({pct for pct, _ in cells})
    ]
    caption = f"{number}) {_subject(rows)} Source swapped out before, {unit}, lower is better:"
    return f"{filled(caption, '', '   ')}\n\n{table(['swapped', *map(label, names)], lines)}"


def slower(side: Side, number: int) -> str:
    """Where the mechanism that shares is slower than the copy, of one result alone."""
    names = set(side.summary.loc[side.summary["median_ns"].notna(), "mechanism"].astype(str))
    hero = next((name for name in SHARING if name in names), None)
    if hero is None or RIVAL not in names:
        return ""
    ratios = paired_ratio(side.frame, hero, RIVAL)
    ratios = ratios[(ratios["phase"] == "total") & ratios["ratio"].notna()]
    lost = ratios[ratios["lo"] > 1].sort_values("ratio", ascending=False)
    caption = f"{number}) Where {label(hero)} is slower than {RIVAL}, lower is better:"
    if lost.empty:
        compared = f"in none of {len(ratios)} cells that have both."
        return f"{filled(caption, '', '   ')}\n\n   {compared}"
    medians = {
        (str(row["mechanism"]), *(row[name] for name in CELL)): float(row["median_ns"])
        for row in _dicts(side.summary)
    }
    lines = []
    for row in _dicts(lost.iloc[:_MOST_ROWS]):
        times = [medians[(name, *(row[axis] for axis in CELL))] for name in (hero, RIVAL)]
        unit = unit_of(times)
        change, lo, hi = (100 * (row[name] - 1) for name in ("ratio", "lo", "hi"))
        lines.append([_cell_name(row), *(f"{in_unit(ns, unit)} {unit}" for ns in times),
                      f"{change:+.0f}%", f"{lo:+.0f}..{hi:+.0f}%"])  # fmt: skip
    head = ["cell", label(hero), RIVAL, "change", "95 %"]
    text = f"{filled(caption, '', '   ')}\n\n{table(head, lines)}"
    more = len(lost) - len(lines)
    return text + (f"\n   and {more} more cells" if more else "") + f"\n   [{_UNSURE}]"


def changes(compared: pd.DataFrame, number: int) -> str:
    """Return A against B: failures first, then slower and faster cases, then unchanged ones."""
    known = compared[compared["verdict"] != "not comparable"]
    if known.empty:
        return ""
    decided = known[known["verdict"].isin(["failed", "slower", "faster"])]
    unchanged = known[known["verdict"].isin(["~", "same"])]
    shown = pd.concat([decided.iloc[:_MOST_ROWS], unchanged.iloc[: _MOST_ROWS // 3]])
    lines = []
    for row in _dicts(shown):
        if row["verdict"] == "failed":
            rounds = [f"{row[f'{name}_failed']}/{row[f'{name}_tried']}" for name in "ab"]
            lines.append([bare_name(row["case_id"]), *rounds, "fails", "-"])
            continue
        unit = unit_of([row["a_ns"]])
        decisive = row["verdict"] in ("slower", "faster")
        change = f"{100 * (row['ratio'] - 1):+.1f}%" if decisive else "~"
        times = [f"{in_unit(row[f'{name}_ns'], unit)} {unit}" for name in "ab"]
        spread = max(row["a_deviation"], row["b_deviation"])
        lines.append([bare_name(row["case_id"]), *times, change, _deviation(spread)])
    counts = ", ".join(
        f"{int((compared['verdict'] == name).sum())} {name}" for name in VERDICTS
    )  # fmt: skip
    caption = f"{number}) Does it hurt anything else? A vs B, lower is better; {counts}:"
    text = f"{filled(caption, '', '   ')}\n\n"
    text += table(["case", "A", "B", "change", "+-"], lines)
    more = len(decided) - _MOST_ROWS
    text += f"\n   and {more} more with a sign" if more > 0 else ""
    return text + (f"\n   [{_UNSURE}]" if len(decided) else "")


def every_case(compared: pd.DataFrame) -> str:
    """Return all cases that can be compared, in the layout of the kernel test robot."""
    lines = ["Every case, time of one operation, lower is better:", ""]
    lines.append(f"{'A':>7} {'%stddev':>7} {'%change':>8} {'B':>7} {'%stddev':>7}  case")
    for row in _dicts(compared[compared["verdict"] != "not comparable"]):
        decided = row["verdict"] in ("slower", "faster")
        change = f"{100 * (row['ratio'] - 1):+.1f}%" if decided else "~"
        change = "fails" if row["verdict"] == "failed" else change
        a, b = (_with_deviation(row, one) for one in "ab")
        numbers, name = f"{a} {change:>8} {b}", clean(bare_name(row["case_id"]))
        if len(numbers) + 2 + len(name) <= WIDTH:
            lines.append(f"{numbers}  {name}")
        else:
            lines += [numbers, filled(name, "   ", "   ")]
    return "\n".join(lines)


def _with_deviation(row: Row, of: str) -> str:
    time = format_time(row[f"{of}_ns"]).replace(" ", "")
    return f"{time:>7} {_deviation(row[f'{of}_deviation']):>7}"


def unsupported(side: Side) -> Iterator[str]:
    """What was skipped or failed, a sentence for each reason, with the errno that it has."""
    lost = side.summary[side.summary["outcome"].isin(["skipped", "failed"])]
    for (outcome, reason), rows in lost.groupby(["outcome", "reason"], observed=True, sort=False):
        names = ", ".join(dict.fromkeys(rows["mechanism"].astype(str)))
        pages = ", ".join(levels.page_order(rows["page"].astype(str)))
        cells = f"{len(rows)} cell{'s' if len(rows) > 1 else ''}"
        yield f"{names} ({pages} pages, {cells}) {outcome}: {reason}"


def unmeasured(side: Side) -> str:
    """The mechanisms and costs that are not in the data at all, and what no run of ours has."""
    present = set(side.summary["mechanism"].astype(str))
    names = [name for name in levels.MECHANISMS if name not in present]
    costs = [words for name, words in COUNTERS.items() if not (side.costs["counter"] == name).any()]
    return enumeration([*names, *costs, "a second architecture", "an application"])


def _names(rows: pd.DataFrame) -> list[str]:
    present = set(rows["mechanism"].astype(str))
    first = [name for name in _ORDER if name in present]
    rest = [name for name in levels.with_strangers(levels.MECHANISMS, present) if name in present]
    return list(dict.fromkeys([*first, *rest]))


def _hero(names: Sequence[str]) -> str | None:
    return next((name for name in SHARING if name in names and RIVAL in names), None)


def _subject(rows: pd.DataFrame) -> str:
    row = _dicts(rows)[0]
    size = format_size(int(row["size_bytes"]))
    if row["scenario"] == "transfer":
        return f"Hand over {size} of resident memory, buffers reused."
    used = condition_words(row | {"swapped_pct": 0}).removeprefix(", then ")
    return f"Hand over {size} of resident memory to a reader with fresh memory, then {used}."


def _cell(side: Side, row: Row | None, unit: str) -> str:
    if row is None:
        return "-"
    deviation = _deviation(side.deviation.get(str(row["case_id"]), math.nan))
    return f"{in_unit(row['median_ns'], unit)} {deviation}"


def _deviation(share: float) -> str:
    return "+-?" if math.isnan(share) else f"+-{100 * share:.1f}%"


def _change(side: Side, row: Row | None) -> str:
    """Of a cell against the rival's; ``~`` where the interval holds 1."""
    if row is None:
        return "n/a"
    mine = side.frame[side.frame["size_bytes"] == row["size_bytes"]]
    ratios = paired_ratio(mine, str(row["mechanism"]), RIVAL)
    same = ["scenario", "page", "touch_mode", "touch_pct", "swapped_pct", "thp", "touch_order"]
    for name in (*same, "receivers", "phase"):
        ratios = ratios[ratios[name] == row[name]]
    if ratios.empty or math.isnan(ratios["ratio"].iloc[0]):
        return "n/a"
    ratio, lo, hi = (float(ratios[name].iloc[0]) for name in ("ratio", "lo", "hi"))
    return f"{100 * (ratio - 1):+.0f}%" if lo > 1 or hi < 1 else "~"


def _huge(side: Side, rows: dict[tuple[str, str], Row], page: str) -> str:
    """The proved share of huge pages in the row's cells, on both sides."""
    ids = [str(row["case_id"]) for (of_page, _), row in rows.items() if of_page == page]
    mine = side.frame[side.frame["case_id"].isin(ids)]
    shares = pd.concat([mine["src_backed_pct"], mine["dst_backed_pct"]]).dropna()
    if shares.empty:
        return "?"
    low, high = float(shares.min()), float(shares.max())
    return f"{low:.0f}%" if low == high else f"{low:.0f}..{high:.0f}%"


def _count(row: Row | None, counter: str) -> str:
    if row is None:
        return "-"
    value = float(row["median"])
    return approximate_size(value) if counter.endswith("_bytes") else f"{value:.4g}"


def _cell_name(row: Row) -> str:
    words = condition_words(row).removeprefix(", then ")
    size = format_size(int(row["size_bytes"]))
    return f"{row['scenario']} {row['page']} {size} {words.removesuffix(' 100 %')}".strip()


def _page_bytes(rows: pd.DataFrame) -> int:
    return Case.parse(str(rows["case_id"].iloc[0])).page_bytes


def _dicts(rows: pd.DataFrame) -> list[Row]:
    return cast(list[Row], rows.to_dict("records"))
