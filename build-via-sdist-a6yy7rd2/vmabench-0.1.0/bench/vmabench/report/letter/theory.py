# SPDX-License-Identifier: GPL-2.0-only
"""What the instruction clock says of two kernels: a theory for each path that has changed."""

import pandas as pd

from vmabench.analysis.compare import MIN_PATH_EFFECT, bare_name, compare_paths
from vmabench.analysis.frame import tidy
from vmabench.analysis.functions import compare_functions
from vmabench.report.letter.plain import filled, table
from vmabench.report.paths import number
from vmabench.report.verdicts import functions_of, origin
from vmabench.store.format import Result

_MOST_ROWS = 12
_MOST_FUNCTIONS = 3


def theory(paths: tuple[Result, Result], number_: int) -> str:
    """Paths that are longer or shorter in B, with the functions that they have more of."""
    compared = compare_paths(*(tidy(result) for result in paths))
    functions = compare_functions(*(result.functions for result in paths))
    changed = compared[compared["verdict"] != "~"]
    same = len(compared) - len(changed)
    caption = (
        f"{number_}) Path lengths, A vs B, in instructions of one operation, lower is better;"
        f" {len(changed)} changed by {100 * MIN_PATH_EFFECT:g} % or more, {same} did not:"
    )
    text = filled(caption, "", "   ")
    if changed.empty:
        return text
    shown = changed.iloc[:_MOST_ROWS]
    lines = [
        [
            f"{bare_name(str(row['case_id']))} {row['phase']}",
            number(float(row["a_call"])),
            number(float(row["b_call"])),
            f"{100 * (float(row['ratio']) - 1):+.1f}%",
        ]
        for row in shown.to_dict("records")
    ]
    text += f"\n\n{table(['path', 'A', 'B', 'change'], lines)}"
    more = len(changed) - len(shown)
    text += f"\n   and {more} more" if more else ""
    return text + "".join(f"\n{line}" for line in _origins(shown, functions))


def _origins(changed: pd.DataFrame, functions: pd.DataFrame) -> list[str]:
    """Each set of functions once, with the paths that have it."""
    lines = []
    for row in changed.to_dict("records"):
        named = {str(name): value for name, value in row.items()}
        mine = functions_of(functions, named)
        if len(mine):
            path = f"{bare_name(named['case_id'])} {named['phase']}"
            words = origin(float(named["call"]), mine, _MOST_FUNCTIONS)
            lines.append(filled(f"{path}: {words}", "   ", "     "))
    return lines
