# SPDX-License-Identifier: GPL-2.0-only
"""init.sh: its functions report what failed. They run here under sh, with made-up programs."""

import subprocess
from pathlib import Path

import pytest

from vmabench.guest import boot

SCRIPT = Path(boot.__file__).with_name("init.sh")

#: the programs that the functions call; each fails where a file FAIL has its name
PROGRAMS = (
    "mount", "mkdir", "mkfs.ext4", "mkswap", "swapon", "umount", "pivot_root", "ln", "grep",
    "touch",
)  # fmt: skip
PROGRAM = """#!/bin/sh
read -r bad <FAIL
[ "${0##*/}" != "$bad" ] || { echo "${0##*/}: it broke" >&2; exit 32; }
"""


def call(function: str, fail: str = "", without: str = "") -> subprocess.CompletedProcess[str]:
    """One function of init.sh; ``fail`` prints and exits instead of stopping the guest."""
    Path("FAIL").write_text(f"{fail}\n")
    programs = Path("bin")
    programs.mkdir()
    for name in PROGRAMS:
        if name != without:
            (programs / name).write_text(PROGRAM)
            (programs / name).chmod(0o755)
    definitions = SCRIPT.read_text().partition("\nPATH=")[0]
    own = 'fail() { echo "$*"; exit 9; }\nHOME=/run/home\n'
    return subprocess.run(
        ["/bin/sh", "-c", f"{definitions}\n{own}{function} && echo went on"],
        env={"PATH": str(programs.absolute())},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_program_is_named_with_its_package() -> None:
    done = call("scratch_disk /dev/vda", without="mkfs.ext4")
    assert done.stdout == "the host has no mkfs.ext4: run 'apt-get install e2fsprogs'\n"
    assert done.returncode == 9


@pytest.mark.parametrize(
    ("function", "broken"),
    [
        ("scratch_disk /dev/vda", "mkfs.ext4"),
        ("scratch_disk /dev/vda", "mkdir"),
        ("scratch_disk /dev/vda", "mount"),
        ("swap_disk /dev/vda", "mkswap"),
        ("swap_disk /dev/vda", "swapon"),
        ("share share0 /results", "mkdir"),
        ("share share0 /results", "mount"),
        ("file_systems", "mount"),
        ("file_systems", "mkdir"),
        ("file_systems", "touch"),
        ("file_systems", "ln"),
        ("new_root", "mount"),
        ("new_root", "mkdir"),
    ],
)
def test_no_function_hides_a_failure(function: str, broken: str) -> None:
    done = call(function, fail=broken)
    assert done.returncode == 9, done.stdout
    assert done.stdout.startswith(f"{broken} ")
    assert done.stdout.endswith(f"{broken}: it broke\n")


@pytest.mark.parametrize(
    "function", ["scratch_disk /dev/vda", "swap_disk /dev/vda", "share share0 /results"]
)
def test_functions_that_succeed_say_nothing(function: str) -> None:
    done = call(function)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_a_zram_device_that_takes_no_size_is_reported() -> None:
    done = call("swap_zram 0")
    assert done.stdout == "no zram device of 0 bytes\n"
