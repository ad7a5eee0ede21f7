# SPDX-License-Identifier: GPL-2.0-only
"""Sources of a kernel: a tarball, a directory, or a commit of a git repository.

``update`` makes a tree in the cache equal to them. A tarball has a tree of its own. All states of a
directory, and all commits of a repository, share one tree: only files that differ are written, so
make compiles only these again.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from vmabench.errors import KernelBuildError
from vmabench.guest import git, series

#: more paths than this are not named on a command line: everything is extracted
_MOST_PATHS = 1000
_STAMP = "source"


class Sources(Protocol):
    """What the three kinds have in common."""

    @property
    def version(self) -> str:
        """Return the version as in ``6.12``."""

    @property
    def identity(self) -> str:
        """Return a hash that changes when the sources do."""

    @property
    def place(self) -> str:
        """Return the name of their tree in the cache."""

    @property
    def stamp(self) -> str:
        """Return the text from which ``changed`` finds out what a later state changes."""

    def changed(self, stamp: str | None) -> set[str] | None:
        """Return the paths that differ from the state of ``stamp``; None if that is unknown."""

    def extract(self, names: Collection[str] | None, target: Path) -> None:
        """Write the files ``names`` (None: all) below ``target``; skip those that do not exist."""


@dataclass(frozen=True)
class Tarball:
    """A tarball, as Debian packages it or as kernel.org publishes it."""

    path: Path
    version: str
    identity: str

    @property
    def place(self) -> str:
        return self.identity

    @property
    def stamp(self) -> str:
        return self.identity

    def changed(self, stamp: str | None) -> set[str] | None:
        """Return nothing: another tarball has another tree."""
        return set()

    def extract(self, names: Collection[str] | None, target: Path) -> None:
        """Unpack all of it."""
        command = ["tar", "-xf", str(self.path), "-C", str(target), "--strip-components=1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KernelBuildError(f"cannot unpack {self.path}: {_last_line(done.stderr)}")


@dataclass(frozen=True)
class Directory:
    """A directory of sources as it is now, whether it is a git work tree or not."""

    path: Path
    version: str

    @cached_property
    def _files(self) -> dict[str, list[int]]:
        """Map each path to size and modification time, which is what make goes by."""
        found = {}
        for name_of_parent, directories, names in os.walk(self.path):
            parent = Path(name_of_parent)
            directories[:] = sorted(name for name in directories if name != ".git")
            links = [name for name in directories if (parent / name).is_symlink()]
            for name in sorted([*names, *links]):
                if not name.endswith((".o", ".cmd")):
                    stat = (parent / name).lstat()
                    path = str((parent / name).relative_to(self.path))
                    found[path] = [stat.st_size, stat.st_mtime_ns]
        return found

    @cached_property
    def stamp(self) -> str:
        return json.dumps(self._files)

    @property
    def identity(self) -> str:
        return _short_hash(f"{self.path}\n{self.stamp}")

    @property
    def place(self) -> str:
        return place_of(self.path)

    def changed(self, stamp: str | None) -> set[str] | None:
        """Compare sizes and modification times of all files."""
        if stamp is None:
            return None
        old, new = json.loads(stamp), self._files
        return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}

    def extract(self, names: Collection[str] | None, target: Path) -> None:
        """Copy files, with the current time as their modification time."""
        wanted = self._files if names is None else sorted(self._files.keys() & set(names))
        with tempfile.NamedTemporaryFile("w") as listing:
            listing.write("".join(f"{name}\0" for name in wanted))
            listing.flush()
            line = ["tar", "-C", str(self.path), "-c", "--no-recursion", "--null"]
            _untar([*line, "-T", listing.name], target, str(self.path))


@dataclass(frozen=True)
class Commit:
    """A commit of a git repository, whose work tree is neither read nor written."""

    repository: Path
    ref: str
    tree: str
    version: str

    @property
    def identity(self) -> str:
        return self.tree[:16]

    @property
    def place(self) -> str:
        return place_of(git.common_directory(self.repository))

    @property
    def stamp(self) -> str:
        return self.tree

    def changed(self, stamp: str | None) -> set[str] | None:
        """Compare the trees of two commits; None if the old one has left the repository."""
        return None if stamp is None else git.changed(self.repository, stamp, self.tree)

    def extract(self, names: Collection[str] | None, target: Path) -> None:
        """Extract files with ``git archive``, with the current time as their modification time."""
        wanted: Sequence[str] = ()
        if names is not None and len(names) <= _MOST_PATHS:
            wanted = git.existing(self.repository, self.tree, sorted(names))
            if not wanted:
                return
        line = git.archive_command(self.repository, self.tree, wanted)
        _untar(line, target, f"{self.repository}@{self.ref}")


def read_version(makefile: str) -> str | None:
    """Return the version that the kernel's top Makefile states, as in ``6.12``, or None."""
    found = re.search(r"^VERSION = (\d+)\nPATCHLEVEL = (\d+)$", makefile, re.MULTILINE)
    return f"{found[1]}.{found[2]}" if found else None


