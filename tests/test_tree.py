# SPDX-License-Identifier: GPL-2.0-only
"""What holds for the files of the repository."""

import re
import subprocess
from pathlib import Path

import pytest

import vmabench

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {".py", ".pyi", ".c", ".h", ".sh", ".toml", ".config", ".cfg", ".S"}


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


def test_every_source_has_its_licence_line() -> None:
    sources = [p for p in tracked() if p.suffix in SOURCES or p.name in ("Makefile", "run")]
    assert len(sources) > 50
    missing = [p for p in sources if "SPDX-License-Identifier: GPL-2.0" not in head(p)]
    assert not missing


def head(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[:3])


def test_no_file_is_binary_or_large() -> None:
    large = [p for p in tracked() if p.stat().st_size > 1_000_000]
    assert not large


def test_the_version_stands_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", vmabench.__version__)
    assert vmabench.__version__ not in (ROOT / "pyproject.toml").read_text()
    assert f"## {vmabench.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_top_level_is_the_agreed_one() -> None:
    folders = {p.relative_to(ROOT).parts[0] for p in tracked() if p.parent != ROOT}
    assert folders <= {"bench", "kernel", "results", "notebooks", "tests", ".ci"}
