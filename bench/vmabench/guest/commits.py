# SPDX-License-Identifier: GPL-2.0-only
"""The commits of a series, read from a linear range ``A..B`` of a git repository."""

from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import UsageError
from vmabench.guest import git

MOST_COMMITS = 99
_ABBREVIATION = 12


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its whole hash and its subject."""

    sha: str
    subject: str

    @property
    def short(self) -> str:
        """Return the hash as kernel developers abbreviate it."""
        return self.sha[:_ABBREVIATION]


def commits_of(tree: str, text: str) -> tuple[Commit, ...]:
    """Return the base A and the commits of a range ``A..B``, the oldest first.

    Raises UsageError where the tree is no repository, a commit is missing, or the range is empty,
    reversed, not linear or longer than MOST_COMMITS; and MachineError without git.
    """
    repository = Path(tree).expanduser()
    first, last = _ends(repository, text)
    base, end = (git.commit_of(repository, name) for name in (first, last))
    if base == end:
        raise UsageError(f"--each {text} is empty: both names are of commit {base[:_ABBREVIATION]}")
    if (fork := git.merge_base(repository, base, end)) != base:
        raise UsageError(f"--each {text} {_why_not_linear(first, last, end, fork)}")
    if merges := git.merges(repository, f"{base}..{end}"):
        raise UsageError(
            f"--each {text} is not linear: {merges[-1][:_ABBREVIATION]} is a merge;"
            " rebase the series, or start after it"
        )
    commits = [Commit(*one) for one in git.log(repository, f"{base}..{end}")]
    if len(commits) > MOST_COMMITS:
        raise UsageError(
            f"--each {text} has {len(commits)} commits, at most {MOST_COMMITS} are measured:"
            f" write for instance {last}~{MOST_COMMITS}..{last}"
        )
    return (Commit(*git.log(repository, base, most=1)[0]), *commits)


def _ends(repository: Path, text: str) -> tuple[str, str]:
    """Return the names of both ends of a range; an end that is left out is HEAD."""
    first, dots, last = text.partition("..")
    if not dots or not first or last.startswith(".") or ".." in last:
        raise UsageError(f"--each {text}: write A..B, the base and the last commit of the series")
    if not git.is_repository(repository):
        hint = ": leave out @REF" if "@" in repository.name else ""
        raise UsageError(f"--kernel {repository} is no git repository{hint}, as --each needs it")
    return first, last or "HEAD"


def _why_not_linear(first: str, last: str, end: str, fork: str | None) -> str:
    """Return what is wrong with a range whose base is no ancestor of its end, and the right one."""
    if fork is None:
        return f"is not linear: {first} and {last} have no common commit"
    if fork == end:
        return f"is reversed: write {last}..{first}"
    return f"is not linear: {last} is not based on {first}; write {fork[:_ABBREVIATION]}..{last}"
