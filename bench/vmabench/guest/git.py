# SPDX-License-Identifier: GPL-2.0-only
"""Read a git repository, and write neither to it nor to its work tree. Read patches."""

import difflib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vmabench.errors import KernelBuildError, MachineError, UsageError


def is_repository(path: Path) -> bool:
    """Return whether ``path`` is a work tree or a git directory."""
    return path.is_dir() and _run(path, "rev-parse", "--git-dir").returncode == 0


def common_directory(repository: Path) -> Path:
    """Return the git directory that all work trees of the repository share."""
    return repository / _output(repository, "rev-parse", "--git-common-dir").strip()


def commit_of(repository: Path, ref: str) -> str:
    """Return the hash of a commit; raise UsageError with the nearest name if there is none."""
    done = _run(
        repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
    )
    if done.returncode == 0:
        return done.stdout.strip()
    names = _output(repository, "for-each-ref", "--format=%(refname:short)").split()
    near = difflib.get_close_matches(ref, names, n=1)
    meant = f": did you mean {near[0]}?" if near else ""
    raise UsageError(f"{repository} has no commit {ref}{meant}")


def merge_base(repository: Path, a: str, b: str) -> str | None:
    """Return the newest commit that two commits have in common: A where B is based on it."""
    return _run(repository, "merge-base", a, b).stdout.strip() or None


def merges(repository: Path, span: str) -> list[str]:
    """Return the hashes of the merges in a range, the newest first."""
    return _output(repository, "rev-list", "--merges", span).split()


def log(repository: Path, span: str, most: int = -1) -> list[tuple[str, str]]:
    """Return hash and subject of the commits of a range, the oldest first."""
    lines = _output(repository, "log", f"--max-count={most}", "--reverse", "--format=%H %s", span)
    pairs = [line.partition(" ") for line in lines.split("\n") if line]
    return [(sha, subject) for sha, _, subject in pairs]


def tree_of(repository: Path, ref: str) -> str:
    """Return the hash of a commit's tree; raise UsageError if there is no such commit."""
    return _output(repository, "rev-parse", f"{commit_of(repository, ref)}^{{tree}}").strip()


def text_of(repository: Path, tree: str, name: str) -> str:
    """Return the text of a file, which is empty if it does not exist."""
    return _run(repository, "show", f"{tree}:{name}").stdout


def changed(repository: Path, old: str, new: str) -> set[str] | None:
    """Return the paths that differ between two trees; None if the old one does not exist."""
    done = _run(repository, "diff-tree", "-r", "-z", "--no-renames", "--name-only", old, new)
    return set(done.stdout.split("\0")) - {""} if done.returncode == 0 else None


def existing(repository: Path, tree: str, names: Sequence[str]) -> list[str]:
    """Return those of ``names`` that a tree has."""
    listed = _output(repository, "ls-tree", "-r", "-z", "--name-only", "--full-tree", tree, *names)
    return [name for name in listed.split("\0") if name]


def archive_command(repository: Path, tree: str, names: Sequence[str] = ()) -> list[str]:
    """Return the command that writes files of a tree, or all of it, as a tar archive."""
    line = ["git", "--literal-pathspecs", "-C", str(repository)]
    return [*line, "archive", "--format=tar", tree, "--", *names]


def uncommitted(repository: Path) -> bool:
    """Return whether tracked files of the work tree differ from the last commit."""
    done = _run(repository, "--no-optional-locks", "status", "--porcelain", "-uno")
    return done.returncode == 0 and bool(done.stdout.strip())


def format_patches(repository: Path, first: str, last: str, directory: Path) -> None:
    """Write the patches of ``first..last`` to a directory; raise UsageError if that cannot be.

    The text depends on the commits alone, not on the version of git.
    """
    span = f"{commit_of(repository, first)}..{commit_of(repository, last)}"
    if found := merges(repository, span):
        raise UsageError(
            f"{first}..{last} has {len(found)} merge(s), such as {found[0][:12]}, and a series"
            f" has none: take a range without, or --kernel {repository}@{last} --series none"
        )
    options = ["--no-signature", "--zero-commit", "--no-renames", "--no-cover-letter", "--no-base"]
    options += ["--no-stat", "--no-numbered", "--full-index", "-o", str(directory.resolve())]
    _output(repository, "-c", "format.suffix=.patch", "format-patch", *options, span)
    if not any(directory.iterdir()):
        raise UsageError(f"{first}..{last} has no commit in {repository}")


def extract(patches: Sequence[Path], names: Sequence[str], directory: Path) -> None:
    """Write the files that patches add, and that match one of ``names``, below ``directory``."""
    command = ["apply", *(f"--include={name}" for name in names)]
    for path in patches:
        # inside a repository, paths would be relative to its top
        done = _run(directory, *command, str(path.resolve()), ceiling=directory.parent)
        if done.returncode != 0:
            raise KernelBuildError(f"{path.name}: {done.stderr.strip()}")


def _output(repository: Path, *arguments: str) -> str:
    done = _run(repository, *arguments)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise KernelBuildError(f"git in {repository}: {lines[0]}")
    return done.stdout


def _run(
    repository: Path, *arguments: str, ceiling: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run git in a directory; with ``ceiling``, a repository around that one does not count."""
    if not shutil.which("git"):
        raise MachineError("no git: run 'apt-get install git'")
    # a hook that runs this has GIT_DIR of its own repository
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    if ceiling:
        kept["GIT_CEILING_DIRECTORIES"] = str(ceiling)
    return subprocess.run(
        ["git", "-C", str(repository), *arguments],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        env={**kept, "LC_ALL": "C"},
    )
