# SPDX-License-Identifier: GPL-2.0-only
"""The strongest rival of a cell: the fastest of the mechanisms that copy.

It is chosen and judged on the same samples, which favours it a little: a mechanism that beats it
beats every copy that was measured.
"""

import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.ratios import CELL, cell_samples

FASTEST_COPY = "fastest copy"

#: what a user of a copy chooses, so that the fastest copy has it chosen well: axis -> the value
#: under which it is compared
CHOSEN = {"buffer": "fresh"}

_SHARED = [name for name in CELL if name not in CHOSEN]
_OWN = ["mechanism", *(name for name in CHOSEN if name in CELL)]


def fastest_copies(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each cell that a copy was measured in: its CELL and ``mechanism``.

    A cell has a row for each phase, which may have another winner. ``buffer`` is that of the
    winner, whichever the cells of other mechanisms have. The frame must be of one kernel and run.
    """
    copies = frame[frame["mechanism"].isin(levels.COPYING) & frame["time_ns"].notna()]
    medians = cell_samples(copies).median(axis=1).rename("median_ns").reset_index()
    medians = medians.sort_values(["median_ns", "mechanism"], kind="stable")
    return medians.drop_duplicates(_SHARED)[[*_OWN, *_SHARED]].sort_values(_SHARED)


def with_fastest_copy(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the rows of ``fastest_copies`` once more, as mechanism FASTEST_COPY.

    Those rows have ``buffer`` ``fresh``, as a mapping has that is made anew for each delivery.
    """
    names = [*frame["mechanism"].cat.categories, FASTEST_COPY]
    known = frame.assign(mechanism=frame["mechanism"].cat.set_categories(names, ordered=True))
    keys = pd.MultiIndex.from_frame(_as_objects(fastest_copies(frame)))
    chosen = known[pd.MultiIndex.from_frame(_as_objects(frame[[*_OWN, *_SHARED]])).isin(keys)]
    renamed = {"mechanism": FASTEST_COPY} | {name: CHOSEN[name] for name in _OWN if name in CHOSEN}
    for name, value in renamed.items():
        chosen = chosen.assign(**{name: pd.Series(value, chosen.index).astype(known[name].dtype)})
    return pd.concat([known, chosen], ignore_index=True)


def _as_objects(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.astype("object")
