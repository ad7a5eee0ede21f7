# SPDX-License-Identifier: GPL-2.0-only
"""``vmabench.load``: results as a frame, for notebooks."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pandas.api.types import union_categoricals

from vmabench.analysis import levels
from vmabench.analysis.frame import COLUMNS, tidy
from vmabench.analysis.stats import judged, with_unstable
from vmabench.errors import UsageError
from vmabench.store.format import Result
from vmabench.store.reader import read, refuse_injected


def load(*directories: os.PathLike[str] | str) -> pd.DataFrame:
    """Return the tidy frame of result directories: a row for each value and phase.

    The columns are those of ``vmabench export --format csv``, with their types: sizes, shares and
    counts are integers that may be missing, times are floats, names are categories in the order of
    the reports. A case that could not run is a row with its reason and no time. Values of cases
    that are unstable have that outcome.

    >>> import vmabench as vb
    >>> frame = vb.load("results/published/host-standard")
    >>> frame[["size_bytes", "time_ns", "outcome"]].dtypes.astype(str).to_dict()
    {'size_bytes': 'Int64', 'time_ns': 'Float64', 'outcome': 'category'}

    The time of one operation of two mechanisms at 1M, in microseconds, the median over rounds:

    >>> bare = frame.query("scenario == 'transfer' and page == '4K' and size_bytes == 1048576")
    >>> bare = bare[bare["mechanism"].isin(["fork", "readv"])]
    >>> rounds = bare.groupby(["mechanism", "process"], observed=True)["time_ns"].median()
    >>> (rounds.groupby("mechanism", observed=True).median() / 1000).round(-1)
    mechanism
    fork     100.0
    readv     80.0
    Name: time_ns, dtype: Float64

    Skipped cases and their reasons:

    >>> lost = frame[frame["outcome"] == "skipped"]
    >>> lost.drop_duplicates("mechanism").set_index("mechanism")["reason"]["clone"]
    'process_vm_mmap: ENOSYS, this kernel does not have the call'

    Several results are one frame. The column ``run`` keeps them apart, also two of one kernel:

    >>> both = vb.load("results/published/host-standard", "results/published/guest")
    >>> both["run"].nunique()
    2

    Raises UsageError where a directory holds no result, where two hold the same run, and for times
    beside counts of instructions.
    """
    if not directories:
        raise UsageError("no directory: load takes result directories, as results/latest")
    results = [read(Path(directory)) for directory in directories]
    _refuse_repeated(results)
    frames = [_frame(result) for result in results]
    if len({bool(frame["instructions"].notna().any()) for frame in frames}) > 1:
        raise UsageError("times and counts of instructions do not go into one frame")
    return frames[0] if len(frames) == 1 else _together(frames)


def _frame(result: Result) -> pd.DataFrame:
    refuse_injected(result)
    counted = result.header.get("clock") == "instructions"
    return tidy(result) if counted else with_unstable(*judged(result))


def _refuse_repeated(results: Sequence[Result]) -> None:
    seen: dict[str, str] = {}
    for result in results:
        if before := seen.get(result.run):
            raise UsageError(f"{before} and {result.directory} hold the same run: load it once")
        seen[result.run] = result.directory


def _together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the frames one below the other; categories have the levels of all, in their order."""
    columns: dict[str, object] = {}
    for name, dtype in COLUMNS.items():
        parts = [frame[name] for frame in frames]
        if dtype != "category":
            columns[name] = pd.concat(parts, ignore_index=True)
            continue
        ordered = bool(parts[0].cat.ordered)
        merged = union_categoricals([part.cat.as_unordered() for part in parts])
        if name == "page":
            merged = merged.set_categories(levels.page_order(merged.categories))
        columns[name] = merged.as_ordered() if ordered else merged
    return pd.DataFrame(columns, columns=list(COLUMNS))
