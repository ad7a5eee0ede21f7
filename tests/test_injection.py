# SPDX-License-Identifier: GPL-2.0-only
"""A delay injected into a case is there, is named, and its result is never reported."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from tests import synthetic
from tests.command import call, error_line, vmabench
from vmabench.errors import NativeError
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, Pair, base_page_bytes
from vmabench.runner.protocol import Block, CaseJob, Job
from vmabench.store.reader import read
from vmabench.units import format_size

BASE = format_size(base_page_bytes())
CROSSCHECK = Path(__file__).parents[1] / "bench" / "crosscheck"
DELAY_NS = 200_000
#: The delay is a loop of as many turns as took that long when it was timed, once in each process.
#: If the core's other thread was busy at that time and is idle now, a turn takes half as long.
#: Without a delay the cases take 1 or 2 us.
SHORTEST = 0.5
AT_LEAST_NS = SHORTEST * DELAY_NS


def timed_ns(case: Case, delay_ns: int, loops: int = 20) -> dict[str, int]:
    """Return ns of an operation by phase, of the fastest attempt: nothing interrupted it."""
    with Pair(0, 0) as pair:
        pair.make_source(MECHANISMS[case.mechanism].memory, base_page_bytes(), case.size_bytes)
        with pair.open(case, seed=1, delay_ns=delay_ns) as opened:
            opened.verify(1)
            attempts = [opened.run(loops, 1.0).time_ns for _ in range(5)]
    fastest = min(attempts, key=lambda time_ns: time_ns["total"])
    return {name: ns // loops for name, ns in fastest.items()}


@pytest.mark.parametrize("mechanism", ["readv", "writev", "memfd", "memfd-inplace"])
@pytest.mark.parametrize("scenario", ["transfer", "deliver"])
def test_each_operation_is_longer_by_the_delay(mechanism: str, scenario: str) -> None:
    touch = ("read", 100) if scenario == "deliver" else ("none", 0)
    case = Case(mechanism, scenario, BASE, base_page_bytes(), *touch)
    delayed = timed_ns(case, DELAY_NS)
    assert delayed["total"] >= AT_LEAST_NS
    if scenario == "deliver":
        assert delayed["transfer"] >= AT_LEAST_NS
        assert delayed["attach"] + delayed["touch"] + delayed["release"] < delayed["total"] / 2
    assert timed_ns(case, 0)["total"] < AT_LEAST_NS


@pytest.mark.parametrize("mechanism", ["fork", "pipe"])
def test_where_there_is_no_place_for_it_it_is_refused(mechanism: str) -> None:
    case = Case(mechanism, "transfer", BASE, base_page_bytes())
    with pytest.raises(NativeError, match=f"no delay can be injected into {mechanism}"):
        timed_ns(case, DELAY_NS)


def test_a_job_carries_the_delays_of_its_cases() -> None:
    case = str(Case("readv", "transfer", BASE, base_page_bytes()))
    block = Block("anon", BASE, base_page_bytes(), (CaseJob(case, 1),))
    job = Job(1, 2, 3, 0, 0, (block,), ((case, 300),))
    assert Job.from_json(job.to_json()) == job
    assert (job.delay_ns(case), job.delay_ns("another")) == (300, 0)


def test_a_run_with_a_delay_is_marked_and_never_reported() -> None:
    case = Case("readv", "transfer", BASE, base_page_bytes(), source="rewritten")
    options = ["--mechanism", "readv,memcpy", "--scenario", "transfer", "--page", "base"]
    options += ["--size", format_size(case.size_bytes), "--budget", "1s", "-o", "out"]
    run = vmabench("run", "smoke", *options, "--inject", f"{case}=300000ns")
    assert run.returncode == 0, run.stderr
    result = read("out")
    assert result.header["injected"] == f"{case}=300000ns"
    times = {
        record["case"].partition("/")[0]: min(
            value["time_ns"]["total"] for value in record["values"]
        )
        / record["loops"]
        for record in result.of_kind("case")
    }
    assert times["readv"] >= SHORTEST * 300_000 > times["memcpy"]
    for command in (["report", "out"], ["export", "out", "--format", "csv"]):
        assert "nothing is reported of it" in error_line(call(*command))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("readv", "write it as CASE=300ns"),
        (f"readv/scenario:transfer/page:{BASE}/size:{BASE}=3ms", "write it as CASE=300ns"),
        (f"readv/scenario:transfer/page:{BASE}/size:512M=3ns", "the plan does not have this case"),
    ],
)
def test_an_injection_that_means_nothing_is_refused(given: str, words: str) -> None:
    assert words in error_line(call("run", "smoke", "--inject", given))


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(CROSSCHECK))
    path = CROSSCHECK / "check_sensitivity.py"
    spec = importlib.util.spec_from_file_location("check_sensitivity", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "check_sensitivity", module)
    spec.loader.exec_module(module)
    return module


def compared(target: Case, verdict: str, other: str) -> pd.DataFrame:
    rows = [(str(target), verdict, 1.03), (str(Case("memcpy", "transfer", "4K", 4096)), other, 1.0)]
    frame = pd.DataFrame(rows, columns=["case_id", "verdict", "ratio"])
    return frame.assign(lo=1.02, hi=1.04, q=0.01)


def test_what_is_found_and_what_is_wrongly_claimed(check: ModuleType) -> None:
    target = Case("readv", "transfer", "4K", 65536)
    trials = check.Trials()
    for verdict in ["slower"] * 9 + ["~"]:
        check.note(trials, compared(target, verdict, "~"), target, "pair")
    assert check.judge(trials, target, 0.03)
    assert not check.judge(trials, target, 0.0)  # nothing was injected, and it was claimed
    check.note(trials, compared(target, "unstable", "~"), target, "pair")
    assert not check.judge(trials, target, 0.03)  # 9 of 11
    trials = check.Trials()
    check.note(trials, compared(target, "slower", "faster"), target, "pair")
    assert not check.judge(trials, target, 0.03)


def test_a_neighbour_ends_with_a_check_that_is_killed() -> None:
    """It holds the pipe that is read here to its end."""
    neighbour = str(CROSSCHECK / "neighbour.py")
    script = "import os, subprocess, sys; me = os.getpid();"
    script += "subprocess.Popen([sys.executable, sys.argv[1], str(me)]); os.kill(me, 9)"
    check = [sys.executable, "-c", script, neighbour]
    done = subprocess.run(check, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (-9, b"")


def test_the_outcome_is_kept_with_the_machine(check: ModuleType, tmp_path: Path) -> None:
    path = sys.modules["last_outcome"].keep("some", {"good": True}, tmp_path / "checks")
    text = path.read_text()
    assert '"good": true' in text
    assert '"kernel"' in text
    assert '"machine"' in text
    assert synthetic.HEADER["kernel"] not in text
