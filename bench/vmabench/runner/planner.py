# SPDX-License-Identifier: GPL-2.0-only
"""How often each case is measured in a round. Pure; plans on wall time, not on timed time.

What a case costs apart from its timed part (populating, verifying) can be many times what is
timed, so the time for the timed parts is what the budget leaves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

#: A value shorter than this is mostly clock and chance.
SHORTEST_VALUE_NS = 1e6
LONGEST_VALUE_NS = 2e8
MOST_VALUES = 3
MOST_LOOPS = 1 << 26

#: Under the instruction clock: long enough to hold many operations, some of which also do what
#: others have left to be done (freeing page tables, refilling lists of pages); and so much shorter
#: than the 4 million instructions between two ticks that most values have none in them.
COUNTED_VALUE = 1e6
COUNTED_VALUES = 9
FEWEST_COUNTED_VALUES = 3
#: what a case may take in a round beyond the fewest values: about a second under emulation
COUNTED_CASE = 1e8

#: Shares of the budget: what a round may take beyond its plan before the last one is lost.
MARGIN = 0.94


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one case: one operation, the untimed part between two, and that around all.

    ``most_ops``: so many operations in a round and no more, each a value; 0: any number.
    """

    op_ns: float
    overhead_ns: float
    most_ops: int = 0
    between_ns: float = 0.0

    @property
    def lasts_ns(self) -> float:
        """The time from one operation to the next."""
        return self.op_ns + self.between_ns


@dataclass(frozen=True, slots=True)
class Effort:
    """``values`` values of ``loops`` operations."""

    values: int
    loops: int

    def lasts_ns(self, op_ns: float) -> float:
        """The time of all values, if each operation takes ``op_ns``."""
        return self.values * self.loops * op_ns


#: of what is done once, whatever it takes
ONE = Effort(values=1, loops=1)


def effort_for(op_ns: float, value_ns: float, most_ops: int = 0) -> Effort:
    """The effort for values of about ``value_ns``; an operation that is longer is done once."""
    op_ns = max(op_ns, 0.1)
    loops = 1 if most_ops else min(MOST_LOOPS, max(1, round(value_ns / op_ns)))
    values = MOST_VALUES if op_ns <= value_ns else max(1, int(MOST_VALUES * value_ns / op_ns))
    return Effort(min(values, most_ops or MOST_VALUES), loops)


def plan_round(costs: Mapping[str, Cost], timed_ns: float) -> dict[str, Effort]:
    """Return the effort for each case such that all values take ``timed_ns`` together.

    All cases get values of the same length, as far as their operations permit, with the untimed
    part between the operations. If even the least effort takes longer, it is returned.
    """

    def total_ns(value_ns: float) -> float:
        efforts = (
            (cost, effort_for(cost.lasts_ns, value_ns, cost.most_ops)) for cost in costs.values()
        )
        return sum(effort.lasts_ns(cost.lasts_ns) for cost, effort in efforts)

    low, high = SHORTEST_VALUE_NS, LONGEST_VALUE_NS
    if total_ns(high) <= timed_ns:
        low = high
    while high / low > 1.01:
        middle = (low * high) ** 0.5
        if total_ns(middle) <= timed_ns:
            low = middle
        else:
            high = middle
    return {case: effort_for(cost.lasts_ns, low, cost.most_ops) for case, cost in costs.items()}


def counted_effort(op: float, most_ops: int = 0) -> Effort:
    """The effort for an operation of ``op`` instructions. It does not depend on any budget.

    A count repeats itself, so more of it would not be better.
    """
    loops = 1 if most_ops else min(MOST_LOOPS, max(1, round(COUNTED_VALUE / max(op, 1.0))))
    affordable = int(COUNTED_CASE / max(op, COUNTED_VALUE))
    values = min(COUNTED_VALUES, max(FEWEST_COUNTED_VALUES, affordable))
    return Effort(min(values, most_ops or COUNTED_VALUES), loops)


@dataclass(frozen=True, slots=True)
class Clockwork:
    """How the rest of a budget is divided among the rounds that are still to come.

    ``reserve_ns`` of the budget is left for rounds beyond the wanted ones.
    """

    budget_ns: float
    rounds: int
    reserve_ns: float = 0.0

    def timed_ns(self, spent_ns: float, rounds_done: int, overhead_ns: float) -> float:
        """Time for the timed parts of the next round; may be negative."""
        rounds_left = max(1, self.rounds - rounds_done)
        left_ns = self.budget_ns - self.reserve_ns - spent_ns
        return MARGIN * left_ns / rounds_left - overhead_ns

    def room_for(self, spent_ns: float, round_ns: float) -> bool:
        """Whether one more round of that length ends within the budget."""
        return spent_ns + round_ns <= self.budget_ns
