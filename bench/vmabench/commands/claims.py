# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench claims DIR``: published results against measured ones."""

import argparse
import math
from dataclasses import asdict

from vmabench.commands.output import say, say_json
from vmabench.errors import UsageError
from vmabench.matrix.claims import published_claims
from vmabench.store.reader import read, refuse_injected


def claims(args: argparse.Namespace) -> int:
    from vmabench.analysis.claims import judge
    from vmabench.analysis.frame import tidy
    from vmabench.report.claims import claims_text

    result = read(args.directory)
    refuse_injected(result)
    if result.header.get("clock") == "instructions":
        raise UsageError(f"{result.directory} holds counts of instructions: claims are of times")
    frame = tidy(result)
    outcomes = [judge(frame, claim) for claim in published_claims()]
    if args.json:
        rows = [asdict(outcome) for outcome in outcomes]
        say_json([{key: _known(value) for key, value in row.items()} for row in rows])
    else:
        say(claims_text(outcomes, result).rstrip("\n"))
    return 0


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
