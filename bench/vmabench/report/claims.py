# SPDX-License-Identifier: GPL-2.0-only
"""Claims in words: the answer first, then what was measured, and whose claim it is."""

import math
from collections.abc import Sequence

from vmabench.analysis.claims import Outcome
from vmabench.report.words import bracketed, kernel_line, machine_line, three_digits, wrapped
from vmabench.store.format import Result

_ANSWERS = ("CONFIRMED", "NOT CONFIRMED", "UNSUPPORTED")


def claims_text(outcomes: Sequence[Outcome], result: Result) -> str:
    """A paragraph for each claim, in the order given, below a line that counts the answers."""
    counts = [
        f"{sum(one.answer == answer for one in outcomes)} {answer}" for answer in _ANSWERS
    ]  # fmt: skip
    head = [
        wrapped(f"machine  {machine_line(result)}", " " * 9),
        wrapped(f"kernel   {kernel_line(result)}", " " * 9),
        ", ".join(counts),
    ]
    return "\n\n".join(["\n".join(head), *map(_paragraph, outcomes)]) + "\n"


def _paragraph(outcome: Outcome) -> str:
    claim = outcome.claim
    lines = [wrapped(f"{outcome.answer}: {claim.name}: {claim.claim}", "    ")]
    if math.isnan(outcome.ratio):
        lines.append(wrapped(f"    {outcome.remark}", "    "))
    else:
        bounds = bracketed(three_digits(outcome.lo), three_digits(outcome.hi))
        between = bracketed(*map(three_digits, claim.between))
        measured = f"{three_digits(outcome.ratio)} times {bounds}, {outcome.remark}"
        expected = f"published {three_digits(claim.expected)}, confirmed {between}"
        lines.append(wrapped(f"    measured {measured}; {expected}", "    "))
    return "\n".join([*lines, wrapped(f"    {claim.source}", "    ")])
