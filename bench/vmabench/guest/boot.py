# SPDX-License-Identifier: GPL-2.0-only
"""Boot a kernel, run one command in the guest, and collect its output and the kernel log."""

import json
import os
import re
import shlex
import site
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vmabench.errors import LostGuest, MachineError
from vmabench.guest import qemu, scratch, splats
from vmabench.guest.cache import Kernel

Say = Callable[[str], None]

KVM_LIMIT_S = 20.0  # a working KVM boots in two seconds
BOOT_LIMIT_S = 900.0  # a debug kernel on a busy host takes minutes; a plan may take hours
TAIL_LINES = 12
DYING_LINES = 100  # an oops, its trace, and the panic after it
BOOTED = "booted"  # init.sh makes this file
_INIT = Path(__file__).with_name("init.sh")


@dataclass(frozen=True)
class Outcome:
    """The exit status, output and kernel log of a guest."""

    status: int
    stdout: str
    stderr: str
    log: str
    accel: qemu.Accel
    seconds: float
    splats: tuple[splats.Splat, ...]

    @property
    def emulated(self) -> bool:
        return self.accel == "tcg"


def run(  # noqa: PLR0913 - each is an option of the command line
    command: Sequence[str],
    kernel: Kernel,
    *,
    machine: qemu.Machine | None = None,
    accel: str = "auto",
    timeout: float = 600.0,
    stream: bool = False,
    say: Say | None = None,
) -> Outcome:
    """Run ``command`` in a guest; raise LostGuest if it leaves no exit status.

    ``accel`` is ``tcg``, ``kvm`` or ``auto``. ``stream`` copies the command's output to stdout and
    stderr while it runs.
    """
    machine = machine or qemu.Machine()
    chosen = choose(accel, kernel, machine, say or (lambda _: None))
    with scratch.directory() as directory:
        qemu.prepare(machine, directory)
        _tell(directory, kernel, machine, chosen)
        _write_command(directory, command)
        line = qemu.command(kernel, machine, directory, chosen, init=_INIT)
        started = time.monotonic()
        ended = _wait(line, directory, timeout, stream)
        return _outcome(directory, chosen, ended, time.monotonic() - started, timeout)


def shell(kernel: Kernel, *, machine: qemu.Machine | None = None, accel: str = "auto") -> int:
    """Run an interactive shell in a guest, on this terminal; return its exit status."""
    machine = machine or qemu.Machine()
    chosen = choose(accel, kernel, machine, lambda text: print(text, file=sys.stderr))  # noqa: T201
    with scratch.directory() as directory:
        qemu.prepare(machine, directory)
        _tell(directory, kernel, machine, chosen)
        (directory / "setup.sh").open("a").write("INTERACTIVE=1\n")
        _write_command(directory, [os.environ.get("SHELL", "/bin/sh"), "-i"])
        line = qemu.command(kernel, machine, directory, chosen, init=_INIT, interactive=True)
        subprocess.run(scratch.tied(line), check=False)
        return _status(directory) or 0


def choose(accel: str, kernel: Kernel, machine: qemu.Machine, say: Say) -> qemu.Accel:
    """Return the accelerator to use: KVM where it works; ``say`` why it does not.

    Raise MachineError for a QEMU that cannot run such a machine.
    """
    qemu.check(machine.clock)
    if accel == "tcg" or machine.clock == "instructions":
        return "tcg"
    if accel == "kvm":
        return "kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        say("no access to /dev/kvm: emulating, so times are not those of hardware")
        return "tcg"
    if not _kvm_works(kernel.image):
        say("no kernel boots under /dev/kvm: emulating, so times are not those of hardware")
        return "tcg"
    return "kvm"


