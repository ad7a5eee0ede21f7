# SPDX-License-Identifier: GPL-2.0-only
"""The committed results: reports are made of them, and equal the reports beside them."""

import json
import runpy
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs
from vmabench.report.build import Report
from vmabench.store.format import SAMPLES, Result
from vmabench.store.reader import read

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPT = REPOSITORY / "bench/crosscheck/published.py"
LIMIT_S = 10.0


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


@dataclass(frozen=True)
class Made:
    """What is made of the committed results, once for all tests: this takes most of the time."""

    results: list[Result]
    #: seconds of CPU time from the files to the text of a report, by the name of the result
    took_s: dict[str, float]
    target: Path


@pytest.fixture(scope="module")
def made(
    committed: Path, script: dict[str, Callable[..., Any]], tmp_path_factory: pytest.TempPathFactory
) -> Made:
    target = tmp_path_factory.mktemp("made")
    results, took_s = [], {}
    for path in sorted(committed.glob(f"*/{SAMPLES}")):
        before = time.process_time()
        result = read(path.parent)
        Report(result).text()
        took_s[result.name] = time.process_time() - before
        script["derive_one"](result, target)
        results.append(result)
    script["derive_joint"](results, target)
    return Made(results, took_s, target)


@needs("git")
def test_host_and_guest_are_there_and_undamaged(made: Made) -> None:
    assert not [result.damage for result in made.results if result.damage]
    assert all(result.complete for result in made.results)
    kinds = {str(result.header["virt"]) for result in made.results}
    assert "emulated" in kinds
    assert len(kinds) > 1
    assert all(result.machine["facts"]["cpu_model"] for result in made.results)


@needs("git")
def test_a_report_of_each_takes_less_than_ten_seconds(made: Made) -> None:
    """CPU time of the text: other processes do not lengthen it."""
    assert len(made.took_s) == len(made.results)
    assert max(made.took_s.values()) < LIMIT_S, made.took_s


@needs("git")
def test_what_is_derived_is_what_would_be_made(
    committed: Path, made: Made, script: dict[str, Callable[..., Any]]
) -> None:
    """With the pinned version of matplotlib: another one draws other files."""
    assert list(script["differences"](made.target, committed)) == []


@needs("git")
def test_their_pages_are_within_the_size(made: Made) -> None:
    """A standard run has more in it than the synthetic results of other tests."""
    for result in made.results:
        assert len(Report(result).html().encode()) < 3e6


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