def version_of(directory: Path) -> str | None:
    """Return the version of the sources in a directory, as in ``6.12``, or None."""
    makefile = directory / "Makefile"
    return read_version(makefile.read_text(errors="replace")) if makefile.is_file() else None


def tarball(path: Path) -> Tarball:
    """Return the sources in a tarball; raise KernelBuildError if it has none."""
    text = _makefile(path)
    version = read_version(text)
    if version is None:
        raise KernelBuildError(f"{path} has no Linux sources")
    stat = path.stat()
    numbers = tuple(_number(name, text) for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))
    seed = f"{path}:{stat.st_size}:{stat.st_mtime_ns}:{numbers}"
    return Tarball(path, version, _short_hash(seed))


def directory(path: Path) -> Directory:
    """Return the sources in a directory; raise KernelBuildError if it has none, or is built."""
    version = version_of(path)
    if version is None:
        raise KernelBuildError(f"{path} has no Linux sources")
    if (path / ".config").exists() or (path / "include/config").is_dir():
        raise KernelBuildError(
            f"{path} was built in place, and no other build can use it: run 'make mrproper' there"
        )
    return Directory(path, version)


def commit(repository: Path, ref: str) -> Commit:
    """Return the sources of a commit; raise UsageError or KernelBuildError if there are none."""
    tree = git.tree_of(repository, ref)
    version = read_version(git.text_of(repository, tree, "Makefile"))
    if version is None:
        raise KernelBuildError(f"{repository}@{ref} has no Linux sources")
    return Commit(repository, ref, tree, version)


def update(sources: Sources, tree: Path, pristine: Path, patched: Collection[str] = ()) -> None:
    """Make ``tree`` these sources, but for files that series.apply() writes next: ``patched``.

    An interrupted update leaves no stamp, and the next one unpacks everything.
    """
    stamp = pristine / _STAMP
    known = stamp.read_text() if stamp.exists() else None
    names = sources.changed(known) if tree.exists() else None
    if names is None:
        for path in (tree, pristine):
            shutil.rmtree(path, ignore_errors=True)
        unpack(sources, tree)
    elif names:
        stamp.unlink()
        with tempfile.TemporaryDirectory(prefix="partial-", dir=tree.parent) as new:
            sources.extract(names, Path(new))
            series.rebase(names, Path(new), tree, pristine, patched)
    if names is None or names:
        pristine.mkdir(exist_ok=True)
        stamp.write_text(sources.stamp)
    pristine.mkdir(exist_ok=True)


def unpack(sources: Sources, target: Path) -> None:
    """Unpack the sources into ``target``, which appears only when it is complete."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        sources.extract(None, partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def place_of(path: Path) -> str:
    """Return a name for what comes from a path: make accepts neither blanks nor colons in it."""
    path = path.resolve()
    readable = path.parent.name if path.name == ".git" else path.name
    return f"{re.sub(r'[^A-Za-z0-9.]+', '_', readable)}-{_short_hash(str(path))[:8]}"


def _untar(producer: Sequence[str], target: Path, origin: str) -> None:
    with subprocess.Popen(producer, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as archive:
        done = subprocess.run(
            ["tar", "-xmf", "-", "-C", str(target)],
            stdin=archive.stdout,
            capture_output=True,
            check=False,
        )
        _, errors = archive.communicate()
    if archive.returncode != 0 or done.returncode != 0:
        why = _last_line((errors + done.stderr).decode(errors="replace"))
        raise KernelBuildError(f"cannot copy {origin}: {why}")


def _makefile(path: Path) -> str:
    try:
        with tarfile.open(path) as archive:
            # Makefile is among the first of thousands: stop reading there.
            for member in archive:
                if member.isfile() and re.fullmatch(r"[^/]+/Makefile", member.name):
                    file = archive.extractfile(member)
                    return file.read().decode(errors="replace") if file else ""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise KernelBuildError(f"{path} is neither a bzImage nor a tarball: {error}") from error
    return ""


def _number(name: str, makefile: str) -> int:
    found = re.search(rf"^{name} = (\d+)$", makefile, re.MULTILINE)
    return int(found[1]) if found else -1


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
