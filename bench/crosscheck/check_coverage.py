# SPDX-License-Identifier: GPL-2.0-only
"""Count by simulation how often intervals of 95 % hold the truth, and what boots can show.

    make check-coverage          20,000 samples each of many sizes and shapes: half a minute

Prints the share for each shape of the distribution and number of processes, for intervals of
medians and of the ratio of two runs, and beside it that of the percentile bootstrap of a median,
which is why that is not used. 93 to 97 % must hold the truth. Then prints size and power of the
test that compares boots: of unchanged cases 3 to 7 % must be significant before correction, and
with 5 boots a side a lone change of 5 % must be found in 80 % of the runs. Where all cases of a
boot move together, at most 7 % must be, and the power is printed only. The size must hold as well
where the boots of one side vary up to 3 times as much as those of the other, and where one side has
fewer of them; with 2 boots there is no verdict. Last come crossovers over
sizes and break-evens over touched fractions of a known cost model: the bounds of 37 of 40 must hold
the truth. Status 1 where one is outside.
"""

import sys
from collections.abc import Callable

import numpy as np
from scipy import stats as scipy_stats

from vmabench.analysis.compare import FALSE_DISCOVERIES, FEWEST_BOOTS
from vmabench.analysis.crossover import crossings
from vmabench.analysis.intervals import Floats, median_interval, shift_interval
from vmabench.analysis.moderated import moderated_shift

LOWEST, HIGHEST = 0.93, 0.97
SAMPLES = 20_000
RESAMPLES = 1_000
ONE_SIDE = (5, 6, 7, 8, 9, 10, 15, 30)
TWO_SIDES = ((4, 4), (5, 5), (7, 7), (8, 8), (10, 10), (5, 12), (20, 20))

BOOTS = (FEWEST_BOOTS, 4, 5, 10)
UNEQUAL = ((3, 3), (4, 5), (5, 4), (5, 5), (3, 10), (10, 3), (10, 10))
SD_RATIOS = (1, 2, 3)
CASES = 232  # of the plan quick
LEAST_SIZE, MOST_SIZE = 0.03, 0.07
CHANGE, LEAST_POWER = 0.05, 0.8
RUNS = 400

CROSSINGS, LEAST_COVERED = 40, 37
NOISES = (0.01, 0.05)  # of the logs of a process

Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]

#: logs of the processes' medians
SHAPES: dict[str, Draw] = {
    "normal": lambda dice, shape: dice.normal(0, 0.05, shape),
    "even": lambda dice, shape: dice.uniform(0, 0.1, shape),
    "skewed": lambda dice, shape: dice.exponential(0.1, shape),
    "long tails": lambda dice, shape: 0.05 * dice.standard_t(3, shape),
    "two heaps": lambda dice, shape: 0.3 * (dice.random(shape) < 0.3) + dice.normal(0, 0.02, shape),
    "a neighbour": lambda dice, shape: (
        dice.normal(0, 0.01, shape) + dice.random(shape) * (dice.random(shape) < 0.25)
    ),
}


def main() -> int:
    dice = np.random.default_rng(20190527)
    shares: list[float] = []
    for name, draw in SHAPES.items():
        truth = float(np.median(draw(dice, (1, 4_000_001))))
        found = [median_share(draw(dice, (SAMPLES, count)), truth) for count in ONE_SIDE]
        show(f"{name}, a median", ONE_SIDE, found)
        usual = [bootstrap_share(draw(dice, (1_000, count)), truth, dice) for count in ONE_SIDE]
        show("  by bootstrap, for comparison", ONE_SIDE, usual)
        shares += found
    for name, draw in SHAPES.items():
        found = [shift_share(draw, counts, dice) for counts in TWO_SIDES]
        show(f"{name}, a ratio", [f"{a}:{b}" for a, b in TWO_SIDES], found)
        shares += found
    good = all(LOWEST <= share <= HIGHEST for share in shares)
    good &= boots_are_good(dice)
    good &= sides_are_good(dice)
    good &= crossings_are_good(dice)
    print(
        f"{len(shares)} intervals: {100 * min(shares):.1f} to {100 * max(shares):.1f} %"
        f" ({100 * LOWEST:g} to {100 * HIGHEST:g}): {'ok' if good else 'MISSED'}"
    )
    return 0 if good else 1


#: how the logs of boots vary that have a standard deviation of 1 %: cases x boots
BOOT_SHAPES: dict[str, Draw] = {
    "boots, cases alone": lambda dice, shape: dice.normal(0, 0.01, shape),
    "boots, long tails": lambda dice, shape: 0.01 / 3**0.5 * dice.standard_t(3, shape),
    "boots, half in common": lambda dice, shape: (
        0.01 / 2**0.5 * (dice.normal(size=shape) + dice.normal(size=(1, shape[1])))
    ),
    "boots, all in common": lambda dice, shape: (
        0.001 * dice.normal(size=shape) + 0.01 * dice.normal(size=(1, shape[1]))
    ),
}


