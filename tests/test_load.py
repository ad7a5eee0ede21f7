# SPDX-License-Identifier: GPL-2.0-only
"""vmabench.load: the examples of its documentation are run, on a made result."""

import doctest
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import vmabench
from tests import synthetic
from vmabench.analysis import load as module
from vmabench.analysis.frame import COLUMNS
from vmabench.errors import UsageError

CASES = synthetic.cases(("fork", "readv"), scenarios=("transfer",))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return synthetic.write(tmp_path / "run", synthetic.records(CASES))


def test_the_examples_do_what_they_say(directory: Path) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    (example,) = doctest.DocTestFinder().find(
        module.load, "load", globs={"directory": str(directory)}
    )
    runner = doctest.DocTestRunner(optionflags=flags)
    assert len(example.examples) > 8
    assert runner.run(example).failed == 0


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


def test_the_package_alone_loads_no_pandas() -> None:
    program = "import sys, vmabench; assert 'pandas' not in sys.modules; vmabench.load"
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError):
        _ = vmabench.nothing
