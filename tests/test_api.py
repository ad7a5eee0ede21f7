# SPDX-License-Identifier: GPL-2.0-only
"""The exported functions: lazy, documented, and each example of their docstrings runs."""

import doctest
import functools
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib import pyplot

import vmabench as vb
from vmabench.analysis import load as loading

ROOT = Path(__file__).resolve().parents[1]
HOST = ROOT / "results/published/host-standard"

#: their examples measure, and are run by tests of the tier ``machine``
MEASURING = ("run", "run_against", "doctor")
PLOTS = [f"plot.{name}" for name in vb.plot.__all__]
NAMES = [name for name in vb.__all__ if name not in ("__version__", "plot", *MEASURING)]


def exported(name: str) -> Any:
    return functools.reduce(getattr, name.split("."), vb)


def run_examples(name: str) -> doctest.TestResults:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    function = exported(name)
    (found,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    return doctest.DocTestRunner(optionflags=flags).run(found)


@pytest.fixture(scope="module")
def read_once() -> Iterator[None]:
    """Most examples load the same committed results."""
    original = loading.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load", functools.cache(original))
        yield


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples name results by their path in the repository."""
    monkeypatch.chdir(ROOT)
    with mpl.rc_context({"backend": "agg"}):
        yield
    pyplot.close("all")


@pytest.mark.parametrize("name", [*NAMES, *PLOTS])
def test_each_example_does_what_it_says(name: str, at_root: None, read_once: None) -> None:
    result = run_examples(name)
    assert result.attempted
    assert not result.failed


@pytest.mark.machine
@pytest.mark.parametrize("name", ["run", "doctor"])
def test_each_measuring_example_does_what_it_says(name: str) -> None:
    result = run_examples(name)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("name", [*NAMES, *PLOTS, *MEASURING])
def test_each_docstring_says_what_comes_back_and_what_is_raised(name: str) -> None:
    text = inspect.getdoc(exported(name)) or ""
    assert text.split()[0] in {"Return", "Draw", "Measure", "Describe", "Try"}, text
    if name not in ("Guest", "costs", *PLOTS):
        assert "Raises" in text or "raises" in text


def test_the_package_alone_loads_nothing_heavy() -> None:
    heavy = {"pandas", "matplotlib", "scipy", "rich", "numpy", "cffi"}
    heavy |= {"dataclasses", "pathlib", "traceback"}  # a third of what --help takes
    program = (
        f"import sys, vmabench; from vmabench import cli; cli.build_parser(); dir(vmabench);"
        f"assert not set(sys.modules) & {heavy}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert set(vb.__all__) <= set(dir(vb))
    with pytest.raises(AttributeError):
        _ = vb.nothing


def test_no_exported_name_is_hidden_by_a_module() -> None:
    """Importing a module vmabench.doctor would replace the function of that name."""
    modules = {path.stem for path in Path(vb.__file__).parent.iterdir()}
    assert not modules & set(vb.__all__)


@pytest.fixture(scope="module")
def host() -> pd.DataFrame:
    return vb.load(HOST)


def test_several_runs_are_analysed_one_by_one(host: pd.DataFrame) -> None:
    other = host.assign(run=pd.Categorical(["other"] * len(host)))
    both = pd.concat([host.astype({"run": "object"}), other.astype({"run": "object"})])
    both["run"] = both["run"].astype("category")
    for analyse in (vb.ratios, vb.crossovers, vb.breakevens):
        single = analyse(host, mechanisms=["fork", "memfd"])
        double = analyse(both, mechanisms=["fork", "memfd"])
        assert list(double["run"].unique()) == [host["run"].iloc[0], "other"]
        for _, mine in double.groupby("run", sort=False):
            pd.testing.assert_frame_equal(
                mine.drop(columns="run").reset_index(drop=True), single.drop(columns="run")
            )


def test_break_evens_are_with_the_fastest_copy_unless_a_rival_is_named(host: pd.DataFrame) -> None:
    touched = host.query("page == '4K' and size_bytes == 16777216")
    (strong,) = set(vb.breakevens(touched, mechanisms=["fork"])["baseline"])
    assert strong == "fastest copy"
    (named,) = set(vb.breakevens(touched, to="readv", mechanisms=["fork"])["baseline"])
    assert named == "readv"


@pytest.mark.parametrize("analyse", [vb.ratios, vb.crossovers, vb.breakevens, vb.claims])
def test_an_empty_frame_is_an_error(
    analyse: Callable[[pd.DataFrame], pd.DataFrame], host: pd.DataFrame
) -> None:
    with pytest.raises(ValueError, match="no rows"):
        analyse(host.head(0))


def test_a_plot_of_several_conditions_or_none_is_an_error(host: pd.DataFrame) -> None:
    summary = vb.summarize(host)
    with pytest.raises(ValueError, match="takes one scenario"):
        vb.plot.throughput(summary)
    with pytest.raises(ValueError, match="nothing to draw"):
        vb.plot.throughput(summary.head(0))
    with pytest.raises(ValueError, match="ways of touching: filter it"):
        vb.plot.crossover_map(host)


def test_a_plot_draws_into_the_axes_that_it_gets(host: pd.DataFrame) -> None:
    axes = pyplot.figure().add_subplot()
    bare = vb.summarize(host).query("scenario == 'transfer' and page == '4K'")
    assert vb.plot.throughput(bare, ax=axes) is axes
    assert axes.get_lines()
    pyplot.close("all")


def test_counts_and_times_are_not_compared(host: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="counts of instructions and the other one times"):
        vb.compare(host, vb.load(ROOT / "results/published/paths-base"))
