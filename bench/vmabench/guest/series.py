# SPDX-License-Identifier: GPL-2.0-only
"""Apply the series to a source tree, and later another version of it.

A changed series must not cost a whole build. Only files whose text differs are written; the others
keep the modification time that make compares. The pristine text of each file that was ever patched
is kept beside the tree, and a new version of the series starts from it.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from vmabench.errors import KernelBuildError

_OPTION = re.compile(r"^\+config (\w+)$", re.MULTILINE)
_TOUCHED = re.compile(r"^(?:---|\+\+\+) [ab]/(\S+)", re.MULTILINE)


def patches(directory: Path) -> list[Path]:
    """Return the patches in order, without the cover letter."""
    found = sorted(directory.glob("[0-9][0-9][0-9][0-9]-*.patch"))
    found = [path for path in found if not path.name.startswith("0000-")]
    if not found:
        raise KernelBuildError(f"there is no patch in {directory}")
    return found


def touched(series: list[Path]) -> set[str]:
    """Return the files that a series changes, adds or removes."""
    return {name for path in series for name in _TOUCHED.findall(path.read_text())}


def options(series: list[Path]) -> set[str]:
    """Return the options that a series adds, as ``CONFIG_NAME``."""
    return {f"CONFIG_{name}" for path in series for name in _OPTION.findall(path.read_text())}


def apply(series: list[Path], tree: Path, pristine: Path) -> int:
    """Make ``tree`` the base with the series applied; return the number of files written.

    If a hunk fails, ``tree`` is unchanged.
    """
    names = touched(series) | _known(pristine)
    for name in names:
        _keep_pristine(name, tree, pristine)
    # named like the other directories that cache.clean_up() removes after a killed build
    with tempfile.TemporaryDirectory(prefix="partial-", dir=pristine.parent) as scratch_name:
        scratch = Path(scratch_name)
        for name in names:
            _copy(pristine / "files" / name, scratch / name)
        for path in series:
            _patch(path, scratch)
        return sum(_sync(scratch / name, tree / name) for name in sorted(names))


def rebase(
    names: Iterable[str], new: Path, tree: Path, pristine: Path, patched: Collection[str] = ()
) -> None:
    """Replace the files ``names`` of the base by those of ``new``; remove those that it lacks.

    A file that was ever patched, or is one of ``patched``, changes in ``tree`` when a series is
    applied next: its text may then be what it was before.
    """
    known = _known(pristine)
    for name in names:
        if name in known or name in patched:
            _sync(new / name, pristine / "files" / name)
            if name not in known:
                _list(name, pristine)
        else:
            _sync(new / name, tree / name)


def _known(pristine: Path) -> set[str]:
    index = pristine / "index"
    return set(index.read_text().splitlines()) if index.exists() else set()


def _keep_pristine(name: str, tree: Path, pristine: Path) -> None:
    if name in _known(pristine):
        return
    _copy(tree / name, pristine / "files" / name)
    _list(name, pristine)


def _list(name: str, pristine: Path) -> None:
    """Add a file to the index. Its text is kept before that: each file that is listed exists."""
    with (pristine / "index").open("a") as index:
        index.write(name + "\n")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.exists():
        shutil.copy2(source, target)


def _patch(path: Path, directory: Path) -> None:
    command = ["patch", "-p1", "--fuzz=0", "--batch", "--forward", "--no-backup-if-mismatch"]
    with path.open() as text:
        done = subprocess.run(
            command, cwd=directory, stdin=text, capture_output=True, text=True, check=False
        )
    if done.returncode != 0 or "with fuzz" in done.stdout:
        raise KernelBuildError(f"{path.name} does not apply: {failed_hunk(done.stdout)}")


def failed_hunk(output: str) -> str:
    """Return the file and hunk that ``patch`` rejected, such as ``mm/vma.c: Hunk #2 FAILED``."""
    file = "?"
    for line in output.splitlines():
        if match := re.match(r"(?:checking|patching) file '?([^' ]+)", line):
            file = match[1]
        elif "FAILED" in line or "with fuzz" in line or "can't find file" in line:
            return f"{file}: {line.strip()}"
    return output.strip().splitlines()[-1] if output.strip() else "patch gave no reason"


def _sync(source: Path, target: Path) -> bool:
    """Make ``target`` equal to ``source``, or remove it; return whether that changed it."""
    if not _exists(source):
        existed = _exists(target)
        target.unlink(missing_ok=True)
        return existed
    if _exists(target):
        if _content(target) == _content(source):
            return False
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target, follow_symlinks=False)
    if not source.is_symlink():
        shutil.copymode(source, target)
    return True


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _content(path: Path) -> tuple[str | bytes, int]:
    """Return what a file or symbolic link consists of, and its mode."""
    if path.is_symlink():
        return str(path.readlink()), 0
    return path.read_bytes(), path.stat().st_mode & 0o111
