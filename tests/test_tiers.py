# SPDX-License-Identifier: GPL-2.0-only
"""The tiers of the tests, and the script that CI runs."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import machine, tiers
from tests.command import wait_until
from tests.leftover import is_left_behind, processes, workers
from tests.needs import needs
from tests.users import state_in
from vmabench.errors import NativeError
from vmabench.mechanisms import Pair

REPOSITORY = Path(__file__).parents[1]


@needs("root")
def test_a_need_of_the_machine_makes_a_machine_test(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("machine")


def test_a_pure_test_starts_no_source() -> None:
    with pytest.raises(NativeError, match="only tests with the marker machine"), Pair(0, 0):
        pass
    told = "from vmabench import mechanisms; print(mechanisms.SOURCE_PROGRAM)"
    child = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert "only tests with the marker machine" in child.stdout


@pytest.mark.parametrize("name", ["vmabench-source", "vmabench.runner.worker"])
def test_a_process_that_is_left_behind_is_found_until_it_is_killed(
    tmp_path: Path, name: str
) -> None:
    """It need not be waited for: init may take its time, and a busy machine as well."""
    before = processes()
    program = tmp_path / name
    program.symlink_to("/bin/sh")
    left = subprocess.Popen([program, "-c", "read -r _line", name], stdin=subprocess.PIPE)
    assert left.pid in processes() - before
    # exec closes descriptors, for which Popen waits, before it gives the task its new name
    wait_until(lambda: is_left_behind(left.pid))
    assert (left.pid in workers()) == (name == "vmabench.runner.worker")
    left.kill()
    assert not is_left_behind(left.pid)
    left.communicate()


def test_the_groups_reach_the_scheduler(request: pytest.FixtureRequest) -> None:
    """Without them both workers run machine tests, which wait for each other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@test_tiers")


def test_the_makefile_leaves_out_the_optional_tiers() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    assert f"\nOPTIONAL := {' or '.join(tiers.OPTIONAL)}\n" in makefile


@pytest.mark.parametrize("name", sorted(tiers.FAULT_MODULES))
def test_modules_of_faults_exist(name: str) -> None:
    assert (REPOSITORY / f"tests/{name}.py").exists()


def test_what_is_left_out_is_named() -> None:
    assert tiers.left_out_line(Counter()) == ""
    counted = Counter(browser=4, guest=24)
    assert tiers.left_out_line(counted) == (
        "left out: 24 guest, 4 browser (make test-all runs them)"
    )


def session(*arguments: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run another session of these tests, without what this one tells its tests."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [*prefix, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_command_of_a_test_ignores_no_signal() -> None:
    command = ["grep", "SigIgn:", "/proc/self/status"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ignored = int(done.stdout.split()[1], 16)
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    assert not [number for number in ending if ignored >> (number - 1) & 1]


def test_nor_does_one_of_a_session_that_ignores_some() -> None:
    """As a job of a shell in the background does, and what nohup starts."""
    ignoring = ("env", "--ignore-signal=INT,TERM,HUP")
    node = "tests/test_tiers.py::test_a_command_of_a_test_ignores_no_signal"
    done = session(node, prefix=ignoring)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "1", "--dist", "loadgroup")], ids=["one", "xdist"])
def test_a_session_says_what_it_leaves_out(workers: tuple[str, ...]) -> None:
    done = session(*workers, "-m", "not guest", "tests/test_guest_selftests.py")
    *_, said, last = done.stdout.splitlines()
    assert re.fullmatch(r"left out: \d+ guest \(make test-all runs them\)", said)
    assert "1 passed" in last or "1 skipped" in last


def test_two_sessions_do_not_change_the_machine_at_once(tmp_path: Path) -> None:
    """The other one waits, and says so, until this one releases the lock.

    It restores no settings: a machine test that runs now may have changed them.
    """
    lock = tmp_path / "lock"
    (lock / "runs").mkdir(parents=True)
    script = (
        "import sys, pytest; from functools import partial; from pathlib import Path;"
        "from tests import machine; lock = Path(sys.argv[1]);"
        "machine.alone = partial(machine.alone, lock=lock, runs=lock / 'runs', changed=[]);"
        "sys.exit(pytest.main(['-p', 'no:cacheprovider', '-q', *sys.argv[2:]]))"
    )
    one_test = "tests/test_tiers.py::test_a_need_of_the_machine_makes_a_machine_test"
    held = os.open(lock, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(lock), one_test],
        cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stderr
    said = next(line for line in other.stderr if line.strip())
    assert said == f"waiting: other tests on this machine hold the lock of {lock}\n"
    assert other.poll() is None
    os.close(held)
    assert other.wait() == 0
    other.stderr.close()


#: borrows a setting in a session of its own, starts a run that outlives it, and is killed
KILLED = """
import os, subprocess, sys
from pathlib import Path
from tests import machine
lock, runs, setting, other = map(Path, sys.argv[1:])
held = machine.alone(print, lock, runs, [setting, other])
held.__enter__()
setting.write_text("never")
subprocess.Popen(["flock", runs, "sh", "-c", "read -r _line; echo 7 >$0", other])
while subprocess.run(["flock", "-n", runs, "true"]).returncode == 0:
    pass
os.kill(os.getpid(), 9)
"""