def boots_are_good(dice: np.random.Generator) -> bool:
    """Print size and power of the test of boots and return whether both are as promised."""
    good = True
    for name, draw in BOOT_SHAPES.items():
        found = [boot_shares(draw, count, dice) for count in BOOTS]
        sizes, powers = ([pair[which] for pair in found] for which in (0, 1))
        show(f"{name}, size", BOOTS, sizes)
        show(f"  a lone change of {100 * CHANGE:g} % found", BOOTS, powers)
        good &= max(sizes) <= MOST_SIZE
        if "all in common" not in name:  # where one boot says as little as one case of it
            good &= min(sizes) >= LEAST_SIZE and powers[BOOTS.index(5)] >= LEAST_POWER
    return good


def sides_are_good(dice: np.random.Generator) -> bool:
    """Print the size where B varies more than A and return whether it is as promised.

    The cases vary by standard deviations of their own, B's by a ratio that all have in common.
    """
    good = True
    for counts in UNEQUAL:
        sizes = [unequal_size(counts, ratio, dice) for ratio in SD_RATIOS]
        show(f"boots {counts[0]}:{counts[1]}, size by sd ratio", SD_RATIOS, sizes)
        good &= min(sizes) >= LEAST_SIZE and max(sizes) <= MOST_SIZE
    return good


def unequal_size(counts: tuple[int, int], ratio: float, dice: np.random.Generator) -> float:
    """Return the share of significant unchanged cases."""
    significant = 0
    for _ in range(RUNS // 4):
        spread = 0.01 * np.exp(dice.normal(0, 0.5, (CASES, 1)))
        a, b = (spread * dice.normal(size=(CASES, count)) for count in counts)
        significant += int((moderated_shift(a, ratio * b)[3] < 0.05).sum())
    return significant / (RUNS // 4 * CASES)


def boot_shares(draw: Draw, boots: int, dice: np.random.Generator) -> tuple[float, float]:
    """Return the share of significant unchanged cases, and of runs that show a lone change."""
    significant = shown = 0
    for _ in range(RUNS):
        a, b = (draw(dice, (CASES, boots)) for _ in range(2))
        significant += int((moderated_shift(a, b)[3] < 0.05).sum())
        b[0] += np.log1p(CHANGE)
        q = scipy_stats.false_discovery_control(moderated_shift(a, b)[3])
        shown += int(q[0] <= FALSE_DISCOVERIES)
    return significant / (RUNS * CASES), shown / RUNS


#: what a curve is over -> its points; step 2 is what a run bisects sizes to
PLACES: dict[str, Floats] = {
    "sizes in steps of 16": np.log2(4096 * 16.0 ** np.arange(5)),
    "sizes in steps of 4": np.log2(4096 * 4.0 ** np.arange(8)),
    "sizes in steps of 2": np.log2(4096 * 2.0 ** np.arange(15)),
    "touched fractions": np.array([0, 1, 10, 25, 50, 75, 90, 100.0]),
}


def crossings_are_good(dice: np.random.Generator) -> bool:
    """Print how many crossings are covered by their bounds and return whether all are enough."""
    good = True
    for name, places in PLACES.items():
        counts = [crossings_covered(places, noise, dice) for noise in NOISES]
        shown = ", ".join(
            f"{count} of {CROSSINGS} (noise {100 * noise:g} %)"
            for count, noise in zip(counts, NOISES, strict=True)
        )
        print(f"crossings, {name}: {shown}")
        good &= min(counts) >= LEAST_COVERED
    return good


def crossings_covered(places: Floats, noise: float, dice: np.random.Generator) -> int:
    """Return how many of CROSSINGS runs have bounds that hold the truth, which is drawn for each.

    Over sizes, a call of one mechanism takes as long as the other does at the crossing, and its
    pages a fiftieth of the other's; over fractions, a copy takes as long whatever is touched.
    """
    covered = 0
    for _ in range(CROSSINGS):
        truth = float(dice.uniform(places[1], places[-2]))
        if places[-1] > 99:
            curve = np.log((1 + 0.05 * places) / (1 + 0.05 * truth))
        else:
            sizes, at = 2.0**places, 2.0**truth
            curve = np.log((at + 0.02 * sizes) / (0.02 * at + sizes))
        logs = curve[:, np.newaxis] + dice.normal(0, noise, (len(places), 8))
        covered += any(
            one.answer == "crossover" and one.lo <= truth <= one.hi
            for one in crossings(places, logs)
        )
    return covered


def median_share(samples: Floats, truth: float) -> float:
    _, lo, hi = median_interval(samples)
    return float(np.mean((lo <= truth) & (truth <= hi)))


def shift_share(draw: Draw, counts: tuple[int, int], dice: np.random.Generator) -> float:
    a, b = (draw(dice, (SAMPLES // 4, count)) for count in counts)
    _, lo, hi, _ = shift_interval(a, b)
    return float(np.mean((lo <= 0) & (hi >= 0)))


def bootstrap_share(samples: Floats, truth: float, dice: np.random.Generator) -> float:
    count = samples.shape[1]
    places = dice.integers(count, size=(RESAMPLES, count))
    medians = np.median(samples[:, places], axis=2)
    lo, hi = np.quantile(medians, (0.025, 0.975), axis=1)
    return float(np.mean((lo <= truth) & (truth <= hi)))


def show(what: str, counts: object, shares: list[float]) -> None:
    assert isinstance(counts, list | tuple)
    cells = (
        f"{count!s:>5} {100 * share:4.1f}" for count, share in zip(counts, shares, strict=True)
    )
    print(f"{what:32}" + " ".join(cells))


if __name__ == "__main__":
    sys.exit(main())
