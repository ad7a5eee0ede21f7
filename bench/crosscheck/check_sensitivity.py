# SPDX-License-Identifier: GPL-2.0-only
"""Is a slow-down of 3 % found? A delay is injected into one case, and nothing anywhere else.

    make check-sensitivity               10 times two runs of three minutes: an hour
    make check-sensitivity NEIGHBOUR=1   the same with a neighbour that runs for half of the time
    check_sensitivity.py --trials 2 --budget 20s --no-keep

Of each pair of runs one has the delay in readv of 64K, alternately the first and the second. It
must be found in 9 of 10 pairs; of the verdicts on other cases, in all pairs together, at most 5 %
may be. The outcome is kept in results/checks/. Status 1 where either is missed.
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

from vmabench.analysis.compare import compare
from vmabench.analysis.frame import tidy
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.store.reader import read

PLAN = Path(__file__).with_name("sensitivity.toml")
SLOWER = 0.03
FOUND_LIMIT = 0.9
WRONG_LIMIT = 0.05
WANTED_WIDTH = 0.3  # only decides between ~ and unstable, which is no verdict either way


@dataclass
class Trials:
    """What came of the pairs so far; ``ratios`` are those of the case with the delay.

    ``injected_pct``: the delay, in per cent of the median of the pair's own run without it.
    """

    found: list[bool] = field(default_factory=list)
    injected_pct: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    others: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--budget", default="3m", help="of each run (default: 3m)")
    parser.add_argument("--slower", type=float, default=SLOWER, help="0: nothing is injected")
    parser.add_argument("--neighbour", action="store_true", help="with one, half of the time")
    parser.add_argument("--no-keep", action="store_true", help="leave results/checks as it is")
    args = parser.parse_args()
    target = Case("readv", "transfer", read_facts().pages[0], 64 << 10)
    scratch = tempfile.TemporaryDirectory(prefix="vmabench-sensitivity-")
    with scratch as folder, neighbour(args.neighbour):
        trials = try_all(args, target, Path(folder))
    good = judge(trials, target, args.slower)
    if not args.no_keep:
        name = "sensitivity-neighbour" if args.neighbour else "sensitivity"
        print(f"kept in {keep(name, outcome(trials, target, args, good))}")
    return 0 if good else 1


def try_all(args: argparse.Namespace, target: Case, scratch: Path) -> Trials:
    """The pairs. How long 3 % are is taken from the last run without a delay."""
    trials = Trials()
    clean = measure(scratch / "pilot", "1m", "")
    for number in range(args.trials):
        delay_ns = round(args.slower * median_ns(clean, target))
        injected = f"{target}={delay_ns}ns" if delay_ns else ""
        slow_first = number % 2 == 1
        pair = [
            measure(scratch / f"{number}-{side}", args.budget, injected if slow else "")
            for side, slow in (("a", slow_first), ("b", not slow_first))
        ]
        clean, slow = reversed(pair) if slow_first else pair
        compared = compare(clean, slow, target_width=WANTED_WIDTH)
        injected_pct = 100 * delay_ns / median_ns(clean, target)
        trials.injected_pct.append(injected_pct)
        what = f"pair {number + 1}: {delay_ns} ns injected, {injected_pct:.1f} %"
        note(trials, compared, target, what)
    return trials


def note(trials: Trials, compared: pd.DataFrame, target: Case, what: str) -> None:
    judged = compared[compared["verdict"] != "not comparable"].set_index("case_id")
    (row,) = judged.loc[[str(target)]].to_dict("records")
    trials.found.append(row["verdict"] == "slower")
    trials.ratios.append(row["ratio"])
    others = judged.drop(str(target))
    wrong = others[others["verdict"].isin(["slower", "faster"])]
    trials.others += len(others)
    trials.wrong += [f"{case} {found['ratio']:.3f}" for case, found in wrong.iterrows()]
    print(
        f"{what}: {row['verdict']}, {row['ratio']:.3f} [{row['lo']:.3f}..{row['hi']:.3f}]"
        f" q {row['q']:.2g}; {len(wrong)} of {len(others)} others got a verdict",
        flush=True,
    )


def judge(trials: Trials, target: Case, slower: float) -> bool:
    found, count = sum(trials.found), len(trials.found)
    share = len(trials.wrong) / trials.others
    for case in trials.wrong:
        print(f"nothing was injected there: {case}")
    hits = found >= FOUND_LIMIT * count if slower else found <= WRONG_LIMIT * count
    words = f"{100 * slower:g} % in {target}: found in {found} of {count} pairs"
    print(f"{words}: {'ok' if hits else 'MISSED'}")
    quiet = share <= WRONG_LIMIT
    print(f"{len(trials.wrong)} of {trials.others} other verdicts, {100 * share:.1f} % (at most"
          f" {100 * WRONG_LIMIT:g}): {'ok' if quiet else 'MISSED'}")  # fmt: skip
    return hits and quiet


def outcome(
    trials: Trials, target: Case, args: argparse.Namespace, good: bool
) -> dict[str, object]:
    return {
        "check": "sensitivity",
        "case": str(target),
        "wanted_pct": 100 * args.slower,
        "injected_pct": [round(pct, 2) for pct in trials.injected_pct],
        "budget": args.budget,
        "neighbour": args.neighbour,
        "pairs": len(trials.found),
        "found": sum(trials.found),
        "ratios": [round(ratio, 4) for ratio in trials.ratios],
        "others": trials.others,
        "wrong": len(trials.wrong),
        "good": good,
    }


def measure(directory: Path, budget: str, injected: str) -> pd.DataFrame:
    command = [sys.executable, "-m", "vmabench", "run", str(PLAN), "--samples-only"]
    command += ["--budget", budget, "-o", str(directory)]
    if injected:
        command += ["--inject", injected]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return tidy(read(directory))


def median_ns(frame: pd.DataFrame, case: Case) -> float:
    times = frame.loc[frame["case_id"] == str(case), ["process", "time_ns"]]
    return float(times.astype("float64").groupby("process")["time_ns"].median().median())


if __name__ == "__main__":
    sys.exit(main())
