# SPDX-License-Identifier: GPL-2.0-only
"""Set-up: bench/bootstrap.sh when it is interrupted, moved, refused, or without network.

Each test runs the real script in a small checkout of its own. ``id``, ``apt-get``, ``sudo`` and
Python are stand-ins: the environment tells them how to fail, and they log their calls.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.command import wait_until
from tests.needs import needs
from tests.users import ORDINARY

ROOT = Path(__file__).resolve().parents[1]

#: stands in for python3; the environment that it makes has a copy of it as its python
PYTHON = """#!/bin/sh
case "$*" in
*ensurepip*) [ -z "${NO_VENV:-}" ] || [ -e "$CALLS-installed" ]; exit ;;
"-c "*version_info*) [ "${0##*/}" != "${TOO_OLD:-}" ]; exit ;;
"-m venv "*) echo "${0##*/} venv" >>"$CALLS"
	[ -z "${VENV_SAYS:-}" ] || { echo "$VENV_SAYS"; exit 1; }
	mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" && cp "$0" "$3/bin/python" ;;
"-m pip "*) echo pip >>"$CALLS"
	[ -z "${PIP_WAITS:-}" ] || read -r _ <"$PIP_WAITS"
	[ -z "${PIP_SAYS:-}" ] || { echo "$PIP_SAYS"; exit 1; }
	[ -z "${PIP_KILLED:-}" ] || kill -KILL $PPID ;;
-) exit "${NO_GUEST:-0}" ;; # the packages of the guest
esac
"""
APT = """#!/bin/sh
echo "apt-get $*" >>"$CALLS"
[ -z "${https_proxy:-}" ] || echo "by $https_proxy" >>"$CALLS"
[ -z "${APT_SAYS:-}" ] || { echo "$APT_SAYS"; exit 100; }
case "$*" in
*update*) exit "${UPDATE_STATUS:-0}" ;;
*install*) touch "$CALLS-installed" ;;
esac
"""
#: as sudo with its usual setting, env_reset
SUDO = """#!/bin/sh
[ -n "${MAY_SUDO:-}" ] || exit 1
shift
exec env -i PATH="$PATH" CALLS="$CALLS" "$@"
"""
#: no space for a file of the name $FULL
TOUCH = """#!/bin/sh
case "$*" in *"${FULL:-none}")
	echo "touch: cannot touch '$*': No space left on device" >&2
	exit 1 ;;
