# SPDX-License-Identifier: GPL-2.0-only
"""Settings of the machine are borrowed: saved, changed, read back, and given back.

What a setting was is on the disk before it is changed, so that the next run, or ``vmabench tune
--restore``, can tidy up after one that was killed. A setting that somebody else has changed
meanwhile is left as it is.
"""

import contextlib
import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import MachineError
from vmabench.machine.ledger import Ledger, state_path

__all__ = ["Loan", "Returned", "Settings", "state_path", "value_of"]


@dataclass(frozen=True, slots=True)
class Loan:
    """One setting: the file, what it was, and what it was set to."""

    path: Path
    before: str
    lent: str


@dataclass(frozen=True, slots=True)
class Returned:
    """What became of a loan: ``restored``, or why not."""

    loan: Loan
    outcome: str


def value_of(path: Path) -> str:
    """What a setting is; of ``always [madvise] never`` the word in brackets. Raises OSError."""
    text = path.read_text().strip()
    chosen = re.search(r"\[([^]]+)\]", text)
    return chosen[1] if chosen else text


class Settings:
    """The loans of this machine; they end with ``restore``, by whichever process."""

    def __init__(self, state: Path | None = None) -> None:
        self._ledger = Ledger(state or state_path(), "loans")

    def borrow(self, path: Path, value: str, *, or_less: bool = False) -> None:
        """Set a setting; the first loan of a path decides what it goes back to.

        Raises MachineError, and then the setting is as it was. ``or_less``: a number that the
        kernel did not reach is a loan as well.
        """
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
        """Borrow all of these and give back whatever else is borrowed; raises MachineError.

        What is lent as it is wanted is not touched, and the ledger is written once for all: each
        write of it waits for the disk, and some settings stop and start a thread of the kernel.
        """
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
        """Write one setting; what it reads then. If that is wrong, it and the ledger are as before.

        ``without`` are the loans that there are if this one is not to be.
        """
        try:
            path.write_text(value)
            read_back = value_of(path)
        except OSError as error:
            self._give_up(without, path, now)
            raise MachineError(
                f"can't set {path} to {value}: {error.strerror} ({_who_may(error)})"
            ) from error
        less = or_less and read_back.isdigit() and int(read_back) < int(value)
        if read_back != value and not less:
            self._give_up(without, path, now)
            raise MachineError(f"{path} was set to {value} and reads {read_back}")
        return read_back

    def any(self) -> bool:
        """Whether anything may be borrowed, without a look at what."""
        return self._ledger.any()

    def restore(self) -> list[Returned]:
        """Give everything back, the last loan first; what can't be given back stays a loan."""
        with self._ledger.locked():
            loans = self.loans()
            returned = [_give_back(loan) for loan in reversed(loans)]
            self._save(_kept(returned))
            return returned

    def loans(self) -> list[Loan]:
        """What is borrowed now; loans of a machine that was booted since are over."""
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


def _who_may(error: OSError) -> str:
    """Where settings are mounted read-only, root is as helpless as anybody."""
    return "as in a container: set it outside" if error.errno == errno.EROFS else "root may"


def _kept(returned: Sequence[Returned]) -> dict[Path, Loan]:
    """What could not be given back, and so stays a loan."""
    return {r.loan.path: r.loan for r in reversed(returned) if r.outcome.startswith("can't")}


def _unreturned(loans: Sequence[Loan]) -> dict[Path, Loan]:
    return _kept([_give_back(loan) for loan in reversed(loans)])


def _give_back(loan: Loan) -> Returned:
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
