# SPDX-License-Identifier: GPL-2.0-only
"""Has a path become longer? Relate the paths of the series to those of the kernel without it.

    make path-lengths            measures both kernels by the instruction clock and compares
    make path-lengths WRITE=1    stores the figures, for the commit that changes a path

Both kernels are built and booted on this machine, so the check can fail with any compiler and
QEMU. Each path of the series is divided by a path of the base kernel, and the quotient is compared
with the stored one. A path that exists in both kernels (fork, readv, mremap) is divided by itself;
a path of clone by fork's or readv's for the same memory. Where kernel release, compiler,
configuration, QEMU and CPU model are those of the stored figures, the instructions themselves are
compared as well.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from vmabench.analysis.frame import tidy
from vmabench.analysis.instructions import path_lengths
from vmabench.matrix.case import Case
from vmabench.store.format import Result
from vmabench.store.reader import machine_facts, read

FIGURES = Path(__file__).parents[2] / "kernel" / "path-lengths.toml"
HEADING = """\
# SPDX-License-Identifier: GPL-2.0-only
# Path lengths of one operation, as `make path-lengths WRITE=1` measured them.
# instructions: of the kernel with the series; of_base: divided by the base kernel's.

"""
GROWTH = 0.01
#: Compilers translate clone's path and the path that it is divided by differently.
CLONE_GROWTH = 0.10
SAME = ("release", "compiler", "config_sha256", "qemu", "cpu")

#: Phases that repeat from boot to boot to much less than GROWTH. The end of a small fork does not,
#: because the scheduler decides which process runs first. Nor does the delivery of a single entry,
#: except for its touch phase: its memory comes from lists that are fuller or emptier, and two boots
#: of one kernel differ by up to 1.3 %. The bare operation covers its fixed part.
WATCHED = {
    "clone": ("attach", "touch", "total"),
    "fork": ("attach", "touch"),
    "readv": ("total",),
    "mremap": ("attach",),
}

Figures = dict[str, int]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument(
        "--results", type=Path, nargs=2, metavar=("BASE", "SERIES"), help="instead of measuring"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vmabench-paths-") as scratch:
        places = args.results or measure(Path(scratch) / "paths")
        base, series = (read(place) for place in places)
    measured = report(base, series)
    if not measured["of_base"]:
        print("no path was measured in both kernels: see the report above")
        return 1
    if args.write:
        FIGURES.write_text(HEADING + tomli_w.dumps(measured))
        print(f"{len(measured['of_base'])} paths written to {FIGURES.name}")
        return 0
    return compare(tomllib.loads(FIGURES.read_text()), measured)


def measure(directory: Path) -> tuple[Path, Path]:
    """Boot each kernel once; return the results of the base and of the series."""
    command = [sys.executable, "-P", "-m", "vmabench", "run", "paths", "--guest", "--seed", "1"]
    command += ["--against", "base", "--boots", "1", "--clock", "instructions"]
    status = subprocess.run([*command, "-o", str(directory)], check=False).returncode
    if status:
        sys.exit(status)
    return directory / "A", directory / "B"


def report(base: Result, series: Result) -> dict[str, dict[str, Any]]:
    """Return what is stored: the conditions, the instructions, and the quotients of the series."""
    of_base, found = figures(base), figures(series)
    quotients = {
        name: round(count / of_base[other], 4)
        for name, count in found.items()
        if (other := divisor(name, of_base))
    }
    return {"made_with": conditions(series), "instructions": found, "of_base": quotients}


def conditions(result: Result) -> dict[str, str]:
    """Return what a path length depends on besides the sources."""
    told: dict[str, Any] = machine_facts(result).get("guest") or {}
    told = told | {"release": result.header.get("kernel")}
    return {name: str(told.get(name, "unknown")) for name in SAME}


def figures(result: Result) -> Figures:
    """Return the instructions of one operation by ``CASE PHASE``."""
    lengths: pd.DataFrame = path_lengths(tidy(result))
    return {
        f"{row['case_id']} {row['phase']}": round(row["per_call"])
        for row in lengths.to_dict("records")
        if row["phase"] in WATCHED.get(str(row["mechanism"]), ())
        and row["per_call"] > 0
        and not _is_unsteady(Case.parse(str(row["case_id"])), str(row["phase"]))
    }


def _is_unsteady(case: Case, phase: str) -> bool:
    return case.is_one_page and case.scenario == "deliver" and phase != "touch"


def divisor(name: str, of_base: Figures) -> str | None:
    """Return the path of the base that a path of the series is divided by."""
    mechanism, _, rest = name.partition("/")
    candidates = (f"{other}/{rest}" for other in (mechanism, "fork", "readv"))
    return next((path for path in candidates if path in of_base), None)


def compare(stored: dict[str, Any], measured: dict[str, Any]) -> int:
    """Return 1 if a path grew; print every path that changed by more than its limit."""
    changes = list(changed("of the base", stored["of_base"], measured["of_base"]))
    here, there = measured["made_with"], stored["made_with"]
    different = [name for name in SAME if there.get(name, "unknown") != here[name]]
    if different:
        print(f"instructions are not compared with {FIGURES.name}, measured under other conditions")
        for name in different:
            print(f"  {name}: {there.get(name, 'unknown')} there, {here[name]} here")
    else:
        changes += changed("instructions", stored["instructions"], measured["instructions"])
    for line in changes:
        print(line)
    grown = sum(not line.startswith("shorter") for line in changes)
    print(f"{len(measured['of_base'])} paths compared, {grown} grown beyond their limit")
    if grown:
        print("if the change is intended: make path-lengths WRITE=1, in the same commit")
    return 1 if grown else 0


def changed(unit: str, stored: Mapping[str, float], measured: Mapping[str, float]) -> Iterator[str]:
    """Yield a line for each path that grew, shrank, or is missing on one side."""
    for name in sorted(stored.keys() | measured.keys()):
        before, now = stored.get(name), measured.get(name)
        if before is None or now is None:
            yield f"CHANGED {name}: {before} {unit} stored, {now} measured"
        elif abs(now / before - 1) > limit(name, unit):
            word = "GROWN" if now > before else "shorter"
            change = f"{100 * (now / before - 1):+.1f} %"
            yield f"{word} {name}: {before:,} {unit} stored, {now:,} measured ({change})"


def limit(name: str, unit: str) -> float:
    """Return the relative growth that a path may have."""
    return CLONE_GROWTH if name.startswith("clone/") and unit == "of the base" else GROWTH


if __name__ == "__main__":
    sys.exit(main())
