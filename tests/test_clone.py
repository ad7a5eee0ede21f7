# SPDX-License-Identifier: GPL-2.0-only
"""The clone mechanism on a stub that stands in for the kernel: the whole path, to the number."""

import re
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest

from tests.command import DOCTOR, ONLY_SAMPLES, vmabench
from tests.needs import needs
from vmabench.machine.facts import read_facts
from vmabench.store.format import Result
from vmabench.store.reader import read

NATIVE = Path(__file__).with_name("native")
HEADER = NATIVE.parents[1] / "kernel/uapi/process_vm_mmap.h"
BASE = read_facts().pages[0]
BASE_BYTES = read_facts().base_page_bytes

pytestmark = needs("compiler")


@pytest.fixture(scope="module", params=["pid", "pidfd"])
def with_call(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Return an environment that preloads the stub; its log gets a line for each call.

    The call takes what the parameter names, as the series for 6.12 or that for 7.3 does.
    """
    directory = tmp_path_factory.mktemp("stub")
    library = directory / "stub.so"
    source = NATIVE / "process_vm_mmap_stub.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    environment = {"LD_PRELOAD": str(library), "VMB_STUB_LOG": str(directory / "calls")}
    return environment | ({"VMB_STUB_PIDFD": "1"} if request.param == "pidfd" else {})


@pytest.fixture(scope="module")
def result(with_call: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Return a run of clone and readv on a kernel that has the call."""
    directory = tmp_path_factory.mktemp("run")
    with chdir(directory):
        run = vmabench("run", "smoke", "--mechanism", "clone,readv", "--page", BASE, "--size",
                       "64K", "--budget", "1s", *ONLY_SAMPLES, env=with_call)  # fmt: skip
    assert run.returncode == 0, run.stderr
    return read(directory / "out")


def test_a_run_on_a_kernel_that_has_the_call(result: Result) -> None:
    assert not result.of_kind("skipped")
    measured = result.of_kind("case")
    assert {record["outcome"] for record in measured} == {"ok"}
    assert {record["case"] for record in measured if record["case"].startswith("clone")} == {
        f"clone/scenario:transfer/page:{BASE}/size:64K/source:rewritten",
        f"clone/scenario:deliver/page:{BASE}/size:64K/touch:read-100/source:rewritten",
        f"clone/scenario:deliver/page:{BASE}/size:64K/touch:write-100/source:rewritten",
    }
    delivered = next(r for r in measured if "deliver" in r["case"] and "clone" in r["case"])
    assert set(delivered["values"][0]["time_ns"]) == {
        "attach", "transfer", "touch", "release", "total", "source-rewrite", "system",
    }  # fmt: skip


def test_what_the_kernel_is_asked(result: Result, with_call: dict[str, str]) -> None:
    made = [line.split() for line in Path(with_call["VMB_STUB_LOG"]).read_text().splitlines()]
    header = HEADER.read_text()
    fixed, noreplace = (
        re.search(rf"#define {name}\s+(0x\d+)", header)
        for name in ("PVMMAP_FIXED", "PVMMAP_FIXED_NOREPLACE")
    )
    assert fixed and noreplace
    by_flags: dict[str, list[list[str]]] = {}
    for call in made:
        by_flags.setdefault(call[4], []).append(call)
    # probes set all flag bits, so the kernel refuses them before it looks at the other arguments
    assert {call[5] for call in by_flags.pop("0xffffffffffffffff")} == {"-22"}  # EINVAL
    # the question for pid or pidfd names no process: ESRCH or EBADF
    asked = by_flags.pop("0")
    assert {call[0] for call in asked} == {"-1"}
    assert {call[5] for call in asked} == ({"-9"} if "VMB_STUB_PIDFD" in with_call else {"-3"})
    # transfer goes over the clone before it, deliver into free addresses
    assert set(by_flags) == {fixed[1], noreplace[1]}
    for call in (*by_flags[fixed[1]], *by_flags[noreplace[1]]):
        assert int(call[0]) > 0
        assert int(call[2]) in (BASE_BYTES, 64 << 10)  # the doctor tries one page
        assert int(call[1], 16) % (1 << 30) == int(call[3], 16) % (1 << 30) == 0
        assert call[5] == str(int(call[3], 16))


def test_the_doctor_finds_the_call(with_call: dict[str, str]) -> None:
    text = vmabench(*DOCTOR[:-1], env=with_call).stdout
    assert re.search(rf"^clone +{BASE} +ok$", text, re.MULTILINE)
