# SPDX-License-Identifier: GPL-2.0-only
"""Published results as data, to be held against what was measured."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmabench.units import parse_size

_FILE = Path(__file__).with_name("claims.toml")


@dataclass(frozen=True, slots=True)
class Cases:
    """Which cases: ``columns`` of the frame -> value, and the sizes to try in this order."""

    columns: Mapping[str, Any]
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """One published result: ``over`` takes ``expected`` times as long as ``under``.

    ``expected`` is None where only a direction was published; ``between`` are the ratios that still
    confirm it. With ``doubling`` there is no ``under``: it is
    the largest growth of ``over`` from one size to twice that size. ``needs`` says what this suite
    lacks to try it; the claim then has no cases.
    """

    name: str
    claim: str
    source: str
    over: Cases | None = None
    under: Cases | None = None
    doubling: bool = False
    expected: float | None = None
    between: tuple[float, float] = (1.0, 1.0)
    needs: str = ""


def published_claims() -> list[Claim]:
    """All claims, that of 2019 first."""
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8"))["claim"]
    return [_claim(dict(entry)) for entry in entries]


def _claim(entry: dict[str, Any]) -> Claim:
    for side in ("over", "under"):
        if side in entry:
            columns = dict(entry[side])
            sizes = tuple(parse_size(text) for text in columns.pop("sizes", ()))
            entry[side] = Cases(columns, sizes)
    if "between" in entry:
        entry["between"] = tuple(entry["between"])
    return Claim(**entry)
