# SPDX-License-Identifier: GPL-2.0-only
"""Judge whether the measurements confirm what was published."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from vmabench.analysis.ratios import ratio_of_cases
from vmabench.matrix.claims import Cases, Claim
from vmabench.units import format_size

Answer = Literal["CONFIRMED", "NOT CONFIRMED", "INCONCLUSIVE", "UNSUPPORTED"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold the answer to a claim; ``ratio`` and its interval are NaN where nothing was measured.

    ``remark`` says at which size, why the claim is not confirmed, or what is missing.
    """

    claim: Claim
    answer: Answer
    ratio: float = math.nan
    lo: float = math.nan
    hi: float = math.nan
    remark: str = ""


def judge_any(frames: Sequence[tuple[str, pd.DataFrame]], claim: Claim) -> Outcome:
    """Judge a claim by several named results: the first one that supports it answers.

    The remark then names that result. Where none does, it says what the first one lacks.
    """
    outcomes = [(name, judge(frame, claim)) for name, frame in frames]
    for name, found in outcomes:
        if found.answer != "UNSUPPORTED":
            return replace(found, remark=f"{found.remark}, in {name}") if frames[1:] else found
    return outcomes[0][1]


def judge(frame: pd.DataFrame, claim: Claim) -> Outcome:
    """Judge one claim by a tidy frame of times.

    CONFIRMED: the whole interval of the ratio is in the range that the claim allows. NOT
    CONFIRMED: none of it is. INCONCLUSIVE: a part of it is, or there is no interval.
    """
    if claim.needs or claim.over is None:
        return Outcome(claim, "UNSUPPORTED", remark=f"needs {claim.needs}")
    pairs = _doublings(frame, claim.over) if claim.doubling else _pair(frame, claim)
    if isinstance(pairs, str):
        return Outcome(claim, "UNSUPPORTED", remark=pairs)
    measured = [(ratio_of_cases(frame, over, under), size) for over, under, size in pairs]
    measured = [one for one in measured if not math.isnan(one[0][0])]
    if not measured:
        return Outcome(claim, "UNSUPPORTED", remark="no process has both")
    (ratio, lo, hi), size_bytes = max(measured)
    where = f"at {format_size(size_bytes)}"
    answer, why = answer_of(claim, ratio, lo, hi)
    return Outcome(claim, answer, ratio, lo, hi, f"{where}{why}")


def answer_of(claim: Claim, ratio: float, lo: float, hi: float) -> tuple[Answer, str]:
    """Return the answer for a measured ratio with its interval, and why it is not confirmed."""
    least, most = claim.between
    if least <= lo and hi <= most:
        return "CONFIRMED", ""
    if hi < least or lo > most:
        return "NOT CONFIRMED", _amiss(ratio, least, most)
    if math.isnan(lo):
        return "INCONCLUSIVE", ", there is no interval: more rounds"
    return "INCONCLUSIVE", ", the interval reaches beyond what the claim allows: more rounds"


def _amiss(ratio: float, least: float, most: float) -> str:
    if least < 1 < most:
        return ", it is not about the same"
    if (ratio > 1) == (least >= 1):
        return ", the direction holds, the size does not"
    return ", it is the other way round"


def _pair(frame: pd.DataFrame, claim: Claim) -> list[tuple[str, str, int]] | str:
    """The cases of both sides at the first size that both have, or why there is none."""
    assert claim.over is not None
    assert claim.under is not None
    sides = [_ids(frame, cases) for cases in (claim.over, claim.under)]
    for size_bytes in claim.over.sizes:
        found = [side.get(size_bytes) for side in sides]
        if found[0] and found[1]:
            return [(found[0], found[1], size_bytes)]
    missing = [
        _why_not(frame, cases)
        for cases, side in zip((claim.over, claim.under), sides, strict=True)
        if not set(side) & set(cases.sizes)
    ]
    return "; ".join(missing) or "not both at one size"


def _doublings(frame: pd.DataFrame, cases: Cases) -> list[tuple[str, str, int]] | str:
    ids = _ids(frame, cases)
    pairs = [(ids[2 * size], ids[size], 2 * size) for size in ids if 2 * size in ids]
    return pairs or _why_not(frame, cases)


def _ids(frame: pd.DataFrame, cases: Cases) -> dict[int, str]:
    """Size -> case that has times."""
    rows = _rows(frame, cases)
    rows = rows[rows["time_ns"].notna()].drop_duplicates("case_id")
    pairs = zip(rows["size_bytes"], rows["case_id"], strict=True)
    return {int(size): str(name) for size, name in pairs}


def _rows(frame: pd.DataFrame, cases: Cases) -> pd.DataFrame:
    rows = frame
    for column, value in cases.columns.items():
        rows = rows[rows[column] == value]
    return rows


def _why_not(frame: pd.DataFrame, cases: Cases) -> str:
    name = "/".join(str(value) for value in cases.columns.values())
    reasons = _rows(frame, cases)["reason"].dropna()
    return f"{name}: {reasons.iloc[0]}" if len(reasons) else f"{name} was not measured"
