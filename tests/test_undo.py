# SPDX-License-Identifier: GPL-2.0-only
"""What a test has changed comes back, however the test ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import wait_until
from tests.undo import afterwards, borrowed

ROOT = Path(__file__).parent.parent

BORROWS = """
import os, sys, time
from pathlib import Path
from tests.undo import borrowed
with borrowed(Path(sys.argv[1]), "theirs"):
    print("borrowed", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def setting(tmp_path: Path) -> Path:
    path = tmp_path / "setting"
    path.write_text("always [madvise] never\n")
    return path


def test_the_chosen_word_comes_back_at_the_end(setting: Path) -> None:
    with borrowed(setting, "never"):
        assert setting.read_text() == "never"
    assert setting.read_text() == "madvise"


def test_it_comes_back_after_a_failure(setting: Path) -> None:
    with pytest.raises(ZeroDivisionError), borrowed(setting, "never"):
        _ = 1 / 0
    assert setting.read_text() == "madvise"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_comes_back_though_the_test_is_killed(setting: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BORROWS, str(setting)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "borrowed\n"
    assert setting.read_text() == "theirs"
    process.send_signal(number)
    assert process.wait(timeout=10) != 0
    process.stdout.close()
    wait_until(lambda: setting.read_text() == "madvise", limit_s=5)


def test_an_undoing_that_fails_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no-such-file"), afterwards("cat", "no-such-file"):
        pass
