# SPDX-License-Identifier: GPL-2.0-only
"""Which functions a path's additional instructions are in."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vmabench.store.format import Record

COLUMNS = ("case_id", "phase", "function", "a_call", "b_call", "call", "steady")
#: less than this share of an instruction is what a few operations of a value had to do beside
LEAST = 0.5
_KEYS = ["case_id", "phase"]
_FUNCTION = [*_KEYS, "function"]


def function_lengths(records: Sequence[Record]) -> pd.DataFrame:
    """``case_id``, ``phase``, ``function``, ``per_call``: instructions of one operation.

    ``per_call`` is the mean over the processes of what each of them has as its median, as that of
    ``path_lengths`` is; ``range`` is the largest of these less the smallest. The variants that a
    compiler makes of a function (``name.isra.0``) count as the function.
    """
    rows = [
        (record["case"], record["phase"], name.partition(".")[0], number, count)
        for number, record in enumerate(records)
        for name, count in record["counts"].items()
    ]
    counted = pd.DataFrame(rows, columns=[*_FUNCTION, "process", "count"])
    of_process = counted.groupby([*_FUNCTION, "process"])["count"].sum().groupby(_FUNCTION)
    lengths = of_process.agg(["sum", "min", "max", "size"]).reset_index()
    processes = _paths(records).value_counts().rename("processes").reset_index()
    lengths = lengths.merge(processes, on=_KEYS, how="left")
    lengths["per_call"] = lengths["sum"] / lengths["processes"]
    # a process that does not enter the function has 0 of it
    least = lengths["min"].where(lengths["size"] == lengths["processes"], 0.0)
    lengths["range"] = lengths["max"] - least
    return lengths[[*_FUNCTION, "per_call", "range"]]


def compare_functions(a: Sequence[Record], b: Sequence[Record]) -> pd.DataFrame:
    """One row for each function of a case and phase that both have, in the columns COLUMNS.

    ``call`` is what B executes more of it in one operation than A; the largest differences of a
    case and phase come first. A function that one of them never enters has 0 there. ``steady``:
    the sides differ by more than the processes of each do, so it is no matter of chance, as what
    the scheduler or the allocator had to do is.
    """
    both = _paths(a).drop_duplicates().merge(_paths(b).drop_duplicates())
    sides = [function_lengths(records).merge(both).set_index(_FUNCTION) for records in (a, b)]
    joined = pd.concat(sides, axis=1, keys=["a", "b"]).fillna(0.0)
    compared = pd.DataFrame({"a_call": joined["a", "per_call"], "b_call": joined["b", "per_call"]})
    compared["call"] = compared["b_call"] - compared["a_call"]
    ranges = joined["a", "range"] + joined["b", "range"]
    compared["steady"] = compared["call"].abs() > np.maximum(ranges, LEAST)
    compared = compared.reset_index()
    order = compared.assign(size=-compared["call"].abs())
    compared = compared.loc[order.sort_values([*_KEYS, "size", "function"]).index]
    return compared[list(COLUMNS)].reset_index(drop=True)


def by_function(compared: pd.DataFrame) -> pd.DataFrame:
    """Functions that differ steadily: ``function``, ``cases``, ``least`` and ``most`` of a call.

    In the order of the largest difference. Of a case the total counts, which has all phases.
    """
    steady = compared[compared["steady"] & (compared["phase"] == "total")]
    groups = steady.groupby("function")["call"]
    found = groups.agg(cases="size", least="min", most="max").reset_index()
    size = found[["least", "most"]].abs().max(axis=1)
    return found.loc[size.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _paths(records: Sequence[Record]) -> pd.DataFrame:
    """Case and phase of each record."""
    return pd.DataFrame([(record["case"], record["phase"]) for record in records], columns=_KEYS)