esac
exec /usr/bin/touch "$@"
"""
FLOCK = """#!/bin/sh
[ -z "${NO_LOCKS:-}" ] || { echo "flock: 9: Bad file descriptor" >&2; exit 65; }
exec /usr/bin/flock "$@"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with the files that set-up reads, and put the stand-ins beside it."""
    where = tmp_path / "a check out"
    (where / "bench/vmabench/native").mkdir(parents=True)
    for name in ("bench/bootstrap.sh", "Makefile", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, where / name)
    stubs = {"python3": PYTHON, "python3.13": PYTHON, "apt-get": APT, "dpkg": "#!/bin/sh\n"}
    stubs |= dict.fromkeys(("groff", "mandoc", "shellcheck"), "#!/bin/sh\n")
    stubs |= {"id": '#!/bin/sh\necho "${USER_ID:-0}"\n', "sudo": SUDO}
    stubs |= {"touch": TOUCH, "flock": FLOCK}
    (tmp_path / "stubs").mkdir()
    for name, text in stubs.items():
        path = tmp_path / "stubs" / name
        path.write_text(text)
        path.chmod(0o755)
    return where


def environment(checkout: Path, **extra: str) -> dict[str, str]:
    outer = checkout.parent
    dropped = ("http_proxy", "https_proxy", "venv", "vmabench_require")
    kept = {name: value for name, value in os.environ.items() if name.lower() not in dropped}
    path = f"{outer / 'stubs'}:{os.environ['PATH']}"
    return {**kept, "PATH": path, "CALLS": str(outer / "calls"), "TMPDIR": str(outer), **extra}


def begin(
    checkout: Path, target: str = "bench", *, prefix: tuple[str, ...] = (), **extra: str
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*prefix, checkout / "bench/bootstrap.sh", target],
        env=environment(checkout, **extra),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def set_up(
    checkout: Path, target: str = "bench", *, prefix: tuple[str, ...] = (), **extra: str
) -> tuple[int, str]:
    process = begin(checkout, target, prefix=prefix, **extra)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def refusal(checkout: Path, *, prefix: tuple[str, ...] = (), **extra: str) -> str:
    """Return the one line of a set-up that failed, without the lines that announce a step."""
    status, said = set_up(checkout, prefix=prefix, **extra)
    lines = [line for line in said.splitlines() if not line.startswith(("making", "installing"))]
    assert status == 1, said
    assert len(lines) == 1, said
    assert lines[0].startswith("bootstrap.sh: ")
    assert not (checkout / ".venv/.bench").exists()
    return lines[0]


def calls(checkout: Path) -> list[str]:
    path = checkout.parent / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_set_up_leaves_a_stamp_and_is_done_once(checkout: Path) -> None:
    assert set_up(checkout)[0] == 0
    assert (checkout / ".venv/.bench").exists()
    assert (checkout / ".venv/.path").read_text() == f"{checkout}\n"
    assert set_up(checkout) == (0, "")
    assert calls(checkout) == ["python3 venv", "pip"]


def test_an_interrupted_set_up_says_how_to_continue(checkout: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = begin(checkout, PIP_WAITS=str(fifo))
    wait_until(lambda: "pip" in calls(checkout))
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith("bootstrap.sh: interrupted; the same command continues\n")
    assert set_up(checkout)[0] == 0
    assert not list(tmp_path.glob("tmp.*")), "no log stays behind"


def test_a_killed_set_up_is_begun_again(checkout: Path) -> None:
    assert set_up(checkout, PIP_KILLED="1")[0] == -signal.SIGKILL
    assert not (checkout / ".venv/.bench").exists()
    status, said = set_up(checkout)
    assert status == 0
    assert "again: interrupted" in said
    assert calls(checkout) == ["python3 venv", "pip"] * 2
    assert not (checkout / ".venv/.unfinished").exists()


def test_a_killed_change_of_an_environment_is_begun_again(checkout: Path) -> None:
    """pip may have replaced half of a package."""
    set_up(checkout)
    stamp = (checkout / ".venv/.bench").stat().st_mtime
    os.utime(checkout / "pyproject.toml", (stamp + 1, stamp + 1))
    assert set_up(checkout, PIP_KILLED="1")[0] == -signal.SIGKILL
    os.utime(checkout / "pyproject.toml", (stamp - 1, stamp - 1))
    assert "bootstrap.sh bench" in make(checkout, ".venv/.bench")
    assert "again: interrupted" in set_up(checkout)[1]
    assert calls(checkout) == ["python3 venv", "pip", "pip", "python3 venv", "pip"]


def test_an_environment_without_its_python_is_made_again(checkout: Path) -> None:
    set_up(checkout)
    (checkout / ".venv/bin/python").unlink()
    assert set_up(checkout)[0] == 0
    assert calls(checkout) == ["python3 venv", "pip"] * 2


def test_a_moved_checkout_gets_another_environment(checkout: Path) -> None:
    set_up(checkout)
    assert "is up to date" in make(checkout, ".venv/.bench")
    moved = checkout.rename(checkout.with_name("moved"))
    assert "bootstrap.sh bench" in make(moved, ".venv/.bench"), "make sees that it was moved"
    assert set_up(moved)[0] == 0
    assert calls(moved) == ["python3 venv", "pip"] * 2
    assert (moved / ".venv/.path").read_text() == f"{moved}\n"
    assert "is up to date" in make(moved, ".venv/.bench")


def test_make_sets_up_again_for_what_is_required(checkout: Path) -> None:
    """A stamp of a call that required less must not hide a missing package."""
    set_up(checkout)
    (checkout / ".venv/.test").touch()
    assert "is up to date" in make(checkout, ".venv/.test")
    assert "bootstrap.sh test" in make(checkout, ".venv/.test", VMABENCH_REQUIRE="all")


def make(checkout: Path, target: str, **extra: str) -> str:
    extra = {"VMABENCH_REQUIRE": "", "MAKEFLAGS": "", **extra}
    return subprocess.run(
        ["make", "-n", target],
        cwd=checkout,
        env=environment(checkout, **extra),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_second_set_up_waits_and_uses_the_first_one(checkout: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    first = begin(checkout, PIP_WAITS=str(fifo))
    wait_until(lambda: "pip" in calls(checkout))
    second = begin(checkout)
    assert second.stderr
    assert second.stderr.readline() == "waiting for another set-up of this checkout\n"
    fifo.write_text("go on\n")
    assert [first.wait(timeout=60), second.wait(timeout=60)] == [0, 0]
    assert calls(checkout) == ["python3 venv", "pip"]
    for process in (first, second):
        process.communicate()


def test_a_set_up_waits_for_the_pip_of_a_killed_one(checkout: Path, tmp_path: Path) -> None:
    """Both would write to one environment."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    first = begin(checkout, PIP_WAITS=str(fifo))
    wait_until(lambda: "pip" in calls(checkout))
    first.kill()
    first.communicate()
    second = begin(checkout)
    assert second.stderr
    try:
        assert second.stderr.readline() == "waiting for another set-up of this checkout\n"
    finally:
        fifo.write_text("go on\n")
        second.communicate(timeout=60)
    assert second.returncode == 0
    assert calls(checkout) == ["python3 venv", "pip"] * 2


