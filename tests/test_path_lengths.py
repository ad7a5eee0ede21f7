# SPDX-License-Identifier: GPL-2.0-only
"""``make path-lengths`` fails on every machine for a path that grew, on stored results."""

import copy
import importlib.util
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vmabench.store.format import Result
from vmabench.store.reader import read

REPOSITORY = Path(__file__).parents[1]
PUBLISHED = REPOSITORY / "results/published"
FORK = "fork/scenario:deliver/page:4K/size:16M/touch:write-100"
CLONE = "clone/scenario:deliver/page:4K/size:16M/touch:write-100"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = REPOSITORY / "bench/crosscheck/path_lengths.py"
    spec = importlib.util.spec_from_file_location("path_lengths", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def base() -> Result:
    return read(PUBLISHED / "paths-base")


@pytest.fixture(scope="module")
def series() -> Result:
    return read(PUBLISHED / "paths-series")


@pytest.fixture(scope="module")
def stored(script: ModuleType, base: Result, series: Result) -> dict[str, Any]:
    found: dict[str, Any] = script.report(base, series)
    return found


def longer(result: Result, case: str, phase: str, factor: float) -> Result:
    """The result of a kernel one of whose paths executes more instructions."""
    records = copy.deepcopy(result.records)
    for record in records:
        for value in record.get("values", ()) if record.get("case") == case else ():
            value["time_ns"][phase] = round(factor * value["time_ns"][phase])
    return replace(result, records=records)


def elsewhere(result: Result, **facts: str) -> Result:
    machine = copy.deepcopy(result.machine)
    machine["facts"]["guest"] |= facts
    return replace(result, machine=machine)


def test_an_unchanged_series_passes(
    script: ModuleType, stored: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.compare(stored, stored) == 0
    assert f"{len(stored['of_base'])} paths compared, 0 grown" in capsys.readouterr().out


@pytest.mark.parametrize("facts", [{}, {"compiler": "gcc 14"}, {"qemu": "10.0.2"}, {"cpu": "max"}])
def test_a_longer_stock_path_fails_with_any_compiler_and_qemu(
    script: ModuleType,
    base: Result,
    series: Result,
    stored: dict[str, Any],
    facts: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    grown = elsewhere(longer(series, FORK, "attach", 1.03), **facts)
    assert script.compare(stored, script.report(elsewhere(base, **facts), grown)) == 1
    said = capsys.readouterr().out
    assert f"GROWN {FORK} attach: 1.002 of the base stored, 1.0321 measured (+3.0 %)" in said
    assert ("instructions are not compared" in said) == bool(facts)


@pytest.mark.parametrize(
    ("factor", "compiler", "status"), [(1.2, "gcc 14", 1), (1.05, "gcc 14", 0), (1.05, "", 1)]
)
def test_a_longer_clone_fails_beyond_what_a_compiler_changes(
    script: ModuleType,
    base: Result,
    series: Result,
    stored: dict[str, Any],
    factor: float,
    compiler: str,
    status: int,
) -> None:
    grown = longer(series, CLONE, "attach", factor)
    if compiler:
        grown = elsewhere(grown, compiler=compiler)
    assert script.compare(stored, script.report(base, grown)) == status


def test_a_path_that_is_not_measured_any_more_fails(
    script: ModuleType, stored: dict[str, Any]
) -> None:
    measured = copy.deepcopy(stored)
    del measured["of_base"][f"{FORK} touch"]
    assert script.compare(stored, measured) == 1


def test_every_stored_path_has_a_quotient(script: ModuleType) -> None:
    kept = tomllib.loads(script.FIGURES.read_text())
    assert kept["of_base"].keys() == kept["instructions"].keys()
    assert len(kept["of_base"]) > 30


def test_the_base_kernel_is_measured_on_the_same_machine(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[list[str]] = []

    def run(line: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        lines.append(line)
        return subprocess.CompletedProcess(line, len(lines) - 1)

    monkeypatch.setattr(subprocess, "run", run)
    assert script.measure(tmp_path) == (tmp_path / "A", tmp_path / "B")
    assert "--against base --boots 1 --clock instructions" in " ".join(lines[0])
    with pytest.raises(SystemExit, match="1"):
        script.measure(tmp_path)
