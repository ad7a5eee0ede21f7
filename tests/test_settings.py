# SPDX-License-Identifier: GPL-2.0-only
"""Settings are borrowed: whatever happens, what was there comes back."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import error_line, vmabench
from tests.needs import needs
from tests.users import ORDINARY
from vmabench.errors import MachineError
from vmabench.machine import ledger
from vmabench.machine.settings import Settings, value_of
from vmabench.machine.tuning import ADVICE, examine

THP = "always defer defer+madvise [madvise] never\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with the settings of a kernel that has all of them."""
    for advice in ADVICE:
        path = tmp_path / "root" / advice.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("7\n")
    (tmp_path / "root/sys/kernel/mm/transparent_hugepage/defrag").write_text(THP)
    return tmp_path / "root"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "state" / "settings.json")


@pytest.fixture
def swappiness(root: Path) -> Path:
    return root / "proc/sys/vm/swappiness"


def test_what_was_there_comes_back(settings: Settings, swappiness: Path) -> None:
    settings.borrow(swappiness, "1")
    assert swappiness.read_text() == "1"
    settings.borrow(swappiness, "2")  # a loan of a loan goes back to the first
    (returned,) = settings.restore()
    assert returned.outcome == "restored"
    assert swappiness.read_text() == "7"
    assert settings.restore() == []


def test_what_fits_already_is_not_borrowed(settings: Settings, swappiness: Path) -> None:
    settings.borrow(swappiness, "7")
    assert settings.loans() == []


