# SPDX-License-Identifier: GPL-2.0-only
"""Deliveries without a receive buffer, set against copies into each kind of buffer.

The delivery of a clone, a fork or a private mapping is the mapping itself. It is measured once,
with the buffer ``fresh``, and its rivals are copies into fresh memory, into populated memory and
into a buffer that is reused, which is the strongest of them.
"""

import pandas as pd

from vmabench.matrix.axes import BUFFERS
from vmabench.matrix.table import ROWS

FRESH = BUFFERS[0]

#: buffer -> the mechanisms that map or share instead of copying and do not have it
_WITHOUT = {
    "reused": [row.name for row in ROWS if row.way in ("clone", "share") and row.unkept],
    "populated": [row.name for row in ROWS if row.way in ("clone", "share") and row.unpopulated],
}


def across_buffers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the rows of such mechanisms repeated for each buffer of their rivals.

    Repeated rows differ in ``buffer`` alone. A frame in which all memory is fresh is returned as
    it is.
    """
    parts = [frame]
    for buffer, names in _WITHOUT.items():
        rivals = frame[frame["buffer"] == buffer]
        mine = frame["mechanism"].isin(names) & (frame["buffer"] == FRESH)
        rows = frame[mine & frame["scenario"].isin(rivals["scenario"])]
        if len(rivals) and len(rows):
            repeated = pd.Series(buffer, index=rows.index).astype(frame["buffer"].dtype)
            parts.append(rows.assign(buffer=repeated))
    return pd.concat(parts, ignore_index=True) if parts[1:] else frame
