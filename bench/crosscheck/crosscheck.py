# SPDX-License-Identifier: GPL-2.0-only
"""The core against yardsticks that share no code with it, interleaved in the same minutes.

``null`` alone; ``readv`` of 4K, and the baselines ``rep-movsb`` and ``avx``, against a bare C loop;
every mechanism of the plan quick against a bare C program; ``memcpy`` of 64M against ``perf bench
mem memcpy``. Prints the figures and the ratios with their intervals, and ends with status 1 if one
of them misses its limit. clone has no bare program: it needs the patched kernel.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS
from vmabench.runner.lock import only_run
from vmabench.runner.process import Worker
from vmabench.runner.protocol import Block, CaseJob, Job
from vmabench.runner.rounds import choose_cpus
from vmabench.units import format_size, format_time

HERE = Path(__file__).parent
ROUNDS = 12
MOST_ROUNDS = 72
VALUES = 5
#: The first milliseconds of a process are slower: caches, TLB and the host's part of both are
#: cold. In shorter values they would be compared, and not the operation.
VALUE_NS = 20e6
PILOT_LOOPS = 20
PR_SET_THP_DISABLE = 41

NULL_LIMIT_NS = 5.0
READV_LIMIT = 0.03
BASELINE_LIMIT = 0.03
MEMCPY_LIMIT = 0.05
MECHANISM_LIMIT = 0.05

#: those of the plan quick that a stock kernel has, ``null`` apart
TABLE = ("fork", "readv", "writev", "memfd", "memfd-inplace", "shm", "memcpy")
TABLE_SIZES = (16 << 10, 1 << 20)

#: baselines of one instruction; a CPU without it has no such row
BASELINES = ("rep-movsb", "avx")


def core_ns(case: Case, loops: int) -> float:
    """Return nanoseconds an operation of one fresh worker, its median value."""
    job = CaseJob(str(case), VALUES, loops, 1e6)
    memory = MECHANISMS[case.mechanism].memory
    block = Block(memory, case.page, case.size_bytes, (job,))
    with Worker(Job(os.getpid(), 1, 1, *choose_cpus(read_facts().cpus), (block,))) as worker:
        for message in worker.messages(lambda _last: 60.0):
            if message["kind"] == "case":
                if message["outcome"] != "ok" and case.mechanism in BASELINES:
                    return float("nan")
                if message["outcome"] != "ok":
                    sys.exit(f"crosscheck: {case}: {message['reason']}")
                return float(
                    np.median([value["time_ns"]["total"] / loops for value in message["values"]])
                )
    sys.exit(f"crosscheck: {case}: no answer")


def bare_ns(program: Path, case: Case, loops: int) -> float:
    """Return nanoseconds an operation of the bare program, its median value."""
    numbers = (case.size_bytes, loops, VALUES, *choose_cpus(read_facts().cpus))
    command = [str(program), case.mechanism, *map(str, numbers)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(np.median([float(line) for line in lines]))


def build_bare(folder: Path) -> Path:
    """Compile the bare program, static as the source process is, where there is a static libc."""
    program = folder / "bare"
    command = ["gcc", "-O2", "-o", str(program), str(HERE / "bare.c")]
    if subprocess.run([*command, "-static"], capture_output=True, check=False).returncode:
        subprocess.run(command, check=True)
    return program


def perf_memcpy_ns(size_bytes: int, loops: int) -> float:
    """Return those of libc's memcpy in base pages, on the receiver's CPU, as the core does it."""
    command = ["perf", "bench", "-f", "simple", "mem", "memcpy", "-f", "default"]
    command += ["-s", f"{size_bytes >> 20}MB", "-l", str(loops)]

    def prepare() -> None:
        os.sched_setaffinity(0, {choose_cpus(read_facts().cpus)[1]})
        ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)

    rates = []
    for _ in range(VALUES):
        run = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            preexec_fn=prepare,
        )
        rates.append(float(run.stdout.split()[-1]))
    return size_bytes / float(np.median(rates)) * 1e9


def interleave(
    core: Callable[[], float], yardstick: Callable[[], float], limit: float
) -> np.ndarray:
    """Return pairs of one measurement each, in alternating order. Shape (rounds, 2).

    ROUNDS of them, and as many again while the interval of the ratio holds a border of what
    ``limit`` allows, up to MOST_ROUNDS.
    """
    pairs: list[tuple[float, float]] = []
    while len(pairs) < MOST_ROUNDS:
        for number in range(ROUNDS):
            if number % 2:
                theirs, ours = yardstick(), core()
            else:
                ours, theirs = core(), yardstick()
            pairs.append((ours, theirs))
        _, low, high = median_ratio(np.array(pairs))
        if not any(low < border < high for border in (1 - limit, 1 + limit)):
            break
    return np.array(pairs)


def median_ratio(pairs: np.ndarray) -> tuple[float, float, float]:
    """Return the median ratio of ``pairs``, shape (rounds, 2), and its interval of 95 %."""
    ratios = pairs[:, 0] / pairs[:, 1]
    random = np.random.default_rng(1)
    draws = np.median(random.choice(ratios, (4000, len(ratios))), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


def judge(name: str, yardstick: str, pairs: np.ndarray, limit: float) -> bool:
    """Print both medians and the ratio; return whether the median ratio is within the limit."""
    ratio, low, high = median_ratio(pairs)
    good = abs(ratio - 1) <= limit
    ours, theirs = np.median(pairs, axis=0)
    print(
        f"{name:<17} core {format_time(ours):>9}   {yardstick} {format_time(theirs):>9}   "
        f"ratio {ratio:.4f} [{low:.4f}, {high:.4f}] over {len(pairs)} interleaved rounds, "
        f"limit {limit:.0%}: {'ok' if good else 'MISSED'}",
        flush=True,
    )
    return good


def against_bare(program: Path, case: Case, limit: float) -> bool:
    """Compare one case with the bare program; return whether it is within the limit."""
    pilot_ns = core_ns(case, PILOT_LOOPS)
    if np.isnan(pilot_ns):
        print(f"{case.mechanism:<17} this CPU does not have it")
        return True
    loops = max(1, round(VALUE_NS / pilot_ns))
    pairs = interleave(lambda: core_ns(case, loops), lambda: bare_ns(program, case, loops), limit)
    name = f"{case.mechanism} {format_size(case.size_bytes)}"
    return judge(name, "bare", pairs, limit)


def null_is_short(base: str) -> bool:
    """Print what the loop costs without an operation; return whether that is within the limit."""
    null = Case("null", "transfer", base, 4096)
    null_ns = [core_ns(null, 1_000_000) for _ in range(5)]
    good = max(null_ns) <= NULL_LIMIT_NS
    print(
        f"{'null':<17} {min(null_ns):.2f} to {max(null_ns):.2f} ns an operation, "
        f"limit {NULL_LIMIT_NS:.0f} ns: {'ok' if good else 'MISSED'}"
    )
    return good


def comparisons(base: str) -> list[tuple[Case, float]]:
    """Return case and limit of each comparison with a bare loop."""
    found = [(Case("readv", "transfer", base, 4096), READV_LIMIT)]
    for size_bytes in TABLE_SIZES:
        for names, limit in ((BASELINES, BASELINE_LIMIT), (TABLE, MECHANISM_LIMIT)):
            found += [(Case(name, "transfer", base, size_bytes), limit) for name in names]
    return found


def main() -> int:
    base = read_facts().pages[0]
    memcpy = Case("memcpy", "transfer", base, 64 << 20)
    with only_run(), tempfile.TemporaryDirectory() as folder:
        program = build_bare(Path(folder))
        results = [null_is_short(base)]
        results += [against_bare(program, *one) for one in comparisons(base)]
        pairs = interleave(
            lambda: core_ns(memcpy, 10),
            lambda: perf_memcpy_ns(memcpy.size_bytes, 10),
            MEMCPY_LIMIT,
        )
        results.append(judge("memcpy 64M", "perf bench", pairs, MEMCPY_LIMIT))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
