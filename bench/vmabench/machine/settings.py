# SPDX-License-Identifier: GPL-2.0-only
"""Borrow settings of the machine: save, change, read back and restore them.

The value before is on the disk before a setting is changed, so the next run, or ``vmabench tune
--restore``, can restore what a killed one has left. A setting that somebody else has changed
meanwhile is left as it is.
"""

import contextlib
import errno
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import MachineError
from vmabench.machine.ledger import STATE, Ledger

__all__ = ["Loan", "Returned", "Settings", "value_of"]


@dataclass(frozen=True, slots=True)
class Loan:
    """One setting: the file, its value before, and the value that it was set to."""

    path: Path
    before: str
    lent: str


@dataclass(frozen=True, slots=True)
class Returned:
    """The outcome for a loan: ``restored``, or why not."""

    loan: Loan
    outcome: str


def value_of(path: Path) -> str:
    """Return the value of a setting; of a list the word in brackets. OSError."""
    text = path.read_text().strip()
    chosen = re.search(r"\[([^]]+)\]", text)
    return chosen[1] if chosen else text


class Settings:
    """The loans of this machine; any process ends them with ``restore``."""

    def __init__(self, state: Path = STATE / "settings.json") -> None:
        self._ledger = Ledger(state, "loans")

    def borrow(self, path: Path, value: str, *, or_less: bool = False) -> None:
        """Set a setting; the first loan of a path decides the value that is restored.

        Raise MachineError with the setting as it was. ``or_less``: a number that the kernel did
        not reach is a loan as well.
        """
        if _read(path) == value and not self.any():
            return
        _check_permitted(path, value)
        with self._ledger.locked():
            loans = {loan.path: loan for loan in self.loans()}
            now = _read(path)
            if now == value and path not in loans:
                return
            before = loans[path].before if path in loans else now
            self._save({**loans, path: Loan(path, before, value)})
            read_back = self._set(path, value, now, loans, or_less=or_less)
            if read_back != value:
                self._save({**loans, path: Loan(path, before, read_back)})

    def switch(self, wanted: Mapping[Path, str]) -> None:
        """Borrow all of these and restore all others that are borrowed; raise MachineError.

        A setting that has the wanted value is not written: some of them stop and start a thread of
        the kernel. The ledger is written once for all, since each write waits for the disk.
        """
        differing = {path: value for path, value in wanted.items() if _read(path) != value}
        if not differing and not self.any():
            return
        for path, value in differing.items():
            _check_permitted(path, value)
        with self._ledger.locked():
            same = {loan.path: loan for loan in self.loans() if wanted.get(loan.path) == loan.lent}
            over = [loan for loan in self.loans() if loan.path not in same]
            loans = same | _unreturned(over)
            now = {path: _read(path) for path in wanted}
            for path, value in wanted.items():
                if now[path] != value:
                    loans[path] = Loan(path, now[path], value)
            self._save(loans)
            for path, value in wanted.items():
                if now[path] != value:
                    without = {other: loan for other, loan in loans.items() if other != path}
                    self._set(path, value, now[path], without)

    def _set(
        self,
        path: Path,
        value: str,
        now: str,
        without: Mapping[Path, Loan],
        *,
        or_less: bool = False,
    ) -> str:
        """Write one setting and return its value then; if that is wrong, restore the one before.

        ``without`` are the loans to note in that case.
        """
        try:
            path.write_text(value)
            read_back = value_of(path)
        except OSError as error:
            self._give_up(without, path, now)
            raise _refused(path, value, error) from error
        less = or_less and read_back.isdigit() and int(read_back) < int(value)
        if read_back != value and not less:
            self._give_up(without, path, now)
            raise MachineError(f"{path} was set to {value} and reads {read_back}")
        return read_back

    def any(self) -> bool:
        """Return whether there may be a loan that this user can end."""
        return self._ledger.any()

    def restore(self) -> list[Returned]:
        """Restore everything, the last loan first; a loan that cannot be ended is kept."""
        if not self.any():
            return []
        with self._ledger.locked():
            loans = self.loans()
            returned = [_restore(loan) for loan in reversed(loans)]
            self._save(_kept(returned))
            return returned

    def loans(self) -> list[Loan]:
        """Return the loans of this boot; a boot ends those before it."""
        entries, same_boot = self._ledger.load()
        if not same_boot:
            return []
        try:
            return [Loan(Path(k["path"]), str(k["before"]), str(k["lent"])) for k in entries]
        except (KeyError, TypeError) as error:
            raise self._ledger.damaged(error) from error

    def _give_up(self, loans: Mapping[Path, Loan], path: Path, now: str) -> None:
        with contextlib.suppress(OSError):
            path.write_text(now)
        self._save(loans)

    def _save(self, loans: Mapping[Path, Loan]) -> None:
        self._ledger.save(
            [
                {"path": str(loan.path), "before": loan.before, "lent": loan.lent}
                for loan in loans.values()
            ]
        )


def _read(path: Path) -> str:
    try:
        return value_of(path)
    except OSError as error:
        raise MachineError(f"can't read the setting {path}: {error.strerror}") from error


def _check_permitted(path: Path, value: str) -> None:
    """Open a setting for writing before anything is noted; raise MachineError."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    except OSError as error:
        raise _refused(path, value, error) from error


def _refused(path: Path, value: str, error: OSError) -> MachineError:
    """Where settings are mounted read-only, root cannot write them either."""
    may = "as in a container: set it outside" if error.errno == errno.EROFS else "root may"
    return MachineError(f"can't set {path} to {value}: {error.strerror} ({may})")


def _kept(returned: Sequence[Returned]) -> dict[Path, Loan]:
    """Return the loans that could not be ended."""
    return {r.loan.path: r.loan for r in reversed(returned) if r.outcome.startswith("can't")}


def _unreturned(loans: Sequence[Loan]) -> dict[Path, Loan]:
    return _kept([_restore(loan) for loan in reversed(loans)])


def _restore(loan: Loan) -> Returned:
    try:
        now = value_of(loan.path)
        if now == loan.before:
            return Returned(loan, "was so already")
        if now != loan.lent:
            return Returned(loan, f"left at {now}: somebody else has changed it")
        loan.path.write_text(loan.before)
    except FileNotFoundError:
        return Returned(loan, "is gone")
    except OSError as error:
        return Returned(loan, f"can't be restored: {error.strerror}")
    return Returned(loan, "restored")
