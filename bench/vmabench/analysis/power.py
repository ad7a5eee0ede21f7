# SPDX-License-Identifier: GPL-2.0-only
"""Predict what a comparison can show: the smallest change that it finds in 80 % of the runs.

The log of a time varies from boot to boot, from process to process of a boot, and from value to
value of a process. ``variation`` estimates the three variances of each case from a result. The
change is a lone one: the correction for the number of cases leaves it a p value of at most
``FALSE_DISCOVERIES`` over that number.

The reach of boots comes from the noncentral t distribution, with the variance shared over cases as
moderated.py does. The reach of single boots, where the processes are ranked, comes from runs drawn
from the measured processes.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize
from scipy import stats as scipy_stats

from vmabench.analysis.compare import (
    FALSE_DISCOVERIES,
    FEWEST_BOOTS,
    MIN_EFFECT,
    enough_samples,
    is_control,
)
from vmabench.analysis.intervals import Floats, most_in_wrong_order
from vmabench.analysis.moderated import moderate
from vmabench.store.boots import MOST_BOOTS

#: a change is found that gets a verdict in this share of the runs
POWER = 0.8
#: a plan detects a change that is found in this share of its cases
COVERED_CASES = 0.8
#: stands for the variation of boots, of the log of a time, where a result has one boot only
ASSUMED_BOOT_SD = 0.01
#: drawn comparisons of each case
RUNS = 400
#: variance of the median of so many normal samples over that of their mean
_OF_MEDIAN = {1: 1.0, 2: 1.0, 3: 1.35, 4: 1.19, 5: 1.43, 6: 1.29}


@dataclass(frozen=True, slots=True)
class Variation:
    """How the cases of a result vary.

    ``cases`` has a row for each case, with ``case_id``, ``scenario``, the standard deviations of
    logs ``boot``, ``process`` and ``value``, and ``values``, the number in a process. ``logs`` are
    the residuals of its processes within their boot, cases x processes, NaN = none. ``boots`` is
    the number of boots measured; below 2, ``boot`` is assumed. ``freedom`` are the degrees of
    freedom of a case's variance, 0 where nothing was measured.
    """

    cases: pd.DataFrame
    logs: Floats
    boots: int
    freedom: float


def variation(frame: pd.DataFrame, phase: str = "total") -> Variation:
    """Return the variation of each case with at least two processes, in the frame's order.

    The negative controls are left out: they are corrected for their number apart.
    """
    controls = {name for name in frame["case_id"].unique() if is_control(str(name))}
    rows = frame[(frame["phase"] == phase) & (frame["time_ns"] > 0)]
    rows = rows[~rows["case_id"].isin(controls)]
    rows = pd.DataFrame(
        {
            "case_id": rows["case_id"].astype(str),
            "scenario": rows["scenario"].astype(str),
            "boot": rows["boot"].astype("Int64").fillna(0).astype(int),
            "process": rows["process"].astype(int),
            "log": np.log(rows["time_ns"].to_numpy(dtype=np.float64)),
        }
    )
    keys = ["case_id", "boot", "process"]
    values = rows.groupby(keys, sort=False)["log"]
    processes = values.agg(["median", "var", "size"]).reset_index()
    of_boot = processes.groupby(["case_id", "boot"], sort=False)["median"]
    processes["residual"] = processes["median"] - of_boot.transform("mean")
    boots = of_boot.agg(["median", "size"]).reset_index()
    found = _components(processes, boots)
    scenarios = rows.drop_duplicates("case_id").set_index("case_id")["scenario"]
    found = found.join(scenarios).reset_index()
    logs = processes.pivot(index="case_id", columns="process", values="residual")
    count = int(boots["boot"].nunique())
    samples = count if count > 1 else float(found["processes"].median()) if len(found) else 0
    return Variation(found, logs.reindex(found["case_id"]).to_numpy(), count, samples - 1)


def _components(processes: pd.DataFrame, boots: pd.DataFrame) -> pd.DataFrame:
    """Return the three standard deviations by case, from nested variances: none is negative."""
    by_case = processes.groupby("case_id", sort=False)
    counts = boots.groupby("case_id", sort=False)["size"]
    own = counts.sum() - counts.size()  # degrees of freedom within boots
    value = by_case["var"].mean().fillna(0.0)
    values = by_case["size"].median().round().astype(int)
    squares = processes.assign(square=processes["residual"] ** 2)
    within = squares.groupby("case_id", sort=False)["square"].sum() / own.where(own > 0)
    process = (within - value * values.map(_median_variance)).clip(lower=0)
    of_boots = boots.groupby("case_id", sort=False)["median"].var()
    rounds = counts.median().round().astype(int)
    boot = (of_boots - within.fillna(0.0) * rounds.map(_median_variance)).clip(lower=0)
    found = pd.DataFrame(
        {
            "boot": np.sqrt(boot.fillna(ASSUMED_BOOT_SD**2)),
            "process": np.sqrt(process.fillna(0.0)),
            "value": np.sqrt(value),
            "values": values,
            "processes": counts.sum(),
        }
    )
    known = within.notna() | of_boots.notna()
    return found[known]


def _median_variance(samples: int) -> float:
    """Return the variance of the median of normal samples of variance 1."""
    return _OF_MEDIAN.get(samples, math.pi / 2) / samples


def assumed(cases: int) -> Variation:
    """Return what is assumed of cases that were never measured.

    Boots vary by ASSUMED_BOOT_SD, processes and values not beyond that, and the variance of a case
    says nothing of that of another.
    """
    row = {"case_id": "", "scenario": "", "boot": ASSUMED_BOOT_SD, "process": 0.0, "value": 0.0}
    table = pd.DataFrame([row | {"values": 1}] * cases)
    return Variation(table, np.zeros((cases, 0)), 0, 0)


def reach_of_boots(found: Variation, boots: int, rounds: int) -> Floats:
    """Return the smallest change of each case found with so many boots a side: 0.03 is 3 %.

    ``rounds`` are those of a boot. Infinite with fewer boots than a verdict takes.
    """
    if boots < FEWEST_BOOTS or not len(found.cases):
        return np.full(len(found.cases), np.inf)
    cases = found.cases
    processes = cases["process"] ** 2 + cases["value"] ** 2 * cases["values"].map(_median_variance)
    variance = (cases["boot"] ** 2 + processes * _median_variance(rounds)).to_numpy()
    prior = 0.0
    if found.freedom:
        own = np.full(len(cases), found.freedom)
        variance, freedom = moderate(variance, own, math.inf)
        prior = float(freedom[0] - own[0])
    error = np.sqrt(variance * 2 / boots)
    needed = _noncentrality(2 * (boots - 1) + prior, len(cases))
    least = math.log1p(MIN_EFFECT) + float(scipy_stats.norm.ppf(POWER)) * error
    return np.expm1(np.maximum(needed * error, least))


def _noncentrality(freedom: float, cases: int) -> float:
    """Return how many standard errors a lone change of ``cases`` is that is found with POWER."""
    if freedom > 1e4:
        threshold = float(scipy_stats.norm.isf(FALSE_DISCOVERIES / cases / 2))
        return threshold + float(scipy_stats.norm.ppf(POWER))
    threshold = float(scipy_stats.t.isf(FALSE_DISCOVERIES / cases / 2, freedom))
    return float(
        optimize.brentq(
            lambda shift: scipy_stats.nct.sf(threshold, freedom, shift) - POWER,
            0,
            2 * threshold + 9,
        )
    )


def boots_for(found: Variation, change: float, rounds: int) -> int | None:
    """Return the fewest boots a side that find the change in COVERED_CASES of the cases.

    ``rounds`` of a side are divided among them, at least one each. None where MOST_BOOTS do not.
    """
    for boots in range(FEWEST_BOOTS, MOST_BOOTS + 1):
        if covered(reach_of_boots(found, boots, math.ceil(rounds / boots)), change):
            return boots
    return None


def covered(reach: Floats, change: float) -> bool:
    """Return whether the change is found in COVERED_CASES of the cases."""
    return bool(len(reach)) and float(np.mean(reach <= change)) >= COVERED_CASES


def reach_of_processes(found: Variation, rounds: int, runs: int = RUNS) -> Floats:
    """Return the smallest change of each case found by ranking so many processes of each side.

    By ``runs`` drawn comparisons of each case. Infinite where ``rounds`` are too few for a verdict
    on a lone change, however large.
    """
    cases = len(found.cases)
    wrong = most_in_wrong_order(rounds, rounds, FALSE_DISCOVERIES / cases) if cases else None
    if wrong is None:
        return np.full(cases, np.inf)
    dice = np.random.default_rng(1)
    return np.array(
        [_ranked(row[~np.isnan(row)], (runs, rounds), wrong, dice) for row in found.logs]
    )


def _ranked(
    residuals: Floats, shape: tuple[int, int], wrong: int, dice: np.random.Generator
) -> float:
    """Return the change that POWER of the drawn runs find with ``wrong`` pairs in wrong order.

    ``shape`` are runs and rounds. A shift is found that lifts all other pairs above 0 and their
    median above MIN_EFFECT.
    """
    spread = math.sqrt(len(residuals) / max(len(residuals) - 1, 1))
    a, b = (spread * dice.choice(residuals, shape) for _ in range(2))
    pairs = (b[:, :, np.newaxis] - a[:, np.newaxis, :]).reshape(shape[0], -1)
    middle = pairs.shape[1] // 2
    ordered = np.partition(pairs, [wrong, middle], axis=1)
    smallest = np.maximum(-ordered[:, wrong], math.log1p(MIN_EFFECT) - ordered[:, middle])
    return math.expm1(float(np.quantile(smallest, POWER)))


def rounds_for(found: Variation, change: float) -> int:
    """Return about how many processes a side find the change in COVERED_CASES of the cases.

    By the normal distribution, of which a rank test needs 5 % more samples than the t test does;
    where processes have long tails it needs fewer.
    """
    deviations = np.nanstd(found.logs, axis=1, ddof=1)
    needed = _noncentrality(math.inf, len(deviations)) / math.log1p(change)
    rounds = 2 * (needed * float(np.quantile(deviations, COVERED_CASES))) ** 2 * math.pi / 3
    return max(math.ceil(rounds), enough_samples(len(deviations)))
