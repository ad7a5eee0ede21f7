# SPDX-License-Identifier: GPL-2.0-only
"""New files and directories: complete or not there at all, with the reason where that fails."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from vmabench.errors import MachineError, UsageError

_ADVICE = {
    errno.EFBIG: "raise the limit with: ulimit -f unlimited",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to, and rename it to ``path`` when the block ends.

    Where the block raises, ``path`` stays as it was. The unfinished file has the suffixes of
    ``path``, from which pyperf and matplotlib take the format. Raises MachineError where the
    system refuses, as on a full disk.
    """
    target = Path(path)
    # a part of the name: a name of 255 bytes leaves no room for a prefix
    unfinished = target.with_name(f".unfinished-{os.getpid()}-{target.name[-32:]}")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        raise MachineError(f"could not write {target}: {_reason(target.parent, error)}") from error
    finally:
        # A second failure here, such as a missing directory, would hide the first.
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def refuse_existing(path: Path, kind: str) -> None:
    """Raise UsageError where ``path`` is taken; ``kind`` is file or directory."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):  # making it says what is in the way
        return
    except OSError as error:
        raise UsageError(f"can't make {path}: {_reason(path.parent, error)}") from error
    raise UsageError(f"{path} exists already{_dangling(path)}: name another {kind} with -o")


def make_directories(path: Path) -> Path:
    """Make a directory and its parents where they are missing; raises MachineError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"could not make {path}: {_reason(path, error)}") from error
    return path


def _reason(directory: Path, error: OSError) -> str:
    """Why something can't be made in ``directory``: the part of its path that is in the way."""
    advice = _ADVICE.get(error.errno or 0, "make room or choose another directory")
    return f"{_obstacle(directory) or error.strerror or error}; {advice}"


def _obstacle(directory: Path) -> str:
    try:
        Path.cwd()
        for part in (directory, *directory.parents):
            if os.path.lexists(part) and not part.is_dir():
                return f"{part} is no directory{_dangling(part)}"
    except FileNotFoundError:
        return "" if directory.is_absolute() else "the current directory was removed"
    except OSError:
        return ""
    return ""


def _dangling(path: Path) -> str:
    return f", it is a link to {path.readlink()}, which is missing" if _dangles(path) else ""


def _dangles(path: Path) -> bool:
    return path.is_symlink() and not path.exists()
