# SPDX-License-Identifier: GPL-2.0-only
"""Settings of the machine are borrowed: saved, changed, read back, and given back.

What a setting was is on the disk before it is changed, so that the next run, or ``vmabench tune
--restore``, can tidy up after one that was killed. A setting that somebody else has changed
meanwhile is left as it is.
"""

import contextlib
import re
from collections.abc import Mapping
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
            try:
                now = value_of(path)
            except OSError as error:
                raise MachineError(f"can't read the setting {path}: {error.strerror}") from error
            if now == value and path not in loans:
                return
            before = loans[path].before if path in loans else now
            self._save({**loans, path: Loan(path, before, value)})
            try:
                path.write_text(value)
                read_back = value_of(path)
            except OSError as error:
                self._give_up(loans, path, now)
                raise MachineError(
                    f"can't set {path} to {value}: {error.strerror} (root may)"
                ) from error
            if or_less and read_back.isdigit() and int(read_back) < int(value):
                self._save({**loans, path: Loan(path, before, read_back)})
            elif read_back != value:
                self._give_up(loans, path, now)
                raise MachineError(f"{path} was set to {value} and reads {read_back}")

    def any(self) -> bool:
        """Whether anything may be borrowed, without a look at what."""
        return self._ledger.any()

    def restore(self) -> list[Returned]:
        """Give everything back, the last loan first; what can't be given back stays a loan."""
        with self._ledger.locked():
            loans = self.loans()
            returned = [_give_back(loan) for loan in reversed(loans)]
            kept = {
                r.loan.path: r.loan for r in reversed(returned) if r.outcome.startswith("can't")
            }
            self._save(kept)
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
