# SPDX-License-Identifier: GPL-2.0-only
"""Ratios over sizes, their figure for several results, and what is written of them together."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests import synthetic
from vmabench.analysis.frame import tidy
from vmabench.analysis.ratios import SPEEDUPS, paired_ratio, speedups
from vmabench.errors import UsageError
from vmabench.matrix.case import Case
from vmabench.report.curves import relative
from vmabench.report.joint import write_joint
from vmabench.report.overview import overview_figure
from vmabench.store.format import Result

CASES = synthetic.cases(("clone", "fork", "readv", "memfd"), touches=(("read", 100),))
FEW = [case for case in CASES if case.size_bytes in (4096, 2 << 20)]


def result(
    name: str, *, virt: str = "none", cloned: bool = False, cases: Sequence[Case] = CASES
) -> Result:
    records = synthetic.records([case for case in cases if cloned or case.mechanism != "clone"])
    records[0] = records[0] | {"virt": virt}
    return replace(synthetic.result(records), directory=f"results/{name}")


@pytest.fixture(scope="module")
def host() -> Result:
    return result("host")


@pytest.fixture(scope="module")
def guest() -> Result:
    return result("guest", virt="emulated", cloned=True)


def words(figure: Figure) -> str:
    figure.draw_without_rendering()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return " ".join([*titles, *(text.get_text() for text in texts)])


def test_speedups_are_the_inverse_of_ratios_with_their_intervals(host: Result) -> None:
    frame = tidy(host)
    found = speedups(frame, ("fork", "memfd", "shm"), "readv")
    assert list(found.columns) == list(SPEEDUPS)
    assert set(found["mechanism"]) == {"fork", "memfd"}  # shm was not measured
    mine = found[found["mechanism"] == "fork"]
    ratios = paired_ratio(frame, "fork", "readv").dropna(subset=["ratio"])
    np.testing.assert_allclose(mine["times"], 1 / ratios["ratio"])
    np.testing.assert_allclose(mine["lo"], 1 / ratios["hi"])
    assert (mine["lo"] <= mine["times"]).all()
    assert speedups(frame, (), "readv").empty


def test_curves_are_drawn_with_their_intervals_around_the_rival(host: Result) -> None:
    times = speedups(tidy(host), ("fork", "memfd"), "readv")
    times = times[(times["scenario"] == "transfer") & (times["page"] == "4K")]
    axes = Figure().subplots()
    relative(times, axes)
    drawn = {str(one.get_label()): one for one in axes.containers}
    assert set(drawn) == {"fork (proxy)", "memfd"}
    bar = drawn["fork (proxy)"]
    assert isinstance(bar, ErrorbarContainer)
    assert bar.lines[0] is not None
    mine = times[times["mechanism"] == "fork"].sort_values("size_bytes")
    np.testing.assert_allclose(np.asarray(bar.lines[0].get_ydata(), float), mine["times"])
    ends = np.array([segment[:, 1] for segment in bar.lines[2][0].get_segments()])
    np.testing.assert_allclose(ends, mine[["lo", "hi"]])
    assert axes.lines[0].get_ydata() == [1.0, 1.0]


def test_a_row_for_each_machine_and_the_emulated_one_is_named(host: Result, guest: Result) -> None:
    figure = overview_figure([host, guest])
    assert len(figure.axes) == 4
    said = words(figure).replace("\n", " ")
    assert said.count("EMULATED guest: Cloning against the fastest copy") == 1
    assert "Forking (proxy for clone) against the fastest copy" in said
    assert said.count("Example CPU 9000") == 2
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert {"clone", "fork (proxy)", "memfd"} <= set(names)
    for axes in figure.axes:
        assert not legend.get_window_extent().overlaps(axes.bbox)


def test_without_anything_to_show_there_is_a_clear_line() -> None:
    nothing = synthetic.result(synthetic.records([], rounds=0)[:2])
    with pytest.raises(UsageError, match="nothing to draw"):
        overview_figure([nothing])


def test_the_joint_files_are_the_same_each_time(tmp_path: Path) -> None:
    host = result("host", cases=FEW)
    guest = result("guest", virt="emulated", cloned=True, cases=FEW)
    counted = synthetic.records(CASES[:4], rounds=2)
    counted[0] = counted[0] | {"clock": "instructions", "virt": "emulated"}
    results = [host, guest, synthetic.result(counted)]
    paths = write_joint(results, tmp_path / "one")
    assert [path.name for path in paths] == ["report.txt", "claims.txt", "overview.svg"]
    again = write_joint(results[:1], tmp_path / "two"), write_joint(results[:1], tmp_path / "three")
    for one, other in zip(*again, strict=True):
        assert one.read_bytes() == other.read_bytes()
    text, claims = (path.read_text() for path in paths[:2])
    assert "How far emulation distorts" in text
    assert "Path lengths" in text or "instructions" in text
    assert claims.count("result   ") == 2


def test_frames_of_several_kernels_are_refused(host: Result) -> None:
    frame = tidy(host)
    mixed = pd.concat([frame, frame.assign(kernel="another")])
    with pytest.raises(ValueError, match="2 values"):
        speedups(mixed, ("fork",), "readv")
