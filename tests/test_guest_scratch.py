# SPDX-License-Identifier: GPL-2.0-only
"""A killed process leaves no child behind, and its directory only until the next one starts."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.command import children, wait_until
from vmabench.guest import scratch

#: stands in for QEMU: leaves its pid in its run directory and runs until it is killed
QEMU = """#!/bin/sh
[ "$1" != --version ] || exit 0
for arg; do case $arg in *id=run,path=*) d=${arg#*path=}; d=${d%%,*};; esac; done
echo $$ >$d/pid.new && mv $d/pid.new $d/pid
exec sleep 1000
"""

GUEST = """
from pathlib import Path
from vmabench.guest import boot, cache
boot.run(["true"], cache.Kernel(Path("/k"), Path("/k"), "", "", "", "", ""), accel="tcg")
"""

MAKE = """
from pathlib import Path
from vmabench.guest import kbuild
kbuild._compile(Path("tree"), Path("objects"), "key", None)
"""


@pytest.fixture(autouse=True)
def own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def program(name: str, text: str) -> dict[str, str]:
    """An environment in which ``name`` is this script, and temporary files are the test's own."""
    path = Path("bin") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    search = f"{path.parent.absolute()}:{os.environ['PATH']}"
    return {**os.environ, "PATH": search, "TMPDIR": str(Path.cwd())}


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_killed_guest_run_leaves_no_qemu_and_no_directory(own_tmp: Path) -> None:
    env = program("qemu-system-x86_64", QEMU)
    process = subprocess.Popen([sys.executable, "-c", GUEST], env=env)
    wait_until(lambda: list(own_tmp.glob("vmabench-guest-*/pid")))
    (pid_file,) = own_tmp.glob("vmabench-guest-*/pid")
    pid = int(pid_file.read_text())
    assert not ended(pid)
    process.kill()
    process.wait()
    wait_until(lambda: ended(pid))
    with scratch.directory() as mine:
        assert list(own_tmp.glob("*vmabench-guest-*")) == [mine]
    assert not list(own_tmp.glob("*vmabench-guest-*"))


def test_a_killed_build_leaves_no_make(own_tmp: Path) -> None:
    Path("objects").mkdir()
    env = program(
        "make", "#!/bin/sh\ntrap 'echo ended >ended; exit 1' TERM\necho $$ >pid\nread x\n"
    )
    # a pipe that stays open: make waits in "read" until it is told to end
    with subprocess.Popen([sys.executable, "-c", MAKE], env=env, stdin=subprocess.PIPE) as process:
        wait_until(lambda: Path("pid").exists() and Path("pid").read_text())
        pid = int(Path("pid").read_text())
        assert children(process.pid) == [pid]
        process.kill()
        wait_until(lambda: ended(pid))
    assert Path("ended").exists()


def test_directories_of_others_stay(own_tmp: Path) -> None:
    """A live process, a link to elsewhere, and a file keep what they have."""
    elsewhere = own_tmp / "elsewhere"
    elsewhere.mkdir()
    (own_tmp / "vmabench-guest-link").symlink_to(elsewhere)
    (own_tmp / "vmabench-guest-file").write_text("x")
    (own_tmp / "vmabench-guest-stale").mkdir()
    with scratch.directory() as first, scratch.directory() as second:
        assert first.is_dir()
        assert second.is_dir()
        assert not (own_tmp / "vmabench-guest-stale").exists()
    assert elsewhere.is_dir()
    assert (own_tmp / "vmabench-guest-file").exists()


def test_a_child_is_tied_by_the_signal_that_it_names() -> None:
    line = scratch.tied(["sh", "-c", "exec setpriv --dump"], "TERM")
    told = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert f"Parent death signal: {signal.SIGTERM.name.removeprefix('SIG')}" in told
