# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench guest`` and ``run --guest``: options, exit statuses, and what a bad guest does.

The guest here is a stand-in that leaves a made-up result; tests/test_guest_run.py has the real one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from tests import synthetic
from tests.command import call, error_line, plan_of
from vmabench import guest
from vmabench.cli import main
from vmabench.errors import KernelBuildError, LostGuest
from vmabench.guest.splats import Splat
from vmabench.guest.tap import parse
from vmabench.matrix.case import Case
from vmabench.matrix.plans import load_plan
from vmabench.store.reader import read

KERNEL = guest.Kernel(Path("bzImage"), Path("config"), "key", "bench", "6.12.0-test", "gcc", "sha")
SPLAT = Splat(7, "BUG: bad", "BUG: bad\nCall Trace:")
TINY = ("--mechanism", "readv", "--scenario", "transfer", "--page", "4K", "--size", "4K")


class FakeGuest:
    """Remembers how it was started; ``status`` and ``splats`` are the outcome of each command."""

    def __init__(self) -> None:
        self.machines: list[guest.Machine] = []
        self.commands: list[Sequence[str]] = []
        self.status = 0
        self.splats: tuple[Splat, ...] = ()
        self.lost: LostGuest | None = None

    def run(
        self, command: Sequence[str], kernel: guest.Kernel, *, machine: guest.Machine, **_: Any
    ) -> guest.Outcome:
        self.machines.append(machine)
        self.commands.append(command)
        if "--samples-only" in command:
            seed = int(command[command.index("--seed") + 1]) if "--seed" in command else 1
            leave_result(Path(command[command.index("-o") + 1]), seed)
        if self.lost:
            raise self.lost
        return guest.Outcome(self.status, "", "", "", "tcg", 1.0, self.splats)


