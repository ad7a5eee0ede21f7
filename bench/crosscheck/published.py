# SPDX-License-Identifier: GPL-2.0-only
"""Make everything again that is derived from the committed results: `make report`.

With --check nothing is written, and the status is 1 if a file would change. Files are compared byte
by byte, as matplotlib is pinned. PNG files are not committed and not compared.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from vmabench.report.build import Report
from vmabench.report.joint import write_joint
from vmabench.store.format import REPORT, SAMPLES, Result
from vmabench.store.places import PUBLISHED, RESULTS
from vmabench.store.reader import read

TOP = Path(__file__).resolve().parents[2] / RESULTS / PUBLISHED


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what would change")
    parser.add_argument("--top", type=Path, default=TOP, help="default: those of the repository")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        derive(results_below(args.top), made)
        changed = list(differences(made, args.top))
        if not args.check:
            put(made, changed, args.top)
    for name in changed:
        print(f"{'differs' if args.check else 'made anew'}: {name}")
    return 1 if changed and args.check else 0


def results_below(top: Path) -> list[Result]:
    """Read the committed results; return them by name, those of real machines first."""
    found = [read(path.parent) for path in sorted(top.glob(f"*/{SAMPLES}"))]
    return sorted(found, key=lambda result: result.header.get("virt") == "emulated")


def derive(results: Sequence[Result], target: Path) -> None:
    """Make everything that comes from the samples; files beside them are left alone."""
    for result in results:
        Report(result).write(target / result.name / REPORT)
    write_joint(results, target / REPORT)


def differences(made: Path, kept: Path) -> Iterator[str]:
    """Names of derived files that are in one of the two only, or not the same in both."""
    names = {
        path.relative_to(top).as_posix()
        for top in (made, kept)
        for path in top.rglob("*")
        if path.is_file() and path.parent.name == REPORT
    }
    names = {name for name in names if not name.endswith(".png")}
    for name in sorted(names):
        if contents(made / name) != contents(kept / name):
            yield name


def contents(path: Path) -> bytes | None:
    """What a file holds; None if there is none."""
    return path.read_bytes() if path.is_file() else None


def put(made: Path, names: Sequence[str], target: Path) -> None:
    for name in names:
        if not (made / name).is_file():
            (target / name).unlink()
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made / name, target / name)


if __name__ == "__main__":
    sys.exit(main())
