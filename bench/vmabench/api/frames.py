# SPDX-License-Identifier: GPL-2.0-only
"""Analyse tidy frames: each function takes frames as ``load`` returns them and returns a frame.

A frame may hold several runs. Each run is analysed on its own, and ``run``, ``kernel`` and ``virt``
are columns of every answer.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from vmabench.analysis import compare as comparison
from vmabench.analysis import crossover
from vmabench.analysis.claims import judge_any
from vmabench.analysis.frame import CONDITIONS
from vmabench.analysis.instructions import path_lengths as lengths_of
from vmabench.analysis.ratios import CELL, paired_ratios
from vmabench.analysis.ratios import distortion as distortion_of
from vmabench.analysis.rivals import FASTEST_COPY, with_fastest_copy
from vmabench.analysis.samples import samples
from vmabench.analysis.stats import TARGET_WIDTH
from vmabench.matrix.claims import published_claims

#: they tell the runs of a frame apart
RUN = ("run", "kernel", "virt")

Answer = crossover.Crossover | crossover.BreakEven


def ratios(
    frame: pd.DataFrame, to: str = "readv", mechanisms: Iterable[str] | None = None
) -> pd.DataFrame:
    """Return the time of each mechanism over the time of ``to``, paired by process.

    One row for each run, mechanism and cell that was measured with both. Columns: RUN,
    ``mechanism``, the conditions of the cell (``scenario``, ``page``, ``thp``, ``touch_mode`` and
    so on), ``size_bytes``, ``phase``; ``ratio`` (below 1 the mechanism is faster than ``to``) with
    its 95 % interval ``lo`` and ``hi``, NaN with fewer than 5 ``processes``. ``mechanisms`` are all
    of the frame by default. Raises ValueError for an empty frame.

    >>> import vmabench as vb
    >>> frame = vb.load("results/published/host-standard")
    >>> rows = vb.ratios(frame, to="readv", mechanisms=["memfd"])
    >>> bare = rows.query("scenario == 'transfer' and page == '4K' and size_bytes == 65536")
    >>> bare[["ratio", "lo", "hi", "processes"]].round(2).to_dict("records")
    [{'ratio': 0.22, 'lo': 0.22, 'hi': 0.24, 'processes': 10}]
    """
    return _each_run(frame, lambda rows: paired_ratios(rows, _mechanisms(rows, mechanisms, to), to))


def crossovers(
    frame: pd.DataFrame,
    to: str = FASTEST_COPY,
    mechanisms: Iterable[str] | None = None,
    *,
    phase: str = "total",
) -> pd.DataFrame:
    """Return the sizes at which a mechanism starts, or stops, to be faster than ``to``.

    ``to`` is a mechanism, or at each size the fastest of those that copy, into whichever buffer.
    One row for each run, mechanism, set of conditions and crossing. Columns: RUN, ``mechanism``,
    ``baseline`` (``to``), the conditions, ``phase``, and ``answer``: ``crossover`` (at
    ``size_bytes``, with the 95 % interval ``lo_bytes`` to ``hi_bytes``; the mechanism is faster
    above it where ``faster_above``), ``always``, ``never``, or ``undecided``. Pairs that no process
    measured have no row. Raises ValueError for an empty frame.

    >>> import vmabench as vb
    >>> frame = vb.load("results/published/host-standard")
    >>> found = vb.crossovers(frame, to="readv", mechanisms=["fork"])
    >>> found.query("scenario == 'transfer' and page == '4K'")["answer"].to_list()
    ['crossover']
    """
    return _each_run(
        frame,
        lambda rows: _answers(
            crossover.Crossover,
            CONDITIONS,
            (
                one
                for name, both in _pairs(rows[rows["phase"] == phase], mechanisms, to)
                for one in crossover.crossovers(both, name, to, phase=phase)
            ),
        ),
    )


def breakevens(
    frame: pd.DataFrame,
    to: str = FASTEST_COPY,
    mechanisms: Iterable[str] | None = None,
    *,
    phase: str = "total",
) -> pd.DataFrame:
    """Return the fraction touched up to which a mechanism is faster than ``to``.

    ``to`` is a mechanism, or at each fraction the fastest of those that copy.
    One row for each run, mechanism, size, page, way of touching, and crossing in the scenario
    ``touch``. Columns as in ``crossovers``, with ``touch_pct`` (percent of the base pages) and its
    95 % interval ``lo_pct`` to ``hi_pct`` for places. Raises ValueError for an empty frame.

    >>> import vmabench as vb
    >>> frame = vb.load("results/published/host-standard")
    >>> found = vb.breakevens(frame, to="readv", mechanisms=["fork"])
    >>> sorted(set(found["touch_mode"]))
    ['read', 'write']
    """
    shared = [name for name in CONDITIONS if not name.startswith("touch_")]
    return _each_run(
        frame,
        lambda rows: _answers(
            crossover.BreakEven,
            shared,
            (
                one
                for name, both in _pairs(rows[rows["scenario"] == "touch"], mechanisms, to)
                for one in crossover.break_evens(both, name, to, phase=phase)
            ),
        ),
    )


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    target_width: float = TARGET_WIDTH,
    phase: str = "total",
) -> pd.DataFrame:
    """Return a verdict on each case that either of two runs has; failures and changes come first.

    Columns for times: ``case_id``, ``phase``; ``a_ns`` and ``b_ns``; ``ratio`` (the time of B over
    that of A) with its 95 % interval ``lo`` and ``hi``; ``p``, and ``q``, which allows for the
    number of cases; ``a_processes`` and ``b_processes``, the numbers of samples, which are boots
    where both runs have several (``sample``); ``reason``; and ``verdict``: ``failed``, ``slower``,
    ``faster``, ``same`` (within 2 %), ``~`` (no difference shown), ``unstable`` (the samples vary
    by more than ``target_width``), or ``not comparable``.

    Columns for counts of instructions: ``case_id``, ``phase``, ``a_call``, ``b_call``, ``ratio``,
    the differences ``call``, ``entry`` and ``kib``, ``floor``, and ``verdict``: ``longer``,
    ``shorter`` or ``~``.

    Raises ValueError where a frame holds several runs, or one holds counts and the other times.

    >>> import vmabench as vb
    >>> a = vb.load("results/published/paths-base")
    >>> b = vb.load("results/published/paths-series")
    >>> sorted(vb.compare(a, b)["verdict"].unique())
    ['longer', '~']
    """
    counted = [bool(frame["instructions"].notna().any()) for frame in (a, b)]
    if counted[0] != counted[1]:
        raise ValueError("one frame holds counts of instructions and the other one times")
    if all(counted):
        return comparison.compare_paths(a, b)
    return comparison.compare(a, b, target_width=target_width, phase=phase)


def path_lengths(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the instructions of each case: of an operation, of a page-table entry, of a KiB.

    One row for each run, case and phase of frames by the instruction clock. Columns: RUN,
    ``case_id``, the conditions, ``size_bytes``, ``entries``, ``per_call``, ``per_entry`` (beyond
    the smallest size of the sweep, and NaN there), ``per_kib``, ``spread`` (the range of the
    processes over ``per_call``) and ``processes``. Raises ValueError for an empty frame.

    >>> import vmabench as vb
    >>> lengths = vb.path_lengths(vb.load("results/published/paths-series"))
    >>> bool((lengths["per_call"] > 0).any())
    True
    """
    return _each_run(frame, lengths_of)


