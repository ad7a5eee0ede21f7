# SPDX-License-Identifier: GPL-2.0-only
"""The command line of QEMU; no other module has options of it."""

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
# The emulated CPU: the same family and features whichever version of QEMU emulates it. "max" is
# another CPU in each version: under QEMU 10 the kernel does not detect "rep_good" and clears pages
# by another routine. The features are those of "max" in QEMU 7.2 that decide which code the kernel
# (smap, fsgsbase, xsave, pku, five page-table levels: la57) or the C library (SSE 4.2) executes.
# Absent on purpose: erms and fsrm, with which the kernel copies bytes instead of quadwords, and an
# emulator executes each iteration of a string instruction; and AVX, which QEMU 7.2 emulates slowly.
# The model name keeps "TCG", by which machine.facts recognises emulation.
_FEATURES = (
    *("la57", "pdpe1gb", "smap", "smep", "umip", "fsgsbase", "pku", "xsave", "xsaveopt"),
    *("arat", "rdtscp", "rdrand", "clflushopt", "clwb"),
    *("ssse3", "sse4.1", "sse4.2", "popcnt", "abm", "bmi1", "bmi2", "movbe"),
)
CPU = ",".join(
    ("qemu64", *(f"{name}=on" for name in _FEATURES), "model-id=QEMU TCG CPU version 2.5+")
)
#: the CPU above is made of features that older versions do not have
OLDEST = (7, 2)
Accel = Literal["tcg", "kvm"]
Clock = Literal["time", "instructions"]


@dataclass(frozen=True)
class Machine:
    """The hardware of a guest. Sizes are in bytes; ``shares`` are host directories to write to.

    CPUs and memory are spread evenly over the NUMA ``nodes``, each of which is a socket.
    """

    memory: int = 2 << 30
    cpus: int = 2
    nodes: int = 1
    cmdline: str = ""
    swap: str = ""  # "", "zram" or "file"
    swap_bytes: int = 1 << 30
    scratch_bytes: int = 0  # size of a disk with a file system, for swap files; 0: no disk
    clock: Clock = "time"
    plugin: str = ""  # a QEMU plugin with its arguments
    shares: tuple[Path, ...] = field(default=())


def program() -> str:
    """Return the path of QEMU; raise MachineError with the command that installs it."""
    path = shutil.which(PROGRAM)
    if path is None:
        raise MachineError("no QEMU: run 'apt-get install qemu-system-x86'")
    return path


def version() -> str:
    """Return the version of QEMU, such as ``7.2.22``."""
    done = subprocess.run([program(), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\S+)", done.stdout)
    return found[1] if found else "unknown"


def check(clock: Clock) -> None:
    """Raise MachineError if this QEMU is too old, or cannot count instructions where it has to."""
    found = version()
    numbers = tuple(map(int, re.findall(r"\d+", found)[:2]))
    if numbers and numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise MachineError(f"QEMU {found} is too old: a guest needs {oldest} or later")
    if clock == "instructions" and (why := _why_not_loaded(["-icount", "shift=0,sleep=on"])):
        raise MachineError(f"QEMU {found} has no instruction clock: {why}")


def cpu(accel: Accel) -> str:
    """Return the CPU model of a guest, as QEMU's option ``-cpu`` has it."""
    return "host" if accel == "kvm" else CPU


def why_no_plugin(plugin: str) -> str | None:
    """Load a plugin into a QEMU without a machine; return QEMU's error message, or None."""
    return _why_not_loaded(["-plugin", plugin])


def _why_not_loaded(options: list[str]) -> str | None:
    """Start a QEMU without a machine; return its error message about the options, or None."""
    line = [program(), "-machine", "none", "-accel", "tcg", "-nodefaults", "-display", "none"]
    done = subprocess.run(
        [*line, "-monitor", "stdio", *options],
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
    """Return the whole command line for a run whose files are in ``run_dir``."""
    line = [
        program(),
        *("-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-machine", "q35", "-m", f"{machine.memory >> 20}M"),
        *_processors(machine),
        *_accelerator(accel, machine.clock),
        *(("-plugin", machine.plugin) if machine.plugin else ()),
        *("-device", "virtio-rng-pci"),
        *("-kernel", str(kernel.image), "-append", _append(machine, init, interactive)),
        # the root: the whole file system of the host, read only
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
    """Return the shell script that init.sh sources before it runs the command."""
    lines = [f"share share{index} {shlex.quote(str(p))}" for index, p in enumerate(machine.shares)]
    if machine.swap == "zram":
        lines.append(f"swap_zram {machine.swap_bytes}")
    elif machine.swap and machine.swap != "file":
        raise UsageError(f"no swap device {machine.swap!r}: there are zram and file")
    for name, letter in zip(disks(machine), "ab", strict=False):
        lines.append(f"{name}_disk /dev/vd{letter}")
    return "".join(f"{line}\n" for line in lines)


def prepare(machine: Machine, run_dir: Path) -> None:
    """Create the files that the command line names."""
    (run_dir / "setup.sh").write_text(setup_script(machine))
    for name, size_bytes in disks(machine).items():
        with (run_dir / name).open("wb") as file:
            os.truncate(file.fileno(), size_bytes)


def disks(machine: Machine) -> dict[str, int]:
    """Return name -> bytes of the guest's (sparse) disks, in the order of their letters."""
    swap = {"swap": machine.swap_bytes} if machine.swap == "file" else {}
    scratch = {"scratch": machine.scratch_bytes} if machine.scratch_bytes else {}
    return swap | scratch


def _processors(machine: Machine) -> list[str]:
    if machine.nodes == 1:
        return ["-smp", str(machine.cpus)]
    line = ["-smp", f"{machine.cpus},sockets={machine.nodes}"]
    cpus, memory = machine.cpus // machine.nodes, (machine.memory >> 20) // machine.nodes
    for node in range(machine.nodes):
        line += ["-object", f"memory-backend-ram,id=node{node},size={memory}M"]
        range_of_cpus = f"{node * cpus}-{(node + 1) * cpus - 1}"
        line += ["-numa", f"node,nodeid={node},cpus={range_of_cpus},memdev=node{node}"]
    return line


def _accelerator(accel: Accel, clock: Clock) -> list[str]:
    if clock == "instructions":
        if accel != "tcg":
            raise UsageError("the instruction clock exists under emulation only: use --accel tcg")
        # One thread, and a clock that advances by instructions alone while any is executed: counts
        # repeat. While every CPU sleeps, real time passes ("sleep"). Otherwise the clock would jump
        # to the next timer, and a guest that waits for a busy host would see a timeout of 30 s.
        return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on", "-cpu", cpu(accel)]
    threads = ",thread=multi" if accel == "tcg" else ""
    return ["-accel", f"{accel}{threads}", "-cpu", cpu(accel)]


def _append(machine: Machine, init: Path, interactive: bool) -> str:
    options = [
        "console=ttyS0",
        "panic=-1",
        # On a busy host an emulated timer can miss the kernel's check of the timer interrupt, which
        # then reports a BIOS bug.
        "no_timer_check",
        # Recording task names in a trace hooks into sched_wakeup and sched_switch. Hooking patches
        # text that the other CPU executes, which can kill the guest: QEMU 7.2 may execute the
        # breakpoint of the patching after it is gone ("Oops: int3").
        "trace_options=norecord-cmd",
        "root=/dev/root rootfstype=9p ro",
        "rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=loose",
        f"init={init}",
    ]
    if interactive:
        options.append("quiet")
    if machine.clock == "instructions":
        # the addresses of mappings decide how many page tables fork() copies
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
