# SPDX-License-Identifier: GPL-2.0-only
"""Which functions a path's additional instructions are in."""

from collections.abc import Sequence

import pandas as pd

from vmabench.store.format import Record

COLUMNS = ("case_id", "phase", "function", "a_call", "b_call", "call")
_KEYS = ["case_id", "phase"]


def function_lengths(records: Sequence[Record]) -> pd.DataFrame:
    """``case_id``, ``phase``, ``function``, ``per_call``: instructions of one operation.

    ``per_call`` is the mean over the processes of what each of them has as its median, as that of
    ``path_lengths`` is, so that the functions of a path add up to it. The variants that a compiler
    makes of a function (``name.isra.0``) count as the function.
    """
    rows = [
        (record["case"], record["phase"], name.partition(".")[0], count)
        for record in records
        for name, count in record["counts"].items()
    ]
    counted = pd.DataFrame(rows, columns=[*_KEYS, "function", "count"])
    processes = _paths(records).value_counts()
    sums = counted.groupby([*_KEYS, "function"])["count"].sum().reset_index()
    per_process = sums.merge(processes.rename("processes").reset_index(), on=_KEYS, how="left")
    per_process["per_call"] = per_process["count"] / per_process["processes"]
    return per_process[[*_KEYS, "function", "per_call"]]


def _paths(records: Sequence[Record]) -> pd.DataFrame:
    """Case and phase of each record."""
    return pd.DataFrame([(record["case"], record["phase"]) for record in records], columns=_KEYS)


def compare_functions(a: Sequence[Record], b: Sequence[Record]) -> pd.DataFrame:
    """One row for each function of a case and phase that both have, in the columns COLUMNS.

    ``call`` is what B executes more of it in one operation than A; the largest differences of a
    case and phase come first. A function that one of them never enters has 0 there.
    """
    both = _paths(a).drop_duplicates().merge(_paths(b).drop_duplicates())
    sides = [
        function_lengths(records).merge(both).set_index([*_KEYS, "function"])["per_call"]
        for records in (a, b)
    ]
    compared = pd.concat(sides, axis=1, keys=["a_call", "b_call"]).fillna(0.0).reset_index()
    compared["call"] = compared["b_call"] - compared["a_call"]
    order = compared.assign(size=-compared["call"].abs())
    compared = compared.loc[order.sort_values([*_KEYS, "size", "function"]).index]
    return compared[list(COLUMNS)].reset_index(drop=True)
