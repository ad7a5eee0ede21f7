# SPDX-License-Identifier: GPL-2.0-only
"""Build the selftests of process_vm_mmap(), run them in a guest, and judge output and log."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import KernelBuildError
from vmabench.guest import boot, cache, kbuild, kconfig, programs, qemu, scratch, splats, tap

PROGRAMS = (
    "process_vm_mmap",
    "process_vm_mmap_errno",
    "process_vm_mmap_race",
    "process_vm_mmap_rmap",
)
# two nodes for migration, swap without I/O, and room for page tables in plenty
MACHINE = qemu.Machine(memory=2 << 30, cpus=2, cmdline="numa=fake=2", swap="zram")
OPTION = "CONFIG_PROCESS_VM_MMAP"
_MARK = "=== program "


@dataclass(frozen=True)
class Selftests:
    """The reports by program, and the complaints of the kernel meanwhile."""

    reports: dict[str, tap.Report]
    splats: tuple[splats.Splat, ...]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every program completed, no test failed and the log is clean."""
        return not self.splats and all(report.good for report in self.reports.values())

    def lines(self) -> list[str]:
        """Return a summary of each program, then each failure and complaint, one per line."""
        text = [_line(name, report) for name, report in self.reports.items()]
        for name, report in self.reports.items():
            text += [f"FAILED {name}: {r.name}" for r in report.results if r.verdict == "failed"]
        return text + [f"KERNEL log line {splat.line}: {splat.text}" for splat in self.splats]


def run(kernel: cache.Kernel, *, accel: str = "auto", timeout: float = 1800.0) -> Selftests:
    """Run all programs in one guest; raise LostGuest if it dies.

    Raise KernelBuildError for a kernel without the call, which has nothing to test.
    """
    if kconfig.parse(kernel.config.read_text()).get(OPTION) != "y":
        raise KernelBuildError(
            f"Linux {kernel.release} has no process_vm_mmap(): it lacks {OPTION}"
        )
    with scratch.directory() as directory:
        paths = build(directory)
        script = "; ".join(f"echo '{_MARK}{p.name}'; {shlex.quote(str(p))}" for p in paths)
        outcome = boot.run(
            ["sh", "-c", f"{script}; true"],
            kernel,
            machine=MACHINE,
            accel=accel,
            timeout=timeout,
        )
    return Selftests(split(outcome.stdout), outcome.splats, outcome.seconds)


def build(directory: Path) -> list[Path]:
    """Build the programs out of tree, against the sources of the kernel."""
    source = kbuild.project_kernel() / "selftests"
    return list(programs.compile_all(source, PROGRAMS, directory).values())


def split(stdout: str) -> dict[str, tap.Report]:
    """Return the report of each program, also of one without output."""
    reports = {name: tap.parse("") for name in PROGRAMS}
    for part in stdout.split(_MARK)[1:]:
        name, _, text = part.partition("\n")
        reports[name.strip()] = tap.parse(text)
    return reports


def _line(name: str, report: tap.Report) -> str:
    text = f"{name}: {report.count('ok')} passed, {report.count('failed')} failed"
    if report.count("skipped"):
        text += f", {report.count('skipped')} skipped"
    return text + (f" ({report.problem})" if report.problem else "")
