# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench report`` and ``vmabench export``: from the stored data alone."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from vmabench.atomic import make_directories
from vmabench.commands.output import STDOUT, new_file, say, write_output
from vmabench.errors import UsageError
from vmabench.store.format import Result
from vmabench.store.reader import machine_facts, read, refuse_injected


def report(args: argparse.Namespace) -> int:
    results = [read(Path(directory)) for directory in args.directory]
    if args.output and args.output != STDOUT:
        new_file(args.output)  # refused before the report is made
    write_output(args.output, _composed(results, args))
    return 0


def _composed(results: Sequence[Result], args: argparse.Namespace) -> str:
    from vmabench.report.build import Report
    from vmabench.report.joint import joint_report

    is_letter = args.format not in _PLAIN + _MODELLED
    if args.base and not is_letter:
        raise UsageError("--base goes with --format cover-letter and commit-message only")
    if len(results) > 1:
        if args.format != "text":
            raise UsageError(f"--format {args.format} is of one result: give one directory")
        return joint_report(results)
    if is_letter:
        from vmabench.report.letter import letter, side  # brings scipy

        return letter(args.format, [side(results[0], args.base)])
    if args.format in _MODELLED:
        return _modelled(results[0], args.format)
    made = Report(results[0])
    return made.html() if args.format == "html" else made.text()


_PLAIN = ("text", "html")
_MODELLED = ("model", "constants", "ucx", "openmpi")


def _modelled(result: Result, form: str) -> str:
    """Return the model of a result, or its constants in the form of an MPI stack."""
    from vmabench.analysis.model import models
    from vmabench.analysis.stats import judged
    from vmabench.report.model import constants, model_text, open_mpi_text, ucx_text

    refuse_injected(result)
    if result.header.get("clock") == "instructions":
        raise UsageError(f"--format {form} is of times, and this result counts instructions")
    found = models(judged(result).summary)
    if form == "model":
        return model_text(found)
    facts = machine_facts(result)
    known = constants(found)
    if form == "constants":
        of = {name: facts.get(name) for name in ("cpu_model", "kernel", "virt")}
        return json.dumps(of | known, indent=1) + "\n"
    emulated = "# EMULATED: no setting for a real machine\n"
    text = ucx_text(known) if form == "ucx" else open_mpi_text(known)
    return (emulated if result.header.get("virt") == "emulated" else "") + text


def export(args: argparse.Namespace) -> int:
    if args.format == "csv":
        return _export_csv(args)
    return _export_pyperf(args)


def _export_csv(args: argparse.Namespace) -> int:
    from vmabench.analysis.frame import tidy, write_csv
    from vmabench.analysis.stats import judged, with_unstable

    if args.by:
        raise UsageError("--by goes with --format pyperf only")
    result = read(Path(args.directory))
    refuse_injected(result)
    counted = result.header.get("clock") == "instructions"
    frame = tidy(result) if counted else with_unstable(*judged(result))
    to_stdout = args.output is None or args.output == STDOUT
    write_csv(frame, sys.stdout if to_stdout else new_file(args.output))
    return 0


def _export_pyperf(args: argparse.Namespace) -> int:
    from vmabench.store.suite import build_suite, mechanisms_with_values, write_suite

    if args.output == STDOUT:
        raise UsageError("-o - goes with --format csv only: write ./- for a file of that name")
    result = read(Path(args.directory))
    refuse_injected(result)
    if args.by is None:
        path = new_file(args.output or "vmabench.json.gz")
        write_suite(build_suite(result), path)
        say(str(path))
        return 0
    folder = Path(args.output or ".")
    for mechanism in mechanisms_with_values(result):
        path = new_file(str(folder / f"{mechanism}.json.gz"))
        make_directories(folder)
        write_suite(build_suite(result, by_mechanism=mechanism), path)
        say(str(path))
    return 0
