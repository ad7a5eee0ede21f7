# SPDX-License-Identifier: GPL-2.0-only
"""Which functions of the guest's kernel execute the instructions that its clock counts.

A plugin of QEMU counts them (functions.c). The other ways were not tried: the execution log of
QEMU has a line for each block that is entered, and the kernel's own function profile counts calls,
not instructions, and takes another kernel than the one that is measured.
"""

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vmabench.errors import MachineError
from vmabench.guest import boot, cache, qemu

#: The last version of QEMU whose plugins are of the interface that functions.c was written for.
LAST_MAJOR = 8

_SOURCE = Path(__file__).with_name("functions.c")
_NATIVE = Path(__file__).parents[1] / "native"
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden")

#: value -> phase -> function -> instructions of all of its loops
Counts = dict[int, dict[str, dict[str, int]]]


def why_not() -> str | None:
    """Why functions can't be counted here, or None."""
    version = qemu.version()
    major = re.match(r"\d+", version)
    if major is None or int(major[0]) > LAST_MAJOR:
        return f"QEMU {version} has another interface of plugins than QEMU {LAST_MAJOR}"
    return None


def watched(machine: qemu.Machine, kernel: cache.Kernel, out: Path) -> qemu.Machine:
    """The machine, with a plugin that writes ``out``; a boot for the symbols comes first, once."""
    for path in (out, kernel.image):
        if "," in str(path):
            raise MachineError(f"{path} can't be given to QEMU: its name has a comma")
    arguments = f"symbols={_symbols(kernel)},out={out}"
    return replace(machine, plugin=f"file={_plugin()},{arguments}")


def read_counts(path: Path) -> Counts:
    """What the plugin wrote; a last line that was cut off is left out."""
    found: Counts = {}
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            number, phase, *counts = line.split()
            found.setdefault(int(number), {})[phase] = _added(counts)
    return found


def _added(words: list[str]) -> dict[str, int]:
    """``NAME=COUNT`` as a dictionary; several functions of one name are one."""
    counts: dict[str, int] = {}
    for word in words:
        name, _, count = word.rpartition("=")
        counts[name] = counts.get(name, 0) + int(count)
    return counts


def _symbols(kernel: cache.Kernel) -> Path:
    """The kernel's own table of its symbols, asked once: any image has it that has KALLSYMS."""
    path = kernel.image.with_name("symbols")
    if not path.exists():
        machine = qemu.Machine(memory=512 << 20, cpus=1, cmdline="nokaslr")
        text = boot.run(["cat", "/proc/kallsyms"], kernel, machine=machine, timeout=300).stdout
        functions = list(_text_symbols(text))
        if not functions:
            raise MachineError(f"{kernel.image} shows no symbols: it needs CONFIG_KALLSYMS")
        _write(path, "".join(functions).encode())
    return path


def _text_symbols(text: str) -> Iterator[str]:
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] in "tTwW" and int(words[0], 16):
            yield f"{words[0]} {words[1]} {words[2]}\n"


def _plugin() -> Path:
    """The compiled plugin, from the cache if its sources have not changed."""
    sources = [_SOURCE, *sorted(_NATIVE.glob("*.h"))]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    path = cache.root() / f"functions-{digest}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            made = Path(scratch) / path.name
            command = ["gcc", *_FLAGS, f"-I{_NATIVE}", str(_SOURCE), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise MachineError(f"{_SOURCE.name} can't be compiled: {done.stderr.strip()}")
            made.rename(path)
    return path


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing: another process may look for it."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_bytes(data)
    unfinished.rename(path)
