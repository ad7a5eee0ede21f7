# SPDX-License-Identifier: GPL-2.0-only
"""Options of a run, as the command line and Python give them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vmabench import guest
from vmabench.errors import UsageError
from vmabench.matrix.axes import AXES, SWEEP_AXES
from vmabench.matrix.plans import Plan, override
from vmabench.units import format_size, parse_duration, parse_size

#: the axes of a plan that a run may replace
PLAN_AXES = (*SWEEP_AXES, *AXES)

DEFAULT_MEMORY = 2 << 30
LEAST_MEMORY = 256 << 20
MOST_CPUS = 16  # CONFIG_NR_CPUS of kernel/config/base.config


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Describe a run. None is the plan's own value, or a default.

    plan: a name from ``vmabench list plans``, or the path of a file that ends in .toml.
    axes: axis -> values that replace those of the plan; the names are PLAN_AXES.
    budget: the most time that the run takes, as in ``90s`` or ``15m``.
    seed: of the data and of the order of the cases.
    output: the path of a new directory; by default a directory below ``results``.
    counters: read counters beside the times.
    inject: ``CASE=300ns``, a delay that a test of this tool adds to a case.
    pin: ``SRC,DST``, the CPUs of source and receiver; by default two cores of one last-level cache.
    progress: show progress on standard error, or in the cell of a notebook.
    """

    plan: str = "quick"
    axes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    budget: str | None = None
    seed: int | None = None
    output: str | None = None
    counters: bool = True
    inject: tuple[str, ...] = ()
    pin: str | None = None
    progress: bool = True

    def with_axes(self, plan: Plan) -> Plan:
        """Return a plan with the axes of these options; raises UsageError."""
        return override(plan, self.axes)

    def budget_s(self, plan: Plan) -> float:
        """Return the budget in seconds, by default that of the plan."""
        return parse_duration(self.budget) if self.budget else plan.budget_s


@dataclass(frozen=True, slots=True)
class Guest:
    """Describe a virtual machine and its kernel, by default the patched kernel of this checkout.

    memory: its size, as in ``4G``; 2G by default.
    cpus: 1 to 16; 2 by default, and 1 by the instruction clock.
    accel: ``kvm``, ``tcg`` (emulation), or ``auto``, which tries KVM and else emulates.
    clock: ``time``, or ``instructions``: the guest's clock counts them, one to the nanosecond.
    append: arguments for its kernel.
    kernel: a version that Debian packages, as in ``7.3``; a directory or tarball of sources;
        ``GITDIR@REF``; or a bzImage.
    series: ``default``, ``none``, a directory of patches, or a range of commits ``A..B`` of the
        git repository ``kernel``. By default a version that has a series of its own gets it.

    >>> import vmabench as vb
    >>> vb.Guest(memory="4G", clock="instructions").clock
    'instructions'
    """

    memory: str | None = None
    cpus: int | None = None
    accel: str = "auto"
    clock: Literal["time", "instructions"] = "time"
    append: str = ""
    kernel: str | None = None
    series: str | None = None

    @property
    def counted(self) -> bool:
        """Return whether instructions are counted in place of the time."""
        return self.clock == "instructions"

    def kernel_spec(self) -> guest.Spec:
        """Return the kernel for ``vmabench.guest``."""
        return guest.Spec(self.kernel, self.series)

    def machine(self) -> guest.Machine:
        """Return the machine for ``vmabench.guest``; raises UsageError."""
        if self.counted and self.accel == "kvm":
            raise UsageError("the instruction clock exists under emulation only: use --accel tcg")
        cpus = self.cpus if self.cpus is not None else (1 if self.counted else 2)
        if self.counted and cpus != 1:
            raise UsageError(
                "the instruction clock needs --cpus 1: its counts repeat with one alone"
            )
        if not 1 <= cpus <= MOST_CPUS:
            raise UsageError(f"--cpus {cpus}: a guest has 1 to {MOST_CPUS}")
        memory = parse_size(self.memory) if self.memory else DEFAULT_MEMORY
        if memory < LEAST_MEMORY:
            raise UsageError(f"--memory {self.memory}: a guest needs {format_size(LEAST_MEMORY)}")
        return guest.Machine(memory=memory, cpus=cpus, cmdline=self.append, clock=self.clock)
