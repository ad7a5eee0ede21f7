# SPDX-License-Identifier: GPL-2.0-only
"""Swap devices of the suite's own, in zram or in a file; the user's are never touched.

A run makes them, its workers switch them on and off, the run removes them. A device is noted on the
disk before it is made, so the next run, or ``vmabench tune --restore``, can remove the devices of a
killed one.
"""

import contextlib
import errno
import os
import shlex
import subprocess
import time
from pathlib import Path

from vmabench.errors import MachineError
from vmabench.machine.ledger import STATE, Entry, Ledger, Undoing
from vmabench.machine.procfs import rows
from vmabench.machine.settings import Settings
from vmabench.units import format_size

KINDS = ("zram", "file")

#: above any that the kernel or a user gives: what is paged out goes to the suite's own device
PRIORITY = 32767

#: one page at a time: reading ahead would bring in what nobody asked for
PAGE_CLUSTER = Path("/proc/sys/vm/page-cluster")

_SWAPS = Path("/proc/swaps")
_CONTROL = Path("/sys/class/zram-control")
_BLOCK = Path("/sys/block")

_BUSY_LIMIT_S = 5.0


def file_directory() -> Path:
    """Return where swap files are made: ``VMABENCH_SWAP_DIR``, or the place of the ledger.

    Without symlinks and absolute, as the kernel names an active swap file.
    """
    given = os.environ.get("VMABENCH_SWAP_DIR")
    return Path(os.path.realpath(given)) if given else STATE


def active() -> list[str]:
    """Return the devices and files that are switched on, whosever they are."""
    return [fields[0] for fields in rows(_SWAPS)[1:]]


class SwapDevices(Undoing):
    """The devices that were made; a context manager that removes all of them.

    Its user holds the lock of the machine. Workers use ``switch`` of an object of their own.
    """

    def __init__(self, state: Path = STATE) -> None:
        self._ledger = Ledger(state / "swap.json", "devices")
        self._settings = Settings(state / "swap-settings.json")

    def any(self) -> bool:
        """Return whether there may be a device of the suite."""
        return self._ledger.any()

    def make(self, kind: str, size_bytes: int) -> Path:
        """Make a device of that kind, switched off; MachineError says why there is none."""
        with self._ledger.locked():
            entries, _ = self._ledger.load()
            entry: Entry = {"kind": kind, "path": "", "before": None}
            try:
                make = self._make_zram if kind == "zram" else self._make_file
                path = make(entries, entry, size_bytes)
                _try_out(path)
            except (MachineError, OSError) as error:
                why = _unmake(entry)
                self._ledger.save(entries if why is None else [*entries, entry])
                if isinstance(error, MachineError):
                    raise
                raise MachineError(f"no swap in {kind}: {error.strerror} (root may)") from error
        self._settings.borrow(PAGE_CLUSTER, "0")
        return path

    def _make_zram(self, entries: list[Entry], entry: Entry, size_bytes: int) -> Path:
        if not (_CONTROL / "hot_add").exists():
            raise MachineError("no zram: modprobe zram (CONFIG_ZRAM)")
        # Reading hot_add makes a device, also where /sys is read-only; removing it fails there.
        with (_CONTROL / "hot_remove").open("w"):
            pass
        entry["before"] = sorted(path.name for path in _BLOCK.glob("zram*"))
        self._ledger.save([*entries, entry])
        number = (_CONTROL / "hot_add").read_text().strip()
        entry["path"] = f"/dev/zram{number}"
        self._ledger.save([*entries, entry])
        (_BLOCK / f"zram{number}" / "disksize").write_text(str(size_bytes))
        return Path(entry["path"])

    def _make_file(self, entries: list[Entry], entry: Entry, size_bytes: int) -> Path:
        directory = file_directory()
        path = directory / f"swap-{os.getpid()}"
        entry["path"] = str(path)
        self._ledger.save([*entries, entry])
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                path.chmod(0o600)
                os.posix_fallocate(file.fileno(), 0, size_bytes)
                entry["inode"] = _inode(path)
        except OSError as error:
            raise MachineError(
                f"no swap file of {format_size(size_bytes)} in {directory}: {error.strerror} "
                "(VMABENCH_SWAP_DIR names another place)"
            ) from error
        self._ledger.save([*entries, entry])
        return path

    def switch(self, kind: str) -> Path | None:
        """Switch the one on and all others of the suite off; empty: all off.

        Return the file with the counters of the block device below it. Raise MachineError.
        """
        entries, _ = self._ledger.load()
        for entry in entries:
            if entry["kind"] != kind:
                _switch_off(entry)
        for entry in entries:
            if entry["kind"] == kind:
                if not _active_names(entry):
                    _command("swapon", "-p", str(PRIORITY), entry["path"])
                return _stat_file(Path(entry["path"]))
        if kind:
            raise MachineError(f"no swap device in {kind} was made for this run")
        return None

    def restore(self) -> list[str]:
        """Remove everything; return a line for each device. One that cannot be removed is kept."""
        lines = [f"{r.loan.path}: {r.outcome}" for r in self._settings.restore()]
        if not self._ledger.any():
            return lines
        with self._ledger.locked():
            entries, same_boot = self._ledger.load()
            kept = []
            for entry in reversed(entries):
                if entry["kind"] != "file" and not same_boot:
                    continue  # it ended with that boot
                if not same_boot:
                    entry.pop("inode", None)  # its number may be that of another file now
                why = _unmake(entry)
                name = entry["path"] or "a zram device"
                lines.append(f"{name}: {'removed' if why is None else why}")
                kept += [entry] if why else []
            self._ledger.save(kept[::-1])
        return lines


