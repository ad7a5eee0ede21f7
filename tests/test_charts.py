# SPDX-License-Identifier: GPL-2.0-only
"""The other pictures, and what they are drawn from: costs, and rounds against the run."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tests import synthetic
from vmabench.analysis.costs import costs
from vmabench.analysis.drift import drift
from vmabench.analysis.frame import tidy
from vmabench.analysis.ratios import paired_ratio
from vmabench.analysis.stats import summarize
from vmabench.matrix.case import Case
from vmabench.report import charts
from vmabench.report.canvas import INK, PAPER, measure, picture
from vmabench.report.changes import changes
from vmabench.report.curves import durations
from vmabench.report.style import look

CASES = synthetic.cases(("fork", "readv", "memfd"), touches=(("read", 100),))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return tidy(synthetic.result(synthetic.records(CASES)))


def x_of(line: Line2D) -> list[float]:
    return [float(x) for x in np.asarray(line.get_xdata(), np.float64)]


def latencies() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": ["readv, futex", "memfd, busy"],
            "p50_ns": [5000.0, 400.0], "lo_p50_ns": [4900.0, np.nan], "hi_p50_ns": [5200.0, np.nan],
            "p99_ns": [9000.0, 900.0], "p999_ns": [20000.0, np.nan], "max_ns": [90000.0, 5000.0],
        }
    )  # fmt: skip


def test_percentiles_are_points_from_the_middle_to_the_longest() -> None:
    axes = drawn()
    charts.percentiles(latencies(), axes)
    axes.get_tightbbox()
    assert axes.get_xscale() == "log"
    assert labels(axes) == ["readv, futex", "memfd, busy"]
    assert len(axes.containers) == 1  # the intervals of p50
    points = [line for line in axes.lines if line.get_linestyle() == "None"][:4]
    for line, column in zip(points, charts.PERCENTILE_LOOKS, strict=True):
        np.testing.assert_allclose(np.asarray(line.get_xdata(), float), latencies()[column])
    assert len({line.get_marker() for line in points}) == 4
    assert "10 us" in [text.get_text() for text in axes.get_xticklabels()]
    assert "lower is better" in axes.get_xlabel()


def test_a_comparison_is_drawn_with_verdicts_filled() -> None:
    compared = pd.DataFrame(
        {
            "case_id": ["readv/scenario:transfer/page:4K/size:4K"] * 3, "phase": "total",
            "ratio": [1.2, 1.01, np.nan], "lo": [1.1, 0.9, np.nan], "hi": [1.3, 1.1, np.nan],
            "verdict": ["slower", "~", "not comparable"],
        }
    )  # fmt: skip
    axes = drawn()
    changes(compared, axes)
    assert labels(axes) == ["readv/transfer/4K/4K"] * 2
    points = {
        line.get_markerfacecolor(): x_of(line) for line in axes.lines if line.get_marker() == "o"
    }
    assert points == {INK: [1.2], PAPER: [1.01]}
    paths = compared.drop(columns=["lo", "hi"]).assign(verdict=["longer", "~", "~"])
    changes(paths, drawn())


def test_times_over_sizes_have_the_limit_of_memory() -> None:
    served = [
        Case(name, "pageserver", "4K", size << 20, receivers=4, limit_bytes=8 << 20)
        for name in ("fork", "readv")
        for size in (4, 8, 16)
    ]
    axes = drawn()
    durations(summarize(tidy(synthetic.result(synthetic.records(served)))), axes)
    assert {str(one.get_label()) for one in axes.containers} == {"fork (proxy)", "readv"}
    assert [text.get_text() for text in axes.texts] == ["memory limit"]
    assert [8 << 20, 8 << 20] in [x_of(line) for line in axes.lines]
    axes.get_tightbbox()
    assert all(" " in text.get_text() for text in axes.get_yticklabels())  # 10 ms


def test_a_picture_has_a_panel_for_each_function_and_the_names_below() -> None:
    figure = picture(
        lambda axes: axes.plot([1], label="a"), lambda axes: axes.plot([1], label="a"),
        titles=["left"], legend=True,
    )  # fmt: skip
    figure.draw_without_rendering()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["left", ""]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a"]
    assert not any(legend.get_window_extent().overlaps(axes.bbox) for axes in figure.axes)


def drawn() -> Axes:
    return Figure().subplots()


def labels(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def test_costs_are_of_one_operation_with_intervals(frame: pd.DataFrame) -> None:
    found = costs(frame)
    case = Case("readv", "transfer", "4K", 1 << 20)
    mine = found[found["case_id"] == str(case)].set_index("counter")
    faults = mine.loc[["minor_faults"], ["median", "lo", "hi"]].to_numpy().tolist()
    assert faults == [[256.0, 256.0, 256.0]]
    assert mine["median"]["page_table_bytes"] == 65536
    assert "peak_bytes" not in set(found["counter"])  # not measured, not 0
    assert (found.loc[found["counter"] == "major_faults", "median"] == 0).all()


def test_costs_of_nothing_are_an_empty_frame() -> None:
    assert costs(tidy(synthetic.result(synthetic.records([], rounds=0)[:2]))).empty


def test_a_round_that_was_slow_shows() -> None:
    made = synthetic.records(CASES, rounds=6, noise=0.001, round_noise=0.0)
    for record in made:
        if record.get("round") == 4 and record["kind"] == "case":
            for value in record["values"]:
                value["time_ns"] = {name: 2 * ns for name, ns in value["time_ns"].items()}
    found = drift(tidy(synthetic.result(made)))
    slow = found["process"] == 4
    assert found.loc[slow, "ratio"].between(1.95, 2.05).all()
    assert found.loc[~slow, "ratio"].between(0.98, 1.02).all()
    assert (found["lo"] <= found["ratio"]).all()
    assert set(found["mechanism"]) == {"fork", "readv", "memfd"}
    assert drift(tidy(synthetic.result(synthetic.records([], rounds=0)[:2]))).empty


def test_the_map_says_who_wins_and_where_it_is_not_known(frame: pd.DataFrame) -> None:
    ratios = paired_ratio(frame[frame["scenario"] == "transfer"], "fork", "readv")
    ratios["row"] = ratios["page"].astype(str) + " pages"
    axes = drawn()
    charts.ratio_map(ratios, axes)
    assert labels(axes) == ["4K pages", "2M pages"]
    sizes = [text.get_text() for text in axes.get_xticklabels()]
    assert sizes[0] == "4K"
    assert sizes[-1] == "256M"
    shown = axes.xaxis.get_tick_params()
    assert shown["labelbottom"]
    assert shown["labeltop"]
    of_base_pages = len(synthetic.SIZES)
    first, last = axes.texts[0], axes.texts[of_base_pages - 1]
    assert first.get_text().startswith("1/")  # a small fork loses
    assert float(last.get_text()) > 10
    ratios["hi"] = 2.0
    ratios["lo"] = 0.5
    unknown = drawn()
    charts.ratio_map(ratios, unknown)
    assert all(text.get_text().startswith("~") for text in unknown.texts)


def test_phases_lie_on_each_other_and_the_whole_has_its_interval(frame: pd.DataFrame) -> None:
    summary = summarize(frame).query(
        "scenario == 'deliver' and page == '4K' and size_bytes == 16777216"
    )
    axes = drawn()
    charts.phases(summary, axes)
    bars = [one for one in axes.containers if isinstance(one, BarContainer)]
    assert [one.get_label() for one in bars] == list(charts.PHASE_LOOKS)
    place = labels(axes).index("readv")
    ends = np.array([[bar.patches[place].get_x(), bar.patches[place].get_width()] for bar in bars])
    np.testing.assert_allclose(ends[1:, 0], np.cumsum(ends[:, 1])[:-1])
    of_readv = summary[summary["mechanism"] == "readv"].set_index("phase")
    np.testing.assert_allclose(ends[:, 1], of_readv.loc[list(charts.PHASE_LOOKS), "median_ns"])
    (whole,) = (one for one in axes.containers if isinstance(one, ErrorbarContainer))
    segment = whole.lines[2][0].get_segments()[place]
    np.testing.assert_allclose(segment[:, 0], of_readv.loc["total", ["lo_ns", "hi_ns"]])
    assert "lower is better" in axes.get_xlabel()


def test_costs_are_bars_in_the_colour_of_their_mechanism(frame: pd.DataFrame) -> None:
    rows = costs(frame).query(
        "counter == 'page_table_bytes' and scenario == 'deliver' and page == '4K'"
        " and size_bytes == 16777216"
    )
    axes = drawn()
    charts.cost_bars(rows, axes, "page tables")
    assert axes.get_xlabel().startswith("page tables")
    (bars,) = (one for one in axes.containers if isinstance(one, BarContainer))
    for name, bar in zip(labels(axes), bars.patches, strict=True):
        colour = look(name.removesuffix(" (proxy)")).colour
        assert to_hex(bar.get_facecolor()).upper() == colour.upper()
    axes.get_tightbbox()
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert {"0", "16K", "32K"} <= set(ticks)


def test_rounds_have_a_line_and_intervals_for_each_mechanism(frame: pd.DataFrame) -> None:
    axes = drawn()
    charts.rounds(drift(frame), axes)
    lines = [one for one in axes.containers if isinstance(one, ErrorbarContainer)]
    assert [one.get_label() for one in lines] == ["fork (proxy)", "readv", "memfd"]
    assert all(len(one.lines[2][0].get_segments()) == 6 for one in lines)


def test_the_better_direction_is_marked() -> None:
    assert measure("rate", "higher").endswith("(higher is better \N{RIGHTWARDS ARROW})")
    assert measure("time", "lower", "x") == "time\n(lower is better \N{LEFTWARDS ARROW})"
