# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench publish``: a copy for strangers, and the check that a directory is one."""

import argparse
from pathlib import Path

from vmabench.commands.output import new_directory, say, say_files, warn
from vmabench.errors import UsageError
from vmabench.store.format import REPORT, SUITE
from vmabench.store.publish import complaints
from vmabench.store.publish import publish as publish_result
from vmabench.store.reader import read


def publish(args: argparse.Namespace) -> int:
    source = Path(args.directory)
    if args.check:
        return _check(source)
    from vmabench.report.build import Report

    resolved = source.resolve()
    target = new_directory(args.output, resolved.with_name(f"{resolved.name}-published"))
    published = publish_result(source, target)
    files = Report(read(published)).write(published / REPORT)
    say_files(published, files)
    for entry in sorted(source.iterdir()):
        if entry.name != SUITE and not (published / entry.name).exists():
            warn(f"{entry.name} is not published: it is no part of a result that is known")
    return 0


def _check(top: Path) -> int:
    found = list(complaints(top))
    if not found:
        say(f"{top}: nothing that tells who measured it, or where")
        return 0
    for fault in found:
        warn(fault)
    raise UsageError(f"{top} is not to be shown: `vmabench publish DIR` makes a copy that is")
