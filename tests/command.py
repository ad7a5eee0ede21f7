# SPDX-License-Identifier: GPL-2.0-only
"""Run the command line; return its output, its errors and its status."""

import contextlib
import gzip
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vmabench.cli import main

#: heed signals that the caller ignores, as a shell without job control does for background jobs
HEEDING = ("env", "--default-signal=INT,HUP")
VMABENCH = (sys.executable, "-m", "vmabench")

#: a plan that a test can afford, with each scenario and both sides acting
SMALL = ("run", "smoke", "--mechanism", "readv,writev,fork,memfd,memcpy,null", "--budget", "3s")

#: measures, and makes no report: for a test that reads the samples
ONLY_SAMPLES = ("--samples-only", "-o", "out")

#: the run after one that was killed, which restores what that one has changed
NEXT_RUN = ("run", "smoke", "--mechanism", "null", "--page", "base", "--size", "4K",
            "--budget", "500ms", "--samples-only", "-o", "next")  # fmt: skip

#: what can run here, on one page size of each kind
DOCTOR = ("doctor", str(Path(__file__).with_name("restrictions.toml")), "--no-noise", "--json")

LIMIT_S, ENDING_LIMIT_S = 120, 30


def environ(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, **(extra or {})}


def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command within this process: its imports take longer than most commands."""
    line = [str(argument) for argument in arguments]
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as errors,
    ):
        status = main(line)
    return subprocess.CompletedProcess(line, status, out.getvalue(), errors.getvalue())


def vmabench(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    limit_s: float = LIMIT_S,
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does, in a process of its own."""
    process = start(*arguments, env=env, prefix=prefix)
    try:
        out, errors = process.communicate(timeout=limit_s)
    except BaseException:
        end(process)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def end(process: subprocess.Popen[str]) -> None:
    """End a run that takes too long such that it restores what it has borrowed."""
    process.terminate()
    try:
        process.communicate(timeout=ENDING_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def start(
    *arguments: str, env: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start vmabench, which heeds signals even if this process ignores them (``make test &``)."""
    return subprocess.Popen(
        [*HEEDING, *prefix, *VMABENCH, *arguments],
        env=environ(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    """Wait for the condition; the limit only ends a test that hangs."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def children(pid: int) -> list[int]:
    """Return the child processes, without those that restore settings (tests/undo.py)."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split() if not _restores(int(word))]


def _restores(pid: int) -> bool:
    try:
        return b"\0keeper\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def error_line(run: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a failed command prints."""
    assert run.returncode == 1, (run.returncode, run.stderr)
    assert run.stdout == ""
    lines = run.stderr.splitlines()
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("vmabench: ")
    return lines[0]


def plan_of(command: Sequence[str]) -> str:
    """Return the plan of a command line ``... vmabench run PLAN ...``."""
    return command[command.index("run") + 1]


def findings(run: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], dict[str, str]]:
    """Return mechanism and page -> what ``doctor --json`` found; status 2: something is blocked."""
    assert run.returncode in (0, 2), run.stderr
    return {
        (entry["mechanism"], entry["page"]): entry for entry in json.loads(run.stdout)["findings"]
    }


def read_raw(path: Path) -> bytes:
    """Return the samples that a run has stored by now."""
    return gzip.decompress(path.read_bytes())
