# SPDX-License-Identifier: GPL-2.0-only
"""Functions of a real guest: they add up to the clock, and name what makes a path longer."""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import vmabench
from tests.test_guest_selftests import REQUIRED
from tests.test_guest_selftests import kernel as patched_kernel
from vmabench import guest
from vmabench.analysis.compare import compare_paths
from vmabench.analysis.frame import tidy
from vmabench.analysis.functions import compare_functions
from vmabench.guest import functions
from vmabench.store.boots import boots_of
from vmabench.store.format import Result
from vmabench.store.functions import function_records
from vmabench.store.reader import read

#: set-up calls, and how source and receiver talk; futex_exit_release is a part of each exit
SET_UP = re.compile(
    r"(__x64_sys_|do_)?madvise|(__x64_sys_|do_|__)?futex(?!_exit)|(anon_)?pipe_|unix_|"
    r"sock_|__x64_sys_(read|write|sendmsg|recvmsg|prctl|sched_)"
)
TIMED = ("attach", "transfer", "touch", "release")

SERIES = Path(__file__).parents[1] / "kernel"
CASES = (
    "--mechanism",
    "fork,readv",
    "--scenario",
    "deliver",
    "--page",
    "4K",
    "--size",
    "64K",
    "--touch",
    "write-100",
)

kernel = patched_kernel
pytestmark = pytest.mark.usefixtures("kernel", "plugin")


@pytest.fixture(scope="module")
def plugin(kernel: guest.Kernel) -> None:
    """Skip where QEMU cannot load the plugin; fail where a guest is required."""
    why = functions.why_not()
    if why and REQUIRED:
        pytest.fail(why)
    if why:
        pytest.skip(f"{why} (VMABENCH_REQUIRE=guest makes this a failure)")


def watched(
    name: str, kernel: guest.Kernel, cmdline: str = "", cases: Sequence[str] = CASES
) -> Result:
    """Boot once with the plugin; return the result with its functions."""
    directory = Path(name).absolute()
    directory.mkdir()
    machine = guest.Machine(cpus=1, clock="instructions", cmdline=cmdline, shares=(directory,))
    machine = functions.watched(machine, kernel, directory / "functions")
    command = [sys.executable, "-m", "vmabench", "run", "paths", *cases, "--samples-only"]
    command += ["--seed", "1", "-o", str(directory / "result")]
    outcome = guest.run(command, kernel, machine=machine, accel="tcg")
    assert outcome.status == 0, outcome.stderr
    result = read(directory / "result")
    counts = functions.read_counts(directory / "functions")
    return replace(result, functions=list(function_records(result, counts)))


def test_functions_add_up_to_the_clock_and_name_what_a_page_costs(kernel: guest.Kernel) -> None:
    """The longer path: a kernel that clears each page once more, when it is given back."""
    plain, clearing = watched("plain", kernel), watched("clearing", kernel, "init_on_free=1")
    counts = functions.read_counts(Path("plain/functions"))
    for record in plain.of_kind("case"):
        assert record["outcome"] == "ok", record
        for value in record["values"]:
            counted = sum(sum(phase.values()) for phase in counts[value["at_ns"]].values())
            # a delivery reads the clock four times, and one reading of each is not within
            assert value["time_ns"]["total"] == pytest.approx(counted, rel=0.02)
    compared = compare_paths(tidy(plain), tidy(clearing))
    released = compared[
        compared["case_id"].str.startswith("readv") & (compared["phase"] == "release")
    ]
    assert list(released["verdict"]) == ["longer"]
    found = compare_functions(plain.functions, clearing.functions)
    mine = found[found["case_id"].str.startswith("readv") & (found["phase"] == "release")]
    assert mine.iloc[0]["function"].startswith("clear_page")
    # sixteen pages of 512 words, and those of their page tables
    assert 16 * 512 <= mine.iloc[0]["call"] <= 20 * 520
    assert mine["call"].sum() == pytest.approx(released["call"].iloc[0], rel=0.02)


def test_clone_fork_and_readv_time_no_set_up_call_and_no_handshake(kernel: guest.Kernel) -> None:
    axes = ("--mechanism", "clone,fork,readv", "--buffer", "fresh,reused",
            "--source", "idle,rewritten")  # fmt: skip
    result = watched("alike", kernel, cases=(*CASES, *axes))
    measured = {record["case"] for record in result.of_kind("case") if record["outcome"] == "ok"}
    assert len(measured) == 8  # a buffer of the receiver's own is readv's alone
    timed = [record for record in result.functions if record["phase"] in TIMED]
    assert {record["case"] for record in timed} == measured
    called = {name for record in timed for name in record["counts"]}
    assert {"process_vm_rw", "pvm_clone_mm", "kernel_clone", "kernel_wait4"} <= called
    found = {
        (record["case"], record["phase"], name)
        for record in timed
        for name in record["counts"]
        if SET_UP.match(name)
    }
    assert not found


def test_the_series_against_itself_is_no_difference() -> None:
    """The whole command, with a kernel that is in the cache."""
    line = ["run", "paths", "--guest", "--clock", "instructions", "--seed", "1", "--boots", "1"]
    done = vmabench(*line, "--against", str(SERIES), *CASES, "-o", "out")
    assert done.returncode == 0, done.stderr
    a, b = read("out/A"), read("out/B")
    assert [record["boot"] for record in (*boots_of(a), *boots_of(b))] == [1, 2]
    assert a.functions
    assert b.functions
    assert "0 paths changed" in done.stdout
    same = compare_functions(a.functions, b.functions)
    readv = same[same["case_id"].str.startswith("readv") & (same["phase"] == "total")]
    assert len(readv) > 20
    assert readv["call"].abs().max() < 50