def _try_out(path: Path) -> None:
    """Switch it on and off; MachineError says why it can't be."""
    _command("mkswap", str(path))
    try:
        _command("swapon", "-p", str(PRIORITY), str(path))
    except MachineError as error:
        if path.is_block_device() or "Invalid argument" not in str(error):
            raise
        raise MachineError(
            f"a file in {path.parent} can't be swap: its file system has no such files "
            "(VMABENCH_SWAP_DIR names another place)"
        ) from error
    _command("swapoff", str(path))


def _inode(path: Path | str) -> list[int] | None:
    """Return device and inode of a file; None where there is no such file."""
    with contextlib.suppress(OSError):
        status = Path(path).stat()
        return [status.st_dev, status.st_ino]
    return None


def _active_names(entry: Entry) -> list[str]:
    """Return the names under which the device of an entry is switched on.

    A file has another one than was noted where a directory above it was renamed, or below another
    root directory. It is known by its inode then, and by its own name since inodes are reused.
    """
    path, inode = entry["path"], entry.get("inode")
    return [
        name
        for name in active()
        if name == path or (inode and Path(name).name == Path(path).name and _inode(name) == inode)
    ]


def _switch_off(entry: Entry) -> list[str]:
    """Switch the device of an entry off; return the names that it had. Raise MachineError."""
    names = _active_names(entry)
    for name in names:
        try:
            _command("swapoff", name)
        except MachineError as error:
            raise MachineError(f"{error}: run swapoff {shlex.quote(name)}") from error
    return names


def _unmake(entry: Entry) -> str | None:
    """Remove the device of an entry, as far as it was made; return the reason where it stays."""
    path = entry["path"]
    try:
        names = _switch_off(entry) if path else []
        if entry["kind"] == "file":
            for name in {path, *names} - {""}:
                Path(name).unlink(missing_ok=True)
            return None
        for name in [Path(path).name] if path else _unclaimed(entry["before"]):
            _remove_zram(name)
    except (MachineError, OSError) as error:
        return f"can't be removed: {error}"
    return None


def _remove_zram(name: str) -> None:
    if (_BLOCK / name).exists():
        _reset(_BLOCK / name / "reset")
        (_CONTROL / "hot_remove").write_text(name.removeprefix("zram"))


def _reset(file: Path) -> None:
    """Reset a device, which stays busy for a moment after swapoff has ended."""
    deadline = time.monotonic() + _BUSY_LIMIT_S
    while True:
        try:
            file.write_text("1")
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _unclaimed(before: list[str] | None) -> list[str]:
    """Return the new devices that nobody has set up, where no number was noted yet.

    Without a list of those before, none was made.
    """
    if before is None:
        return []
    return [
        path.name
        for path in _BLOCK.glob("zram*")
        if path.name not in before and (path / "initstate").read_text().strip() == "0"
    ]


def _stat_file(path: Path) -> Path | None:
    """Return the counters of the block device that a swap device is, or that its file is on."""
    with contextlib.suppress(OSError):
        status = path.stat()
        number = status.st_rdev or status.st_dev
        stat = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
        return stat if stat.exists() else None
    return None


def _command(name: str, *arguments: str) -> None:
    """Run a program of util-linux; MachineError has its last line."""
    try:
        done = subprocess.run(
            [name, *arguments], capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError as error:
        raise MachineError(f"no {name}: apt-get install util-linux") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise MachineError(f"{name} failed: {said[-1] if said else done.returncode}")
