# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench report`` and ``vmabench export``: from the stored data alone."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from vmabench.api.output import STDOUT, new_file, say, write_output
from vmabench.atomic import make_directories
from vmabench.errors import UsageError
from vmabench.store.format import Result
from vmabench.store.reader import machine_facts, read, refuse_injected


def report(directories: Sequence[str], form: str, base: str | None, output: str | None) -> int:
    """Print the report of results in one form, or write it to a new file."""
    results = [read(Path(directory)) for directory in directories]
    if output and output != STDOUT:
        new_file(output)  # refused before the report is made
    write_output(output, _composed(results, form, base))
    return 0


def _composed(results: Sequence[Result], form: str, base: str | None) -> str:
    from vmabench.report.build import Report
    from vmabench.report.joint import joint_report

    is_letter = form not in _PLAIN + _MODELLED
    if base and not is_letter:
        raise UsageError("--base goes with --format cover-letter and commit-message only")
    if len(results) > 1:
        if form != "text":
            raise UsageError(f"--format {form} is of one result: give one directory")
        return joint_report(results)
    if is_letter:
        from vmabench.report.letter import letter, side  # brings scipy

        return letter(form, [side(results[0], base)])
    if form in _MODELLED:
        return _modelled(results[0], form)
    made = Report(results[0])
    return made.html() if form == "html" else made.text()


_PLAIN = ("text", "html")
_MODELLED = ("model", "constants", "ucx", "openmpi")


def _modelled(result: Result, form: str) -> str:
    """Return the model of a result, or its constants in the form of an MPI stack."""
    from vmabench.analysis.model import models
    from vmabench.analysis.stats import judged
    from vmabench.report.model import (
        constants,
        model_text,
        open_mpi_text,
        threshold_constants,
        thresholds,
        ucx_text,
    )

    refuse_injected(result)
    if result.header.get("clock") == "instructions":
        raise UsageError(f"--format {form} is of times, and this result counts instructions")
    summary = judged(result).summary
    found = models(summary)
    if form == "model":
        return model_text(found)
    facts = machine_facts(result)
    known, limits = constants(found), thresholds(summary)
    if form == "constants":
        of = {name: facts.get(name) for name in ("cpu_model", "kernel", "virt")}
        return json.dumps(of | known | threshold_constants(limits), indent=1) + "\n"
    emulated = "# EMULATED: no setting for a real machine\n"
    text = ucx_text(known, limits) if form == "ucx" else open_mpi_text(known, limits)
    return (emulated if result.header.get("virt") == "emulated" else "") + text


def export_csv(directory: str, output: str | None) -> int:
    """Write the tidy frame of a result as CSV."""
    from vmabench.analysis.frame import tidy, write_csv
    from vmabench.analysis.stats import judged, with_unstable

    result = read(Path(directory))
    refuse_injected(result)
    counted = result.header.get("clock") == "instructions"
    frame = tidy(result) if counted else with_unstable(*judged(result))
    write_csv(frame, sys.stdout if output is None or output == STDOUT else new_file(output))
    return 0


def export_pyperf(directory: str, output: str | None, *, by_mechanism: bool) -> int:
    """Write a result as a suite for pyperf, or as one suite for each mechanism."""
    from vmabench.store.suite import build_suite, mechanisms_with_values, write_suite

    if output == STDOUT:
        raise UsageError("-o - goes with --format csv only: write ./- for a file of that name")
    result = read(Path(directory))
    refuse_injected(result)
    if not by_mechanism:
        path = new_file(output or "vmabench.json.gz")
        write_suite(build_suite(result), path)
        say(str(path))
        return 0
    folder = Path(output or ".")
    for mechanism in mechanisms_with_values(result):
        path = new_file(str(folder / f"{mechanism}.json.gz"))
        make_directories(folder)
        write_suite(build_suite(result, by_mechanism=mechanism), path)
        say(str(path))
    return 0