def distortion(real: pd.DataFrame, emulated: pd.DataFrame) -> pd.DataFrame:
    """Return how far emulation changes the ratio of each mechanism to ``readv``.

    One row for each case that both runs have: ``real`` and ``emulated`` are the ratios, each with
    its interval (``real_lo`` and so on), ``distortion`` is the second over the first. Raises
    ValueError where a frame holds several runs.

    >>> import vmabench as vb
    >>> host, guest = (vb.load(f"results/published/{name}") for name in ("host-standard", "guest"))
    >>> bool((vb.distortion(host, guest)["distortion"] > 0).all())
    True
    """
    return distortion_of(real, emulated)


def claims(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the outcome of each published claim; the first run that supports a claim answers.

    Columns: ``claim`` (its name), ``says`` (its text), ``answer`` (``CONFIRMED``, ``NOT
    CONFIRMED``, ``INCONCLUSIVE`` or ``UNSUPPORTED``), ``ratio`` with its interval ``lo`` and
    ``hi``, ``remark`` and ``source``. Raises ValueError for an empty frame, and for counts of
    instructions.

    >>> import vmabench as vb
    >>> found = vb.claims(vb.load("results/published/host-standard"))
    >>> "UNSUPPORTED" in set(found["answer"])
    True
    """
    if frame["instructions"].notna().any():
        raise ValueError("the frame holds counts of instructions: claims are of times")
    runs = [(str(rows["kernel"].iloc[0]), rows) for _, rows in _runs(frame)]
    outcomes = [judge_any(runs, claim) for claim in published_claims()]
    return pd.DataFrame(
        {
            "claim": one.claim.name,
            "says": one.claim.claim,
            "answer": one.answer,
            "ratio": one.ratio,
            "lo": one.lo,
            "hi": one.hi,
            "remark": one.remark,
            "source": one.claim.source,
        }
        for one in outcomes
    )


def _each_run(frame: pd.DataFrame, analyse: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """Return what ``analyse`` finds in each run, with the columns RUN before its own."""
    parts = []
    for _, rows in _runs(frame):
        part = analyse(rows).drop(columns=list(RUN), errors="ignore")
        for place, name in enumerate(RUN):
            part.insert(place, name, str(rows[name].iloc[0]))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _runs(frame: pd.DataFrame) -> list[tuple[Any, pd.DataFrame]]:
    if frame.empty:
        raise ValueError("the frame has no rows")
    return list(frame.groupby("run", observed=True, sort=False))


def _mechanisms(rows: pd.DataFrame, chosen: Iterable[str] | None, to: str) -> list[str]:
    names = rows["mechanism"].cat.categories if chosen is None else chosen
    present = set(rows["mechanism"].dropna())
    return [name for name in names if name != to and name in present]


def _pairs(
    rows: pd.DataFrame, chosen: Iterable[str] | None, to: str
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each mechanism, and its samples and those of ``to``: a frame of few rows.

    Every analysis of a pair takes samples of all of its rows, of which there are ten times as many.
    """
    if to == FASTEST_COPY:
        rows = with_fastest_copy(rows)
    keys = ["run", "kernel", "virt", "mechanism", *CELL]
    table = samples(rows, keys).rename_axis(columns="process")
    taken = pd.DataFrame({"time_ns": table.stack()}).reset_index()
    for name in _mechanisms(rows, chosen, to):
        yield name, taken[taken["mechanism"].isin([name, to])]


def _answers(
    kind: type[Answer], conditions: Sequence[str], answers: Iterable[Answer]
) -> pd.DataFrame:
    """Return a frame of answers, with a column for each condition; unmeasured ones are left out."""
    names = [one.name for one in fields(kind) if one.name != "conditions"]
    rows = [
        {name: getattr(answer, name) for name in names} | dict(answer.conditions)
        for answer in answers
        if answer.answer != "unmeasured"
    ]
    return pd.DataFrame(rows, columns=[*names[:2], *conditions, *names[2:]])
