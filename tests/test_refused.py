# SPDX-License-Identifier: GPL-2.0-only
"""The system refuses something: one line that names it and status 1, and output stops no work."""

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import synthetic
from tests.command import VMABENCH, call, environ, error_line, vmabench
from tests.needs import needs
from tests.users import ORDINARY, inside
from vmabench.machine.facts import read_facts

BASE = read_facts().pages[0]
LONG = "a" * 300
DEEP = b"[" * 100_000
CASES = synthetic.cases(("fork", "readv"))
QUICK = ("run", "smoke", "--mechanism", "null", "--page", "base", "--size", "4K",
         "--budget", "200ms", "-o", "out")  # fmt: skip


@pytest.fixture
def result(tmp_path: Path) -> str:
    return str(synthetic.write(tmp_path / "result", synthetic.records(CASES, rounds=6)))


def shell(
    script: str, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a line of sh, in which "$@" is vmabench with its arguments."""
    line = ["sh", "-c", script, "sh", *VMABENCH, *arguments]
    return subprocess.run(
        line, env=environ(env), capture_output=True, text=True, check=False, timeout=120
    )


def complaint(run: subprocess.CompletedProcess[str]) -> str:
    """Return the line of an error that may follow some output."""
    assert run.returncode == 1, (run.returncode, run.stderr)
    (line,) = run.stderr.splitlines()
    assert line.startswith("vmabench: ")
    return line


# Standard streams


@pytest.mark.parametrize(
    "arguments", [["list", "plans"], ["tune"], ["--help"], ["list", "plans", "--json"]], ids=str
)
def test_a_closed_pipe_is_no_error_and_a_full_device_is(arguments: list[str]) -> None:
    closed = shell('{ "$@"; echo $? >&2; } | true', *arguments)
    assert closed.stderr == "0\n"
    full = complaint(shell('"$@" >/dev/full', *arguments))
    assert full == "vmabench: standard output is incomplete: No space left on device"
    gone = complaint(shell('"$@" >&-', *arguments))
    assert gone == "vmabench: standard output is incomplete: Bad file descriptor"


def test_the_table_of_a_result_notices_a_full_device_too(result: str) -> None:
    """pandas writes to the stream itself."""
    line = complaint(shell('"$@" >/dev/full', "export", result, "--format", "csv"))
    assert "No space left on device" in line


def test_lost_errors_change_neither_status_nor_output() -> None:
    for closed in ("2>&-", "2>/dev/full"):
        run = shell(f'"$@" {closed}', "frobnicate")
        assert (run.returncode, run.stdout, run.stderr) == (1, "", "")
    shown = shell('"$@" <&-', "list", "plans")
    assert (shown.returncode, shown.stderr) == (0, "")


def test_a_pipe_that_is_full_and_non_blocking_gets_everything(result: str) -> None:
    """A parent such as node leaves its pipes in that state."""
    slow = "import os, time; os.set_blocking(1, False)\nos.execvp({0!r}, {1!r})"
    line = [*VMABENCH, "export", result, "--format", "csv"]
    wanted = subprocess.run(line, env=environ(), capture_output=True, check=True).stdout
    assert len(wanted) > 1 << 16  # more than a pipe holds
    code = slow.format(sys.executable, line)
    process = subprocess.Popen([sys.executable, "-c", code], env=environ(), stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.read() == wanted
    process.stdout.close()
    assert process.wait() == 0


@pytest.mark.machine
@pytest.mark.parametrize(("redirection", "status"), [("| true", 0), (">/dev/full", 1)], ids=str)
def test_a_run_is_finished_and_saved_whatever_becomes_of_its_output(
    redirection: str, status: int
) -> None:
    run = shell(f'{{ "$@"; echo $? >status; }} {redirection}', *QUICK)
    assert "Traceback" not in run.stderr
    assert Path("status").read_text() == f"{status}\n", run.stderr
    assert Path("out/report/report.txt").exists()
    assert Path("out/suite.json.gz").exists()


@needs("root")
def test_all_settings_are_applied_whatever_becomes_of_the_output(tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    try:
        run = shell('{ "$@"; echo $? >&2; } | true', "tune", "--apply", env=state)
        assert run.stderr.splitlines()[-1] == "0", run.stderr
        now = vmabench("tune", env=state).stdout
        assert " -> " not in now, now
    finally:
        vmabench("tune", "--restore", env=state)


# Names, places and limits


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "smoke", "-o", LONG], "File name too long; choose a shorter name"),
        (["report", LONG], "File name too long"),
        (["report", "result", "-o", LONG], "File name too long"),
        (["export", "result", "--format", "csv", "-o", LONG], "File name too long"),
        (["publish", "result", "-o", LONG], "File name too long"),
        (["report", "result", "-o", "file/x"], "file is no directory"),
        (["publish", "result", "-o", "file/x/y"], "file is no directory"),
        (["publish", "result", "-o", "link"], "it is a link to nowhere, which is missing"),
        (["publish", "result", "-o", "link/x"], "link is no directory, it is a link to nowhere"),
        (["report", "link"], "link is no directory (a link to nowhere)"),
        (["report", "result", "-o", "link"], "link exists already, it is a link to nowhere"),
        (["run", "smoke", "-o", "-"], "takes no directory: write ./- for a name"),
        (["publish", "result", "-o", "-"], "takes no directory"),
        (["export", "result", "--format", "pyperf", "-o", "-"], "--format csv only"),
        (["report", "a\nb"], "a b is no directory"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_name_that_can_not_be(result: str, arguments: list[str], words: str) -> None:
    Path("file").write_text("")
    Path("link").symlink_to("nowhere")
    before = set(Path().iterdir())
    assert words in error_line(call(*arguments))
    assert set(Path().iterdir()) == before


def test_a_name_of_the_greatest_length(result: str) -> None:
    name = "a" * 251 + ".txt"
    assert call("report", result, "-o", name).returncode == 0
    assert "Findings" in Path(name).read_text()


def test_standard_output_as_a_file(result: str) -> None:
    for arguments in (["report", result], ["export", result, "--format", "csv"]):
        assert call(*arguments, "-o", "-").stdout == call(*arguments).stdout != ""
    assert not Path("-").exists()


def test_a_report_is_there_complete_or_not_at_all(result: str) -> None:
    limited = ("prlimit", "--fsize=2000")
    line = error_line(vmabench("report", result, "-o", "out", prefix=limited))
    assert "could not write out: File too large; raise the limit with: ulimit -f" in line
    nothing = ("prlimit", "--fsize=0")
    error_line(vmabench("publish", result, "-o", "copy", prefix=nothing))
    left = {path.name for path in Path().iterdir()}
    assert left == {"result"}


def test_a_current_directory_that_was_removed(result: str) -> None:
    gone = 'mkdir gone && cd gone && rmdir ../gone && "$@"'
    shown = shell(gone, "report", result)
    assert (shown.returncode, shown.stderr) == (0, "")
    copied = shell(gone, "publish", result, "-o", str(Path("copy").resolve()))
    assert (copied.returncode, copied.stderr) == (0, "")
    line = complaint(shell(gone, "publish", result, "-o", "copy"))
    assert "could not make copy: the current directory was removed" in line


@pytest.mark.machine
def test_a_run_in_a_directory_that_was_removed() -> None:
    gone = 'mkdir gone && cd gone && rmdir ../gone && "$@"'
    run = shell(gone, *QUICK[:-1], str(Path("out").resolve()))
    assert (run.returncode, run.stderr.count("Traceback")) == (0, 0), run.stderr
    assert Path("out/report/report.txt").exists()


@needs("root", "setpriv")
def test_a_result_that_may_not_be_read(result: str, user_state: None) -> None:
    """A first report as root imports all modules: Python may lie below a home of mode 0700."""
    code = (
        "import os, sys; from vmabench.cli import main; result = sys.argv[1];"
        "main(['report', result, '-o', 'first']); os.chmod(result + '/samples.jsonl.gz', 0);"
        "os.setgid(65534); os.setuid(65534); sys.exit(main(['report', result]))"
    )
    line = [sys.executable, "-c", code, Path(result).name]
    run = subprocess.run(line, env=environ(), capture_output=True, text=True, check=False)
    assert "samples.jsonl.gz: Permission denied" in error_line(run)


# Data


@pytest.mark.parametrize("name", ["samples.jsonl.gz", "machine.json", "plan.toml"])
def test_absurdly_nested_data_is_damage(result: str, name: str) -> None:
    path = Path(result, name)
    if name == "samples.jsonl.gz":
        with path.open("ab") as file:
            file.write(gzip.compress(DEEP + b"\n"))
    else:
        path.write_bytes(b"a = " + DEEP if name == "plan.toml" else DEEP)
    run = call("report", result)
    assert (run.returncode, run.stderr) == (0, "")
    assert name in run.stdout
    check = call("publish", "--check", result)
    assert check.returncode == 1
    assert "Traceback" not in check.stderr


# Users and mounts


@needs("root", "setpriv")
@pytest.mark.parametrize("home", ["-u HOME", "HOME=/root", "HOME=/proc/nowhere"])
def test_a_user_without_a_home(home: str, result: str, user_state: None) -> None:
    """A uid that the machine does not know. A run reads HOME, for the caches of its report."""
    nobody = tuple(word.replace("65534", "54321") for word in ORDINARY)
    prefix = (*nobody, "env", "-u", "XDG_STATE_HOME", *home.split())
    others = (["tune"], ["doctor", "smoke", "--no-noise"], ["report", result])
    for arguments in (*(others if home == "-u HOME" else ()), QUICK):
        run = vmabench(*arguments, prefix=prefix)
        assert "Traceback" not in run.stderr
        if run.returncode == 1:
            complaint(run)


@needs("root")
@pytest.mark.parametrize(
    "how", ["mount -t tmpfs none /proc", "mount -t proc -o subset=pid none /proc"]
)
def test_a_machine_without_proc(how: str, result: str) -> None:
    prefix = inside(how, "--mount", "--pid", "--fork", "--kill-child")
    shown = vmabench("list", "pages", prefix=prefix)
    assert (shown.returncode, shown.stderr) == (0, "")
    report = vmabench("report", result, prefix=prefix)
    assert (report.returncode, report.stderr) == (0, "")
    for arguments in (["doctor", "smoke", "--no-noise"], (*QUICK, "--samples-only")):
        run = vmabench(*arguments, prefix=prefix)
        assert "Traceback" not in run.stderr
        assert "0.0 GiB" not in run.stdout
        if run.returncode == 1:
            complaint(run)


@needs("root")
def test_the_proc_of_other_processes_is_refused() -> None:
    elsewhere = ("unshare", "--pid", "--fork", "--kill-child")
    for arguments in (["list", "pages"], ["doctor"], QUICK):
        line = error_line(vmabench(*arguments, prefix=elsewhere))
        assert "/proc belongs to another PID namespace" in line
    assert vmabench("list", "plans", prefix=elsewhere).returncode == 0


@needs("root")
def test_no_directory_for_temporary_files() -> None:
    shut = inside("mount --bind -o ro /usr /tmp && mount --bind -o ro /usr /var/tmp", "--mount")
    run = subprocess.run(
        [*shut, "env", "-u", "TMPDIR", "-C", "/usr", *VMABENCH, "doctor", "smoke", "--no-noise"],
        env=environ(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in run.stderr
    if run.returncode == 1:
        complaint(run)


# Faults of vmabench itself

FAULTY = """
import sys
from vmabench.program import run_program
def command():
    print("before")
    {statement}
sys.exit(run_program(command))
"""


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "{}['name']",
            "a fault in vmabench, please report it: KeyError: 'name' (<string>, line 6)",
        ),
        ("assert False", "a fault in vmabench, please report it: AssertionError"),
        ("open('gone')", "gone: No such file or directory"),
        ("import os; os.rename('a', 'b')", "a and b: No such file or directory"),
        ("raise OSError('no number')", "vmabench: no number"),
        ("b'\\\\xff'.decode()", "can't decode byte 0xff"),
        ("def f(): f()\n    f()", "data is nested too deeply"),
        ("bytearray(1 << 60)", "out of memory"),
        ("import vmabench.gone", "install it again: No module named 'vmabench.gone'"),
        ("raise RuntimeError('two\\\\nlines')", "two lines"),
    ],
)
def test_any_error_is_one_line(statement: str, words: str) -> None:
    line = [sys.executable, "-c", FAULTY.format(statement=statement.replace("\\\\", "\\"))]
    run = subprocess.run(line, capture_output=True, text=True, check=False)
    assert run.stdout == "before\n"
    assert words in complaint(run)
    debug = {**os.environ, "VMABENCH_DEBUG": "1"}
    shown = subprocess.run(line, env=debug, capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    assert shown.stderr.startswith("Traceback")
    assert words in shown.stderr.splitlines()[-1]


@pytest.mark.machine
def test_a_directory_named_latest_gets_a_warning_and_no_litter() -> None:
    Path("results/latest/mine").mkdir(parents=True)
    run = vmabench(*QUICK[:-2])
    assert run.returncode == 0, run.stderr
    warned = [line for line in run.stderr.splitlines() if "latest" in line]
    assert warned == ["vmabench: results/latest can't point to the new result: Is a directory"]
    assert not list(Path("results").glob(".latest*"))
    shutil.rmtree("results")
