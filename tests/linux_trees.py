# SPDX-License-Identifier: GPL-2.0-only
"""Sources that a test makes: a Makefile with a version, and a few files."""

import subprocess
import tarfile
from pathlib import Path


def make_tree(directory: Path, version: str = "6.12.5", **files: str) -> Path:
    """Make a directory of sources; ``mm_a="text"`` is the file mm/a.c."""
    major, minor, patch = version.split(".")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Makefile").write_text(
        f"# SPDX\nVERSION = {major}\nPATCHLEVEL = {minor}\nSUBLEVEL = {patch}\n"
    )
    for name, text in files.items():
        path = directory / f"{name.replace('_', '/')}.c"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return directory


def make_tarball(path: Path, version: str = "6.12.5") -> Path:
    """Make a tarball of sources at ``path``."""
    tree = make_tree(path.parent / f"linux-{version}", version)
    with tarfile.open(path, "w:xz") as archive:
        archive.add(tree, arcname=tree.name)
    return path


def git(repository: Path, *arguments: str) -> str:
    """Run git with an author of its own; return what it printed."""
    line = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    return subprocess.run([*line, *arguments], check=True, capture_output=True, text=True).stdout


def commit(repository: Path, message: str) -> str:
    """Commit everything in a work tree; return the hash."""
    if not (repository / ".git").exists():
        git(repository, "init", "-q", "-b", "main")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", message)
    return git(repository, "rev-parse", "HEAD").strip()
