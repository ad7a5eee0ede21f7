# SPDX-License-Identifier: GPL-2.0-only
"""Find the smallest slow-down that a plan shows in 80 % of its runs.

    make check-sensitivity                    simulated from a stored result, in seconds
    check_sensitivity.py --plan quick --runs 1000 --from RESULT
    make check-sensitivity MEASURED=1         10 times two runs of three minutes: an hour
    make check-sensitivity MEASURED=1 NEIGHBOUR=1   beside a neighbour that runs half of the time
    check_sensitivity.py --measured --runs 2 --budget 20s --no-keep

By default a change is injected into samples drawn from those of a stored result, into one case and
nowhere else, and the table has the smallest one that 80 % of the runs show: for the median case of
each plan with the 95 % interval of that median, and for quantiles of the cases.

With --measured, a delay is injected into one case of the plan sensitivity.toml while it runs. Of
each pair of runs one has the delay in readv of 64K, alternately the first and the second. It must
be found in 9 of 10 pairs; of the verdicts on other cases, in all pairs together, at most 5 % may
be. That outcome is kept in results/checks/. Status 1 where either is missed.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from last_outcome import keep
from neighbour import neighbour

from vmabench.analysis.compare import compare
from vmabench.analysis.frame import tidy
from vmabench.analysis.intervals import median_interval
from vmabench.analysis.power import POWER, RUNS, Variation, reach_of_processes, variation
from vmabench.api.detection import cases_of
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.plans import Plan, load_plan
from vmabench.report.layout import layout
from vmabench.report.power import percent
from vmabench.store.reader import read

PLAN = Path(__file__).with_name("sensitivity.toml")
STORED = Path(__file__).parents[2] / "results/published/host-standard"
PLANS = ("quick", "standard")
SHARES = (0.25, 0.75, 0.9)
TRIALS = 10
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
    parser.add_argument("--plan", action="append", help="default: quick and standard")
    parser.add_argument("--from", dest="source", type=Path, default=STORED, help="a stored result")
    parser.add_argument(
        "--runs", type=int, help=f"simulated ones (default: {RUNS}), or measured pairs ({TRIALS})"
    )
    parser.add_argument("--measured", action="store_true", help="inject a delay into real runs")
    parser.add_argument("--budget", default="3m", help="of each measured run (default: 3m)")
    parser.add_argument("--slower", type=float, default=SLOWER, help="0: nothing is injected")
    parser.add_argument("--neighbour", action="store_true", help="with one, half of the time")
    parser.add_argument("--no-keep", action="store_true", help="leave results/checks as it is")
    args = parser.parse_args()
    return measured(args) if args.measured else simulated(args)


def simulated(args: argparse.Namespace) -> int:
    """Print the table of the plans, by the samples of a stored result."""
    frame = tidy(read(args.source))
    lines = []
    for name in args.plan or PLANS:
        plan = load_plan(name)
        cases = [str(case) for case in cases_of(plan)]
        found = variation(frame[frame["case_id"].isin(cases)])
        lines.append(reach_line(plan, found, args.runs or RUNS))
    header = [
        "plan",
        "rounds",
        "cases",
        "median case",
        *(f"{100 * q:.0f} % of cases" for q in SHARES),
    ]
    print(
        f"smallest change found in {100 * POWER:g} % of the runs, by the samples of {args.source}"
    )
    print(layout(header, lines))
    return 0


def reach_line(plan: Plan, found: Variation, runs: int) -> list[str]:
    """Return the cells of a plan: the median case with its interval, and the quantiles."""
    reach = reach_of_processes(found, plan.rounds, runs)
    middle, lo, hi = (100 * float(one[0]) for one in median_interval(reach[np.newaxis]))
    quantiles = np.quantile(reach, SHARES, method="higher").tolist() if len(reach) else []
    return [
        plan.name,
        str(plan.rounds),
        str(len(reach)),
        f"{middle:.3g} % [{lo:.3g}..{hi:.3g}]",
        *(percent(one) for one in quantiles),
    ]


def measured(args: argparse.Namespace) -> int:
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
    for number in range(args.runs or TRIALS):
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
