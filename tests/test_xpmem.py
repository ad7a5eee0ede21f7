# SPDX-License-Identifier: GPL-2.0-only
"""The mechanism xpmem on a stand-in for the module: the whole path, to the number."""

import subprocess
from pathlib import Path

import pytest

from tests.command import DOCTOR, ONLY_SAMPLES, findings, vmabench
from tests.needs import needs
from vmabench.analysis.frame import tidy
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.mechanisms import SOURCE_PROGRAM
from vmabench.store.reader import read

FAKE = Path(__file__).with_name("native") / "fake_xpmem.c"
NATIVE = SOURCE_PROGRAM.parent
BASE = read_facts().pages[0]


@pytest.fixture(scope="module")
def with_xpmem(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which both processes find a /dev/xpmem."""
    tmp_path = tmp_path_factory.mktemp("xpmem")
    library, source = tmp_path / "fake_xpmem.so", tmp_path / "vmabench-source"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", FAKE, "-o", library, "-ldl"], check=True)
    # the real one is linked statically, where nothing can be put in between
    core = [path for path in NATIVE.glob("*.c") if path.name != "_core.c"]
    subprocess.run(["gcc", "-std=gnu11", "-O1", *core, FAKE, "-o", source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "VMABENCH_SOURCE": str(source)}


@needs("compiler")
def test_the_pages_of_the_source_are_shared_and_timed(with_xpmem: dict[str, str]) -> None:
    run = vmabench(
        "run", "smoke", "--mechanism", "xpmem", "--page", BASE, "--size", "64K",
        "--budget", "1s", *ONLY_SAMPLES, env=with_xpmem,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr + run.stdout
    frame = tidy(read(Path("out")))
    assert set(frame["scenario"]) == {"transfer", "deliver"}
    assert set(frame["outcome"]) == {"ok"}
    attach = frame[frame["phase"] == "attach"]
    assert (attach["time_ns"] > 0).all()


@needs("compiler")
def test_each_segment_is_an_attachment(with_xpmem: dict[str, str]) -> None:
    run = vmabench(
        "run", "smoke", "--mechanism", "xpmem", "--page", BASE, "--size", "4M", "--scenario",
        "scatter", "--budget", "2s", *ONLY_SAMPLES, env=with_xpmem,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr + run.stdout
    result = read(Path("out"))
    assert {r["outcome"] for r in result.of_kind("case")} == {"ok"}
    vmas = {
        Case.parse(r["case"]).segments: r["proof"]["dst"]["vmas"] for r in result.of_kind("case")
    }
    assert vmas == {1: 1, 16: 16, 256: 256, 1024: 1024}


def test_without_the_module_the_gate_is_named() -> None:
    found = findings(vmabench(*DOCTOR))
    assert "/dev/xpmem" in found["xpmem", BASE]["blocked_by"]
    assert found["xpmem", BASE]["fix"] == "modprobe xpmem"
