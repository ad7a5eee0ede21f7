# SPDX-License-Identifier: GPL-2.0-only
"""Whole runs, as a user starts them, and what can go wrong in the middle of them."""

import csv
import io
import json
import os
from contextlib import chdir
from pathlib import Path

import pytest

from tests.command import (
    ONLY_SAMPLES,
    SMALL,
    call,
    error_line,
    vmabench,
)
from tests.needs import needs
from vmabench.machine.facts import read_facts
from vmabench.report.build import Report
from vmabench.store.format import Result
from vmabench.store.reader import read

BASE, HUGE = read_facts().pages

#: a run of half a second
FAST = (*SMALL[:-1], "500ms", "--page", BASE, "--size", "64K")


def outcomes(result: Result) -> dict[str, set[str]]:
    """The cases of each outcome; one that failed in a round is in ``failed``."""
    found: dict[str, set[str]] = {"ok": set(), "failed": set(), "skipped": set()}
    for record in result.of_kind("case"):
        found[record["outcome"]].add(record["case"])
    found["skipped"] |= {record["case"] for record in result.of_kind("skipped")}
    return found


def reasons(result: Result, kind: str) -> set[str]:
    return {str(record["reason"]) for record in result.of_kind(kind) if record.get("reason")}


@needs("thp")
def test_a_run_from_the_plan_to_the_export() -> None:
    run = vmabench(*SMALL)
    assert run.returncode == 0, run.stderr
    latest = Path("results/latest")
    assert latest.is_symlink()
    directory = latest.resolve()
    facts = read_facts()
    assert directory.parent == Path("results").resolve() / facts.slug / facts.kernel
    names = {"plan.toml", "machine.json", "samples.jsonl.gz", "suite.json.gz", "report"}
    names |= {"histograms"}
    assert {path.name for path in directory.iterdir()} == names
    assert f"results  {os.path.relpath(directory)}" in run.stdout

    result = read(directory)
    assert result.complete
    assert not outcomes(result)["failed"]
    assert len(result.of_kind("round")) >= 1
    assert "host" not in (directory / "machine.json").read_text()

    rows = list(csv.DictReader(io.StringIO(call("export", latest, "--format", "csv").stdout)))
    ok = [row for row in rows if row["outcome"] == "ok" and row["phase"] == "total"]
    backed = {(row["page"], row["src_backed_pct"], row["dst_backed_pct"]) for row in ok}
    backed = {proof for proof in backed if proof[1]}
    assert {(page, float(s), float(d)) for page, s, d in backed} == {(BASE, 0, 0), (HUGE, 100, 100)}
    assert all(float(row["time_ns"]) > 0 for row in ok)
    assert all(row["reason"] for row in rows if row["outcome"] != "ok")


def test_two_runs_with_one_seed_measure_in_one_order() -> None:
    orders = []
    for name in ("a", "b"):
        line = (*FAST, "--seed", "7", "--samples-only", "-o", name)
        assert vmabench(*line).returncode == 0
        result = read(Path(name))
        orders.append([r["case"] for r in result.of_kind("case") if r["round"] == 1])
    assert orders[0] == orders[1]
    assert len(orders[0]) > 5


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Return the samples of one run, for tests that only read them."""
    directory = tmp_path_factory.mktemp("small")
    with chdir(directory):
        assert vmabench(*FAST, *ONLY_SAMPLES).returncode == 0
    return read(directory / "out")


def test_calibration_and_times_are_stored(small: Result) -> None:
    result, planned = small, {record["case"] for record in small.of_kind("calibration")}
    assert planned == outcomes(result)["ok"]
    for record in result.of_kind("round"):
        assert 0 < record["timed_ns"] < record["wall_ns"]
        assert 0 < record["ready_ns"] < 5e9
    (end,) = result.of_kind("end")
    assert end["status"] == "done"
    assert end["wall_ns"] < 6e9


def test_a_kernel_without_the_call_gets_a_row_that_says_so() -> None:
    run = vmabench(
        "run", "smoke", "--mechanism", "clone", "--page", BASE, "--size", "4K", *ONLY_SAMPLES
    )
    result = read(Path("out"))
    assert run.returncode == (0 if outcomes(result)["ok"] else 1), run.stderr
    if not outcomes(result)["ok"]:
        assert "nothing was measured: " in run.stderr
        assert all("ENOSYS" in reason for reason in reasons(result, "skipped"))
        assert len(result.of_kind("skipped")) == 3
        assert "ENOSYS" in Report(result).text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "quik"], "unknown plan 'quik': did you mean quick?"),
        (["run", "--mechanism", "readw"], "unknown mechanism 'readw': did you mean readv?"),
        (["run", "--scenario", "transfre"], "did you mean transfer?"),
        (["run", "--page", "3K"], "unknown page '3K'"),
        (["run", "--mechanism", "readv,"], "an empty name"),
        (["run", "--size", "5000", "--page", BASE], "size 5000 is no multiple of the page size"),
        (["run", "--size", "0"], "'0' is no size"),
        (["run", "--size=-4K"], "'-4K' is no size"),
        (["run", "--size", "many"], "'many' is no size"),
        (["run", "--size", "4T"], "size 4T needs about"),
        (["run", "smoke", "--limit", "8M"], "--limit: no axis of the chosen scenarios transfer"),
        (
            ["run", "--scenario", "transfer", "--swapped", "101-zram", "--wait", "x"],
            "--wait, --swapped: no axis of the chosen scenarios transfer",
        ),
        (["run", "--budget", "soon"], "'soon' is no duration"),
        (["run", "wrong.toml"], "wrong.toml, line 2: budgets is unknown here"),
        (["run", "gone.toml"], "can't read the plan gone.toml"),
        (["run", "-o", "there"], "there exists already"),
        (["run", "-o", "/proc/no/such"], "could not make /proc/no/such"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "the following arguments are required"),
        (["list", "mechanics"], "invalid choice: 'mechanics'"),
        (["report", "gone"], "gone"),
        (["report", "there"], "there"),
        (["export", "there", "--format", "xml"], "invalid choice: 'xml'"),
        (["export", "gone", "--format", "csv"], "gone"),
    ],
)
def test_bad_input_gets_one_line_that_says_what_is_wrong(arguments: list[str], words: str) -> None:
    Path("there").mkdir()
    Path("wrong.toml").write_text('name = "wrong"\nbudgets = "3s"\n')
    before = set(Path().iterdir())
    assert words in error_line(call(*arguments))
    assert set(Path().iterdir()) == before


@needs("root", "thp")
def test_thp_never_skips_the_huge_cases_with_that_reason(thp_never: None) -> None:
    run = vmabench("run", "smoke", "--mechanism", "readv,fork", "--budget", "500ms", *ONLY_SAMPLES)
    assert run.returncode == 0, run.stderr
    result = read(Path("out"))
    skipped = result.of_kind("skipped")
    assert {record["case"].split("/")[2] for record in skipped} == {f"page:{HUGE}"}
    assert all("THP is set to never" in record["reason"] for record in skipped)
    assert {case.split("/")[2] for case in outcomes(result)["ok"]} == {f"page:{BASE}"}


def test_the_machine_file_has_the_findings_of_the_doctor(small: Result) -> None:
    machine = json.loads(Path(small.directory, "machine.json").read_text())
    assert machine["facts"]["kernel"] == os.uname().release
    assert {finding["mechanism"] for finding in machine["doctor"]} == {
        "readv",
        "writev",
        "fork",
        "memfd",
        "memcpy",
        "null",
    }
