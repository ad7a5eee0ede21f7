# SPDX-License-Identifier: GPL-2.0-only
"""The text report: a header, the findings in words, tables, and what is missing and why."""

from collections.abc import Iterator

import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.disturbance import LEAST_SHARE, disturbances
from vmabench.analysis.intervals import fewest_for_interval
from vmabench.matrix.scenarios import EACH_BYTES
from vmabench.report import paths
from vmabench.report.findings import in_words, sizes_between
from vmabench.report.memory import memory_tables
from vmabench.report.scenarios import OWN_TABLES, scenario_tables
from vmabench.report.tables import latency_tables, phase_tables, rate_tables, scatter_tables
from vmabench.report.touch import MAP_NOTE, map_tables
from vmabench.report.words import (
    bulleted,
    kernel_line,
    label,
    listed,
    machine_line,
    rounds_of_a_case,
    rounds_words,
    wrapped,
)
from vmabench.store.format import Result
from vmabench.store.reader import nodes_of, placement_of
from vmabench.units import format_duration, format_size, format_time

_NOTES = """\
±: the larger half of the 95 % interval of the median over rounds. !: unstable, see below.
-: not a case. 0: the mechanism has no such part.
fork (proxy): the page-table copy that a clone does, and the making and end of a task; it stands
in for clone on kernels that lack it. memfd-inplace shares the source's memory and isolates
nothing. memcpy and other baselines copy within one process."""

#: so many cases of a group are named in full
_NAMED = 2


def text_report(result: Result, frame: pd.DataFrame, summary: pd.DataFrame) -> str:
    """The whole report; ``frame`` and ``summary`` are those of ``result``."""
    # of touch, the maps say in a few lines what a table for each share would say in many
    others = summary[~summary["scenario"].isin(["touch", *OWN_TABLES])]
    tables = [*latency_tables(others), *scatter_tables(others)]
    tables += [*rate_tables(others), *phase_tables(others)]
    tables += [*scenario_tables(result, frame), *memory_tables(frame), *map_tables(frame)]
    if (summary["scenario"] == "touch").any():
        tables.append(MAP_NOTE)
    return _joined(header(result), _found(frame, summary), *tables, *_end(summary))


def brief_report(result: Result, frame: pd.DataFrame, summary: pd.DataFrame) -> str:
    """What a screen has room for: of the tables, the bare operation's alone."""
    tables = latency_tables(summary[summary["scenario"] == "transfer"])
    return _joined(header(result), _found(frame, summary), *tables, *_end(summary))


def path_report(result: Result, frame: pd.DataFrame, lengths: pd.DataFrame) -> str:
    """The report of a result of the instruction clock."""
    lost = frame[frame["outcome"] != "ok"].drop_duplicates("case_id")
    return _joined(
        header(result),
        paths.found_text(lengths) or "Findings\n- Nothing was measured.",
        *paths.tables(lengths),
        paths.NOTES,
        missing(lost.assign(note=None)),
    )


def header(result: Result) -> str:
    """Machine, kernel, how much was measured, and what is wrong with the run."""
    program = f"vmabench {result.header.get('vmabench', '')}".strip()
    started = str(result.header.get("started", ""))[:16].replace("T", " ")
    title = f"{program}: {result.header.get('plan', 'unnamed')} plan"
    lines = [
        f"{title}, {started} UTC" if started else title,
        wrapped(f"machine  {machine_line(result)}", " " * 9),
        wrapped(f"kernel   {kernel_line(result)}", " " * 9),
        wrapped(f"run      {_run_line(result)}", " " * 9),
        *(wrapped(f"values   {line}", " " * 9) for line in [_disturbed_line(result)] if line),
        *(wrapped(f"NOTICE   {notice}", " " * 9) for notice in _notices(result)),
    ]
    return "\n".join(lines)


def small_print(result: Result) -> str:
    """Return two lines for below a figure: the machine, the kernel and the rounds."""
    bars = f"medians over {rounds_of_a_case(result)} with 95 % intervals; hollow: unstable"
    started = str(result.header.get("started", ""))[:10]
    return (
        f"{machine_line(result)}; kernel {kernel_line(result)}\n"
        f"{bars}; memcpy copies within one process" + (f"; {started}" if started else "")
    )


def missing(summary: pd.DataFrame) -> str:
    """Each reason once, with the cases that have it; empty where nothing is missing."""
    whole = summary[summary["phase"] == "total"]
    lines: list[str] = []
    for outcome in levels.OUTCOMES[1:]:
        rows = whole[whole["outcome"] == outcome]
        lines += _grouped(rows, outcome, rows["reason"])
    noted = whole[whole["note"].notna()]
    lines += _grouped(noted, "partly", noted["note"])
    return "Missing or unsure\n" + "\n".join(lines) if lines else ""


