# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench guest audit``: the questions of the review, put to a kernel that checks itself."""

import re
from collections.abc import Iterable, Iterator, Sequence

from vmabench.api.in_guest import obtain
from vmabench.api.output import STDOUT, say, warn
from vmabench.atomic import replacing
from vmabench.guest import audit as audits
from vmabench.guest import kbuild
from vmabench.guest import mutants as faults
from vmabench.guest.audit import Verdict
from vmabench.guest.plan import load
from vmabench.guest.spec import OWN, Spec
from vmabench.units import format_duration

#: the audit asks about the series: a kernel without it has no answers
_PATCHED = Spec(series=OWN)


def audit(
    options: audits.Options, *, flavour: str, short: bool, verbose: bool, output: str | None
) -> int:
    """Run the audit; status 1 if anything failed, was lost, or the kernel complained."""
    plan = load(kbuild.project_kernel() / "audit" / "audit.toml")
    plan.chosen(options.names, short=short)
    kernel = obtain(flavour, kernel=_PATCHED)
    verdicts = audits.run(kernel, plan, options, lambda v: show(v, verbose))
    if output:
        _keep(output, table(verdicts))
    for line in summary(verdicts):
        say(line)
    return 0 if all(verdict.good for verdict in verdicts) else 1


def _keep(output: str, lines: Iterable[str]) -> None:
    """Write a table to the file of ``-o``, over the one before, or print it."""
    text = "\n".join(lines) + "\n"
    if output == STDOUT:
        say(text.rstrip("\n"))
        return
    with replacing(output) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The lines of a table in Markdown, one program each; the time is that of the guest."""
    yield "| program | answers | passed | failed | skipped | reports in the log | time (s) |"
    yield "|---|---|---|---|---|---|---|"
    for verdict in verdicts:
        counts = [verdict.report.count(word) for word in ("ok", "failed", "skipped")]
        name = verdict.program.name + (" (**lost**)" if verdict.lost else "")
        cells = [name, ", ".join(verdict.program.questions), *counts, len(verdict.splats)]
        yield f"| {' | '.join(map(str, cells))} | {verdict.seconds:.0f} |"


def mutants(names: Sequence[str], *, flavour: str, accel: str, output: str | None) -> int:
    """Build each mutant and run its tests; return 1 if one is not caught."""
    directory = kbuild.project_kernel() / "audit"
    plan, catches = load(directory / "audit.toml"), []
    for mutant in faults.find(directory / "mutants", names):
        kernel = obtain(flavour, kernel=_PATCHED, extra=(mutant.patch,))
        catches.append(faults.hunt(mutant, kernel, plan, accel))
        _show_catch(catches[-1])
        if output and output != STDOUT:  # each time: it takes hours
            _keep(output, faults.table(catches))
    if output == STDOUT:
        _keep(output, faults.table(catches))
    escaped = [catch.mutant.name for catch in catches if not catch.caught]
    say(f"{len(catches) - len(escaped)} of {len(catches)} mutants caught")
    return 1 if escaped else 0


def _show_catch(catch: faults.Catch) -> None:
    say(f"{catch.mutant.name}: {'caught' if catch.caught else 'NOT CAUGHT'}")
    for line in [*catch.tests, *catch.complaints, *(f"guest lost in {x}" for x in catch.lost)]:
        say(f"    {line}")


def summary(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for each question, then one for all: what is skipped is open, not passed."""
    questions = sorted({q for v in verdicts for q in v.program.questions}, key=_number)
    lines = []
    for question in questions:
        of_it = [v for v in verdicts if question in v.program.questions]
        passed = sum(v.report.count("ok") for v in of_it)
        skipped = sum(v.report.count("skipped") for v in of_it)
        bad = [v.program.name for v in of_it if not v.good]
        text = f"FAILED in {', '.join(bad)}" if bad else f"{passed} passed"
        lines.append(f"{question:<4} {text}" + (f", {skipped} skipped" if skipped else ""))
    seconds = sum(v.seconds for v in verdicts)
    reports = sum(len(v.splats) for v in verdicts)
    good = all(v.good for v in verdicts)
    return [
        *lines,
        f"{'passed' if good else 'FAILED'} in {format_duration(seconds)} of the guests' clocks,"
        f" {reports} reports in the log",
    ]


def show(verdict: Verdict, verbose: bool) -> None:
    """A verdict as it comes: one line, and all that is wrong."""
    report = verdict.report
    counts = [f"{report.count('ok')} passed"]
    if failed := report.count("failed"):
        counts.append(f"{failed} failed")
    if skipped := report.count("skipped"):
        counts.append(f"{skipped} skipped")
    rows = ",".join(verdict.program.questions)
    seed = f", seed {verdict.seed}" if verdict.program.seeded else ""
    say(f"{rows}: {verdict.program.name}: {', '.join(counts)} in {verdict.seconds:.0f} s{seed}")
    for line in _details(verdict, verbose):
        say(f"    {line}")
    if verdict.lost:
        warn(f"{verdict.program.name}, seed {verdict.seed}: {verdict.lost}")
    for splat in verdict.splats:
        warn(f"{verdict.program.name}: the kernel complained:\n{splat.context}")


def _details(verdict: Verdict, verbose: bool) -> Iterator[str]:
    """What was skipped or failed by name, and what the program says beside its verdicts."""
    for result in verdict.report.results:
        if result.verdict == "skipped":
            yield f"skipped {result.name}: {result.reason}"
        elif result.verdict == "failed":
            yield f"FAILED {result.name}"
    if verdict.report.problem and not verdict.lost:
        yield f"FAILED: {verdict.report.problem}"
    wanted = r"# audit: " if verdict.good else r"# audit: |# \S+:\d+:"
    why = _said_before_failures(verdict.output)
    for number, line in enumerate(verdict.output.splitlines()):
        if re.match(wanted, line) or number in why or (verbose and not _quiet(line)):
            yield line


def _said_before_failures(output: str, most: int = 20) -> set[int]:
    """The lines in which a program says why what follows is ``not ok``, by number."""
    found: set[int] = set()
    said: list[int] = []
    for number, line in enumerate(output.splitlines()):
        if line.startswith("#"):
            said.append(number)
        elif re.match(r"(not )?ok\b", line):
            found |= set(said[-most:]) if line.startswith("not") else set()
            said = []
    return found


def _quiet(line: str) -> bool:
    return not line or line.startswith(("vmabench-audit:", "# audit: "))


def _number(question: str) -> tuple[int, str]:
    digits = re.sub(r"\D", "", question)
    return int(digits or 0), question
