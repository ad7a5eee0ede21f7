# SPDX-License-Identifier: GPL-2.0-only
"""Has a path of the series become longer? The committed figures against the kernel as it is.

    make path-lengths            measures the plan ``paths`` by the instruction clock and compares
    make path-lengths WRITE=1    writes the figures anew, for the commit that changes a path

A path that grew by more than 1 % fails. Figures are compared only where they were made with the
same kernel base, compiler, configuration and emulator: another compiler makes other paths.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
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
# Instructions of one operation, as `make path-lengths WRITE=1` measured them.

"""
GROWTH = 0.01
SAME = ("release", "compiler", "config_sha256", "qemu")

#: What repeats itself from boot to boot to much less than GROWTH. The end of a small fork does
#: not: the scheduler decides who runs first. Nor does the attach phase of a single entry, whose
#: memory comes from lists that are fuller or emptier; the bare operation watches its fixed part.
WATCHED = {
    "clone": ("attach", "touch", "total"),
    "fork": ("attach", "touch"),
    "readv": ("total",),
    "mremap": ("attach",),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--result", type=Path, help="compare this result instead of measuring")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vmabench-paths-") as scratch:
        result = read(args.result or measure(Path(scratch) / "paths"))
    made_with, found = conditions(result), figures(result)
    if not found:
        print("no path was measured: see the report above")
        return 1
    if args.write:
        data = {"made_with": made_with, "instructions": found}
        FIGURES.write_text(HEADING + tomli_w.dumps(data))
        print(f"{len(found)} paths written to {FIGURES.name}")
        return 0
    return compare(tomllib.loads(FIGURES.read_text()), made_with, found)


def measure(directory: Path) -> Path:
    command = [sys.executable, "-m", "vmabench", "run", "paths", "--guest"]
    command += ["--clock", "instructions", "--seed", "1", "-o", str(directory)]
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status)
    return directory


def conditions(result: Result) -> dict[str, str]:
    """What a path depends on besides the sources."""
    told: dict[str, Any] = machine_facts(result).get("guest") or {}
    told = told | {"release": result.header.get("kernel")}
    return {name: str(told.get(name, "unknown")) for name in SAME}


def figures(result: Result) -> dict[str, int]:
    """``CASE PHASE`` -> instructions of one operation."""
    lengths: pd.DataFrame = path_lengths(tidy(result))
    return {
        f"{row['case_id']} {row['phase']}": round(row["per_call"])
        for row in lengths.to_dict("records")
        if row["phase"] in WATCHED.get(str(row["mechanism"]), ())
        and row["per_call"] > 0
        and not (row["phase"] == "attach" and Case.parse(str(row["case_id"])).is_one_page)
    }


def compare(kept: dict[str, Any], made_with: dict[str, str], found: dict[str, int]) -> int:
    """0, or 1 where a path grew; prints every path that changed by more than GROWTH."""
    different = [name for name in SAME if kept["made_with"].get(name) != made_with[name]]
    if different:
        print(f"not compared with {FIGURES.name}, whose paths are of another", *different)
        for name in different:
            print(f"  {name}: {kept['made_with'].get(name)} there, {made_with[name]} here")
        for name, count in found.items():
            print(f"  {name}: {count:,}")
        return 0
    grown = 0
    for name in sorted(kept["instructions"].keys() | found.keys()):
        before, now = kept["instructions"].get(name), found.get(name)
        if before is None or now is None:
            print(f"CHANGED {name}: {before} before, {now} now")
            grown += 1
        elif abs(now / before - 1) > GROWTH:
            word = "GROWN" if now > before else "shorter"
            change = f"{100 * (now / before - 1):+.1f} %"
            print(f"{word} {name}: {before:,} before, {now:,} now ({change})")
            grown += now > before
    print(f"{len(found)} paths compared, {grown} grown by more than {100 * GROWTH:.0f} %")
    if grown:
        print("where that is meant: make path-lengths WRITE=1, in the same commit")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
