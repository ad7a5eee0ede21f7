# SPDX-License-Identifier: GPL-2.0-only
"""The settings of memory management that disturb a measurement, with the values advised.

``pyperf system tune`` sets CPU frequency, turbo and interrupts.
"""

from dataclasses import dataclass
from pathlib import Path

from vmabench.machine.settings import value_of

_THP = "sys/kernel/mm/transparent_hugepage"


@dataclass(frozen=True, slots=True)
class Advice:
    """A setting, the value advised during a measurement, and why."""

    name: str
    file: str
    value: str
    why: str


ADVICE = (
    Advice(
        "khugepaged",
        f"{_THP}/khugepaged/scan_sleep_millisecs",
        "3600000",
        "scans once an hour: it would collapse base pages into huge ones in mid-run",
    ),
    Advice(
        "thp-defrag",
        f"{_THP}/defrag",
        "madvise",
        "compacts at a fault where huge pages were asked for, and nowhere else",
    ),
    Advice("ksm", "sys/kernel/mm/ksm/run", "0", "stops: merging scans, write-protects and splits"),
    Advice(
        "numa-balancing",
        "proc/sys/kernel/numa_balancing",
        "0",
        "takes no hinting faults, which unmap pages to see who uses them",
    ),
    Advice(
        "compaction",
        "proc/sys/vm/compaction_proactiveness",
        "0",
        "moves no pages unless an allocation needs it",
    ),
    Advice(
        "watermark-boost",
        "proc/sys/vm/watermark_boost_factor",
        "0",
        "reclaims no more than asked after a fragmenting allocation",
    ),
    Advice(
        "swappiness",
        "proc/sys/vm/swappiness",
        "1",
        "drops page cache before it swaps the memory that is measured",
    ),
    Advice(
        "vmstat",
        "proc/sys/vm/stat_interval",
        "120",
        "folds the counters of each CPU seldom: it wakes every CPU",
    ),
    Advice(
        "zone-reclaim",
        "proc/sys/vm/zone_reclaim_mode",
        "0",
        "allocates from another node before it reclaims on this one",
    ),
)


@dataclass(frozen=True, slots=True)
class State:
    """A setting on this machine; ``now`` is None where the kernel does not have it."""

    advice: Advice
    path: Path
    now: str | None

    @property
    def fits(self) -> bool:
        return self.now in (None, self.advice.value)


def examine(root: Path = Path("/")) -> list[State]:
    """Return the state of each advised setting below ``root``."""
    states = []
    for advice in ADVICE:
        path = root / advice.file
        try:
            now = value_of(path)
        except OSError:
            now = None
        states.append(State(advice, path, now))
    return states
