# SPDX-License-Identifier: GPL-2.0-only
"""Attribute changed path lengths to the patches of a series.

Neighbouring kernels are compared by ``compare_paths``, with its noise floor. A kernel without a
result, because it does not build or its guest was lost, is left out: the next one is then compared
with the last one that was measured, and its changes belong to all patches in between.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vmabench.analysis.compare import compare_lengths
from vmabench.analysis.frame import tidy
from vmabench.analysis.functions import compare_functions
from vmabench.analysis.instructions import path_lengths
from vmabench.store.format import Result

#: verdicts beside those of ``compare_paths``: the path failed, was not measured any more, or is new
FAILED, GONE, NEW = "failed", "gone", "new"

_KEYS = ["case_id", "phase"]


@dataclass(frozen=True, slots=True)
class Step:
    """A kernel of the series; the base has number 0.

    ``missing`` says why it has no result; ``directory`` is where its result lies.
    """

    number: int
    commit: str
    subject: str
    directory: Path
    result: Result | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Two neighbouring kernels that were measured, and what differs between them.

    ``paths`` has the columns of ``compare_paths`` and ``reason``; failed, gone and new paths come
    first and have NaN for what is unknown. ``functions`` has those of ``compare_functions``.
    """

    before: Step
    after: Step
    paths: pd.DataFrame
    functions: pd.DataFrame

    @property
    def changed(self) -> pd.DataFrame:
        """Return the paths that are not the same."""
        return self.paths[self.paths["verdict"] != "~"]

    def count(self, *verdicts: str) -> int:
        """Return how many paths have one of these verdicts."""
        return int(self.paths["verdict"].isin(verdicts).sum())


@dataclass(frozen=True, slots=True)
class Attribution:
    """Which step of a series changes which path.

    ``whole`` compares the first measured kernel with the last one; None with fewer than two.
    """

    steps: tuple[Step, ...]
    changes: tuple[Change, ...]
    whole: Change | None

    @property
    def missing(self) -> list[Step]:
        """Return the steps without a result."""
        return [step for step in self.steps if step.missing]

    def count(self, *verdicts: str) -> int:
        """Return how many paths of all changes have one of these verdicts."""
        return sum(change.count(*verdicts) for change in self.changes)

    def across(self, change: Change) -> list[Step]:
        """Return the steps without a result that a change goes across."""
        between = range(change.before.number + 1, change.after.number)
        return [step for step in self.steps if step.number in between]

    def gradual(self) -> pd.DataFrame:
        """Return the paths that the series as a whole changes and none of its steps.

        Each step is below the noise floor of the path, their sum is not.
        """
        if self.whole is None:
            return pd.DataFrame()
        named = {key for change in self.changes for key in _paths_of(change.changed)}
        rows = self.whole.changed
        return rows[[key not in named for key in _paths_of(rows)]]


def attribute(steps: Sequence[Step]) -> Attribution:
    """Compare each measured kernel with the one measured before it, and the last with the first."""
    measured = [(step, _lengths(step)) for step in steps if step.result]
    changes = tuple(_compare(a, b) for a, b in itertools.pairwise(measured))
    whole = _compare(measured[0], measured[-1]) if len(measured) > 1 else None
    return Attribution(tuple(steps), changes, whole)


def compare_steps(before: Step, after: Step) -> Change:
    """Compare two kernels; raises ValueError for a step without a result."""
    return _compare((before, _lengths(before)), (after, _lengths(after)))


def _lengths(step: Step) -> pd.DataFrame:
    return path_lengths(tidy(_result(step)))


def _result(step: Step) -> Result:
    if step.result is None:
        raise ValueError(f"step {step.number} has no result")
    return step.result


def _compare(one: tuple[Step, pd.DataFrame], other: tuple[Step, pd.DataFrame]) -> Change:
    """Compare two kernels with the lengths of their paths."""
    (before, left), (after, right) = one, other
    a, b = _result(before), _result(after)
    compared = compare_lengths(left, right).assign(reason="")
    one_sided = pd.DataFrame(
        [*_lost_paths(a, b), *_new_paths(a, b)], columns=[*_KEYS, "verdict", "reason"]
    )
    paths = one_sided.reindex(columns=list(compared.columns))
    joined = pd.concat([paths, compared]) if len(paths) else compared
    return Change(
        before, after, joined.reset_index(drop=True), compare_functions(a.functions, b.functions)
    )


def _paths_of(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(rows["case_id"], rows["phase"], strict=True))


def _lost_paths(a: Result, b: Result) -> Iterator[tuple[str, str, str, str]]:
    """Yield the cases that A measured and B did not, or that fail in B more often than in A."""
    before, failures = _failed(a), _failed(b)
    reasons = {record["case"]: record.get("reason", "") for record in b.of_kind("skipped")}
    for case in sorted(_measured(a) - _measured(b) | failures.keys() - before.keys()):
        if case in failures:
            yield case, "total", FAILED, failures[case]
        elif case in _measured(a):
            yield case, "total", GONE, reasons.get(case, "it is no case of the plan")


def _new_paths(a: Result, b: Result) -> Iterator[tuple[str, str, str, str]]:
    for case in sorted(_measured(b) - _measured(a)):
        yield case, "total", NEW, ""


def _measured(result: Result) -> set[str]:
    return {record["case"] for record in result.of_kind("case") if record["outcome"] == "ok"}


def _failed(result: Result) -> dict[str, str]:
    """Return each case that failed in some round, with the reason."""
    return {
        record["case"]: str(record.get("reason", ""))
        for record in result.of_kind("case")
        if record["outcome"] == "failed"
    }