def test_it_is_on_the_disk_before_the_setting_changes(
    settings: Settings, swappiness: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    write = Path.write_text

    def spy(path: Path, text: str) -> int:
        if path == swappiness:
            seen.append([loan.before for loan in settings.loans()])
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", spy)
    settings.borrow(swappiness, "1")
    assert seen == [["7"]]


def test_a_process_that_is_killed_leaves_a_loan_that_the_next_one_returns(
    settings: Settings, swappiness: Path, tmp_path: Path
) -> None:
    script = (
        "import os, signal; from pathlib import Path\n"
        "from vmabench.machine.settings import Settings\n"
        f"Settings(Path({str(tmp_path / 'state' / 'settings.json')!r})).borrow("
        f"Path({str(swappiness)!r}), '1')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    assert swappiness.read_text() == "1"
    assert [returned.outcome for returned in settings.restore()] == ["restored"]
    assert swappiness.read_text() == "7"


def test_what_somebody_else_changed_is_left(settings: Settings, swappiness: Path) -> None:
    settings.borrow(swappiness, "1")
    swappiness.write_text("60")
    (returned,) = settings.restore()
    assert returned.outcome == "left at 60: somebody else has changed it"
    assert swappiness.read_text() == "60"
    assert settings.loans() == []


def test_loans_end_with_a_boot(
    settings: Settings, swappiness: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.borrow(swappiness, "1")
    other = tmp_path / "boot_id"
    other.write_text("another boot\n")
    monkeypatch.setattr(ledger, "_BOOT_ID", other)
    assert settings.restore() == []
    assert swappiness.read_text() == "1"


def test_a_setting_that_does_not_take_the_value_is_put_back(
    settings: Settings, swappiness: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text
    monkeypatch.setattr(
        Path,
        "write_text",
        lambda path, text: write(path, "5" if path == swappiness and text == "1" else text),
    )
    with pytest.raises(MachineError, match="was set to 1 and reads 5"):
        settings.borrow(swappiness, "1")
    assert swappiness.read_text() == "7"
    assert settings.loans() == []


def test_a_setting_that_is_gone(settings: Settings, swappiness: Path) -> None:
    with pytest.raises(MachineError, match="can't read the setting"):
        settings.borrow(swappiness.with_name("no_such"), "1")
    settings.borrow(swappiness, "1")
    swappiness.unlink()
    assert [returned.outcome for returned in settings.restore()] == ["is gone"]


def test_a_damaged_state_is_said_and_kept(settings: Settings, tmp_path: Path) -> None:
    state = tmp_path / "state" / "settings.json"
    state.parent.mkdir()
    state.write_text('{"boot_id": ')
    with pytest.raises(MachineError, match="is damaged"):
        settings.restore()
    assert state.exists()


def test_the_chosen_word_is_the_value(root: Path) -> None:
    assert value_of(root / "sys/kernel/mm/transparent_hugepage/defrag") == "madvise"
    by_name = {state.advice.name: state for state in examine(root)}
    assert by_name["thp-defrag"].fits
    assert not by_name["swappiness"].fits
    (root / "sys/kernel/mm/ksm/run").unlink()
    assert {state.advice.name: state for state in examine(root)}["ksm"].fits


def real() -> dict[str, str | None]:
    return {state.advice.name: state.now for state in examine()}


@needs("root")
def test_tune_on_this_machine(tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    before = real()
    shown = vmabench("tune", env=env)
    assert shown.returncode == 0
    assert all(advice.name in shown.stdout for advice in ADVICE)
    assert real() == before
    try:
        applied = vmabench("tune", "--apply", env=env)
        assert applied.returncode == 0, applied.stderr
        assert all(state.fits for state in examine())
        assert "are borrowed now" in vmabench("tune", env=env).stdout
    finally:
        restored = vmabench("tune", "--restore", env=env)
    assert restored.returncode == 0, restored.stderr
    assert real() == before
    assert "nothing is borrowed" in vmabench("tune", "--restore", env=env).stdout


@needs("root", "setpriv")
def test_an_ordinary_user_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    before = real()
    run = vmabench("tune", "--apply", env=env, prefix=ORDINARY)
    assert run.returncode == 2
    assert "can't set" in run.stderr
    assert "(root may)" in run.stderr
    assert real() == before
    assert not (tmp_path / "state/vmabench/settings.json").exists()


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    state = tmp_path / "state/vmabench/settings.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"boot_id": 1}))
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    assert "not allowed with" in error_line(vmabench("tune", "--apply", "--restore", env=env))
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    state.write_text(json.dumps({"boot_id": boot_id, "loans": [{"path": "x"}]}))
    assert "is damaged" in error_line(vmabench("tune", "--restore", env=env))
    assert state.exists()


def test_a_switch_changes_what_differs_and_gives_the_rest_back(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    for path in (one, two, three):
        path.write_text("as it was\n")
    settings = Settings(tmp_path / "state.json")
    settings.switch({one: "a", two: "b"})
    kept = one.stat().st_mtime_ns
    settings.switch({one: "a", three: "c"})
    assert [path.read_text().strip() for path in (one, two, three)] == ["a", "as it was", "c"]
    assert one.stat().st_mtime_ns == kept
    assert {loan.path: loan.before for loan in settings.loans()} == dict.fromkeys(
        (one, three), "as it was"
    )
    settings.switch({})
    assert [path.read_text().strip() for path in (one, two, three)] == ["as it was"] * 3
    assert not settings.any()


def test_a_switch_is_in_the_ledger_before_it_is_made(tmp_path: Path) -> None:
    """A kill between the two must leave what goes back."""
    one, refused = tmp_path / "one", tmp_path / "refused"
    one.write_text("before")
    refused.write_text("before")
    settings = Settings(tmp_path / "state.json")
    settings.switch({one: "first"})
    refused.unlink()
    refused.mkdir()
    with pytest.raises(MachineError, match="refused"):
        settings.switch({one: "second", refused: "x"})
    settings.restore()
    assert one.read_text() == "before"


def test_what_somebody_else_has_changed_is_the_new_before(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.write_text("mine")
    settings = Settings(tmp_path / "state.json")
    settings.switch({one: "lent"})
    one.write_text("theirs")
    settings.switch({one: "again"})
    settings.restore()
    assert one.read_text() == "theirs"
