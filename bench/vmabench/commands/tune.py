# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench tune``: the settings of memory management, shown, applied and given back."""

import argparse

from vmabench.commands.output import say, warn
from vmabench.errors import MachineError
from vmabench.machine.cgroup import MemoryGroups
from vmabench.machine.ledger import check_restorable
from vmabench.machine.pages import BorrowedPages
from vmabench.machine.settings import Returned, Settings
from vmabench.machine.swap import SwapDevices
from vmabench.machine.tuning import State, examine
from vmabench.runner.lock import only_run
from vmabench.runner.lockwait import TraceInstances

DONE, NOT_ALL = 0, 2


def tune(args: argparse.Namespace) -> int:
    if args.restore:
        with only_run():
            return _restore()
    if args.apply:
        with only_run():
            return _apply()
    return _show()


def _show() -> int:
    for state in examine():
        say(f"{_line(state)}\n{'':17}{state.advice.why}")
    settings = Settings()
    loans = settings.loans() if settings.any() else []
    if loans:
        say(f"\n{len(loans)} settings are borrowed now: vmabench tune --restore gives them back")
    else:
        say("\nvmabench tune --apply sets these; --restore gives them back")
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
    say("vmabench tune --restore gives them back; a reboot does as well")
    return NOT_ALL if failed else DONE


def _restore() -> int:
    check_restorable()
    lines = [_told(one) for one in Settings().restore()]
    lines += BorrowedPages().restore()
    # what a killed run has made, and nobody removed yet
    for made in (SwapDevices(), MemoryGroups(), TraceInstances()):
        lines += made.restore()
    for line in lines or ["nothing is borrowed"]:
        say(line)
    return NOT_ALL if any(": can't" in line for line in lines) else DONE


def _told(returned: Returned) -> str:
    loan = returned.loan
    to = f" to {loan.before}" if returned.outcome == "restored" else ""
    return f"{loan.path}: {returned.outcome}{to}"
