# SPDX-License-Identifier: GPL-2.0-only
"""The ranges of ``--each``: a linear one is read, any other is an error that names a right one."""

import subprocess
from pathlib import Path

import pytest

from vmabench.errors import UsageError
from vmabench.guest.commits import MOST_COMMITS, commits_of


def git(tree: Path, *words: str) -> str:
    author = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.org",
        "-c",
        "init.defaultBranch=main",
    ]
    line = ["git", "-C", str(tree), *author, *words]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()


def commit(tree: Path, subject: str) -> str:
    git(tree, "commit", "-q", "--allow-empty", "-m", subject)
    return git(tree, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A base, two patches on main, and a branch ``side`` from the base with a merge of main."""
    tree = tmp_path / "linux"
    tree.mkdir()
    git(tree, "init", "-q")
    commit(tree, "base of all")
    git(tree, "tag", "base")
    commit(tree, "mm: one")
    commit(tree, "mm: two")
    git(tree, "checkout", "-q", "-b", "side", "base")
    commit(tree, "side: one")
    git(tree, "tag", "apart")
    git(tree, "merge", "-q", "-m", "merge main", "main")
    git(tree, "checkout", "-q", "main")
    return tree


def error(tree: Path, text: str) -> str:
    with pytest.raises(UsageError) as raised:
        commits_of(str(tree), text)
    return str(raised.value)


@pytest.mark.parametrize("text", ["base..main", "base..HEAD", "base..", "main~2..main"])
def test_the_base_comes_first_and_the_last_patch_last(tree: Path, text: str) -> None:
    found = commits_of(str(tree), text)
    assert [one.subject for one in found] == ["base of all", "mm: one", "mm: two"]
    assert found[-1].sha == git(tree, "rev-parse", "main")
    assert found[-1].short == found[-1].sha[:12]


@pytest.mark.parametrize("text", ["main", "..main", "base...main", "base..main..x", ""])
def test_what_is_no_range_is_an_error_that_shows_one(tree: Path, text: str) -> None:
    assert error(tree, text) == (
        f"--each {text}: write A..B, the base and the last commit of the series"
    )


def test_an_empty_range(tree: Path) -> None:
    short = git(tree, "rev-parse", "main")[:12]
    assert error(tree, "main..HEAD") == (
        f"--each main..HEAD is empty: both names are of commit {short}"
    )


def test_a_reversed_range(tree: Path) -> None:
    assert error(tree, "main..base") == "--each main..base is reversed: write base..main"


def test_a_base_that_the_series_is_not_on(tree: Path) -> None:
    fork = git(tree, "rev-parse", "base")[:12]
    assert error(tree, "apart..main") == (
        f"--each apart..main is not linear: main is not based on apart; write {fork}..main"
    )


def test_a_merge_in_the_range(tree: Path) -> None:
    merge = git(tree, "rev-parse", "side")[:12]
    said = error(tree, "base..side")
    assert said.startswith(f"--each base..side is not linear: {merge} is a merge")


def test_too_many_commits(tree: Path) -> None:
    for number in range(MOST_COMMITS + 1):
        commit(tree, f"more {number}")
    said = error(tree, "main~100..main")
    assert "has 100 commits, at most 99" in said
    assert said.endswith("main~99..main")
    assert len(commits_of(str(tree), "main~99..main")) == 100


@pytest.mark.parametrize("name", ["nowhere", "--all", "base:file"])
def test_a_missing_commit(tree: Path, name: str) -> None:
    assert error(tree, f"{name}..main").startswith(f"{tree} has no commit {name}")


def test_a_directory_that_is_no_repository(tmp_path: Path) -> None:
    assert error(tmp_path, "a..b") == (
        f"--kernel {tmp_path} is no git repository, as --each needs it"
    )
    assert "is no git repository: leave out @REF" in error(tmp_path / "linux@v6.12", "a..b")


def test_a_repository_in_the_environment_is_not_the_one_that_was_named(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a hook of git, which runs with GIT_DIR set."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert len(commits_of(str(tree), "base..main")) == 3
