# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench claims DIR``: published results against measured ones."""

import math
from collections.abc import Sequence
from dataclasses import asdict

from vmabench.api.output import say, say_json
from vmabench.errors import UsageError
from vmabench.matrix.claims import published_claims
from vmabench.store.format import Result
from vmabench.store.reader import read, refuse_injected


def claims(directories: Sequence[str], *, as_json: bool) -> int:
    """Print the outcome of each published claim."""
    from vmabench.report.claims import claims_report, outcomes

    results = [_timed(directory) for directory in directories]
    if as_json:
        found = outcomes(results, published_claims())
        say_json([_known(asdict(outcome)) for outcome in found])
    else:
        say(claims_report(results).rstrip("\n"))
    return 0


def _timed(directory: str) -> Result:
    result = read(directory)
    refuse_injected(result)
    if result.header.get("clock") == "instructions":
        raise UsageError(f"{result.directory} holds counts of instructions: claims are of times")
    return result


def _known(value: object) -> object:
    """Return JSON data, with null for NaN and infinity, which JSON lacks."""
    if isinstance(value, dict):
        return {name: _known(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_known(one) for one in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None
