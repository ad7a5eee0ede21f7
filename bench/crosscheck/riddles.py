# SPDX-License-Identifier: GPL-2.0-only
"""Two figures that differ from published ones, under the conditions that may explain them.

    make riddles                 takes two quiet minutes; as root, /dev/cpu_dma_latency is tried too

A ping-pong of 8 bytes through a pipe, with CPUs that may go idle and with CPUs that may not; and
pread() of /proc/PID/mem against process_vm_readv() of 16K. The C programs say what each condition
is. Prints their tables and judges nothing.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from vmabench.machine.facts import read_facts
from vmabench.runner.lock import only_run
from vmabench.runner.rounds import choose_cpus

HERE = Path(__file__).parent
PROGRAMS = ("pingpong_idle", "procmem_ratio")


def build(name: str, folder: Path) -> Path:
    """Compile a program of this directory into ``folder``; return its path."""
    program = folder / name
    subprocess.run(["gcc", "-O2", "-o", str(program), str(HERE / f"{name}.c")], check=True)
    return program


def main() -> int:
    cpus = [str(cpu) for cpu in choose_cpus(read_facts().cpus)]
    with only_run(), tempfile.TemporaryDirectory() as folder:
        for name in PROGRAMS:
            print(f"\n{name}", flush=True)
            subprocess.run([str(build(name, Path(folder))), *cpus], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
