# SPDX-License-Identifier: GPL-2.0-only
"""Signals that ask a process to end: every command ends in order, and an ignored one is ignored."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.command import ONLY_SAMPLES, VMABENCH, children, environ, read_raw, start, wait_until
from tests.needs import needs
from tests.undo import restored
from vmabench.machine.ledger import Undoing
from vmabench.machine.pages import Page, pool_file
from vmabench.runner.process import Worker
from vmabench.runner.protocol import Job
from vmabench.signals import interruptible, uninterrupted

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
POOL = pool_file(Page("hugetlb-2M"))

WAITS = """
import signal, sys
from vmabench.program import run_program
def command():
    try:
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        print("restored", flush=True)
    return 0
sys.exit(run_program(command))
"""


def waiting(ignored: list[signal.Signals]) -> "subprocess.Popen[str]":
    names = ",".join(number.name[3:] for number in ignored) or "USR1"
    defaults = ",".join(number.name[3:] for number in ENDING)
    process = subprocess.Popen(
        ["env", f"--default-signal={defaults}", f"--ignore-signal={names}",
         sys.executable, "-c", WAITS],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", ENDING)
def test_any_of_them_ends_a_command_in_order(number: signal.Signals) -> None:
    process = waiting([])
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "restored\n")
    assert errors == "vmabench: interrupted\n"


@pytest.mark.parametrize("number", ENDING)
def test_one_that_was_ignored_stays_ignored(number: signal.Signals) -> None:
    process = waiting([number])
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, out, errors) == (0, "restored\n", "")


class Interrupted(Undoing):
    """A restore in whose middle the user presses Ctrl-C."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def restore(self) -> list[str]:
        self.done.append("first")
        os.kill(os.getpid(), signal.SIGINT)
        self.done.append("last")
        return []


def test_a_ctrl_c_waits_until_everything_is_restored() -> None:
    changes = Interrupted()
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            changes.__enter__()
        assert changes.done == ["first", "last"]
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            changes.__exit__(None, None, None)
        assert changes.done == ["first", "last"] * 2


@pytest.mark.machine
def test_a_run_under_nohup_survives_its_terminal() -> None:
    run = start("run", "smoke", "--mechanism", "readv", "--page", "base", "--budget", "2s",
                *ONLY_SAMPLES, prefix=("nohup",))  # fmt: skip
    samples = Path("out/samples.jsonl.gz")
    wait_until(lambda: samples.exists() and b"calibration" in read_raw(samples))
    run.send_signal(signal.SIGHUP)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors


@needs("root")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["doctor", "pyperf"])
def test_a_pool_is_restored(command: str, number: signal.Signals) -> None:
    arguments = {
        "doctor": ("doctor",),
        "pyperf": ("pyperf", "--", "--mechanism", "memfd", "--page", "hugetlb-2M", "--size", "8M"),
    }[command]
    with restored(POOL):
        POOL.write_text("0")
        process = subprocess.Popen(
            [*VMABENCH, *arguments], env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        wait_until(lambda: POOL.read_text() != "0\n" and children(process.pid))
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert b"Traceback" not in errors
        assert POOL.read_text() == "0\n"


class KilledLate(subprocess.Popen[bytes]):
    """A process that is killed at the moment at which an interrupt comes."""

    def kill(self) -> None:
        signal.raise_signal(signal.SIGINT)
        super().kill()


def test_a_worker_is_reaped_also_where_its_end_is_interrupted() -> None:
    """As the interrupt of a notebook's cell may, while a round's worker is ended."""
    worker = Worker(Job(0, 0, 0, 0, 0, ()))
    worker._process = KilledLate(["sleep", "60"])
    worker._started = True
    try:
        with pytest.raises(KeyboardInterrupt):
            worker.__exit__(None, None, None)
        assert worker._process.returncode == -signal.SIGKILL
    finally:
        subprocess.Popen.kill(worker._process)
        worker._process.wait()


def test_a_signal_that_another_thread_takes_is_held_back_too() -> None:
    """As threads of numpy and of a notebook do: the mask is that of one thread."""
    finished = threading.Event()
    thread = threading.Thread(target=finished.wait)
    thread.start()
    readable, writable = os.pipe2(os.O_NONBLOCK)
    os.set_blocking(readable, True)
    before = signal.set_wakeup_fd(writable)
    whole = False
    try:
        with pytest.raises(KeyboardInterrupt), uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            assert os.read(readable, 1)  # the other thread has taken it
            whole = True
        assert whole
    finally:
        signal.set_wakeup_fd(before)
        finished.set()
        thread.join()
        os.close(readable)
        os.close(writable)
