# SPDX-License-Identifier: GPL-2.0-only
"""Build the selftests of process_vm_mmap(), run them in a guest, and judge output and log.

A series carries its own selftests: the call takes a pid on 6.12 and a pidfd on 7.3. Those of the
default series are ``kernel/selftests`` too.
"""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import KernelBuildError
from vmabench.guest import (
    against,
    boot,
    cache,
    git,
    kbuild,
    kconfig,
    programs,
    qemu,
    scratch,
    spec,
    splats,
    tap,
)

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
_TESTS = Path("tools/testing/selftests/process_vm_mmap")
_HEADER = Path("include/uapi/linux/process_vm_mmap.h")


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


def run(
    kernel: cache.Kernel,
    *,
    built_from: spec.Spec = spec.DEFAULT,
    accel: str = "auto",
    timeout: float = 1800.0,
) -> Selftests:
    """Run all programs in one guest; raise LostGuest if it dies.

    ``built_from`` is the kernel as the user names it: its series has the programs.

    Raise KernelBuildError for a kernel without the call, which has nothing to test.
    """
    if kconfig.parse(kernel.config.read_text()).get(OPTION) != "y":
        raise KernelBuildError(
            f"Linux {kernel.release} has no process_vm_mmap(): it lacks {OPTION}"
        )
    with scratch.directory() as directory:
        source = _of_series(kbuild.patches(kernel.flavour, built_from), directory / "series")
        version = against.version_of(kernel.release) if source else spec.DEFAULT_VERSION
        paths = build(directory, source, version)
        script = "; ".join(f"echo '{_MARK}{p.name}'; {shlex.quote(str(p))}" for p in paths)
        outcome = boot.run(
            ["sh", "-c", f"{script}; true"],
            kernel,
            machine=MACHINE,
            accel=accel,
            timeout=timeout,
        )
    return Selftests(split(outcome.stdout), outcome.splats, outcome.seconds)


def build(directory: Path, source: Path | None, version: str) -> list[Path]:
    """Build the programs of ``source``, or of kernel/selftests, with the harness of a version."""
    source = source or kbuild.project_kernel() / "selftests"
    return list(programs.compile_all(source, PROGRAMS, directory, version).values())


def _of_series(patches: Sequence[Path], directory: Path) -> Path | None:
    """Extract the selftests that a series adds; return their directory, or None if it has none."""
    directory.mkdir()
    git.extract(patches, [f"{_TESTS}/*", str(_HEADER)], directory)
    source = directory / _TESTS
    if not (source / "Makefile").exists():
        return None
    (source.parent / "uapi").mkdir()  # where their Makefile looks outside a tree
    shutil.copy(directory / _HEADER, source.parent / "uapi")
    return source


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
