# SPDX-License-Identifier: GPL-2.0-only
"""Format claims: the answer first, then the measurement, then the source of the claim."""

import math
from collections.abc import Sequence

from vmabench.analysis.claims import Outcome, judge_any
from vmabench.analysis.frame import tidy
from vmabench.matrix.claims import Claim, published_claims
from vmabench.report.words import bracketed, kernel_line, machine_line, three_digits, wrapped
from vmabench.store.format import Result

_ANSWERS = ("CONFIRMED", "NOT CONFIRMED", "INCONCLUSIVE", "UNSUPPORTED")


def claims_report(results: Sequence[Result]) -> str:
    """All published claims against results of times; the first that can tell of a claim answers."""
    return claims_text(outcomes(results, published_claims()), results)


def outcomes(results: Sequence[Result], claims: Sequence[Claim]) -> list[Outcome]:
    frames = [(_called(result), tidy(result)) for result in results]
    return [judge_any(frames, claim) for claim in claims]


def claims_text(outcomes: Sequence[Outcome], results: Sequence[Result]) -> str:
    """A paragraph for each claim, in the order given, below a line that counts the answers."""
    counts = [
        f"{sum(one.answer == answer for one in outcomes)} {answer}" for answer in _ANSWERS
    ]  # fmt: skip
    head = [line for result in results for line in _of_result(result, many=len(results) > 1)]
    return "\n\n".join(["\n".join([*head, ", ".join(counts)]), *map(_paragraph, outcomes)]) + "\n"


def _called(result: Result) -> str:
    emulated = result.header.get("virt") == "emulated"
    return f"{result.name}, EMULATED" if emulated else result.name


def _of_result(result: Result, *, many: bool) -> list[str]:
    lines = [f"result   {result.name}"] if many else []
    return [
        *lines,
        wrapped(f"machine  {machine_line(result)}", " " * 9),
        wrapped(f"kernel   {kernel_line(result)}", " " * 9),
    ]


def _paragraph(outcome: Outcome) -> str:
    claim = outcome.claim
    lines = [wrapped(f"{outcome.answer}: {claim.name}: {claim.claim}", "    ")]
    if math.isnan(outcome.ratio):
        lines.append(wrapped(f"    {outcome.remark}", "    "))
    else:
        bounds = bracketed(three_digits(outcome.lo), three_digits(outcome.hi))
        measured = f"{three_digits(outcome.ratio)} times {bounds}, {outcome.remark}"
        lines.append(wrapped(f"    measured {measured}; {_expected(claim)}", "    "))
    return "\n".join([*lines, wrapped(f"    {claim.source}", "    ")])


def _expected(claim: Claim) -> str:
    least, most = claim.between
    if math.isinf(most):
        return f"published is a direction, confirmed from {three_digits(least)} on"
    published = "?" if claim.expected is None else three_digits(claim.expected)
    return f"published {published}, confirmed {bracketed(three_digits(least), three_digits(most))}"
