# SPDX-License-Identifier: GPL-2.0-only
"""The command line of QEMU: the only module that knows it."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vmabench.errors import MachineError, UsageError
from vmabench.guest.cache import Kernel

PROGRAM = "qemu-system-x86_64"
# Without "enhanced rep movsb" the kernel copies by quadwords: an emulator does each iteration of
# a string instruction by itself, and by bytes there are eight times as many. Without AVX because
# QEMU 7.2, the first that emulates it, is slow at it (and numpy was once seen to die of it).
CPU = "max,erms=off,fsrm=off,avx=off"
Accel = Literal["tcg", "kvm"]
Clock = Literal["time", "instructions"]


@dataclass(frozen=True)
class Machine:
    """What a guest has. Sizes are bytes; ``shares`` are directories it may write to."""

    memory: int = 2 << 30
    cpus: int = 2
    cmdline: str = ""
    swap: str = ""  # "", "zram" or "file"
    swap_bytes: int = 1 << 30
    scratch_bytes: int = 0  # of a disk with a file system, for swap files; 0: none
    clock: Clock = "time"
    plugin: str = ""  # of QEMU, with its arguments
    shares: tuple[Path, ...] = field(default=())


def program() -> str:
    """The path of QEMU, or a MachineError that says how to get it."""
    path = shutil.which(PROGRAM)
    if path is None:
        raise MachineError("no QEMU: run 'apt-get install qemu-system-x86'")
    return path


def version() -> str:
    """As in ``7.2.22``."""
    done = subprocess.run([program(), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\S+)", done.stdout)
    return found[1] if found else "unknown"


def why_no_plugin(plugin: str) -> str | None:
    """Load a plugin into a QEMU without a machine; return QEMU's error message, or None."""
    line = [program(), "-machine", "none", "-accel", "tcg", "-nodefaults", "-display", "none"]
    done = subprocess.run(
        [*line, "-monitor", "stdio", "-plugin", plugin],
        input="quit\n",
        capture_output=True,
        text=True,
        check=False,
    )
    errors = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else errors[-1] if errors else f"{PROGRAM} failed"


def command(  # noqa: PLR0913 - all of it is one command line
    kernel: Kernel,
    machine: Machine,
    run_dir: Path,
    accel: Accel,
    *,
    init: Path,
    interactive: bool = False,
) -> list[str]:
    """The whole command line, for a run whose files are in ``run_dir``."""
    line = [
        program(),
        *("-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-machine", "q35", "-m", f"{machine.memory >> 20}M", "-smp", str(machine.cpus)),
        *_accelerator(accel, machine.clock),
        *(("-plugin", machine.plugin) if machine.plugin else ()),
        *("-device", "virtio-rng-pci"),
        *("-kernel", str(kernel.image), "-append", _append(machine, init, interactive)),
        # the root: all of the host's, never to be written
        *_share("root", "/dev/root", Path("/"), readonly=True),
        *_share("run", "vmabench", run_dir),
    ]
    for index, path in enumerate(machine.shares):
        line += _share(f"share{index}", f"share{index}", path)
    for name in disks(machine):
        line += ["-drive", f"file={run_dir / name},if=virtio,format=raw,cache=unsafe"]
    if interactive:
        return [*line, "-serial", "mon:stdio"]
    return [*line, "-serial", f"file:{run_dir / 'console'}"]


def setup_script(machine: Machine) -> str:
    """The shell script that init.sh sources before it runs the command."""
    lines = [f"share share{index} {shlex.quote(str(p))}" for index, p in enumerate(machine.shares)]
    if machine.swap == "zram":
        lines.append(f"swap_zram {machine.swap_bytes}")
    elif machine.swap and machine.swap != "file":
        raise UsageError(f"no swap device {machine.swap!r}: there are zram and file")
    for name, letter in zip(disks(machine), "ab", strict=False):
        lines.append(f"{name}_disk /dev/vd{letter}")
    return "".join(f"{line}\n" for line in lines)


def prepare(machine: Machine, run_dir: Path) -> None:
    """Make the files that the command line names."""
    (run_dir / "setup.sh").write_text(setup_script(machine))
    for name, size_bytes in disks(machine).items():
        with (run_dir / name).open("wb") as file:
            os.truncate(file.fileno(), size_bytes)


def disks(machine: Machine) -> dict[str, int]:
    """The disks of the guest, in the order of their letters: name -> bytes; they are sparse."""
    swap = {"swap": machine.swap_bytes} if machine.swap == "file" else {}
    scratch = {"scratch": machine.scratch_bytes} if machine.scratch_bytes else {}
    return swap | scratch


def _accelerator(accel: Accel, clock: Clock) -> list[str]:
    if clock == "instructions":
        if accel != "tcg":
            raise UsageError("the instruction clock exists under emulation only: use --accel tcg")
        # One thread, and time that is nothing but instructions while any is executed: repeatable.
        # While all sleep, real time passes: without "sleep" the clock would jump to the next timer,
        # and whoever waits for a busy host to read a file is told that 30 seconds are over.
        return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on", "-cpu", CPU]
    if accel == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", CPU]


def _append(machine: Machine, init: Path, interactive: bool) -> str:
    options = [
        "console=ttyS0",
        "panic=-1",
        # on a busy host an emulated timer may be too late for the check of its wiring, which
        # then complains of a bug of the BIOS
        "no_timer_check",
        # A trace that keeps the names of tasks hooks into every wake-up and every switch. To hook
        # is to patch text that the other CPU runs, and of that a guest can die: QEMU 7.2 may go
        # on with the breakpoint that stood there meanwhile ("Oops: int3").
        "trace_options=norecord-cmd",
        "root=/dev/root rootfstype=9p ro",
        "rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=loose",
        f"init={init}",
    ]
    if interactive:
        options.append("quiet")
    if machine.clock == "instructions":
        # where mappings lie decides how many page tables fork() copies
        options.append("norandmaps")
    return " ".join([*options, machine.cmdline]).strip()


def _share(name: str, tag: str, path: Path, readonly: bool = False) -> list[str]:
    if "," in str(path):
        raise UsageError(f"{path} can't be shared with a guest: its name has a comma")
    flags = ",readonly=on,multidevs=remap" if readonly else ""
    return [
        *("-fsdev", f"local,id={name},path={path},security_model=none{flags}"),
        *("-device", f"virtio-9p-pci,fsdev={name},mount_tag={tag}"),
    ]
