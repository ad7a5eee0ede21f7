# SPDX-License-Identifier: GPL-2.0-only
"""How often does an interval of 95 % hold the truth? Counted by simulation: 93 to 97 % must.

    make check-coverage          20,000 samples each of many sizes and shapes: half a minute

Prints the share for each shape of the distribution and number of processes, for intervals of
medians and of the ratio of two runs, and beside it that of the percentile bootstrap of a median,
which is why that is not used. Status 1 where one is outside.
"""

import sys
from collections.abc import Callable

import numpy as np

from vmabench.analysis.intervals import Floats, median_interval, shift_interval

LOWEST, HIGHEST = 0.93, 0.97
SAMPLES = 20_000
RESAMPLES = 1_000
ONE_SIDE = (5, 6, 7, 8, 9, 10, 15, 30)
TWO_SIDES = ((4, 4), (5, 5), (7, 7), (8, 8), (10, 10), (5, 12), (20, 20))

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
    print(
        f"{len(shares)} intervals: {100 * min(shares):.1f} to {100 * max(shares):.1f} %"
        f" ({100 * LOWEST:g} to {100 * HIGHEST:g}): {'ok' if good else 'MISSED'}"
    )
    return 0 if good else 1


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
