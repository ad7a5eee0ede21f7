# SPDX-License-Identifier: GPL-2.0-only
"""Reports where the surroundings are poor: no UTF-8, no home, no display, no data."""

from pathlib import Path

import pytest

from tests import synthetic
from tests.command import call, error_line, vmabench

POOR = {
    "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "DISPLAY": "",
    "MPLCONFIGDIR": "/proc/nowhere", "HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere",
}  # fmt: skip
CASES = synthetic.cases(("fork", "readv"))


@pytest.mark.parametrize("form", ["text", "html", "cover-letter", "commit-message"])
def test_poor_surroundings_make_the_same_report(form: str, tmp_path: Path) -> None:
    directory = synthetic.write(tmp_path / "run", synthetic.records(CASES, rounds=2))
    line = ("report", str(directory), "--format", form, "-o")
    rich, poor = call(*line, "rich"), vmabench(*line, "poor", env=POOR)
    assert (rich.returncode, rich.stderr) == (poor.returncode, poor.stderr) == (0, "")
    assert Path("rich").read_bytes() == Path("poor").read_bytes()


def test_a_terminal_without_utf8_gets_a_report_all_the_same(tmp_path: Path) -> None:
    directory = synthetic.write(tmp_path / "run", synthetic.records(CASES, rounds=6))
    done = vmabench("report", str(directory), env=POOR)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "us +-" in done.stdout
    assert "Findings" in done.stdout


@pytest.mark.parametrize("form", ["text", "html", "cover-letter", "commit-message"])
def test_an_empty_directory_is_one_line(form: str, tmp_path: Path) -> None:
    assert "no result directory" in error_line(call("report", tmp_path, "--format", form))


def test_all_skipped_is_a_report(tmp_path: Path) -> None:
    skipped = [
        {"kind": "skipped", "case": str(case), "reason": "no room"} for case in CASES
    ]  # fmt: skip
    directory = synthetic.write(tmp_path / "run", [dict(synthetic.HEADER), *skipped])
    for form in ("text", "html", "cover-letter"):
        done = call("report", directory, "--format", form)
        assert (done.returncode, done.stderr) == (0, "")
        assert "no room" in done.stdout
        assert "Nothing was measured" in done.stdout