def leave_result(directory: Path, seed: int = 1) -> None:
    records = synthetic.records([Case("readv", "transfer", "4K", 4096)], rounds=2)
    records[0] |= {"seed": seed}
    synthetic.write(directory, records)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, own_lock: None) -> FakeGuest:
    made = FakeGuest()
    monkeypatch.setattr(guest, "build", lambda *_, **__: KERNEL)
    monkeypatch.setattr(guest, "choose", lambda *_: "tcg")
    monkeypatch.setattr(guest, "run", made.run)
    return made


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["guest"], "the following arguments are required"),
        (["guest", "run"], "no command: write it as vmabench guest run -- COMMAND"),
        (["guest", "run", "--memory", "much", "--", "true"], "'much' is no size"),
        (["guest", "run", "--memory", "1M", "--", "true"], "--memory 1M: a guest needs 256M"),
        (["guest", "run", "--cpus", "0", "--", "true"], "--cpus 0: a guest has 1 to 16"),
        (["guest", "run", "--share", "gone", "--", "true"], "gone is no directory"),
        (["guest", "run", "--swap", "tape", "--", "true"], "invalid choice: 'tape'"),
        (["guest", "run", "--timeout", "soon", "--", "true"], "'soon' is no duration"),
        (
            ["guest", "run", "--clock", "instructions", "--cpus", "2", "--", "true"],
            "the instruction clock needs --cpus 1",
        ),
        (
            ["guest", "run", "--clock", "instructions", "--accel", "kvm", "--", "true"],
            "the instruction clock exists under emulation only",
        ),
        (["guest", "shell"], "guest shell needs a terminal"),
        (
            ["guest", "build", "--flavour", "mint"],
            "no configuration 'mint': there are bench, debug",
        ),
        (["run", "--clock", "instructions"], "go with --guest only"),
        (["run", "--memory", "4G"], "go with --guest only"),
        (["guest", "bench", "gone"], "gone is no directory"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KSRC is a tree with nothing but a version: enough to be asked, never to be built."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/Makefile").write_text("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n")
    monkeypatch.setenv("KSRC", str(tmp_path / "src"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert words in error_line(call(*arguments))


@pytest.mark.parametrize("status", [0, 7])
def test_the_status_of_the_command_comes_back(fake: FakeGuest, status: int) -> None:
    fake.status = status
    assert main(["guest", "run", "--memory", "3G", "--append", "numa=fake=2", "--", "ls"]) == status
    (machine,) = fake.machines
    assert (machine.memory, machine.cpus, machine.cmdline) == (3 << 30, 2, "numa=fake=2")
    assert fake.commands == [["ls"]]


def test_swap_shares_and_the_clock_reach_the_guest(fake: FakeGuest, tmp_path: Path) -> None:
    share = tmp_path / "out"
    share.mkdir()
    line = ["guest", "run", "--swap", "zram", "--swap-size", "64M", "--share", str(share)]
    assert main([*line, "--clock", "instructions", "--", "true"]) == 0
    (machine,) = fake.machines
    assert (machine.swap, machine.swap_bytes, machine.shares) == ("zram", 64 << 20, (share,))
    assert (machine.clock, machine.cpus) == ("instructions", 1)


def test_a_complaint_of_the_kernel_fails_the_command(
    fake: FakeGuest, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.splats = (SPLAT,)
    assert main(["guest", "run", "--", "true"]) == 1
    said = capsys.readouterr().err
    assert "the guest's kernel complained (line 7 of its log):" in said
    assert "Call Trace:" in said


def test_a_lost_guest_shows_the_end_of_its_log(
    fake: FakeGuest, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.lost = LostGuest("the guest is lost: Kernel panic", "[1.0] last words")
    assert main(["guest", "run", "--", "true"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "vmabench: the guest is lost: Kernel panic"
    assert said[-1] == "[1.0] last words"


def test_a_plan_is_measured_there_and_reported_here(
    fake: FakeGuest, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "smoke", "--guest", *TINY, "--budget", "1s", "--seed", "3"]) == 0
    (machine,) = fake.machines
    directory = Path("results/latest").resolve()
    assert directory.parent == Path("results/guest-tcg/6.12.0-test").resolve()
    assert machine.shares == (directory.parent,)
    assert {"--seed", "3", "--budget", "1s"} <= set(fake.commands[0])
    assert (directory / "report" / "report.txt").exists()
    assert (directory / "suite.json.gz").exists()
    assert read(directory).header["seed"] == 3
    out = capfd.readouterr().out
    assert out.count("Findings") == 1  # of the report that was made here, and none in the guest


def test_what_a_lost_guest_had_stored_is_reported(
    fake: FakeGuest, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.lost = LostGuest("the guest is lost: no end after 5 s", "tail", "all of its\nlog")
    assert main(["run", "smoke", "--guest", *TINY, "-o", "out"]) == 1
    assert Path("out/report/report.txt").exists()
    assert Path("out/guest.log").read_text() == "all of its\nlog"
    said = capfd.readouterr().err
    assert "lost: no end after 5 s" in said
    assert "the log of the guest is in out/guest.log" in said


def test_a_plan_whose_kernel_complained_has_no_report(fake: FakeGuest) -> None:
    fake.splats = (SPLAT,)
    assert main(["run", "smoke", "--guest", *TINY, "-o", "out"]) == 1
    assert Path("out/samples.jsonl.gz").exists()
    assert not Path("out/report").exists()


def test_a_kernel_that_can_not_be_built_is_one_line(
    fake: FakeGuest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> guest.Kernel:
        raise KernelBuildError("0004-x.patch does not apply: mm/vma.c: Hunk #2 FAILED at 7.")

    monkeypatch.setattr(guest, "build", fail)
    assert main(["run", "smoke", "--guest", "-o", "out"]) == 1
    assert capsys.readouterr().err == (
        "vmabench: 0004-x.patch does not apply: mm/vma.c: Hunk #2 FAILED at 7.\n"
    )
    assert not Path("out").exists()


@pytest.mark.slow
def test_bench_puts_three_results_into_one_report(
    fake: FakeGuest, capfd: pytest.CaptureFixture[str]
) -> None:
    """Slow: it writes four reports with their figures."""
    leave_result(Path("host"))
    Path("host/plan.toml").write_text(tomli_w.dumps(load_plan("smoke").to_toml()))
    main(["guest", "bench", "host"])
    out = capfd.readouterr().out
    assert [machine.clock for machine in fake.machines] == ["time", "instructions"]
    assert [Path(plan_of(command)).name for command in fake.commands] == ["plan.toml", "paths"]
    stored = next(Path("results").rglob("joint.txt")).read_text()
    assert stored.count("Findings") == 3
    assert out.count("Findings") == 2  # the host's was printed when it was measured
    assert "results  host" in out


def test_bench_needs_no_guest_where_the_kernel_has_the_call(
    fake: FakeGuest, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    records = synthetic.records(synthetic.cases(["clone", "readv"]), rounds=1)
    synthetic.write(tmp_path / "host", records[:1] + records[2:])
    assert main(["guest", "bench", str(tmp_path / "host")]) == 0
    assert "no guest is needed" in capsys.readouterr().out
    assert not fake.commands


def test_the_selftests_decide_the_status(
    fake: FakeGuest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def selftests(good: bool) -> guest.Selftests:
        text = f"TAP version 13\n1..1\n{'ok' if good else 'not ok'} 1 isolation\n"
        return guest.Selftests({"process_vm_mmap": parse(text)}, (), 61.0)

    for good in (True, False):
        monkeypatch.setattr(guest, "selftests", lambda *_, g=good, **__: selftests(g))
        assert main(["guest", "test"]) == (0 if good else 1)
    out = capsys.readouterr().out
    assert "passed in 1m01s" in out
    assert "FAILED process_vm_mmap: isolation" in out
