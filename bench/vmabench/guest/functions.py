# SPDX-License-Identifier: GPL-2.0-only
"""Count the instructions of each kernel function in a guest, with a QEMU plugin (functions.c).

QEMU's execution log has no instruction counts, only one line per translation block entered. The
kernel's function profiler counts calls, not instructions, and needs a kernel with ftrace instead of
the measured one.
"""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vmabench.errors import MachineError
from vmabench.guest import boot, cache, qemu, scratch

_SOURCE = Path(__file__).with_name("functions.c")
_NATIVE = Path(__file__).parents[1] / "native"
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden")

#: value -> phase -> function -> instructions of all of its loops
Counts = dict[int, dict[str, dict[str, int]]]


def why_not() -> str | None:
    """Return why functions cannot be counted here, or None: load the plugin to find out."""
    try:
        with scratch.directory() as directory:
            symbols = directory / "symbols"
            symbols.write_text("ffffffff81000000 T _text\n")
            return qemu.why_no_plugin(_option(symbols, Path(os.devnull)))
    except MachineError as error:
        return str(error)


def watched(machine: qemu.Machine, kernel: cache.Kernel, out: Path) -> qemu.Machine:
    """Return the machine with a plugin that writes ``out``; boot once to read the symbols."""
    return replace(machine, plugin=_option(_symbols(kernel), out))


def _option(symbols: Path, out: Path) -> str:
    """Return the plugin with its arguments, as QEMU's option ``-plugin`` has them."""
    plugin = _plugin()
    for path in (plugin, symbols, out):
        if "," in str(path):
            raise MachineError(f"{path}: QEMU cannot use a path with a comma")
    return f"file={plugin},symbols={symbols},out={out}"


def read_counts(path: Path) -> Counts:
    """Return the counts that the plugin wrote, without a last line that was cut off."""
    found: Counts = {}
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            number, phase, *counts = line.split()
            found.setdefault(int(number), {})[phase] = _added(counts)
    return found


def _added(words: list[str]) -> dict[str, int]:
    """Return ``NAME=COUNT`` words as a dictionary; add up functions of one name."""
    counts: dict[str, int] = {}
    for word in words:
        name, _, count = word.rpartition("=")
        counts[name] = counts.get(name, 0) + int(count)
    return counts


def _symbols(kernel: cache.Kernel) -> Path:
    """Return a file with the kernel's /proc/kallsyms, read in a guest once."""
    path = kernel.image.with_name("symbols")
    if not path.exists():
        machine = qemu.Machine(memory=512 << 20, cpus=1, cmdline="nokaslr")
        text = boot.run(["cat", "/proc/kallsyms"], kernel, machine=machine, timeout=300).stdout
        functions = list(_text_symbols(text))
        if not functions:
            raise MachineError(f"{kernel.image} has no symbols: it needs CONFIG_KALLSYMS")
        _write(path, "".join(functions).encode())
    return path


def _text_symbols(text: str) -> Iterator[str]:
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] in "tTwW" and int(words[0], 16):
            yield f"{words[0]} {words[1]} {words[2]}\n"


def _plugin() -> Path:
    """Return the compiled plugin; compile it again where its sources have changed."""
    sources = [_SOURCE, *sorted(_NATIVE.glob("*.h"))]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    path = cache.root() / f"functions-{digest}.so"
    if not path.exists():
        with scratch.directory() as directory:
            _write(path, _compiled(directory / path.name).read_bytes())
    return path


def _compiled(plugin: Path) -> Path:
    command = ["gcc", *_FLAGS, f"-I{_NATIVE}", str(_SOURCE), "-o", str(plugin)]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise MachineError(f"no gcc for {_SOURCE.name}: run 'apt-get install gcc'") from None
    except subprocess.CalledProcessError as error:
        raise MachineError(f"cannot compile {_SOURCE.name}: {error.stderr.strip()}") from error
    return plugin


def _write(path: Path, data: bytes) -> None:
    """Write all of ``data`` or nothing: another process may look for the file."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_bytes(data)
    unfinished.rename(path)
