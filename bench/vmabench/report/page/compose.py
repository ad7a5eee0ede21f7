# SPDX-License-Identifier: GPL-2.0-only
"""What stands on the page, in which order; page.html says how it looks.

The template escapes everything: machine.json and the reasons in the samples are not ours.
"""

import hashlib
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import tomli_w

from vmabench.analysis import latency
from vmabench.analysis.costs import costs
from vmabench.analysis.drift import drift
from vmabench.report import paths, text
from vmabench.report.findings import (
    NOTHING_MEASURED,
    RIVAL,
    SHARING,
    headline,
    in_words,
    main_crossovers,
    transfer_crossovers,
)
from vmabench.report.memory import memory_tables
from vmabench.report.page import drawings, grids
from vmabench.report.page.drawings import Drawing, Key
from vmabench.report.page.grids import Grid
from vmabench.report.scenarios import branch_tables, contention_tables, snapshot_tables
from vmabench.store.format import SAMPLES, Result
from vmabench.store.reader import machine_facts


@dataclass(frozen=True, slots=True)
class Section:
    """Drawings first, tables below, then ``plain`` ones; a section without any is left out."""

    title: str
    lead: str
    drawings: Sequence[Drawing] = ()
    tables: Sequence[Grid] = ()
    keys: Sequence[Key] = ()
    swatches: Sequence[tuple[str, str]] = field(default=())
    plain: str = ""

    @property
    def empty(self) -> bool:
        return not (self.drawings or self.tables or self.plain)


def page(result: Result, frame: pd.DataFrame, summary: pd.DataFrame) -> str:
    """The page for ``result``; ``frame`` and ``summary`` are those of it.

    By the instruction clock ``summary`` is that of ``analysis.instructions``, and the page has
    words and no figures of times.
    """
    counted = result.header.get("clock") == "instructions"
    with warnings.catch_warnings():
        # names of strangers may have letters that the font lacks; the browser has others
        warnings.filterwarnings("ignore", message="Glyph")
        sections = [] if counted else _measured(result, frame, summary)
    found = paths.findings(summary) or [NOTHING_MEASURED] if counted else in_words(frame, summary)
    return _template().render(
        title="Path lengths" if counted else headline(main_crossovers(frame)),
        head=text.header(result).splitlines(),
        findings=found,
        sections=[one for one in [*sections, *_about(result)] if not one.empty],
        plain=text.path_report(result, frame, summary) if counted else "",
        notes=[] if counted else text.notes(summary).splitlines(),
        command=_command(result),
        plan=tomli_w.dumps(result.plan) if result.plan else "",
        samples=_digest(Path(result.directory) / SAMPLES),
    )


def _measured(result: Result, frame: pd.DataFrame, summary: pd.DataFrame) -> list[Section]:
    latencies = latency.percentiles(result)
    crossovers = transfer_crossovers(frame)
    counters = costs(frame)
    transfer = summary[(summary["scenario"] == "transfer") & summary["bytes_per_s"].notna()]
    return [
        Section(
            "Crossover map",
            "Above 1, in blue, it is faster, below 1, in orange, the other one; ~: no difference"
            " was shown.",
            [*drawings.maps(frame, SHARING, RIVAL), *drawings.shares(frame)],
        ),
        Section(
            "Throughput against size",
            "The bare operation, medians with 95 % intervals; hollow: unstable.",
            list(drawings.rates(summary, crossovers)),
            keys=drawings.legend(transfer["mechanism"].astype(str)),
        ),
        Section(
            "Where the time goes",
            "The phases one after the other; the line is the 95 % interval of the whole.",
            list(drawings.deliveries(summary)),
            [table for table in [grids.parts(summary)] if table.rows],
            swatches=drawings.phase_keys(),
        ),
        Section(
            "What it costs",
            "Both processes together, medians with 95 % intervals; what is not here was not"
            " measured, or is 0 throughout.",
            list(drawings.side_effects(counters)),
            [table for table in [grids.side_effects(counters)] if table.rows],
        ),
        Section(
            "Round trips of small messages",
            "Each round trip timed for itself: percentiles, medians over rounds, on a log axis from"
            " left to right; the longest is that of all rounds. The table has the operations of"
            " other scenarios as well.",
            list(drawings.round_trips(latencies)),
            [table for table in [grids.latencies(latencies)] if table.rows],
            swatches=drawings.percentile_keys(),
        ),
        Section(
            "What the scenarios show",
            "Several at once, a source that goes on writing, page tables, peaks and swap.",
            plain="\n\n".join(
                [
                    *contention_tables(frame),
                    *snapshot_tables(result, frame),
                    *branch_tables(frame),
                    *memory_tables(frame),
                ]
            ),
        ),
        Section(
            "Did the machine hold still?",
            "Each round against the whole run: the median over the cases of a mechanism, with its"
            " 95 % interval. A line that climbs or falls is a machine that changed.",
            list(drawings.run_charts(drift(frame))),
        ),
        Section("Every number", "", tables=[grids.cases(summary)]),
    ]


def _about(result: Result) -> list[Section]:
    found = result.machine.get("doctor")
    keys = ("mechanism", "page", "state", "reason")
    rows = [
        [one.get(key) for key in keys]
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
    ]
    known: dict[str, Any] = {str(key): value for key, value in machine_facts(result).items()}
    known.pop("doctor", None)
    conditions = result.machine.get("conditions")
    known |= {"conditions": conditions} if isinstance(conditions, dict) else {}
    return [
        Section(
            "What can run here",
            "Each mechanism, tried before the run.",
            tables=[grids.listing("Doctor's findings", keys, rows)] if rows else (),
        ),
        Section("Machine", "", tables=[grids.facts(known)] if known else ()),
    ]


def _command(result: Result) -> str:
    """What repeats the run, the plan being the one below."""
    words = ["vmabench", "run", "plan.toml"]
    if "seed" in result.header:
        words += ["--seed", str(result.header["seed"])]
    return shlex.join(words)


def _digest(samples: Path) -> str:
    try:
        return hashlib.sha256(samples.read_bytes()).hexdigest()
    except OSError:
        return ""


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vmabench.report.page", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
