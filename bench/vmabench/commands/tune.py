# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench tune``: show the settings of memory management, apply and restore them."""

from vmabench.api.output import say, warn
from vmabench.errors import MachineError
from vmabench.machine.cgroup import MemoryGroups
from vmabench.machine.ledger import check_restorable
from vmabench.machine.pages import BorrowedPages
from vmabench.machine.settings import Returned, Settings
from vmabench.machine.swap import SwapDevices
from vmabench.machine.tuning import State, examine
from vmabench.runner.lock import only_run
from vmabench.runner.lockwait import TraceInstances
from vmabench.signals import uninterrupted

DONE, NOT_ALL = 0, 2


def tune(*, apply: bool, restore: bool) -> int:
    """Show the settings, apply the advised ones, or restore the old ones."""
    if not (apply or restore):
        return _show()
    # An interrupt would leave some of the settings changed; all of them take milliseconds.
    with only_run(), uninterrupted():
        return _apply() if apply else _restore()


def _show() -> int:
    for state in examine():
        say(f"{_line(state)}\n{'':17}{state.advice.why}")
    settings = Settings()
    loans = settings.loans() if settings.any() else []
    if loans:
        say(f"\n{len(loans)} settings are borrowed now: vmabench tune --restore restores them")
    else:
        say("\nvmabench tune --apply sets these, --restore restores them")
    say("CPU frequency, turbo and interrupts: python -m pyperf system tune")
    return DONE


def _line(state: State) -> str:
    now = "not on this kernel" if state.now is None else state.now
    change = "" if state.fits else f" -> {state.advice.value}"
    return f"{state.advice.name:16} {now}{change}"


def _apply() -> int:
    settings, failed = Settings(), 0
    for state in examine():
        if state.fits:
            continue
        try:
            settings.borrow(state.path, state.advice.value)
            say(f"{_line(state)}: set")
        except MachineError as error:
            warn(str(error))
            failed += 1
    say("vmabench tune --restore restores them; a reboot does as well")
    return NOT_ALL if failed else DONE


def _restore() -> int:
    check_restorable()
    lines = [_told(one) for one in Settings().restore()]
    lines += BorrowedPages().restore()
    # devices, cgroups and trace instances that a killed run has left
    for made in (SwapDevices(), MemoryGroups(), TraceInstances()):
        lines += made.restore()
    for line in lines or ["nothing is borrowed"]:
        say(line)
    return NOT_ALL if any(": can't" in line for line in lines) else DONE


def _told(returned: Returned) -> str:
    loan = returned.loan
    to = f" to {loan.before}" if returned.outcome == "restored" else ""
    return f"{loan.path}: {returned.outcome}{to}"
