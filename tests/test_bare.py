# SPDX-License-Identifier: GPL-2.0-only
"""The C programs of bench/crosscheck: each row moves its bytes and prints its values."""

import subprocess
from pathlib import Path

import pytest

from tests.needs import needs
from vmabench.machine.facts import read_facts
from vmabench.matrix.plans import load_plan
from vmabench.runner.rounds import choose_cpus

CROSSCHECK = Path(__file__).parents[1] / "bench/crosscheck"
CPUS = [str(cpu) for cpu in choose_cpus(read_facts().cpus)]

#: needs the patched kernel
NOT_BARE = {"clone"}

pytestmark = [pytest.mark.machine, needs("compiler")]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the compiled programs."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("bare", "pingpong_idle", "procmem_ratio"):
        source = CROSSCHECK / f"{name}.c"
        subprocess.run(["gcc", "-O2", "-o", str(folder / name), str(source)], check=True)
    return folder


def output(*command: object) -> str:
    run = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


QUICK = {
    name
    for sweep in load_plan("quick").sweeps
    if "transfer" in sweep.scenario
    for name in sweep.mechanism
}


@pytest.mark.parametrize("mechanism", sorted(QUICK - NOT_BARE))
@pytest.mark.parametrize("size_bytes", [4096, 3 << 16])
def test_every_mechanism_of_quick_has_a_bare_program(
    programs: Path, mechanism: str, size_bytes: int
) -> None:
    values = output(programs / "bare", mechanism, size_bytes, 3, 4, *CPUS).split()
    assert len(values) == 4
    assert all(float(value) > 0 for value in values)


def test_a_mechanism_without_a_row_is_an_error(programs: Path) -> None:
    command = [str(programs / "bare"), "teleport", "4096", "1", "1", *CPUS]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "no row for teleport" in run.stderr


def test_the_riddles_have_a_line_for_each_condition(programs: Path) -> None:
    talk = output(programs / "pingpong_idle", *CPUS, 1, 10)
    assert [line.split()[0] for line in talk.splitlines()[1:]] == [
        "two-cpus", "spinning", "busy", "latency", "one-cpu",
    ]  # fmt: skip
    ratios = output(programs / "procmem_ratio", *CPUS, 16384, 1, 2).split("\ncondition")[1]
    assert [line.split()[0] for line in ratios.splitlines()[1:]] == [
        "as-here", "open", "unaligned", "huge", "fresh", "iovecs", "pages",
    ]  # fmt: skip
