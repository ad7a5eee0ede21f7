# SPDX-License-Identifier: GPL-2.0-only
"""What happens when what a page server holds doubles, and what is true of the claim of 2019."""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import pandas as pd

from vmabench.analysis.doubling import Growth, growths
from vmabench.matrix.claims import Claim, published_claims
from vmabench.report.words import bracketed, label, subject, three_digits
from vmabench.units import format_size, format_time


def pageserver_findings(frame: pd.DataFrame) -> list[str]:
    """Growth by mechanism for each limit, then a sentence that holds the claim against all."""
    served = frame[(frame["scenario"] == "pageserver") & (frame["limit_bytes"] > 0)]
    found, grown = [], []
    for key, group in served.groupby(["limit_bytes", "swap_device"], observed=True):
        limit, device = cast(tuple[int, str], key)
        of_group = growths(group)
        grown += of_group
        found += [
            f"A page server under {format_size(int(limit))} with swap in {device},"
            f" {subject(name)}: doubling what it holds takes {text}."
            for name, text in _texts(of_group, int(limit))
        ]
    claim = next((claim for claim in published_claims() if claim.doubling), None)
    return [*found, _verdict(claim, grown)] if claim and len(served) else found


def _texts(grown: Sequence[Growth], limit: int) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys(one.mechanism for one in grown):
        parts = [_part(one, limit) for one in grown if one.mechanism == name]
        yield name, "; ".join(parts).replace(" times ", " times as long ", 1)


def _part(one: Growth, limit: int) -> str:
    """``2.1 times [2..2.2] from 32M to 64M (10 ms to 21 ms), over the limit``."""
    times = f"{format_time(one.from_ns)} to {format_time(one.to_ns)}"
    few = f", in {one.processes} of {one.tried} rounds" if one.processes < one.tried else ""
    over = ", over the limit" if one.size_bytes <= limit < 2 * one.size_bytes else ""
    return f"{_factor(one)} from {_sizes(one)} ({times}{few}){over}"


def _factor(one: Growth) -> str:
    text = f"{three_digits(one.ratio)} times"
    if math.isnan(one.lo):
        return text
    return f"{text} {bracketed(three_digits(one.lo), three_digits(one.hi))}"


def _sizes(one: Growth) -> str:
    return f"{format_size(one.size_bytes)} to {format_size(2 * one.size_bytes)}"


def _verdict(claim: Claim, grown: Sequence[Growth]) -> str:
    """What was claimed, and in the same sentence what is true of it here."""
    start = f"In 2019 it was claimed that {claim.claim}"
    if not grown:
        return f"{start}: nothing can be said of it, as no mechanism has times at two such sizes."
    own = str(claim.over.columns["mechanism"]) if claim.over else ""
    mine = [one for one in grown if one.mechanism == own]
    most = max(grown, key=lambda one: one.ratio)
    if not mine:
        here = f"{own} has no times at two such sizes here"
    else:
        longest = max(mine, key=lambda one: one.ratio)
        here = f"here it takes {_factor(longest)} as long at most, from {_sizes(longest)}"
    if most.mechanism == own:
        return f"{start}: {here}, and no other mechanism more."
    return (
        f"{start}: {here}; of all mechanisms {label(most.mechanism)} grows the most, by"
        f" {_factor(most)} from {_sizes(most)}."
    )
