# SPDX-License-Identifier: GPL-2.0-only
"""One run at a time on a machine, whatever its user, TMPDIR, container or checkout."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command import NEXT_RUN, SMALL, error_line, start, vmabench, wait_until
from tests.needs import needs
from tests.users import ORDINARY, inside
from vmabench.errors import MachineError
from vmabench.runner import lock
from vmabench.runner.lock import holder, only_run

HOLD = """
from vmabench.runner.lock import only_run
with only_run():
    print("held", flush=True)
    input()
"""
BUSY = "another run is measuring on this machine"


@contextmanager
def held(prefix: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock for the time of the block."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.communicate()


def refusal() -> str:
    with pytest.raises(MachineError, match=BUSY) as refused, only_run():
        pass
    return str(refused.value)


def test_the_lock_ends_with_its_block_and_with_its_process() -> None:
    with only_run():
        assert holder() == os.getpid()
        assert f"(process {os.getpid()})" in refusal()
    with held() as process:
        assert holder() == process.pid
        process.kill()
    with only_run():
        pass


def test_a_child_does_not_inherit_the_lock() -> None:
    with only_run():
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with only_run():
            pass
    finally:
        child.kill()
        child.wait()


def test_two_runs_with_two_places_for_temporary_files_and_for_state(tmp_path: Path) -> None:
    places = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        places.append({"TMPDIR": str(tmp_path / name), "XDG_STATE_HOME": str(tmp_path / name)})
    first = start(*SMALL, "--budget", "20s", "-o", "out", env=places[0])
    wait_until(Path("out/samples.jsonl.gz").exists)
    line = error_line(vmabench(*SMALL, "-o", "other", env=places[1]))
    assert f"{BUSY} (process {first.pid})" in line
    assert not Path("other").exists()
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    assert vmabench(*NEXT_RUN, env=places[1]).returncode == 0


@needs("root", "setpriv")
def test_another_user_is_excluded() -> None:
    with held(ORDINARY) as process:
        assert holder() == process.pid
        assert str(process.pid) in refusal()
    with only_run():
        refused = vmabench("tune", "--restore", prefix=ORDINARY)
    assert BUSY in error_line(refused)


@needs("root")
def test_a_container_is_excluded_and_excludes() -> None:
    container = inside(
        "mount -t sysfs sysfs /sys", "--mount", "--net", "--pid", "--fork", "--kill-child",
        "--ipc", "--uts", "--cgroup", "--mount-proc",
    )  # fmt: skip
    with held(container):
        assert BUSY in refusal()
    with only_run():
        refused = vmabench("tune", "--restore", prefix=container)
    assert f"{BUSY} (process not visible here)" in error_line(refused)


def test_a_link_at_the_name_of_an_earlier_lock_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    (tmp_path / "vmabench.lock").symlink_to(precious)
    run = vmabench("tune", "--restore", env={"TMPDIR": str(tmp_path)})
    assert run.returncode == 0, run.stderr
    assert precious.read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "vmabench.lock"]


def test_a_kernel_without_time_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_SHARED", (Path("/proc/self/ns/no-such"), lock._SHARED[1]))
    with only_run():
        assert holder() == os.getpid()
        assert str(os.getpid()) in refusal()


def test_a_machine_that_cannot_be_locked_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        with pytest.raises(MachineError, match=r"cannot lock .*: No locks available"), only_run():
            pass
    monkeypatch.setattr(lock, "_SHARED", (Path("/proc/no-such"),))
    with pytest.raises(MachineError, match="there is no /proc/no-such"), only_run():
        pass


def test_an_error_of_the_block_stays_what_it_is() -> None:
    with pytest.raises(FileNotFoundError), only_run():
        Path("no-such-file").read_text()
