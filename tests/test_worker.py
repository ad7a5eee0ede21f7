# SPDX-License-Identifier: GPL-2.0-only
"""Workers: whose code they run, how they die, and on which CPUs they stay."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

import vmabench
from tests.command import ONLY_SAMPLES
from tests.command import vmabench as command
from tests.needs import needs
from vmabench.commands.doctor import BLOCKED, doctor
from vmabench.commands.run import NOTHING_MEASURED, why_nothing
from vmabench.errors import MachineError, NativeError
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, Pair
from vmabench.runner import process
from vmabench.runner.limits import why_refused
from vmabench.runner.process import Worker, WorkerStartError, check_identity
from vmabench.runner.protocol import Job, Message, identity
from vmabench.runner.rounds import Run, Setup, choose_cpus
from vmabench.runner.worker import why_moved
from vmabench.store.reader import read

BASE = read_facts().pages[0]
CPUS = read_facts().cpus
IDLE = Job(os.getpid(), 1, 1, 0, 0, ())
HOSTILE = "raise SystemExit(9)\n"
SYSTEM_CALLS = {"process_vm_readv": 310, "perf_event_open": 298, "sched_setaffinity": 203}  # x86-64


def messages(job: Job) -> list[Message]:
    with Worker(job) as worker:
        return list(worker.messages(lambda _last: 60.0))


def dying(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Replace the interpreter of workers by a shell."""
    monkeypatch.setattr(process, "PYTHON", ("sh", "-c", script))


def test_a_worker_takes_no_module_from_the_current_directory() -> None:
    Path("json.py").write_text(HOSTILE)
    assert messages(IDLE) == []


def test_nor_does_the_command_that_is_started_as_a_module() -> None:
    Path("json.py").write_text(HOSTILE)
    assert command("list", "plans").returncode == 0


def test_a_worker_of_another_checkout_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(Path(vmabench.__file__).parent, "other/vmabench")
    monkeypatch.setenv("PYTHONPATH", str(Path("other").resolve()))
    with pytest.raises(MachineError, match=r"another package than its parent: .*/other/"):
        messages(IDLE)


@pytest.mark.parametrize("name", list(identity()))
def test_each_part_of_the_code_is_compared(name: str) -> None:
    check_identity({"kind": "hello"} | identity(), identity())
    with pytest.raises(MachineError, match=f"another {name} than"):
        check_identity(identity() | {name: "other"}, identity())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "ended with status 3"),
        ("echo no room >&2; exit 1", "ended with status 1: no room"),
        ("kill -9 $$", r"killed by signal 9 \(SIGKILL\)"),
        ("exit 0", "ended with status 0"),
        ("echo loaded", "wrote b'loaded': no message"),
    ],
)
def test_a_worker_that_does_not_start_says_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    dying(monkeypatch, script)
    with pytest.raises(WorkerStartError, match=f"can't start a worker process: .*{words}"):
        messages(IDLE)


def test_a_worker_that_does_not_start_fails_all_cases_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dying(monkeypatch, "echo x >>started; exit 3")
    cases = tuple(Case("readv", "transfer", BASE, size << 10) for size in (4, 8, 16))
    records: list[dict[str, object]] = []
    sink = SimpleNamespace(append=records.extend)
    observer = SimpleNamespace(phase=lambda *_: None, case=lambda *_: None)
    run = Run(Setup(cases, {"readv": "anon"}, 1.0, 1, 1, 0, 0), sink, observer)
    assert set(run.execute().failures) == {str(case) for case in cases}
    assert {record["outcome"] for record in records if record["kind"] == "case"} == {"failed"}
    assert Path("started").read_text() == "x\n"


def test_the_doctor_says_that_no_worker_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dying(monkeypatch, "exit 3")
    assert doctor("smoke", measure_noise=False, as_json=False) == BLOCKED
    assert "blocked by: can't start a worker process" in capsys.readouterr().out


@needs("compiler")
@pytest.mark.parametrize("name", SYSTEM_CALLS)
def test_a_call_that_kills_is_named(seccomp_filter: str, name: str) -> None:
    script = "from vmabench.runner.calls import killed_calls; print(*killed_calls())"
    line = [seccomp_filter, str(SYSTEM_CALLS[name]), "kill", sys.executable, "-c", script]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{name}\n"), done.stderr


