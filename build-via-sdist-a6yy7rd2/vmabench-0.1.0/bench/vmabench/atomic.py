# SPDX-License-Identifier: GPL-2.0-only
"""Files that are there complete or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from vmabench.errors import MachineError


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes the place of ``path`` when the block ends.

    Where the block raises, what was at ``path`` stays as it was. The unfinished file keeps the
    suffixes, from which pyperf and matplotlib take the format. Raises MachineError where the
    system refuses, as on a full disk.
    """
    target = Path(path)
    unfinished = target.with_name(f".unfinished-{os.getpid()}-{target.name}")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(
            f"could not write {target}: {reason}; make room or choose another directory"
        ) from error
    finally:
        # A second failure here, such as a missing directory, would hide the first.
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
