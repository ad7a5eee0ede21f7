# SPDX-License-Identifier: GPL-2.0-only
"""Compare one kernel with itself, in 10 pairs of runs: p values must be uniform.

    make check-aa                10 pairs of the quick plan: takes forty quiet minutes
    make check-aa NEIGHBOUR=1    the same with a neighbour that runs for half of the time
    check_aa.py --plan PLAN      another plan; --budget another time; --pairs another number
    check_aa.py A1 B1 A2 B2 ..   pairs of results that are there already, of boots as well

About 5 % of the uncorrected p values must be below 0.05 (see uniform.py), and of all cases at most
5 % may get a verdict. Prints a line for each pair and every case that got a verdict, and keeps the
outcome in results/checks/. Status 1 where either is missed.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from last_outcome import keep
from neighbour import neighbour
from uniform import FEWEST_PAIRS, LEVEL, Pair, Uniformity, uniformity

from vmabench.analysis.compare import compare
from vmabench.analysis.frame import tidy
from vmabench.analysis.intervals import attained_level
from vmabench.store.format import Result
from vmabench.store.reader import read

VERDICT_LIMIT = 0.05


@dataclass
class Found:
    """The pairs so far; ``wrong`` names the cases with a verdict."""

    pairs: list[Pair] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    judged: int = 0
    unstable: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", nargs="*", metavar="A B")
    parser.add_argument("--plan", default="quick")
    parser.add_argument("--budget", default="", help="of each run (default: the plan's)")
    parser.add_argument("--pairs", type=int, default=FEWEST_PAIRS)
    parser.add_argument("--neighbour", action="store_true", help="with one, half of the time")
    parser.add_argument("--no-keep", action="store_true", help="leave results/checks as it is")
    args = parser.parse_args()
    if len(args.results) % 2:
        parser.error("give pairs of result directories, or none")
    found = Found()
    if args.results:
        paths = [Path(name) for name in args.results]
        for a, b in zip(paths[::2], paths[1::2], strict=True):
            note(found, read(a), read(b))
    else:
        for _ in range(args.pairs):
            with tempfile.TemporaryDirectory(prefix="vmabench-aa-") as scratch:
                a, b = (measure(args, Path(scratch) / name) for name in ("a", "b"))
                note(found, read(a), read(b))
    return judge(args, found)


def note(found: Found, a: Result, b: Result) -> None:
    target = float(a.plan.get("target_width", 0.3)) or float("inf")
    compared = compare(tidy(a), tidy(b), target_width=target)
    judged = compared[compared["verdict"] != "not comparable"]
    wrong = judged[judged["verdict"].isin(["slower", "faster"])]
    tested = judged[judged["p"].notna()]
    if not len(tested):
        sys.exit("no case has a p value: give results with more rounds or boots")
    found.pairs.append(Pair(tested["p"].to_list(), level_of(tested)))
    found.judged += len(judged)
    found.unstable += int((judged["verdict"] == "unstable").sum())
    for row in wrong.to_dict("records"):
        found.wrong.append(str(row["case_id"]))
        print(f"{row['verdict']:7} {row['ratio']:.3f} [{row['lo']:.3f}..{row['hi']:.3f}]"
              f" q {row['q']:.3f} {row['case_id']}")  # fmt: skip
    print(
        f"pair {len(found.pairs)}: {100 * found.pairs[-1].share:.1f} % of {len(tested)} p values"
        f" below {LEVEL:g}, {len(wrong)} verdicts",
        flush=True,
    )


def level_of(tested: pd.DataFrame) -> float:
    """Return the mean level of the tests: a rank test of few samples has not every p value."""
    levels = [
        LEVEL if row["sample"] == "boot" else attained_level(row["a_processes"], row["b_processes"])
        for row in tested.to_dict("records")
    ]
    return sum(levels) / len(levels)


def judge(args: argparse.Namespace, found: Found) -> int:
    uniform = uniformity(found.pairs)
    share = len(found.wrong) / found.judged
    few = share <= VERDICT_LIMIT
    print(words(uniform, len(found.pairs)))
    print(
        f"{len(found.wrong)} of {found.judged} cases got a verdict, {100 * share:.1f} %"
        f" (at most {100 * VERDICT_LIMIT:g} %): {'ok' if few else 'MISSED'};"
        f" {found.unstable} were unstable"
    )
    good = few and uniform.good
    if not args.no_keep and not args.results:
        name = "aa-neighbour" if args.neighbour else "aa"
        outcome = {"check": "aa", "plan": args.plan, "budget": args.budget or "of the plan"}
        outcome |= {"neighbour": args.neighbour, "pairs": len(found.pairs)}
        outcome |= {"cases": found.judged, "verdicts": len(found.wrong)}
        outcome |= {"below_pct": [round(100 * pair.share, 1) for pair in found.pairs]}
        outcome |= {"expected_pct": [round(100 * bound, 1) for bound in (uniform.lo, uniform.hi)]}
        print(f"kept in {keep(name, outcome | {'unstable': found.unstable, 'good': good})}")
    return 0 if good else 1


def words(found: Uniformity, pairs: int) -> str:
    verdict = "ok" if found.good else "MISSED"
    few = "" if pairs >= FEWEST_PAIRS else f"; {FEWEST_PAIRS} pairs or more say much"
    return (
        f"{100 * found.share:.1f} % of the p values below {LEVEL:g}"
        f" ({100 * found.lo:.1f} to {100 * found.hi:.1f} % expected, of {found.independent}"
        f" independent cases in {pairs} pairs): {verdict}{few}"
    )


def measure(args: argparse.Namespace, directory: Path) -> Path:
    command = [sys.executable, "-m", "vmabench", "run", args.plan, "-o", str(directory)]
    command += ["--samples-only"]
    command += ["--budget", args.budget] if args.budget else []
    with neighbour(args.neighbour):
        status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if status not in (0, 2):
        sys.exit(status)
    return directory


if __name__ == "__main__":
    sys.exit(main())
