# SPDX-License-Identifier: GPL-2.0-only
"""What a guest leaves is read right, and what leaves nothing is lost. QEMU is a script here."""

import json
import site
import stat
import sys
from pathlib import Path

import pytest

from vmabench.errors import LostGuest, MachineError, UsageError
from vmabench.guest import boot, qemu
from vmabench.guest.cache import Kernel

KERNEL = Kernel(Path("/k/bzImage"), Path("/k/config"), "key", "bench", "6.12", "gcc", "0")


def fake_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A QEMU that finds its run directory in its arguments and does ``script`` there."""
    path = tmp_path / "qemu"
    path.write_text(
        "#!/bin/sh\n"
        '[ "$1" != --version ] || exit 0\n'
        "for arg; do case $arg in *id=run,path=*) d=${arg#*path=}; d=${d%%,*};; esac; done\n"
        f"{script}\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(qemu, "program", lambda: str(path))


GOOD = "echo booted >$d/console; sh $d/command.sh >$d/stdout 2>$d/stderr; echo $? >$d/status"


def test_output_and_status_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, monkeypatch, GOOD)
    outcome = boot.run(["sh", "-c", "echo 'a b'; echo err >&2; exit 3"], KERNEL, accel="tcg")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (3, "a b\n", "err\n")
    assert outcome.log == "booted\n"
    assert outcome.emulated
    assert outcome.splats == ()


def test_a_command_has_the_working_directory_and_the_packages_of_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its HOME is another one in the guest."""
    fake_qemu(tmp_path, monkeypatch, f"HOME=/run/home; export HOME; {GOOD}")
    show = "import os, site; print(os.getcwd(), site.getuserbase())"
    outcome = boot.run([sys.executable, "-c", show], KERNEL, accel="tcg")
    assert outcome.stdout.split() == [str(tmp_path), site.getuserbase()]


def test_a_complaint_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, monkeypatch, GOOD + "; echo '[ 1.0] BUG: Bad page state' >>$d/console")
    outcome = boot.run(["true"], KERNEL, accel="tcg")
    assert outcome.status == 0
    assert [splat.line for splat in outcome.splats] == [2]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'Kernel panic - not syncing: x' >$d/console", "Kernel panic - not syncing: x"),
        ("echo up >$d/console", "vanished without an exit status"),
        (": >$d/booted; echo up >$d/console; sleep 60", "no end after 1 s"),
        ("echo up >$d/console; sleep 60", "does not boot: it did not start init within 1 s"),
        ("echo no root file system >$d/failed", "could not be set up: no root file system"),
        ("echo '[1] vmabench-init: no 9p' >$d/console", "could not be set up: no 9p"),
    ],
)
def test_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str) -> None:
    fake_qemu(tmp_path, monkeypatch, script)
    with pytest.raises(LostGuest, match=message):
        boot.run(["true"], KERNEL, accel="tcg", timeout=1.0)


def test_the_end_of_the_log_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, monkeypatch, "seq 100 >$d/console")
    with pytest.raises(LostGuest) as lost:
        boot.run(["true"], KERNEL, accel="tcg")
    assert lost.value.log_tail.splitlines()[-1] == "100"
    assert len(lost.value.log_tail.splitlines()) == boot.TAIL_LINES


def test_the_complaint_that_killed_it_is_told_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oops = "echo '[9.0] Oops: int3: 0000'; seq 40; echo '[9.1] Kernel panic - not syncing: x'"
    log = f"(echo '[1.0] WARNING: early'; seq 500; {oops}) >$d/console"
    fake_qemu(tmp_path, monkeypatch, log)
    with pytest.raises(LostGuest, match=r"the guest is lost: .*Oops: int3") as lost:
        boot.run(["true"], KERNEL, accel="tcg")
    told = lost.value.log_tail.splitlines()
    assert told[0] == "[9.0] Oops: int3: 0000"
    assert len(told) == 42


def test_a_qemu_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, monkeypatch, "echo 'qemu: bad machine' >&2; exit 1")
    with pytest.raises(MachineError, match="QEMU did not start: qemu: bad machine"):
        boot.run(["true"], KERNEL, accel="tcg")


def test_no_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(MachineError, match="apt-get install qemu-system-x86"):
        qemu.program()