def test_a_file_system_without_locks(checkout: Path) -> None:
    """NFS gives an exclusive lock only on a file that is open for writing."""
    status, said = set_up(checkout, NO_LOCKS="1")
    assert status == 0
    assert "run one set-up at a time" in said
    assert "waiting" not in said


@pytest.mark.parametrize(
    ("said", "proxy", "expected"),
    [
        ("NewConnectionError: Temporary failure in name resolution", "", "no network: connect"),
        (
            "NewConnectionError: refused",
            "http://10.0.0.1:1",
            "the proxy http://10.0.0.1:1 does not",
        ),
        ("ProxyError('Cannot connect to proxy.')", "", "the proxy of the configuration does not"),
        ("SSLError: certificate verify failed: self-signed", "", "set PIP_CERT"),
        ("OSError: [Errno 28] No space left on device", "", "the disk is full"),
        ("a.c:1: fatal error: x.h: No such file", "", "a.c:1: fatal error: x.h: No such file"),
    ],
)
def test_pip_fails_for_a_reason(checkout: Path, said: str, proxy: str, expected: str) -> None:
    said += 2 * "\nERROR: No matching distribution found for numpy>=2.0"
    line = refusal(checkout, PIP_SAYS=said, https_proxy=proxy)
    assert "pip cannot install numpy>=2.0: " in line
    assert expected in line


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("E: Failed to fetch x  Temporary failure resolving 'x'", "no network: connect"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "the disk is full"),
        ("E: Could not get lock /var/lib/apt/lists/lock.", "another apt-get is running"),
        ("E: Unable to locate package python3-venv", "Unable to locate package python3-venv"),
    ],
)
def test_apt_fails_for_a_reason(checkout: Path, said: str, expected: str) -> None:
    line = refusal(checkout, NO_VENV="1", APT_SAYS=said)
    assert "apt-get cannot install python3-venv: " in line
    assert expected in line
    assert line.endswith("as root: apt-get install python3-venv")


def test_a_broken_source_of_apt_does_not_stop_the_others(checkout: Path) -> None:
    assert set_up(checkout, NO_VENV="1", UPDATE_STATUS="100")[0] == 0
    assert any(
        call.endswith("install -y --no-install-recommends python3-venv") for call in calls(checkout)
    )


