# SPDX-License-Identifier: GPL-2.0-only
"""The committed results: reports can be made of them, and those beside them are just these."""

import json
import resource
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import vmabench
from tests.needs import needs
from vmabench.report.build import Report
from vmabench.store.format import SAMPLES
from vmabench.store.reader import read

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPT = REPOSITORY / "bench/crosscheck/published.py"
LIMIT_S = 10.0


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a fresh clone has below results/published, and nothing else."""
    top = tmp_path_factory.mktemp("clone")
    git = ["git", "-C", str(REPOSITORY)]
    listed = subprocess.run([*git, "ls-files", "-z", "results"], capture_output=True, check=True)
    checkout = [*git, "checkout-index", "-z", "--stdin", f"--prefix={top}/"]
    subprocess.run(checkout, input=listed.stdout, check=True)
    return top / "results/published"


@needs("git")
def test_host_and_guest_are_there_and_undamaged(committed: Path) -> None:
    results = [read(path.parent) for path in committed.glob(f"*/{SAMPLES}")]
    assert not [result.damage for result in results if result.damage]
    assert all(result.complete for result in results)
    kinds = {str(result.header["virt"]) for result in results}
    assert "emulated" in kinds
    assert len(kinds) > 1
    assert all(result.machine["facts"]["cpu_model"] for result in results)


@needs("git")
def test_a_report_of_each_takes_less_than_ten_seconds(committed: Path) -> None:
    """Seconds on a CPU, which a neighbour does not lengthen."""
    for path in committed.glob(f"*/{SAMPLES}"):
        before = _cpu_s()
        done = vmabench("report", str(path.parent))
        assert (done.returncode, done.stderr) == (0, "")
        assert "Findings" in done.stdout
        assert _cpu_s() - before < LIMIT_S


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@needs("git")
def test_what_is_derived_is_what_would_be_made(committed: Path) -> None:
    """Of matplotlib's version that is pinned: pictures of another one are others."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--check", "--top", committed],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs("git")
def test_their_pages_are_within_the_size(committed: Path) -> None:
    """What is made up for tests has less in it than a standard run."""
    for path in committed.glob(f"*/{SAMPLES}"):
        assert len(Report(read(path.parent)).html().encode()) < 3e6


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


@pytest.fixture
def script() -> Iterator[dict[str, Callable[..., Any]]]:
    yield runpy.run_path(str(SCRIPT))


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