def test_kvm_that_does_not_work_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    fake_qemu(tmp_path, monkeypatch, "exit 1")
    monkeypatch.setattr("os.access", lambda *_: True)
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    image = Kernel(tmp_path / "1/bzImage", tmp_path / "c", "", "", "", "", "")
    assert boot.choose("auto", image, qemu.Machine(), said.append) == "tcg"
    assert "emulating" in said[0]
    fake_qemu(tmp_path, monkeypatch, "echo 0 >$d/status")
    other = Kernel(tmp_path / "2/bzImage", tmp_path / "c", "", "", "", "", "")
    assert boot.choose("auto", other, qemu.Machine(), said.append) == "kvm"
    # the answer is kept: QEMU would say otherwise now
    assert boot.choose("auto", image, qemu.Machine(), said.append) == "tcg"
    assert boot.choose("kvm", image, qemu.Machine(), said.append) == "kvm"
    assert boot.choose("tcg", other, qemu.Machine(), said.append) == "tcg"


def line(machine: qemu.Machine, accel: qemu.Accel = "tcg") -> str:
    return " ".join(qemu.command(KERNEL, machine, Path("/run-dir"), accel, init=Path("/i.sh")))


def test_the_instruction_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "program", lambda: "qemu")
    text = line(qemu.Machine(clock="instructions"))
    assert "-accel tcg,thread=single -icount shift=0,sleep=on" in text
    with pytest.raises(UsageError):
        line(qemu.Machine(clock="instructions"), "kvm")


def test_the_cpu_is_a_named_model_and_the_guest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_qemu(tmp_path, monkeypatch, f"cp $d/machine.json {tmp_path}; {GOOD}")
    boot.run(["true"], KERNEL, accel="tcg")
    told = json.loads((tmp_path / "machine.json").read_text())
    assert told["cpu"] == qemu.CPU
    for machine in (qemu.Machine(), qemu.Machine(clock="instructions")):
        assert f"-cpu {qemu.CPU} " in line(machine)
    # as machine.facts recognises emulation; and no model that each version of QEMU defines anew
    assert "TCG" in qemu.CPU
    assert qemu.CPU.partition(",")[0] not in ("max", "host", "base")


def test_options_reach_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "program", lambda: "qemu")
    machine = qemu.Machine(
        memory=3 << 30, cpus=4, cmdline="numa=fake=2", swap="file", shares=(Path("/results"),)
    )
    text = line(machine)
    assert "-m 3072M -smp 4" in text
    assert "init=/i.sh numa=fake=2" in text
    assert "path=/,security_model=none,readonly=on" in text
    assert "path=/results,security_model=none " in text
    assert "file=/run-dir/swap" in text
    assert qemu.setup_script(machine) == ("share share0 /results\nswap_disk /dev/vda\n")
    with pytest.raises(UsageError, match="zram and file"):
        qemu.setup_script(qemu.Machine(swap="tape"))


def test_a_kernel_that_hangs_at_boot_shows_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan may take hours: a kernel that never starts init is given less."""
    monkeypatch.setattr(boot, "BOOT_LIMIT_S", 1.0)
    fake_qemu(tmp_path, monkeypatch, "seq 100 >$d/console; sleep 60")
    with pytest.raises(LostGuest, match="did not start init within 1 s") as lost:
        boot.run(["true"], KERNEL, accel="tcg", timeout=3600.0)
    assert lost.value.log_tail.splitlines()[-1] == "100"


@pytest.mark.parametrize(
    ("says", "clock", "words"),
    [
        ("QEMU emulator version 5.2.0 (Debian)", "time", r"QEMU 5\.2\.0 is too old: .* 7\.2 or"),
        ("QEMU emulator version 7.1.9", "time", "too old"),
        ("QEMU emulator version 10.0.2", "instructions", "has no instruction clock: no -icount"),
    ],
)
def test_a_qemu_that_cannot(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    says: str,
    clock: qemu.Clock,
    words: str,
) -> None:
    path = tmp_path / "qemu"
    path.write_text(
        f"#!/bin/sh\n[ \"$1\" = --version ] && echo '{says}' && exit\n"
        "echo 'no -icount' >&2; exit 1\n"
    )
    path.chmod(0o755)
    monkeypatch.setattr(qemu, "program", lambda: str(path))
    with pytest.raises(MachineError, match=words):
        boot.choose("tcg", KERNEL, qemu.Machine(clock=clock, cpus=1), lambda _: None)


def test_a_newer_qemu_is_not_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "qemu"
    path.write_text("#!/bin/sh\necho 'QEMU emulator version 10.0.2'\n")
    path.chmod(0o755)
    monkeypatch.setattr(qemu, "program", lambda: str(path))
    assert boot.choose("tcg", KERNEL, qemu.Machine(), lambda _: None) == "tcg"
