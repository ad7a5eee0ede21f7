# SPDX-License-Identifier: GPL-2.0-only
"""Has every cell of the matrix a value or a reason? Of a result, or of a run of the plan matrix.

A cell is one mechanism on one kind of page at one size. Cells that failed have a reason as well,
but not one that anybody foresaw: they are listed, and the check fails. So it does where a run on
this machine has swapped, or has left it with less memory.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from vmabench.machine.facts import MachineFacts
from vmabench.matrix.case import Case
from vmabench.matrix.table import ROWS
from vmabench.store.format import Result
from vmabench.store.reader import machine_facts, read
from vmabench.units import parse_size

DONE, UNSTABLE = 0, 2

#: what points to the last run
LATEST = "results/latest"

#: the pages on the list of one CPU, in /proc/zoneinfo
_ON_CPU_LISTS = re.compile(r"^ +count: +(\d+)$", re.MULTILINE)

#: What others on the machine may take meanwhile. A buffer of the largest cases is twice that.
SLACK_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the whole machine: what is free to use, in the pools, and was ever swapped."""

    available_bytes: int
    pool_pages: int
    swapped_in_pages: int
    swapped_out_pages: int


def read_memory(proc: Path = Path("/proc")) -> Memory:
    # Since Linux 6.7 a CPU may keep an eighth of a zone on lists of its own, which it gives back
    # over minutes. That memory is free, but neither MemFree nor MemAvailable counts it.
    listed_pages = sum(map(int, _ON_CPU_LISTS.findall((proc / "zoneinfo").read_text())))
    lines = f"{(proc / 'meminfo').read_text()}{(proc / 'vmstat').read_text()}".splitlines()
    values = {line.split()[0].rstrip(":"): int(line.split()[1]) for line in lines}
    return Memory(
        (values["MemAvailable"] << 10) + listed_pages * os.sysconf("SC_PAGE_SIZE"),
        values.get("HugePages_Total", 0),
        values.get("pswpin", 0),
        values.get("pswpout", 0),
    )


def lost(before: Memory, after: Memory) -> list[str]:
    """What a run has not given back, or should not have done, a line each."""
    wrong = []
    missing = before.available_bytes - after.available_bytes
    if missing > SLACK_BYTES:
        wrong.append(f"memory: {missing / (1 << 30):.1f} GiB less are available than before")
    if after.pool_pages != before.pool_pages:
        wrong.append(f"pools: {after.pool_pages} pages, {before.pool_pages} before")
    swapped_in = after.swapped_in_pages - before.swapped_in_pages
    swapped_out = after.swapped_out_pages - before.swapped_out_pages
    if swapped_in or swapped_out:
        wrong.append(f"swap: {swapped_in} pages were read, {swapped_out} written")
    return wrong


def cells_of(result: Result) -> list[Case]:
    """Every mechanism on every page of that machine, at each size that the plan names."""
    facts = MachineFacts(**machine_facts(result))
    sizes = dict.fromkeys(size for sweep in result.plan["sweep"] for size in sweep["size"])
    return [
        Case(row.name, "transfer", page, parse_size(size))
        for row, page, size in product(ROWS, facts.all_pages, sizes)
    ]


def states(result: Result) -> dict[str, str]:
    """Case -> ``value``, ``reason``, or ``failed: why``; what is not here is a gap."""
    found: dict[str, str] = {}
    for record in result.records:
        if record["kind"] == "skipped" and record.get("reason"):
            found.setdefault(record["case"], "reason")
        elif record["kind"] == "case" and record["outcome"] == "ok" and record["values"]:
            found.setdefault(record["case"], "value")
        elif record["kind"] == "case" and record.get("reason"):
            found[record["case"]] = f"failed: {record['reason']}"
    return found


def check(result: Result, cells: Sequence[Case]) -> list[str]:
    """What is wrong, a line each; empty where every cell has a value or a reason."""
    found = states(result)
    gaps = [str(cell) for cell in cells if str(cell) not in found]
    failed = [f"{name}: {state}" for name, state in found.items() if state.startswith("failed")]
    counts = Counter(found.get(str(cell), "gap").partition(":")[0] for cell in cells)
    words = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    print(f"{len(cells)} cells: {words}")
    return [*(f"gap: {name}" for name in gaps), *failed]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", help="a result; without it the plan is run")
    parser.add_argument("--guest", action="store_true", help="run it in the guest, smaller sizes")
    parser.add_argument("-o", "--output", help="where a run goes, if not where any run does")
    args = parser.parse_args()
    directory = Path(args.directory or args.output or LATEST)
    before = read_memory()
    if not args.directory:
        command = [sys.executable, "-m", "vmabench", "run", "matrix"]
        command += ["-o", args.output] if args.output else []
        if args.guest:
            command += ["--guest", "--memory", "4G"]
        status = subprocess.run(command, check=False).returncode
        if status not in (DONE, UNSTABLE):
            return status
    result = read(directory)
    wrong = check(result, cells_of(result))
    if not args.directory and not args.guest:
        wrong += lost(before, read_memory())
    print("\n".join(wrong))
    return 1 if wrong or not result.complete else 0


if __name__ == "__main__":
    sys.exit(main())