def test_only_root_installs_packages(checkout: Path) -> None:
    line = refusal(checkout, NO_VENV="1", USER_ID="1000")
    assert "only root may install them; as root: apt-get install python3-venv" in line
    assert not calls(checkout)


def test_sudo_keeps_the_proxy(checkout: Path) -> None:
    proxy = "http://10.0.0.1:1"
    assert set_up(checkout, NO_VENV="1", USER_ID="1000", MAY_SUDO="1", https_proxy=proxy)[0] == 0
    assert f"by {proxy}" in calls(checkout)


def test_a_newer_python_beside_an_old_one_is_taken(checkout: Path) -> None:
    assert set_up(checkout, TOO_OLD="python3")[0] == 0
    newer = {"python3.14 venv", "python3.13 venv"} & set(calls(checkout))
    assert len(newer) == 1


@needs("git", "setpriv")
def test_tests_are_set_up_without_the_guest_unless_it_is_required(checkout: Path) -> None:
    """Without root, `make test` runs the tests without a guest and tries to install again."""
    stamps = [checkout / ".venv" / name for name in (".bench", ".test")]
    assert set_up(checkout, "test", NO_GUEST="1")[0] == 0
    assert [stamp.exists() for stamp in stamps] == [True, False]
    assert set_up(checkout, "test", NO_GUEST="1", VMABENCH_REQUIRE="guest")[0] == 1
    assert set_up(checkout, "test")[0] == 0
    assert [stamp.exists() for stamp in stamps] == [True, True]


def test_a_full_temporary_directory(checkout: Path) -> None:
    assert "set TMPDIR" in refusal(checkout, TMPDIR="/nonexistent")


@pytest.mark.parametrize("name", [".unfinished", ".bench"])
def test_a_disk_that_is_full_for_the_environment(checkout: Path, name: str) -> None:
    line = refusal(checkout, FULL=name)
    assert "cannot write to .venv" in line
    assert "the disk is full (touch: cannot touch" in line
    assert set_up(checkout)[0] == 0


def test_an_environment_that_cannot_be_written(checkout: Path) -> None:
    line = refusal(checkout, VENV="/proc/environment")
    assert "cannot write to /proc/environment" in line
    assert "mkdir: cannot create directory" in line


def test_venv_fails_for_a_reason(checkout: Path) -> None:
    """Its sentence begins with "Error", not "ERROR"."""
    line = refusal(checkout, VENV_SAYS="Error: [Errno 40] Too many levels of symbolic links")
    assert "environment .venv: Error: [Errno 40] Too many levels" in line


def test_a_directory_that_is_no_environment_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    precious = tmp_path / "home/file"
    precious.parent.mkdir()
    precious.touch()
    assert "is no virtual environment" in refusal(checkout, VENV=str(precious.parent))
    assert precious.exists()


@needs("root", "setpriv")
def test_a_read_only_checkout(checkout: Path) -> None:
    assert "is read-only" in refusal(checkout, prefix=ORDINARY)


def test_an_environment_elsewhere(checkout: Path, tmp_path: Path) -> None:
    assert set_up(checkout, VENV=str(tmp_path / "env"))[0] == 0
    assert (tmp_path / "env/.bench").exists()
    assert not (checkout / ".venv").exists()


def test_the_environment_is_readable_by_others(checkout: Path) -> None:
    """Some tests run as another user, also under a restrictive umask."""
    before = os.umask(0o077)
    try:
        set_up(checkout)
    finally:
        os.umask(before)
    assert (checkout / ".venv").stat().st_mode & 0o777 == 0o755


def test_unknown_words_are_answered_with_the_usage(checkout: Path) -> None:
    done = subprocess.run(
        [checkout / "bench/bootstrap.sh", "tset"],
        env=environment(checkout),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "usage: " in done.stderr) == (1, True)