@needs("compiler")
def test_a_filter_that_kills_takes_one_mechanism_and_not_the_run(seccomp_filter: str) -> None:
    prefix = (seccomp_filter, str(SYSTEM_CALLS["process_vm_readv"]), "kill")
    run = command(
        "run", "smoke", "--mechanism", "readv,writev,memcpy", "--page", BASE, "--size", "4K",
        "--budget", "1s", *ONLY_SAMPLES, prefix=prefix,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    result = read(Path("out"))
    reasons = {r["case"].split("/")[0]: r["reason"] for r in result.of_kind("skipped")}
    assert set(reasons) == {"readv"}
    assert "a seccomp filter kills process_vm_readv (SIGSYS)" in reasons["readv"]
    measured = {r["case"].split("/")[0] for r in result.of_kind("case") if r["outcome"] == "ok"}
    assert measured == {"writev", "memcpy"}


@needs("compiler")
def test_a_filter_that_kills_for_counters_takes_the_counters_alone(seccomp_filter: str) -> None:
    prefix = (seccomp_filter, str(SYSTEM_CALLS["perf_event_open"]), "kill")
    run = command(
        "run", "smoke", "--mechanism", "memcpy", "--page", BASE, "--size", "4K",
        "--budget", "1s", *ONLY_SAMPLES, prefix=prefix,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_a_run_that_measured_nothing_is_no_success() -> None:
    """Under a limit of address space that leaves no worker the range of a case."""
    arguments = ("run", "smoke", "--mechanism", "memcpy", "--page", BASE, "--size", "4K")
    limit = ("prlimit", "--as=2048000000")
    run = command(*arguments, "-o", "out", prefix=limit)
    assert run.returncode == NOTHING_MEASURED, run.stderr
    line = run.stderr.splitlines()[-1]
    assert line.startswith("vmabench: nothing was measured: ")
    assert "RLIMIT_AS is 2000000 KiB (ulimit -v unlimited)" in line
    again = command(*arguments, "--samples-only", "-o", "samples", prefix=limit)
    assert again.returncode == NOTHING_MEASURED


def test_the_most_frequent_reason_comes_first() -> None:
    reasons = ["b", "a", "c", "a", "d", "e"]
    records = [{"case": str(i), "reason": reason} for i, reason in enumerate(reasons)]
    result = SimpleNamespace(of_kind=lambda kind: records if kind == "skipped" else [])
    told = why_nothing(result)  # type: ignore[arg-type]
    assert told == "nothing was measured: a (2 cases); b (1 case); c (1 case); 2 more reasons"
    none = SimpleNamespace(of_kind=lambda _: [])
    assert "the plan has no case" in why_nothing(none)  # type: ignore[arg-type]


def test_a_limit_of_address_space_is_named() -> None:
    script = (
        "import resource; from vmabench.errors import NativeError;"
        "from vmabench.runner.limits import why_refused;"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30));"
        "print(why_refused(NativeError(12, 'no free address range of 5368709120 bytes: x'), 1))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)  # noqa: PLW1510
    assert done.stdout == "RLIMIT_AS is 2097152 KiB (ulimit -v unlimited)\n", done.stderr


def test_a_limit_of_mappings_is_named() -> None:
    error = NativeError(12, "mremap(MREMAP_DONTUNMAP): Cannot allocate memory")
    most = int(Path("/proc/sys/vm/max_map_count").read_text())
    if most > 1 << 17:
        pytest.skip("vm.max_map_count is so large that reaching it takes long")
    assert why_refused(error, most + 1).startswith(f"vm.max_map_count is {most}, too few for")
    assert not why_refused(error, 10)


def test_a_source_that_is_dead_has_not_moved() -> None:
    (cpu,) = choose_cpus(CPUS)[1:]
    os.sched_setaffinity(0, {cpu})
    cpus = CPUS[0], cpu
    with subprocess.Popen(["true"]) as source:
        source.wait()
    assert not why_moved(cpus, source.pid)
    assert not why_moved(cpus, 0)


def test_a_cpu_that_is_gone_is_named() -> None:
    error = NativeError(22, "pinning to CPU 4000: Invalid argument")
    assert why_refused(error, 1).startswith("CPU 4000 is offline or outside of the cpuset")


@pytest.mark.parametrize("side", ["source", "receiver"])
def test_a_pair_on_a_cpu_that_is_gone_is_refused_with_that_reason(side: str) -> None:
    cpus = (4000, CPUS[0]) if side == "source" else (CPUS[0], 4000)
    with pytest.raises(NativeError, match="pinning to CPU 4000") as refused, Pair(*cpus):
        pass
    assert refused.value.errno == errno.EINVAL
    assert why_refused(refused.value, 1).startswith("CPU 4000 is offline or outside")


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
@pytest.mark.parametrize("side", ["source", "receiver"])
def test_a_side_that_left_its_cpu_is_named(side: str) -> None:
    cpus = one, other = choose_cpus(CPUS)
    with subprocess.Popen(["sleep", "60"]) as source:
        try:
            os.sched_setaffinity(source.pid, {one})
            os.sched_setaffinity(0, {other})
            assert not why_moved(cpus, source.pid)
            moved, cpu = (source.pid, one) if side == "source" else (os.getpid(), other)
            os.sched_setaffinity(moved, {one, other})
            assert f"the {side} was moved off CPU {cpu} during" in why_moved(cpus, source.pid)
        finally:
            source.kill()


def test_every_call_of_a_mechanism_is_one_that_is_tried() -> None:
    from vmabench.machine.restrictions import CALLS_OF
    from vmabench.mechanisms import CALLS

    names: Sequence[str] = [name for calls in CALLS_OF.values() for name in calls]
    assert set(names) <= set(CALLS)
    assert set(CALLS_OF) <= set(MECHANISMS)
