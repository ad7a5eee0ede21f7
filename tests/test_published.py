# SPDX-License-Identifier: GPL-2.0-only
"""The committed results: reports are made of them, and equal the reports beside them."""

import json
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs
from vmabench.report.build import Report
from vmabench.store.format import SAMPLES, Result

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPT = REPOSITORY / "bench/crosscheck/published.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Callable[..., Any]]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the files that a fresh clone has below results/published."""
    top = tmp_path_factory.mktemp("clone")
    git = ["git", "-C", str(REPOSITORY)]
    listed = subprocess.run([*git, "ls-files", "-z", "results"], capture_output=True, check=True)
    checkout = [*git, "checkout-index", "-z", "--stdin", f"--prefix={top}/"]
    subprocess.run(checkout, input=listed.stdout, check=True)
    return top / "results/published"


@pytest.fixture(scope="module")
def results(committed: Path, script: dict[str, Callable[..., Any]]) -> list[Result]:
    found: list[Result] = script["results_below"](committed)
    return found


@pytest.fixture(scope="module")
def largest(results: list[Result]) -> Result:
    return max(results, key=lambda result: len(result.records))


@needs("git")
def test_host_and_guest_are_there_and_undamaged(results: list[Result]) -> None:
    assert not [result.damage for result in results if result.damage]
    assert all(result.complete for result in results)
    kinds = {str(result.header["virt"]) for result in results}
    assert "emulated" in kinds
    assert len(kinds) > 1
    assert all(result.machine["facts"]["cpu_model"] for result in results)


@pytest.mark.slow
@needs("git")
def test_what_is_derived_is_what_would_be_made(
    committed: Path, results: list[Result], script: dict[str, Callable[..., Any]], tmp_path: Path
) -> None:
    """Slow: it makes the reports and figures of all committed results.

    It needs the pinned version of matplotlib: another one draws other files.
    """
    script["derive"](results, tmp_path)
    assert list(script["differences"](tmp_path, committed)) == []


@pytest.mark.slow
@needs("git")
def test_the_largest_page_is_within_the_size(largest: Result) -> None:
    """Slow: it draws a standard run, which has more in it than any synthetic result."""
    assert len(Report(largest).html().encode()) < 3e6


@needs("git")
def test_the_readme_shows_their_figure() -> None:
    text = (REPOSITORY / "README.md").read_text()
    assert "](results/published/report/overview.svg)" in text


def test_the_readme_says_what_the_checks_found() -> None:
    """Each outcome that is kept is a row of its table, in the words that its figures make."""
    text = (REPOSITORY / "README.md").read_text()
    outcomes = [json.loads(path.read_text()) for path in REPOSITORY.glob("results/checks/*.json")]
    assert {outcome["check"] for outcome in outcomes} == {"aa", "sensitivity"}
    for outcome in outcomes:
        beside = "the neighbour" if outcome["neighbour"] else "nothing"
        if outcome["check"] == "aa":
            found = f"{outcome['verdicts']} of {outcome['cases']} cases got a verdict,"
            row = f"| A/A | {beside} | {found} {outcome['unstable']} were unstable |"
        else:
            low, high = (100 * edge(outcome["ratios"]) - 100 for edge in (min, max))
            found = f"found in {outcome['found']} of {outcome['pairs']} pairs, as {low:.1f} to"
            others = f"{outcome['wrong']} of {outcome['others']} other verdicts"
            row = f"| 3 % in `readv` of 64K | {beside} | {found} {high:.1f} %; {others} |"
        assert row in text


def test_what_differs_is_named_and_put(
    tmp_path: Path, script: dict[str, Callable[..., Any]]
) -> None:
    made, kept = tmp_path / "made", tmp_path / "kept"
    for folder, files in (
        (made, {"same.txt": "1", "other.txt": "2", "new.txt": "3", "picture.png": "4"}),
        (kept, {"same.txt": "1", "other.txt": "0", "old.txt": "3", "picture.png": "5"}),
    ):
        (folder / "one/report").mkdir(parents=True)
        for name, text in files.items():
            (folder / "one/report" / name).write_text(text)
    (kept / "one" / SAMPLES).write_text("what was measured is never looked at")
    names = list(script["differences"](made, kept))
    assert names == [f"one/report/{name}.txt" for name in ("new", "old", "other")]
    script["put"](made, names, kept)
    assert list(script["differences"](made, kept)) == []
    assert (kept / "one/report/picture.png").read_text() == "5"
    assert (kept / "one" / SAMPLES).exists()
