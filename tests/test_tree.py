# SPDX-License-Identifier: GPL-2.0-only
"""What holds for the files of the repository."""

import re
import subprocess
from pathlib import Path

import pytest

import vmabench
from vmabench.mechanisms import MECHANISMS
from vmabench.report.words import label

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
    written = [path for path in tracked() if path.relative_to(ROOT).parts[0] != "results"]
    sources = [p for p in written if p.suffix in SOURCES or p.name in ("Makefile", "run")]
    assert len(sources) > 50
    missing = [p for p in sources if "SPDX-License-Identifier: GPL-2.0" not in head(p)]
    assert not missing


def head(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[:3])


def test_no_file_is_binary_or_large() -> None:
    large = [p for p in tracked() if p.stat().st_size > 1_000_000]
    assert not large


def test_every_mechanism_has_its_paragraph() -> None:
    text = (ROOT / "bench/MECHANISMS.md").read_text()
    found = dict(re.findall(r"^### ([a-z-]+)(?: \(proxy\))?\n((?:.+\n)+)", text, re.MULTILINE))
    assert set(found) == set(MECHANISMS)
    assert all(len(paragraph.split()) > 9 for paragraph in found.values())
    proxies = set(re.findall(r"^### ([a-z-]+) \(proxy\)", text, re.MULTILINE))
    assert proxies == {name for name, mechanism in MECHANISMS.items() if mechanism.proxy}


def test_every_proxy_is_labelled() -> None:
    for name, mechanism in MECHANISMS.items():
        assert label(name) == (f"{name} (proxy)" if mechanism.proxy else name)


def test_the_version_stands_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", vmabench.__version__)
    assert vmabench.__version__ not in (ROOT / "pyproject.toml").read_text()
    assert f"## {vmabench.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_top_level_is_the_agreed_one() -> None:
    folders = {p.relative_to(ROOT).parts[0] for p in tracked() if p.parent != ROOT}
    assert folders <= {"bench", "kernel", "results", "notebooks", "tests", ".ci"}