def is_waited_for(path: Path) -> bool:
    """Return whether a process waits for a lock, as ``1: -> FLOCK ADVISORY WRITE 8 fe:00:42 0``."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    inode = f":{path.stat().st_ino}"
    return any(words[1] == "->" and words[6].endswith(inode) for words in lines)


def test_a_session_that_is_killed_leaves_the_settings_as_they_were(tmp_path: Path) -> None:
    """Also those that a run of it changes afterwards; the next session starts after that."""
    setting, other, lock, runs = (tmp_path / name for name in ("set", "other", "lock", "runs"))
    setting.write_text("always [madvise] never\n")
    other.write_text("3\n")
    lock.mkdir()
    runs.mkdir()
    command = [sys.executable, "-c", KILLED, *map(str, (lock, runs, setting, other))]
    killed = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE)
    assert killed.wait() == -9
    wait_until(lambda: is_waited_for(runs))
    said: list[str] = []

    def end_run(line: str) -> None:
        assert killed.stdin
        killed.stdin.close()
        said.append(line)

    with machine.alone(end_run, lock, runs, []):
        assert (setting.read_text(), other.read_text()) == ("madvise", "3")
    assert said == [f"waiting: other tests on this machine hold the lock of {lock}"]


def test_a_session_that_ends_waits_for_no_run(tmp_path: Path) -> None:
    """Its own have ended; somebody else's may take minutes."""
    setting, runs = tmp_path / "setting", tmp_path / "runs"
    setting.write_text("always [madvise] never\n")
    runs.mkdir()
    held = os.open(runs, os.O_RDONLY)
    with machine.alone(print, tmp_path, runs, [setting]):
        fcntl.flock(held, fcntl.LOCK_EX)
        setting.write_text("never")
    assert setting.read_text() == "madvise"
    os.close(held)


@needs("root")
def test_a_session_restores_first_what_a_killed_run_has_borrowed(tmp_path: Path) -> None:
    """It would restore the borrowed values at its end otherwise."""
    setting, lock, state = (tmp_path / name for name in ("setting", "lock", "state"))
    setting.write_text("never")
    (lock / "runs").mkdir(parents=True)
    state.mkdir(mode=0o700)  # the ledger takes a lock of its own on it
    script = (
        "import sys; from pathlib import Path; from tests import machine;"
        "from vmabench.machine.ledger import STATE; from vmabench.machine.settings import Settings;"
        "setting, lock = map(Path, sys.argv[1:]); machine.settings = lambda: [setting];"
        "Settings(STATE / 'thp.json').borrow(setting, 'madvise');"
        "held = machine.alone(print, lock, lock / 'runs'); held.__enter__();"
        "print(setting.read_text()); held.__exit__(None, None, None); print(setting.read_text())"
    )
    command = [*state_in(state), sys.executable, "-c", script, str(setting), str(lock)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["never", "never"]


def test_another_user_is_always_one_who_can_read_the_checkout() -> None:
    """It may lie below a home directory of mode 0700: users.py has the capability for that."""
    dropping = [
        path.name
        for path in REPOSITORY.glob("tests/*.py")
        if "--reuid" in path.read_text() and path.name != Path(__file__).name
    ]
    assert dropping == ["users.py"]


def test_make_lets_python_keep_its_bytecode() -> None:
    """Without it, each process of a test compiles the package: half of its CPU time."""
    command = ["make", "-s", "--eval=environment: ; @env", "environment"]
    environ = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=True
    )
    assert "\nVENV=" in done.stdout
    assert "PYTHONDONTWRITEBYTECODE" not in done.stdout


FAKE_MAKE = """#!/bin/sh
echo "ran $*"
case "$*" in
*"$FAILING"*) exit 2 ;;
*"$HANGING"*) exec sleep 60 ;;
esac
"""


def ci_run(tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The script with a make that only says its target."""
    make = tmp_path / "make"
    make.write_text(FAKE_MAKE)
    make.chmod(0o755)
    environ = {"FAILING": "nothing", "HANGING": "nothing", **environ}
    environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    command = ["bash", str(REPOSITORY / ".ci/run")]
    return subprocess.run(
        command, env=os.environ | environ, capture_output=True, text=True, check=False
    )


def test_ci_runs_each_step_once_and_ends_with_their_times(tmp_path: Path) -> None:
    done = ci_run(tmp_path)
    assert done.returncode == 0
    ran = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("ran ")]
    assert ran == ["test", "lint", "typecheck", "sanitize", "test-rest", "path-lengths", "SHORT=1"]
    *steps, total, last = done.stdout.split("\n\n")[-1].splitlines()
    assert len(steps) == len(ran)
    assert steps[0].split()[:2] == ["make", "test"]
    assert all(line.endswith(" s") for line in (*steps, total))
    assert (total.split()[0], last) == ("total", "passed")


def test_ci_ends_with_the_step_that_failed(tmp_path: Path) -> None:
    done = ci_run(tmp_path, FAILING="typecheck")
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == "failed (status 2): make typecheck"
    assert "ran --no-print-directory sanitize" not in done.stdout


def test_ci_ends_with_the_step_that_took_too_long(tmp_path: Path) -> None:
    done = ci_run(tmp_path, HANGING="lint", CI_LIMIT_S="1")
    assert done.returncode == 124
    assert done.stdout.splitlines()[-1] == "stopped after 1 s, in: make lint"
