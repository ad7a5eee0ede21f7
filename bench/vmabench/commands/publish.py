# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench publish``: a copy for strangers, and the check that a directory is one."""

from pathlib import Path

from vmabench.api.output import new_directory, say, say_files, warn
from vmabench.errors import UsageError
from vmabench.store.format import REPORT, SUITE
from vmabench.store.publish import complaints
from vmabench.store.publish import publish as publish_result
from vmabench.store.reader import read


def publish(directory: str, output: str | None) -> int:
    """Write a copy of a result that may be published, with its report."""
    from vmabench.report.build import Report

    source = Path(directory)
    resolved = source.resolve()
    target = new_directory(output, resolved.with_name(f"{resolved.name}-published"))
    published = publish_result(source, target)
    files = Report(read(published)).write(published / REPORT)
    say_files(published, files)
    for entry in sorted(source.iterdir()):
        if entry.name != SUITE and not (published / entry.name).exists():
            warn(f"{entry.name} is not published: it is no part of a result that is known")
    return 0


def check(directory: str) -> int:
    """Raise UsageError where a file below the directory must not be published."""
    top = Path(directory)
    found = list(complaints(top))
    if not found:
        say(f"{top}: nothing that tells who measured it, or where")
        return 0
    for fault in found:
        warn(fault)
    raise UsageError(f"{top} is not to be shown: `vmabench publish DIR` makes a copy that is")
