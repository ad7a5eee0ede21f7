# SPDX-License-Identifier: GPL-2.0-only
"""Sources of noise on this machine: measured for a second, and read from settings.

How much a fixed piece of work scatters is measured; which setting causes it is a guess. So a
measurement has a weight, and a setting has a fix.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from vmabench.machine.conditions import FAST_CLOCKSOURCES, read_conditions
from vmabench.machine.facts import MachineFacts, read_text
from vmabench.machine.tuning import examine

#: the duration of each measurement, and the work between two readings of the clock
SECONDS = 1.0
SPIN_BYTES = 64 << 10
COPY_BYTES = 4 << 20
#: the middle 80 % of a fixed piece of work on a quiet machine lie closer together than this
QUIET_PCT = 5.0

_CPU = "sys/devices/system/cpu"
_DAMON = "sys/kernel/mm/damon/admin/kdamonds"
_CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource"
_TUNE = "python -m pyperf system tune"


@dataclass(frozen=True, slots=True)
class Noise:
    """One source of noise: ``ok`` or ``noisy``. ``weight_pct`` is None where it is not measured."""

    name: str
    state: str
    what: str
    weight_pct: float | None = None
    fix: str = ""


def measured(cpu: int, seconds: float = SECONDS) -> list[Noise]:
    """Measure the scatter of a fixed spin and of a fixed copy on a CPU, and the steal time."""
    source, target = bytes(COPY_BYTES), bytearray(COPY_BYTES)

    def copy() -> None:
        target[:] = source

    block = bytes(SPIN_BYTES)
    before, kept = _steal_ticks(), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        spin = scatter_pct(lambda: hashlib.sha256(block), seconds)
        memory = scatter_pct(copy, seconds)
    finally:
        os.sched_setaffinity(0, kept)
    found = [
        _scattered("spin", "a fixed computation", spin),
        _scattered("memcpy", "a fixed copy of 4M", memory),
    ]
    return [*found, *_stolen(before, _steal_ticks(), 2 * seconds)]


def scatter_pct(work: Callable[[], object], seconds: float) -> float:
    """Return the width of the middle 80 % of the times of one work, in percent of the median."""
    times_ns: list[int] = []
    end = time.monotonic() + seconds
    for _ in range(3):
        work()  # caches, frequency
    while len(times_ns) < 20 or time.monotonic() < end:
        start_ns = time.perf_counter_ns()
        work()
        times_ns.append(time.perf_counter_ns() - start_ns)
    return width_pct(times_ns)


def width_pct(times_ns: Sequence[int]) -> float:
    tenths = quantiles(times_ns, n=10)
    return 100 * (tenths[8] - tenths[0]) / max(tenths[4], 1e-9)


def from_settings(facts: MachineFacts, root: Path = Path("/")) -> Iterator[Noise]:
    """Yield the settings below ``root`` that disturb a measurement."""
    for state in examine(root):
        if not state.fits:
            what = f"{state.now}; at {state.advice.value} it {state.advice.why}"
            yield Noise(state.advice.name, "noisy", what, fix="vmabench tune --apply")
    yield from _clock(root)
    governor = _read(root / _CPU / "cpu0/cpufreq/scaling_governor")
    if governor and governor != "performance":
        yield Noise("governor", "noisy", f"{governor}: the frequency follows the load", fix=_TUNE)
    if _turbo(root):
        what = "on: the frequency depends on the load of the other CPUs"
        yield Noise("turbo", "noisy", what, fix=_TUNE)
    if facts.smt == "on":
        what = "on: two of the CPUs may share a core"
        yield Noise("smt", "noisy", what, fix=f"echo off > /{_CPU}/smt/control")
    watchers = _watchers(root)
    if watchers:
        what = f"{watchers} of DAMON: it clears accessed bits, and may page out, on any memory"
        fix = f"echo off > /{_DAMON}/NR/state, for each NR, if nobody needs it"
        yield Noise("damon", "noisy", what, fix=fix)
    if facts.virt != "none":
        yield Noise("virtualisation", "noisy", f"{facts.virt}: the host does what it does")


def _clock(root: Path) -> Iterator[Noise]:
    """Yield a clocksource that is read by a system call, or from a slow device."""
    known = read_conditions(root)["clocksource"]
    if known["now"] is None or known["now"] in FAST_CLOCKSOURCES:
        return
    fast = [name for name in known["available"] or () if name in FAST_CLOCKSOURCES]
    fix = f"echo {fast[0]} > /{_CLOCK}" if fast else "look for 'clocksource' in dmesg"
    what = f"{known['now']}: each reading of the clock is a system call and adds to every value"
    yield Noise("clocksource", "noisy", what, fix=fix)


def _watchers(root: Path) -> str:
    """Return how many DAMON threads watch accesses to memory; empty for none."""
    running = [file for file in (root / _DAMON).glob("*/state") if _read(file) == "on"]
    return f"{len(running)} thread{'s' if len(running) > 1 else ''}" if running else ""


def _turbo(root: Path) -> bool:
    no_turbo = _read(root / _CPU / "intel_pstate/no_turbo")
    return no_turbo == "0" or _read(root / _CPU / "cpufreq/boost") == "1"


def _scattered(name: str, what: str, weight_pct: float) -> Noise:
    state = "noisy" if weight_pct > QUIET_PCT else "ok"
    return Noise(name, state, f"{what} scatters by {weight_pct:.1f} %", weight_pct)


def _stolen(before: int | None, after: int | None, seconds: float) -> Iterator[Noise]:
    if before is None or after is None:
        return
    cpus = os.cpu_count() or 1
    share_pct = 100 * (after - before) / (os.sysconf("SC_CLK_TCK") * seconds * cpus)
    state = "noisy" if share_pct > 0 else "ok"
    yield Noise("steal", state, f"the host took {share_pct:.1f} % of the time", share_pct)


def _steal_ticks() -> int | None:
    words = _read(Path("/proc/stat")).partition("\n")[0].split()
    return int(words[8]) if words[0:1] == ["cpu"] and len(words) > 8 else None


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except OSError:
        return ""
