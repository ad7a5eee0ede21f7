# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench compare A B C ...``: a line for each case, a column for each other result."""

import math
import sys
from collections.abc import Mapping
from string import ascii_uppercase
from typing import TYPE_CHECKING

from vmabench.api.output import say, warn
from vmabench.commands.compare import (
    Choices,
    check_comparable,
    head_line,
    is_counted,
    read_result,
    status_for,
)
from vmabench.errors import UsageError
from vmabench.store.format import Result

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("text", "csv")


def compare_side_by_side(chosen: Choices) -> int:
    """Print the comparisons of all results with the first one; return the worst exit status."""
    if chosen.format not in FORMATS:
        raise UsageError(f"--format {chosen.format} is of two results: give text or csv for more")
    if len(chosen.results) > len(ascii_uppercase):
        raise UsageError(f"{len(chosen.results)} results: at most {len(ascii_uppercase)}")
    results = {
        name: read_result(path, name, chosen.partial)
        for name, path in zip(ascii_uppercase, chosen.results, strict=False)
    }
    base = results["A"]
    forced = _forced(results, chosen.force)
    for difference in forced:
        warn(f"compared by force: {difference}")
    compared = {name: _compared(base, one) for name, one in results.items() if name != "A"}
    _show(chosen.format, results, compared, marked=bool(forced))
    statuses = [
        status_for(chosen.fail_on, [str(verdict) for verdict in one["verdict"]], results[name])
        for name, one in compared.items()
    ]
    return max(statuses)


def _forced(results: Mapping[str, Result], force: bool) -> list[str]:
    """Return the differences to A that are compared by force; raises UsageError for one else."""
    found = []
    for name, result in results.items():
        if name == "A":
            continue
        try:
            differences = check_comparable(results["A"], result, force)
        except UsageError as error:
            raise UsageError(f"{name} as B: {error}") from error
        found += [f"{name} as B: {one}" for one in differences]
    return found


def _compared(a: Result, b: Result) -> "pd.DataFrame":
    from vmabench.analysis.compare import compare, compare_paths
    from vmabench.analysis.frame import tidy

    if is_counted(a):
        return compare_paths(tidy(a), tidy(b))
    target = max(float(one.plan.get("target_width", 0.3)) or math.inf for one in (a, b))
    return compare(tidy(a), tidy(b), target_width=target)


def _show(
    form: str,
    results: Mapping[str, Result],
    compared: "Mapping[str, pd.DataFrame]",
    *,
    marked: bool,
) -> None:
    from vmabench.analysis.frame import write_csv
    from vmabench.analysis.functions import compare_functions
    from vmabench.analysis.side_by_side import side_by_side
    from vmabench.report.side_by_side import side_by_side_text

    table = side_by_side(compared)
    if form == "csv":
        write_csv(table, sys.stdout)
        return
    head = [head_line(name, result) for name, result in results.items()]
    functions = {
        name: compare_functions(results["A"].functions, results[name].functions)
        for name in (compared if is_counted(results["A"]) else ())
    }
    text = side_by_side_text(table, compared, head, functions=functions, marked=marked)
    say(text.rstrip("\n"))
