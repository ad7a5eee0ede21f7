# SPDX-License-Identifier: GPL-2.0-only
"""The same kernel twice: how many cases get a verdict? At most 5 % may.

    make check-aa                two runs of the quick plan in a row: takes four quiet minutes
    make check-aa NEIGHBOUR=1    the same with a neighbour that runs for half of the time
    check_aa.py --plan PLAN      another plan; --budget another time
    check_aa.py A B              two results that are there already

Prints the share, and every case that got one, and keeps it in results/checks/; status 1 above the
limit.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from last_outcome import keep
from neighbour import neighbour

from vmabench.analysis.compare import compare
from vmabench.analysis.frame import tidy
from vmabench.store.format import Result
from vmabench.store.reader import read

LIMIT = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", nargs="*", metavar="A B")
    parser.add_argument("--plan", default="quick")
    parser.add_argument("--budget", default="", help="of each run (default: the plan's)")
    parser.add_argument("--neighbour", action="store_true", help="with one, half of the time")
    parser.add_argument("--no-keep", action="store_true", help="leave results/checks as it is")
    args = parser.parse_args()
    if len(args.results) not in (0, 2):
        parser.error("give two result directories, or none")
    with tempfile.TemporaryDirectory(prefix="vmabench-aa-") as scratch:
        paths = [Path(name) for name in args.results] or [
            measure(args, Path(scratch) / name) for name in ("a", "b")
        ]
        a, b = (read(path) for path in paths)
    return judge(args, a, b)


def judge(args: argparse.Namespace, a: Result, b: Result) -> int:
    target = float(a.plan.get("target_width", 0.3)) or float("inf")
    compared = compare(tidy(a), tidy(b), target_width=target)
    judged = compared[compared["verdict"] != "not comparable"]
    wrong = judged[judged["verdict"].isin(["slower", "faster"])]
    for row in wrong.to_dict("records"):
        print(f"{row['verdict']:7} {row['ratio']:.3f} [{row['lo']:.3f}..{row['hi']:.3f}]"
              f" q {row['q']:.3f} {row['case_id']}")  # fmt: skip
    unstable = int((judged["verdict"] == "unstable").sum())
    share = len(wrong) / len(judged)
    verdict = "ok" if share <= LIMIT else "MISSED"
    print(
        f"{len(wrong)} of {len(judged)} cases got a verdict, {100 * share:.1f} %"
        f" (at most {100 * LIMIT:g} %): {verdict}; {unstable} were unstable"
    )
    if not args.no_keep and not args.results:
        name = "aa-neighbour" if args.neighbour else "aa"
        found = {"check": "aa", "plan": args.plan, "budget": args.budget or "of the plan"}
        found |= {"neighbour": args.neighbour, "cases": len(judged), "verdicts": len(wrong)}
        print(f"kept in {keep(name, found | {'unstable': unstable, 'good': share <= LIMIT})}")
    return 0 if share <= LIMIT else 1


def measure(args: argparse.Namespace, directory: Path) -> Path:
    command = [sys.executable, "-m", "vmabench", "run", args.plan, "-o", str(directory)]
    command += ["--budget", args.budget] if args.budget else []
    with neighbour(args.neighbour):
        status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if status not in (0, 2):
        sys.exit(status)
    return directory


if __name__ == "__main__":
    sys.exit(main())
