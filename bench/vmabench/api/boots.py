# SPDX-License-Identifier: GPL-2.0-only
"""Measure a plan in one boot of a kernel, and add it to a result of several boots."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w

from vmabench import guest
from vmabench.api.in_guest import PLAN_LIMIT_S
from vmabench.api.options import RunOptions
from vmabench.api.output import warn
from vmabench.errors import LostGuest, MachineError
from vmabench.guest import functions
from vmabench.matrix.plans import Plan, load_plan, scaled
from vmabench.runner.process import PYTHON
from vmabench.signals import uninterrupted
from vmabench.store.boots import Boots
from vmabench.store.format import SAMPLES
from vmabench.store.functions import function_records
from vmabench.store.reader import read


class NothingMeasured(MachineError):  # noqa: N818 - as LostGuest
    """The command of a boot has failed, and left no result."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The settings that all boots have in common.

    ``watched``: the instructions of functions are counted too. ``streamed``: the guest's output is
    copied to this process's. ``directory`` is where unfinished boots lie.
    """

    plan: Plan
    machine: guest.Machine
    accel: str
    watched: bool
    directory: Path
    streamed: bool = True
    limit_s: float = PLAN_LIMIT_S


def plan_of_boots(options: RunOptions, accel: str) -> Plan:
    """Return the plan of all boots of a kernel; raises UsageError."""
    plan = load_plan(options.plan)
    if accel == "tcg":
        plan = scaled(plan)
    plan = options.with_axes(plan)
    return replace(plan, budget_s=options.budget_s(plan), emulated=None)


def can_watch() -> bool:
    """Return whether the instructions of functions can be counted; warn if they can't."""
    why_not = functions.why_not()
    if why_not:
        warn(f"functions are not counted: {why_not}")
    return why_not is None


def measure_boot(
    conditions: Conditions, kernel: guest.Kernel, store: Boots, number: int, seed: int
) -> LostGuest | None:
    """Measure one boot; return the error of a lost guest, of which the store keeps the reason.

    The store has the whole rounds of the boot, also after an interrupt. Raises NothingMeasured.
    """
    with tempfile.TemporaryDirectory(prefix=".boot-", dir=conditions.directory) as scratch_name:
        scratch = Path(scratch_name)
        try:
            _measure(conditions, kernel, seed, scratch)
        except LostGuest as lost:
            store.lose(number, str(lost))
            return lost
        except KeyboardInterrupt:
            with uninterrupted():
                _keep(store, number, scratch, "interrupted")
            raise
        _keep(store, number, scratch, "done")
        return None


def _measure(conditions: Conditions, kernel: guest.Kernel, seed: int, scratch: Path) -> None:
    """Measure the plan in a guest, samples below ``scratch``; raises LostGuest."""
    (scratch / "plan.toml").write_text(tomli_w.dumps(conditions.plan.to_toml()))
    command = [*PYTHON, "-m", "vmabench", "run", str(scratch / "plan.toml")]
    command += ["--samples-only", "--seed", str(seed), "-o", str(scratch / "result")]
    machine = replace(conditions.machine, shares=(scratch,))
    if conditions.watched:
        machine = functions.watched(machine, kernel, scratch / "functions")
    outcome = guest.run(
        command,
        kernel,
        machine=machine,
        accel=conditions.accel,
        timeout=conditions.limit_s,
        stream=conditions.streamed,
    )
    if outcome.splats:
        splat = outcome.splats[0]
        raise LostGuest(f"its kernel complained: {splat.text}", splat.context, outcome.log, "")
    if outcome.status != 0 or not (scratch / "result" / SAMPLES).exists():
        raise NothingMeasured(
            f"the plan can't be measured in the guest (status {outcome.status})"
            + ("" if conditions.streamed else f": {_last_line(outcome.stderr)}")
        )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason was printed"])[-1]


def _keep(store: Boots, number: int, scratch: Path, status: str) -> None:
    if not (scratch / "result" / SAMPLES).exists():
        return
    result = read(scratch / "result")
    counted = scratch / "functions"
    counts = functions.read_counts(counted) if counted.exists() else {}
    store.add(number, result, function_records(result, counts), status)
