# SPDX-License-Identifier: GPL-2.0-only
"""Write a result directory once, such that a run that is cut off can be read."""

import errno
import gzip
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomli_w

from vmabench.atomic import make_directories, refuse_existing, replacing
from vmabench.errors import MachineError
from vmabench.store.format import ELSEWHERE, MACHINE, PLAN, SAMPLES, Record


class Writer:
    """A new result directory.

    Each ``append`` is a gzip member of its own: the disk has all of it or, when it is full, none.
    Raises UsageError where something is at ``directory``, and MachineError.
    """

    def __init__(
        self, directory: Path, plan: Mapping[str, object], machine: Mapping[str, object]
    ) -> None:
        self.directory = directory
        refuse_existing(directory, "directory")
        make_directories(directory)
        try:
            _write(directory / PLAN, tomli_w.dumps(plan))
            _write(directory / MACHINE, json.dumps(machine, indent=1) + "\n")
        except MachineError:
            shutil.rmtree(directory, ignore_errors=True)
            raise

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
        try:
            path.parent.mkdir(exist_ok=True)
            with path.open("ab", buffering=0) as file:
                _append_whole(file, member)
        except OSError as error:
            if path.is_file() and not path.stat().st_size:
                path.unlink()  # its first record did not fit
            raise MachineError(
                f"can't save to {self.directory}: {error.strerror}; what was saved before is whole"
            ) from error


def _append_whole(file: io.FileIO, member: bytes) -> None:
    """Append all bytes, or leave the file as it was and raise OSError."""
    before = file.tell()
    try:
        if file.write(member) != len(member):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
    except OSError:
        file.truncate(before)
        raise


def _write(path: Path, text: str) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
