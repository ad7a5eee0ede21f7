# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench run --each A..B``: after which patch of a series did which path get longer."""

import json
import shlex
from dataclasses import dataclass

from vmabench.analysis.each import FAILED, GONE, Attribution, attribute
from vmabench.api.each import Measured, Series, measure, prepare
from vmabench.api.in_guest import option_words
from vmabench.api.options import Guest, RunOptions
from vmabench.api.output import say, say_json, short, warn
from vmabench.atomic import replacing
from vmabench.commands.compare import DONE, FAIL_ON_STATUS, UNSTABLE, hits
from vmabench.report.each import check_results, each_text, robot_text
from vmabench.report.words import kernel_line
from vmabench.store.places import point_latest

INTERRUPTED = 130
#: reports beside the results of the commits
TEXT, JSON = "report.txt", "report.json"


@dataclass(frozen=True, slots=True)
class Choices:
    """The tree, the range of its commits, and how the report is shown and judged.

    ``fail_on`` has names of cli.FAIL_ON.
    """

    tree: str
    span: str
    boots: int | None = None
    format: str = "text"
    fail_on: tuple[str, ...] = ()


def run_each(options: RunOptions, where: Guest, chosen: Choices) -> int:
    """Measure the kernel of each commit and print which of them changes a path.

    An interrupt or error after the base was measured comes after the report.
    """
    series = prepare(options, where, chosen.tree, chosen.span, chosen.boots)
    measured = measure(series)
    found = attribute(measured.steps)
    status = _status(found, measured, chosen)
    _show(found, series, _command(options, where, chosen), chosen.format, _rating(found, status))
    if measured.ended_by is None:
        return status
    _say_where_to_go_on(found, series, _command(options, where, chosen))
    if isinstance(measured.ended_by, KeyboardInterrupt):
        return INTERRUPTED
    raise measured.ended_by


def _status(found: Attribution, measured: Measured, chosen: Choices) -> int:
    """Return 3 for an outcome of ``--fail-on``, 2 where something failed or was lost."""
    failed = found.count(FAILED) + len(found.missing)
    outcomes = {"slower": found.count("longer"), "failed": failed, "unstable": 0}
    if hits(chosen.fail_on, outcomes):
        return FAIL_ON_STATUS
    if measured.lost_boots:
        warn(f"{measured.lost_boots} boots were lost: see above")
    return UNSTABLE if failed or measured.lost_boots else DONE


def _rating(found: Attribution, status: int) -> str:
    """Return the status of a check, as b4 has it."""
    if status == FAIL_ON_STATUS:
        return "fail"
    return "warn" if status != DONE or found.count("longer", GONE) else "pass"


def _show(found: Attribution, series: Series, command: list[str], form: str, rating: str) -> None:
    """Print the report in the form that was asked for, and store it as text and JSON."""
    head = _head(found, series)
    text = each_text(found, head, command)
    data = check_results(found, rating, head, command)
    for name, content in ((TEXT, text), (JSON, json.dumps(data, indent=1) + "\n")):
        with replacing(series.directory / name) as unfinished:
            unfinished.write_text(content, encoding="utf-8")
    newest = [step.directory for step in found.steps if step.result][-1]
    if unlinked := point_latest(newest):
        warn(unlinked)
    if form == "json":
        say_json(data)
    elif form == "robot":
        say(robot_text(found).rstrip("\n"))
    else:
        say(text.rstrip("\n"))
        say(f"\nresults  {short(series.directory)}")


def _head(found: Attribution, series: Series) -> list[str]:
    base = series.commits[0]
    boots = "1 or 2 boots" if series.boots is None else f"{series.boots} boots"
    lines = [
        f"{len(series.commits) - 1} patches on {base.short} {base.subject}",
        f"plan {series.conditions.plan.name}, {boots} of each kernel, seed {series.seed}",
    ]
    results = [step.result for step in found.steps if step.result]
    return [*lines, f"kernel {kernel_line(results[0])}"]


def _command(options: RunOptions, where: Guest, chosen: Choices) -> list[str]:
    """Return the command line of this run without its output."""
    line = ["vmabench", "run", options.plan, "--guest", "--kernel", chosen.tree]
    line += ["--each", chosen.span, "--clock", "instructions", *option_words(options)]
    for name, value in (("--memory", where.memory), ("--append", where.append)):
        line += [name, value] if value else []
    return line + (["--boots", str(chosen.boots)] if chosen.boots else [])


def _say_where_to_go_on(found: Attribution, series: Series, command: list[str]) -> None:
    last = [step for step in found.steps if step.result][-1]
    line = list(command)
    line[line.index("--each") + 1] = f"{last.commit}..{series.commits[-1].short}"
    warn(f"ended early; the results are kept. Go on with: {shlex.join(line)}")
