# SPDX-License-Identifier: GPL-2.0-only
"""vmabench.load on made results: types, several runs, run ids, and errors."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

import vmabench
from tests import synthetic
from vmabench.analysis.compare import compare
from vmabench.analysis.costs import costs
from vmabench.analysis.frame import COLUMNS
from vmabench.analysis.ratios import paired_ratio
from vmabench.analysis.stats import summarize
from vmabench.errors import UsageError
from vmabench.store.reader import read

CASES = synthetic.cases(("fork", "readv"), scenarios=("transfer",))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return synthetic.write(tmp_path / "run", synthetic.records(CASES))


def test_columns_are_typed_and_unstable_cases_marked(tmp_path: Path) -> None:
    wild = synthetic.write(tmp_path / "wild", synthetic.records(CASES, noise=0.5))
    frame = vmabench.load(wild)
    assert list(frame.columns) == list(COLUMNS)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS
    assert (frame["outcome"] == "unstable").any()


def test_several_results_keep_order_and_levels(tmp_path: Path) -> None:
    pages = [
        synthetic.write(
            tmp_path / page,
            synthetic.records([case for case in CASES if case.page == page], rounds=2),
        )
        for page in ("2M", "4K")
    ]
    frame = vmabench.load(*pages)
    assert list(frame["page"].cat.categories) == ["4K", "2M"]
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS
    assert frame["mechanism"].cat.ordered
    pd.testing.assert_series_equal(
        frame.query("page == '4K' and mechanism != 'clone'")["time_ns"].reset_index(drop=True),
        vmabench.load(pages[1]).query("mechanism != 'clone'")["time_ns"].reset_index(drop=True),
    )


def test_two_runs_of_one_kernel_stay_apart(tmp_path: Path) -> None:
    """Processes of both have the numbers 1 to 6; they are 12 processes and no 6."""
    runs = [tmp_path / "a", tmp_path / "b"]
    for seed, run in enumerate(runs):
        synthetic.write(run, synthetic.records(CASES, seed=seed))
    frame = vmabench.load(*runs)
    summary = summarize(frame)
    each = [summarize(vmabench.load(run)) for run in runs]
    assert len(summary) == sum(map(len, each))
    assert list(summary["run"].cat.categories) == [one["run"].iloc[0] for one in each]
    for one in each:
        mine = summary[summary["run"] == one["run"].iloc[0]].reset_index(drop=True)
        pd.testing.assert_series_equal(mine["median_ns"], one["median_ns"])
        assert set(mine["processes"]) == {0, 6}
    counted = costs(frame)
    assert len(counted) == sum(len(costs(vmabench.load(run))) for run in runs)
    with pytest.raises(ValueError, match="2 values of run: take one at a time"):
        paired_ratio(frame, "fork", "readv")
    with pytest.raises(ValueError, match="2 values of run: take one at a time"):
        compare(frame, frame, target_width=0.3)


def test_an_old_result_gets_a_run_id_from_its_bytes(tmp_path: Path) -> None:
    """A copy of the run has the same id; other samples have another one."""
    for seed in (1, 2):
        records = synthetic.records(CASES, rounds=1, seed=seed)
        del records[0]["run"]
        records[0]["format"] = 4
        synthetic.write(tmp_path / str(seed), records)
    shutil.copytree(tmp_path / "1", tmp_path / "copy")
    first, copy, second = (read(tmp_path / name).run for name in ("1", "copy", "2"))
    assert len(first) == 32
    assert (first, True) == (copy, first != second)


def test_a_run_is_loaded_once(directory: Path) -> None:
    with pytest.raises(UsageError, match="hold the same run"):
        vmabench.load(directory, directory)


def test_what_is_no_result_is_one_sentence(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no directory"):
        vmabench.load()
    with pytest.raises(UsageError, match="result directory"):
        vmabench.load(tmp_path)
    counted = synthetic.records(CASES, rounds=1)
    counted[0] = counted[0] | {"clock": "instructions"}
    other = synthetic.write(tmp_path / "counted", counted)
    with pytest.raises(UsageError, match="instructions"):
        vmabench.load(directory, other)
