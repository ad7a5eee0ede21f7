# SPDX-License-Identifier: GPL-2.0-only
"""The series and what stands beside it say the same, and say it in good form."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.needs import needs
from vmabench.guest import series

KERNEL = Path(__file__).resolve().parents[1] / "kernel"
PATCHES = series.patches(KERNEL / "patches")
MAN = KERNEL / "man/process_vm_mmap.2"
SELFTESTS = "tools/testing/selftests/process_vm_mmap"


def new_files() -> dict[str, str]:
    """Path -> text of each file that the series adds."""
    found: dict[str, str] = {}
    for path in PATCHES:
        for part in re.split(r"^diff --git ", path.read_text(), flags=re.MULTILINE)[1:]:
            if "\n--- /dev/null\n" not in part:
                continue
            name = re.search(r"^\+\+\+ b/(\S+)", part, re.MULTILINE)
            assert name
            body = part.split("@@\n", 1)[1]
            lines = [line[1:] for line in body.splitlines() if line.startswith("+")]
            found[name[1]] = "\n".join(lines) + "\n"
    return found


def test_the_header_is_the_one_of_the_project() -> None:
    ours = (KERNEL / "uapi/process_vm_mmap.h").read_text()
    assert new_files()["include/uapi/linux/process_vm_mmap.h"] == ours


def test_the_number_is_the_one_of_the_header() -> None:
    header = (KERNEL / "uapi/process_vm_mmap.h").read_text()
    number = re.search(r"#define __NR_process_vm_mmap\s+(\d+)", header)
    assert number
    line = rf"^\+{number[1]}\t64\tprocess_vm_mmap\t+sys_process_vm_mmap$"
    assert sum(bool(re.search(line, p.read_text(), re.MULTILINE)) for p in PATCHES) == 1


def test_the_selftests_are_those_of_the_project() -> None:
    theirs = {
        Path(name).name: text for name, text in new_files().items() if name.startswith(SELFTESTS)
    }
    ours = {path.name: path.read_text() for path in (KERNEL / "selftests").iterdir()}
    assert theirs == ours


def test_every_new_file_has_its_licence() -> None:
    for name, text in new_files().items():
        assert "SPDX-License-Identifier: GPL-2.0-only" in text.splitlines()[0], name


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.name[:4])
def test_every_patch_is_signed_and_says_why(path: Path) -> None:
    message = path.read_text().split("\n---\n", 1)[0]
    author = re.search(r"^From: (.*)$", message, re.MULTILINE)
    assert author
    assert f"\nSigned-off-by: {author[1]}" in message
    assert len(message.split("\n\n", 1)[1].split()) > 50


def test_the_cover_letter_counts_the_patches() -> None:
    (cover,) = (KERNEL / "patches").glob("0000-*.patch")
    text = cover.read_text()
    assert f"[PATCH 00/{len(PATCHES):02d}]" in text
    assert "***" not in text


def test_the_selftest_comes_last_and_the_wiring_before_it() -> None:
    assert SELFTESTS in PATCHES[-1].read_text()
    assert "syscall_64.tbl" in PATCHES[-2].read_text()


def errnos_of_the_kernel() -> set[str]:
    source = new_files()["mm/process_vm_mmap.c"]
    return set(re.findall(r"-(E[A-Z]+)\b", source)) - {"EACCES"}  # which becomes EPERM


def test_the_manual_names_every_errno() -> None:
    errors = MAN.read_text().split(".SH ERRORS", 1)[1].split(".SH STANDARDS", 1)[0]
    named = set(re.findall(r"^\.B (E[A-Z]+)$", errors, re.MULTILINE))
    assert errnos_of_the_kernel() | {"ENOSYS", "EINTR"} == named


def test_the_selftests_provoke_every_errno() -> None:
    text = (KERNEL / "selftests/process_vm_mmap_errno.c").read_text()
    provoked = set(re.findall(r"-(E[A-Z]+)\b", text))
    # a fatal signal can't be seen by who gets it
    assert errnos_of_the_kernel() - provoked <= {"EINTR"}


def test_the_manual_names_every_flag_that_works() -> None:
    source = new_files()["mm/process_vm_mmap.c"]
    known = re.search(r"#define PVMMAP_KNOWN\s+\((.*)\)", source)
    assert known
    for flag in known[1].split(" | "):
        assert f"\n.B {flag}\n" in MAN.read_text()


def lint(command: list[str]) -> str:
    done = subprocess.run([*command, str(MAN)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@needs("groff")
def test_groff_renders_the_manual_without_a_warning() -> None:
    assert lint(["groff", "-man", "-Tutf8", "-ww", "-z"]) == ""
    text = lint(["groff", "-man", "-Tascii", "-P-cbou"])
    assert "process_vm_mmap - clone a mapping of another process" in text


@needs("mandoc")
def test_mandoc_finds_nothing() -> None:
    complaints = lint(["mandoc", "-Tlint"]).splitlines()
    # the manual of every system call has its name as it is typed
    assert [line for line in complaints if "lower case character" not in line] == []