def _kvm_works(image: Path) -> bool:
    """Boot the kernel under KVM, once per boot of this machine: a failure takes the whole limit."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer = image.parent / f"kvm-{boot_id}"
    if not answer.exists():
        answer.write_text("yes" if _boots_under_kvm(image) else "no")
    return answer.read_text() == "yes"


def _boots_under_kvm(image: Path) -> bool:
    kernel = Kernel(image, image, "", "", "", "", "")
    machine = qemu.Machine(memory=512 << 20, cpus=1)
    with scratch.directory() as directory:
        qemu.prepare(machine, directory)
        _write_command(directory, ["true"])
        line = qemu.command(kernel, machine, directory, "kvm", init=_INIT)
        _wait(line, directory, KVM_LIMIT_S, stream=False)
        return _status(directory) == 0


def _tell(directory: Path, kernel: Kernel, machine: qemu.Machine, accel: qemu.Accel) -> None:
    """Write /run/vmabench/machine.json, which machine.facts reads in the guest."""
    facts = {
        "accel": accel,
        "clock": machine.clock,
        "qemu": qemu.version(),
        "cpu": qemu.cpu(accel),
        "kernel_key": kernel.key,
        "flavour": kernel.flavour,
        "compiler": kernel.compiler,
        "config_sha256": kernel.config_sha256,
    }
    (directory / "machine.json").write_text(json.dumps(facts) + "\n")


def _write_command(directory: Path, command: Sequence[str]) -> None:
    # The guest sees the host's file system, so the working directory exists there too. HOME is
    # another one in the guest, and packages installed with pip --user lie below the host's.
    lines = [
        f"export PYTHONUSERBASE={shlex.quote(site.getuserbase())}",
        f"cd {shlex.quote(str(Path.cwd()))} || exit 127",
        shlex.join(command),
    ]
    (directory / "command.sh").write_text("".join(f"{line}\n" for line in lines))


def _wait(line: list[str], directory: Path, timeout: float, stream: bool) -> bool:
    """Run QEMU until it exits; kill it after ``timeout`` seconds and return False.

    A kernel that does not start init is given BOOT_LIMIT_S at most.
    """
    errors, booted = directory / "qemu-errors", directory / BOOTED
    started = time.monotonic()
    with errors.open("wb") as error_file:
        process = subprocess.Popen(
            scratch.tied(line), stdin=subprocess.DEVNULL, stdout=error_file, stderr=error_file
        )
        pumps = _pumps(directory) if stream else []
        try:
            while process.poll() is None:
                limit = timeout if booted.exists() else min(timeout, BOOT_LIMIT_S)
                if time.monotonic() - started >= limit:
                    break
                time.sleep(0.05)
                _copy(pumps)
            _copy(pumps)
            return process.poll() is not None
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@dataclass
class _Pump:
    path: Path
    target: IO[bytes]
    offset: int = 0


def _pumps(directory: Path) -> list[_Pump]:
    return [
        _Pump(directory / "stdout", sys.stdout.buffer),
        _Pump(directory / "stderr", sys.stderr.buffer),
    ]


def _copy(pumps: list[_Pump]) -> None:
    for pump in pumps:
        if not pump.path.exists():
            continue
        with pump.path.open("rb") as file:
            file.seek(pump.offset)
            data = file.read()
        if data:
            pump.offset += len(data)
            pump.target.write(data)
            pump.target.flush()


def _outcome(
    directory: Path, accel: qemu.Accel, ended: bool, seconds: float, timeout: float
) -> Outcome:
    log = _read(directory / "console")
    status = _status(directory)
    if status is None:
        why = _why_lost(directory, log, ended, timeout)
        raise LostGuest(why, ending(log), log, _read(directory / "stdout"))
    return Outcome(
        status=status,
        stdout=_read(directory / "stdout"),
        stderr=_read(directory / "stderr"),
        log=log,
        accel=accel,
        seconds=seconds,
        splats=tuple(splats.find(log)),
    )


def _why_lost(directory: Path, log: str, ended: bool, timeout: float) -> str:
    failed = _read(directory / "failed").strip() or _said_by_init(log)
    fatal = _fatal(log)
    if failed:
        return f"the guest could not be set up: {failed}"
    if fatal:
        return f"the guest is lost: {fatal.text}"
    if not ended and not (directory / BOOTED).exists():
        limit = min(timeout, BOOT_LIMIT_S)
        return f"the kernel does not boot: it did not start init within {limit:.0f} s"
    if not ended:
        return f"the guest is lost: no end after {timeout:.0f} s"
    errors = _read(directory / "qemu-errors").strip()
    if errors and not log:
        raise MachineError(f"QEMU did not start: {errors.splitlines()[-1]}")
    return "the guest is lost: it vanished without an exit status"


def _said_by_init(log: str) -> str:
    """Return why init.sh gave up before the guest had the shared directory."""
    found = re.search(r"vmabench-init: (.*)", log)
    return found[1].strip() if found else ""


def ending(log: str) -> str:
    """Return the log from the fatal complaint on, or its last lines."""
    lines, fatal = log.strip().splitlines(), _fatal(log)
    start = fatal.line - 1 if fatal else len(lines) - TAIL_LINES
    return "\n".join(lines[max(start, 0) :])


def _fatal(log: str) -> splats.Splat | None:
    """Return the complaint that killed the guest: the oops before a panic says more than that."""
    count = len(log.strip().splitlines())
    found = splats.find(log)
    late = [splat for splat in found if count - splat.line < DYING_LINES]
    return late[0] if late else found[-1] if found else None


def _status(directory: Path) -> int | None:
    text = _read(directory / "status").strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
