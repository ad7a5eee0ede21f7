# SPDX-License-Identifier: GPL-2.0-only
"""Put comparisons with one base side by side: a row for each case, columns for each other run."""

from collections.abc import Mapping

import pandas as pd

from vmabench.matrix.case import Case

#: columns before those of the runs; ``base`` is in ns, or in instructions of a call
BASE = ("case_id", "phase", "base")
#: columns of each run, behind its name and an underscore
EACH = ("ratio", "lo", "hi", "verdict")

_KEYS = ["case_id", "phase"]


def side_by_side(compared: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row for each case and phase of the comparisons, ordered by case.

    ``compared`` has frames of ``compare`` or ``compare_paths`` by name, all with one base. The
    columns are BASE, and EACH for every name, as in ``B_ratio``: the value of that run over the
    base with its interval, NaN where there is none. The verdict of a case that a comparison lacks
    is empty. Each comparison allows for the number of its own cases only. Raises ValueError for no
    comparison.

    >>> import vmabench as vb
    >>> a, b = (vb.load(f"results/published/{name}") for name in ("paths-base", "paths-series"))
    >>> table = vb.side_by_side({"B": vb.compare(a, b), "C": vb.compare(a, a)})
    >>> list(table.columns)[:5], set(table["C_verdict"])
    (['case_id', 'phase', 'base', 'B_ratio', 'B_lo'], {'~'})
    """
    parts, bases = [], []
    for name, one in compared.items():
        indexed = one.astype(dict.fromkeys(_KEYS, "object")).set_index(_KEYS)
        bases.append(indexed["a_call" if "a_call" in indexed else "a_ns"])
        parts.append(indexed.reindex(columns=list(EACH)).add_prefix(f"{name}_"))
    table = pd.concat(parts, axis=1)
    table.insert(0, "base", pd.concat(bases, axis=1).bfill(axis=1).iloc[:, 0])
    verdicts = [f"{name}_verdict" for name in compared]
    table[verdicts] = table[verdicts].fillna("")
    order = sorted(table.index, key=lambda key: (Case.parse(key[0]), key[1]))
    return table.loc[order].reset_index()