def _run_line(result: Result) -> str:
    rounds = result.of_kind("round")
    end = (result.of_kind("end") or [{}])[-1]
    wall_ns = end.get("wall_ns") or sum(record.get("wall_ns", 0) for record in rounds)
    timed_ns = end.get("timed_ns") or sum(record.get("timed_ns", 0) for record in rounds)
    parts = [f"{rounds_words(result)} complete"]
    if result.header.get("clock") == "instructions":
        wall_ns = 0  # a guest's clock that counts says nothing of how long it took
    if wall_ns:
        share = timed_ns / wall_ns * 100
        parts[0] += f" in {format_duration(wall_ns / 1e9)}"
        parts.append(f"{share:.0f} % of the time inside timed sections")
    cpus = [result.header.get(name) for name in ("source_cpu", "receiver_cpu")]
    if None not in cpus:
        parts.append("source on CPU {}, receiver on CPU {}{}".format(*cpus, _placed(result)))
    if "seed" in result.header:
        parts.append(f"seed {result.header['seed']}")
    return ", ".join(parts)


def _placed(result: Result) -> str:
    """Return how the CPUs of the pair lie, and their NUMA nodes: `` (far, nodes 0 and 1)``."""
    nodes = nodes_of(result)
    words = [placement_of(result)] if placement_of(result) else []
    if nodes:
        words.append(
            f"node {nodes[0]}" if len(set(nodes)) == 1 else "nodes {} and {}".format(*nodes)
        )
    return f" ({', '.join(words)})" if words else ""


def _disturbed_line(result: Result) -> str:
    """Return how many values lost time to the host; empty where that was not counted."""
    found = disturbances(result)
    if not found.known:
        return ""
    least = f"{100 * LEAST_SHARE:g} %"
    return f"{found.hit} of {found.known} values lost {least} or more of their time to the host"


def _notices(result: Result) -> Iterator[str]:
    finished = sum(1 for record in result.of_kind("round") if record["complete"])
    counted = result.header.get("clock") == "instructions"
    ends = result.of_kind("end")
    if not result.complete:
        how = ends[-1]["status"] if ends else "cut off"
        yield f"the run was {how}: what follows is what was measured up to then"
    if result.damage:
        yield result.damage
    if counted:
        yield "counted in instructions: there is not one time in this report"
    elif finished < fewest_for_interval():
        rounds = "1 round" if finished == 1 else f"{finished} rounds"
        yield f"with {rounds} there are no intervals: they take {fewest_for_interval()}"


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _found(frame: pd.DataFrame, summary: pd.DataFrame) -> str:
    return bulleted("Findings", in_words(frame, summary))


def _end(summary: pd.DataFrame) -> tuple[str, str, str]:
    return _null_line(summary), notes(summary), missing(summary)


def notes(summary: pd.DataFrame) -> str:
    """What a reader has to know of the mechanisms that are there."""
    local = [name for name in levels.OWN if (summary["mechanism"] == name).any()]
    if not local:
        return _NOTES
    names = listed(label(name) for name in local)
    return f"{_NOTES}\n{wrapped(f'{names}: within one process, no way to another one.', '')}"


def _null_line(summary: pd.DataFrame) -> str:
    """What the measuring itself costs."""
    null = summary[(summary["mechanism"] == "null") & (summary["scenario"] == "transfer")]
    time_ns = null["median_ns"].median()
    if pd.isna(time_ns):
        return ""
    apart = null["size_bytes"] >= EACH_BYTES
    batch_ns, apart_ns = (null.loc[rows, "median_ns"].median() for rows in (~apart, apart))
    if not apart_ns > 2 * batch_ns:
        return f"null, an empty operation: {format_time(time_ns)}"
    size = format_size(EACH_BYTES)  # from there on, the clock takes more than the operation
    return (
        f"null, an empty operation: {format_time(batch_ns)}; {format_time(apart_ns)} from {size}"
        " on, where each is timed for itself"
    )


def _grouped(rows: pd.DataFrame, what: str, reasons: "pd.Series[str]") -> Iterator[str]:
    """A line for each reason; reasons that differ in their figures alone are one."""
    kinds = reasons.astype("string").str.replace(r"\d+(\.\d+)?", "#", regex=True)
    for _, group in rows.groupby(kinds, sort=False):
        said = reasons[group.index].iloc[0]
        alike = " (and alike)" if reasons[group.index].nunique() > 1 else ""
        yield wrapped(f"- {what}: {_cases(group)}: {said}{alike}", "    ")


def _cases(rows: pd.DataFrame) -> str:
    """Few cases by name, many as how many there are and the levels they have."""
    if len(rows) <= _NAMED:
        return ", ".join(rows["case_id"].astype(str))
    axes = [
        ", ".join(label(str(name)) for name in rows[axis].drop_duplicates().sort_values())
        for axis in ("mechanism", "scenario")
    ]
    pages = ", ".join(levels.page_order(rows["page"].astype(str)))
    sizes = sizes_between(int(rows["size_bytes"].min()), int(rows["size_bytes"].max()))
    return f"{len(rows)} cases ({axes[0]}; {axes[1]}; {pages} pages; {sizes})"
