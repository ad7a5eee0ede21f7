# SPDX-License-Identifier: GPL-2.0-only
"""What is drawn: artists, not pixels. And the files, which any machine can make."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from tests import synthetic
from vmabench.analysis.crossover import Crossover
from vmabench.analysis.frame import tidy
from vmabench.analysis.intervals import Floats
from vmabench.analysis.levels import MECHANISMS
from vmabench.analysis.stats import summarize
from vmabench.errors import MachineError
from vmabench.matrix.case import Case
from vmabench.matrix.plans import Vocabulary, expand, load_plan
from vmabench.report.build import Report
from vmabench.report.canvas import GRID, PAPER
from vmabench.report.curves import throughput
from vmabench.report.figures import MOST_LINES, throughput_figure
from vmabench.report.findings import transfer_crossovers
from vmabench.report.style import FAMILIES, LOOKS, look
from vmabench.store.format import Record

CASES = synthetic.cases(scenarios=("transfer",))


def made(records: Sequence[Record] | None = None) -> tuple[pd.DataFrame, list[Crossover]]:
    frame = tidy(synthetic.result(list(records or synthetic.records(CASES))))
    return summarize(frame), transfer_crossovers(frame)


VOCABULARY = Vocabulary(MECHANISMS, ("4K", "2M"))


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    return made()[0]


@pytest.fixture(scope="module")
def figure() -> Figure:
    return throughput_figure(*made(), "Example CPU; kernel 6.12")


@pytest.fixture(scope="module")
def full_figure() -> Figure:
    return throughput_figure(*made(everything()), "Example CPU\nkernel")


def bars(axes: Axes) -> dict[str, ErrorbarContainer]:
    found = [bar for bar in axes.containers if isinstance(bar, ErrorbarContainer)]
    return {str(bar.get_label()): bar for bar in found}


def data(line: Line2D | None) -> tuple[Floats, Floats]:
    assert line is not None
    return np.asarray(line.get_xdata(), np.float64), np.asarray(line.get_ydata(), np.float64)


def notes(axes: Axes) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation)]


def test_a_panel_for_each_page_on_one_scale(figure: Figure) -> None:
    first, second = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["4K pages", "2M pages"]
    assert first.get_ylim() == second.get_ylim()
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    assert "higher is better" in first.get_ylabel()
    assert all(axes.get_xlabel() == "size" for axes in figure.axes)


def test_a_line_with_intervals_for_each_mechanism_and_none_for_null(
    figure: Figure, summary: pd.DataFrame
) -> None:
    drawn = bars(figure.axes[0])
    expected = {"fork (proxy)" if name == "fork" else name for name in synthetic.MECHANISMS}
    assert set(drawn) == expected - {"null"}
    rows = summary.query("mechanism == 'readv' and page == '4K'")
    line, _, (segments,) = drawn["readv"].lines
    np.testing.assert_allclose(data(line)[0], list(synthetic.SIZES))
    np.testing.assert_allclose(data(line)[1], rows["bytes_per_s"] / 1e9)
    ends = np.array([segment[:, 1] for segment in segments.get_segments()])
    np.testing.assert_allclose(ends[:, 0], rows["lo_bytes_per_s"] / 1e9)
    np.testing.assert_allclose(ends[:, 1], rows["hi_bytes_per_s"] / 1e9)


def test_a_mechanism_has_one_colour_and_marker_and_no_two_share_them(figure: Figure) -> None:
    for axes in figure.axes:
        for name, bar in bars(axes).items():
            mechanism = name.removesuffix(" (proxy)")
            line = bar.lines[0]
            assert line is not None
            assert (line.get_color(), line.get_marker()) == (
                look(mechanism).colour,
                look(mechanism).marker,
            )
    assert len({(one.colour, one.marker) for one in LOOKS.values()}) == len(LOOKS)
    assert all(one.marker in Line2D.filled_markers for one in LOOKS.values())
    for family in FAMILIES.values():
        assert len({one.marker for one in family.values()}) == len(family)
        assert len({(one.colour, one.dash) for one in family.values()}) == len(family)
    # relatives share a colour, but none of those that the short plans set side by side
    quick = {case.mechanism for case in expand(load_plan("quick"), VOCABULARY)} - {"null"}
    assert len({LOOKS[name].colour for name in quick}) == len(quick)
    assert set(LOOKS) == set(MECHANISMS) - {"null"}
    assert look("teleport") == look("teleport")


def test_sizes_are_written_as_people_write_them(figure: Figure) -> None:
    figure.draw_without_rendering()
    labels = [[text.get_text() for text in axes.get_xticklabels()] for axes in figure.axes]
    assert labels[0] == ["4K", "64K", "1M", "16M", "256M"]
    assert labels[1] == ["2M", "4M", "16M", "64M", "256M"]


def test_the_crossover_is_marked_with_its_interval(figure: Figure) -> None:
    axes = figure.axes[0]
    (found,) = (one for one in made()[1] if one.answer == "crossover")
    assert found.size_bytes in np.concatenate([data(line)[0] for line in axes.lines])
    (span,) = axes.patches
    np.testing.assert_allclose(span.get_extents().transformed(
        axes.transData.inverted()).intervalx, [found.lo_bytes, found.hi_bytes])  # fmt: skip
    (note,) = notes(axes)
    assert note.get_text().startswith("fork (proxy) beats readv\nfrom ")
    assert notes(figure.axes[1])[0].get_text() == "fork (proxy) beats readv\nat every size"


def test_title_and_small_print_say_what_and_where(figure: Figure) -> None:
    title = figure.get_suptitle().replace("\n", " ")
    assert title.startswith("Throughput of transfer: the bare operation")
    assert "Example CPU; kernel 6.12" in [text.get_text() for text in figure.texts]


def test_the_legend_is_outside_and_by_family(figure: Figure) -> None:
    figure.draw_without_rendering()
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names[:5] == [
        "page tables copied", "fork (proxy)", "copied by a call", "readv", "writev",
    ]  # fmt: skip
    for axes in figure.axes:
        assert not legend.get_window_extent().overlaps(axes.bbox)


def test_no_words_overlap(figure: Figure, full_figure: Figure) -> None:
    for drawn in (
        figure,
        throughput_figure(*made(crowded()), "Example CPU\nkernel"),
        full_figure,
    ):
        drawn.draw_without_rendering()
        words = [*drawn.texts, *drawn.legends[0].get_texts()]
        for axes in drawn.axes:
            words += [*notes(axes), axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels()]
        boxes = [text.get_window_extent() for text in words if text.get_text()]
        for index, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[index + 1 :])
        assert all(drawn.bbox.contains(*corner) for box in boxes for corner in box.corners())


def crowded() -> list[Record]:
    """Clone measured too, and noise that makes every interval wide."""
    every = synthetic.cases(("clone", *synthetic.MECHANISMS), scenarios=("transfer",))
    records = synthetic.records(every, rounds=5, noise=0.25)
    return [record for record in records if record["kind"] != "skipped"]


def everything() -> list[Record]:
    """All mechanisms, on many kinds of pages."""
    made = [
        Case(mechanism, "transfer", page, size)
        for mechanism in MECHANISMS
        for page in ("4K", "16K", "2M", "hugetlb-2M")
        for size in synthetic.SIZES[1:]
        if size >= Case(mechanism, "transfer", page, size).page_bytes
    ]
    return synthetic.records(made, rounds=2)


def test_many_mechanisms_have_a_row_of_panels_for_each_family(full_figure: Figure) -> None:
    drawn = full_figure
    assert len(drawn.axes) == 4 * len(FAMILIES)
    (legend,) = drawn.legends
    assert len(legend.get_texts()) == len(LOOKS) + len(FAMILIES)
    rows = [drawn.axes[4 * row : 4 * row + 4] for row in range(len(FAMILIES))]
    for (family, looks), row in zip(FAMILIES.items(), rows, strict=True):
        assert row[0].get_ylabel() == family
        for axes in row:
            assert {name.removesuffix(" (proxy)") for name in bars(axes)} == set(looks)
            assert len(bars(axes)) <= MOST_LINES
            grey = [line for line in axes.lines if line.get_color() == GRID]
            assert len(grey) == len(LOOKS) - len(looks)
    assert len({axes.get_ylim() for axes in drawn.axes}) == 1


def test_unstable_points_are_hollow() -> None:
    unstable, _ = made(crowded())
    axes = Figure().subplots()
    throughput(unstable.query("page == '4K'"), axes)
    rows = unstable.query("page == '4K' and outcome == 'unstable' and mechanism == 'fork'")
    white = [line for line in axes.lines if line.get_markerfacecolor() == PAPER]
    (hollow,) = (line for line in white if line.get_markeredgecolor() == look("fork").colour)
    assert len(rows)
    np.testing.assert_allclose(data(hollow)[1], rows["bytes_per_s"] / 1e9)


def test_one_round_has_lines_and_no_bars() -> None:
    drawn = throughput_figure(*made(synthetic.records(CASES, rounds=1)))
    drawn.draw_without_rendering()
    segments = bars(drawn.axes[0])["readv"].lines[2][0].get_segments()
    assert all(len(segment) < 2 for segment in segments)
    assert not drawn.axes[0].patches


def test_a_mechanism_in_one_panel_only_is_in_the_legend() -> None:
    cases = [case for case in CASES if case.mechanism != "shm" or case.page == "4K"]
    drawn = throughput_figure(*made(synthetic.records(cases)))
    assert "shm" in [text.get_text() for text in drawn.legends[0].get_texts()]
    assert "shm" not in bars(drawn.axes[1])


def test_without_a_number_the_figure_says_so() -> None:
    drawn = throughput_figure(*made(synthetic.records([], rounds=0)[:2]))
    assert drawn.get_suptitle() == "Nothing was measured"
    assert not drawn.axes


def test_no_setting_of_the_process_is_changed(summary: pd.DataFrame) -> None:
    before = mpl.rcParams.copy()
    throughput_figure(summary, [])
    assert mpl.rcParams.copy() == before


def test_the_report_is_the_same_files_each_time(tmp_path: Path) -> None:
    result = synthetic.result(synthetic.records(CASES, rounds=2))
    paths = Report(result).write(tmp_path / "one" / "report")
    assert [path.name for path in paths] == ["report.txt", "throughput.png", "throughput.svg"]
    for path, again in zip(paths, Report(result).write(tmp_path / "two"), strict=True):
        assert path.read_bytes() == again.read_bytes()
    assert sorted(paths) == sorted((tmp_path / "one" / "report").iterdir())
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    assert ET.parse(paths[2]).getroot().tag.endswith("svg")  # noqa: S314 - our own file


def test_a_directory_that_can_not_be_made_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="could not make"):
        Report(synthetic.result(synthetic.records(CASES[:2]))).write(tmp_path / "file" / "report")


def test_matplotlib_needs_no_home_and_the_package_no_matplotlib(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "run", synthetic.records(CASES[:4], rounds=2))
    program = (
        "import sys\n"
        "from vmabench.store.reader import read\n"
        "assert 'pandas' not in sys.modules\n"
        "from vmabench.report.build import Report\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"result = read({str(tmp_path / 'run')!r})\n"
        f"Report(result).write({str(tmp_path / 'report')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = os.environ | {"MPLCONFIGDIR": "/proc/nowhere", "HOME": "/proc/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "report" / "throughput.png").exists()


def test_an_undecided_curve_is_named_so() -> None:
    summary, found = made()
    drawn = throughput_figure(summary, [replace(found[-1], answer="undecided")])
    assert "at no size for certain" in notes(drawn.axes[1])[0].get_text()
