# SPDX-License-Identifier: GPL-2.0-only
"""Writes a result directory: once, and so that a run that is cut off can be read."""

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomli_w

from vmabench.errors import MachineError, UsageError
from vmabench.store.format import ELSEWHERE, MACHINE, PLAN, SAMPLES, Record


class Writer:
    """A new result directory.

    Each ``append`` is a gzip member of its own: it is on the disk as a whole or, when the
    disk is full, not at all.
    """

    def __init__(
        self, directory: Path, plan: Mapping[str, object], machine: Mapping[str, object]
    ) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True)
            (directory / PLAN).write_text(tomli_w.dumps(plan))
            (directory / MACHINE).write_text(json.dumps(machine, indent=1) + "\n")
        except FileExistsError:
            raise UsageError(
                f"{directory} exists already: name another directory with -o"
            ) from None
        except OSError as error:
            raise MachineError(f"can't write the results to {directory}: {error}") from error

    def append(self, records: Sequence[Record]) -> None:
        """Adds records; raises MachineError, and then leaves the file as it was before."""
        for name in (SAMPLES, *ELSEWHERE.values()):
            self._append(
                name, [one for one in records if ELSEWHERE.get(one["kind"], SAMPLES) == name]
            )

    def _append(self, name: str, records: Sequence[Record]) -> None:
        if not records:
            return
        lines = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)
        member = gzip.compress(lines.encode(), mtime=0)  # the same records are the same bytes
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(member) != len(member):
                    raise OSError(28, os.strerror(28))
                os.fsync(file.fileno())
            except OSError as error:
                file.truncate(before)
                raise MachineError(
                    f"can't save to {self.directory}: {error.strerror}; "
                    "what was saved before is whole"
                ) from error
