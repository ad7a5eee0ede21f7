# SPDX-License-Identifier: GPL-2.0-only
"""Borrowed settings are restored, whatever happens."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import ONLY_SAMPLES, error_line, vmabench
from tests.needs import needs
from tests.users import ORDINARY, state_in
from vmabench.errors import MachineError
from vmabench.machine import ledger
from vmabench.machine.settings import Settings, value_of
from vmabench.machine.tuning import ADVICE, examine
from vmabench.store.reader import read

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
    before = real()
    places = [{"XDG_STATE_HOME": str(tmp_path / name), "TMPDIR": str(tmp_path)} for name in "ab"]
    shown = vmabench("tune")
    assert shown.returncode == 0
    assert all(advice.name in shown.stdout for advice in ADVICE)
    assert real() == before
    try:
        applied = vmabench("tune", "--apply", env=places[0])
        assert applied.returncode == 0, applied.stderr
        assert all(state.fits for state in examine())
        assert "are borrowed now" in vmabench("tune", env=places[1]).stdout
    finally:
        restored = vmabench("tune", "--restore", env=places[1])
    assert restored.returncode == 0, restored.stderr
    assert real() == before
    assert "nothing is borrowed" in vmabench("tune", "--restore").stdout


@needs("root", "setpriv")
def test_an_ordinary_user_is_told() -> None:
    before, noted = real(), sorted(ledger.STATE.glob("*"))
    run = vmabench("tune", "--apply", prefix=ORDINARY)
    assert run.returncode == 2
    assert "can't set" in run.stderr
    assert "(root may)" in run.stderr
    assert real() == before
    assert sorted(ledger.STATE.glob("*")) == noted


@needs("root", "setpriv")
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_an_ordinary_user_leaves_the_loans_of_root(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    noted = tmp_path / "thp.json"
    noted.write_text("{}")
    ordinary = (*state_in(tmp_path), *ORDINARY)
    assert vmabench("tune", prefix=ordinary).returncode == 0
    line = error_line(vmabench("tune", "--restore", prefix=ordinary))
    why = f"cannot note what is borrowed in {ledger.STATE}: Permission denied (root may)"
    assert why in line
    restores = "from vmabench.machine.pages import BorrowedPages\nBorrowedPages().restore()"
    subprocess.run([*ordinary, sys.executable, "-c", restores], check=True)
    assert noted.read_text() == "{}"


@needs("root", "setpriv")
def test_a_user_without_a_home_has_no_use_for_one() -> None:
    stranger = tuple(word.replace("65534", "54321") for word in ORDINARY)
    run = vmabench("tune", prefix=(*stranger, "env", "-u", "HOME", "-u", "XDG_STATE_HOME"))
    assert run.returncode == 0, run.stderr


@needs("root")
def test_bad_input_is_one_line(tmp_path: Path) -> None:
    assert "not allowed with" in error_line(vmabench("tune", "--apply", "--restore"))
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    state = tmp_path / "settings.json"
    for damaged in ({"boot_id": 1}, {"boot_id": boot_id, "loans": [{"path": "x"}]}):
        state.write_text(json.dumps(damaged))
        restored = vmabench("tune", "--restore", prefix=state_in(tmp_path))
        assert "is damaged" in error_line(restored)
        assert state.exists()


@needs("root")
@pytest.mark.parametrize("how", ["link", "owner", "mode"])
def test_a_place_that_others_can_write_to_is_refused(tmp_path: Path, how: str) -> None:
    theirs, state = tmp_path / "theirs", tmp_path / "state"
    theirs.mkdir(mode=0o700)
    if how == "link":
        state.symlink_to(theirs)
    else:
        state.mkdir(mode=0o700)
    if how == "owner":
        os.chown(state, 65534, 65534)
    if how == "mode":
        state.chmod(0o777)
    setting = tmp_path / "setting"
    setting.write_text("7")
    with pytest.raises(MachineError, match="cannot note what is borrowed in"):
        Settings(state / "settings.json").borrow(setting, "1")
    assert setting.read_text() == "7"
    assert not list(theirs.iterdir())
    assert ledger.why_not_noted(state)
    assert not ledger.why_not_noted(theirs)


@needs("root", "thp")
def test_a_run_without_a_ledger_changes_nothing_and_says_why_once() -> None:
    read_only = state_in(Path("tmpfs"), "ro,mode=700 -t tmpfs")
    run = vmabench(
        "run", "smoke", "--mechanism", "readv", "--page", "4K,64K", "--size", "64K",
        "--scenario", "transfer", "--budget", "1s", *ONLY_SAMPLES, prefix=read_only,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    why = f"cannot note what is borrowed in {ledger.STATE}: Read-only file system"
    assert run.stderr.count(f"this run changes no setting of the machine: {why}") == 1
    (skipped,) = read(Path("out")).of_kind("skipped")
    assert skipped["case"].split("/")[2] == "page:64K"
    assert why in skipped["reason"]


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
