# SPDX-License-Identifier: GPL-2.0-only
"""Hooks and fixtures of all tests: tiers, needs, settings, and a check for leftover processes."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tiers
from tests.leftover import is_left_behind, processes
from tests.needs import THP_ENABLED, skip_without
from tests.undo import afterwards, borrowed
from tests.users import ORDINARY
from vmabench import mechanisms
from vmabench.runner import lock

NATIVE = Path(__file__).with_name("native")

#: what a test outside the tier ``machine`` starts in place of vmabench-source: an error that says
#: which marker it lacks (see tests/tiers.py)
NO_SOURCE = "/only tests with the marker machine start a source"


@pytest.hookimpl(tryfirst=True)  # before -m selects, and before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tiers.mark(items)


def pytest_deselected(items: list[pytest.Item]) -> None:
    if items:
        tiers.count_left_out(items, items[0].config)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller of xdist, which collects no tests, what its workers left out."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = dict(tiers.left_out(session.config))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker left out: all workers collect the same tests."""
    counted = tiers.left_out(node.config)
    counted |= Counter(getattr(node, "workeroutput", {}).get("left_out", {}))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # after the list of failures
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Iterator[None]:
    yield
    line = tiers.left_out_line(tiers.left_out(config))
    if line:
        terminalreporter.write_line(line)


def pytest_runtest_setup(item: pytest.Item) -> None:
    skip_without(item)
    if item.get_closest_marker("machine"):
        tiers.hold_machine(item)


@pytest.hookimpl(trylast=True)  # after the fixtures have restored what they changed
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    tiers.release_machine(item, nextitem)


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results go below the working directory; no test may write into the repository."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def all_cpus() -> Iterator[None]:
    """A pair pins the process that opens it; what comes next has the CPUs that this one had."""
    before = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(autouse=True)
def own_processes(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A test of the tier ``machine`` leaves no worker or source behind; others start none."""
    if not request.node.get_closest_marker("machine"):
        monkeypatch.setenv("VMABENCH_SOURCE", NO_SOURCE)
        monkeypatch.setattr(mechanisms, "SOURCE_PROGRAM", Path(NO_SOURCE))
        yield
        return
    before = processes()
    yield
    left = {pid for pid in processes() - before if is_left_behind(pid)}
    assert not left, f"processes left behind: {left}"


@pytest.fixture(scope="session", autouse=True)
def mark_session() -> None:
    os.environ["VMABENCH_TEST_SESSION"] = str(os.getpid())


@pytest.fixture(scope="session", autouse=True)
def no_signal_ignored() -> None:
    """Replace ignored signals by handlers: commands inherit the former, exec resets the latter.

    A shell starts a job in the background with SIGINT ignored, and nohup with SIGHUP.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            is_interrupt = number == signal.SIGINT
            handler = signal.default_int_handler if is_interrupt else lambda *_: None
            signal.signal(number, handler)


@pytest.fixture
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is not the machine's, for a test whose commands measure nothing."""
    monkeypatch.setattr(lock, "_SHARED", (tmp_path,))


@pytest.fixture
def user_state(tmp_path: Path) -> None:
    """Any user may write to the working directory."""
    tmp_path.chmod(0o777)


@pytest.fixture(params=["root", "ordinary"])
def user(request: pytest.FixtureRequest, user_state: None) -> tuple[str, ...]:
    """What to put before a command to be that user."""
    return ORDINARY if request.param == "ordinary" else ()


@pytest.fixture
def thp_never() -> Iterator[None]:
    with borrowed(THP_ENABLED, "never"):
        yield


@pytest.fixture
def shmem_advise() -> Iterator[None]:
    with borrowed(THP_ENABLED.with_name("shmem_enabled"), "advise"):
        yield


@pytest.fixture
def dev_shm_advise() -> Iterator[None]:
    """POSIX shared memory lies on a mount, which has a setting of its own."""
    with afterwards("mount", "-o", "remount,huge=never", "/dev/shm"):
        subprocess.run(["mount", "-o", "remount,huge=advise", "/dev/shm"], check=True)
        yield


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mount], check=True)
    with afterwards("umount", "-l", str(mount)):
        yield mount


@pytest.fixture
def seccomp_filter(tmp_path: Path) -> str:
    program = tmp_path / "seccomp_filter"
    subprocess.run(["gcc", "-o", program, NATIVE / "seccomp_filter.c"], check=True)
    return str(program)
