# SPDX-License-Identifier: GPL-2.0-only
"""What Python says of the mechanisms and scenarios is what the tables in C say."""

from pathlib import Path

import pytest

import vmabench.native
from vmabench.matrix.axes import AXES
from vmabench.matrix.scenarios import ALL_PHASES, SCENARIOS
from vmabench.matrix.table import ROWS, TABLE, names_of
from vmabench.mechanisms import MECHANISMS, PHASE_NAMES, SCENES
from vmabench.report.style import LOOKS, look


def test_the_rows_are_those_of_c_in_their_order() -> None:
    assert [row.name for row in ROWS] == list(MECHANISMS)


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_row_says_what_c_says(name: str) -> None:
    row, mechanism = TABLE[name], MECHANISMS[name]
    assert row.proxy == mechanism.proxy
    assert bool(row.unscattered) != mechanism.scatters
    assert row.in_object == (mechanism.memory in ("memfd", "shm"))
    if mechanism.snapshots:
        assert row.only == ("snapshot", "vmbranch")[: 1 + (row.name == "uffd-wp")]
    else:
        assert row.only == ("scatter",) * mechanism.cut_only
    if mechanism.memory in ("sysv", "sealed"):
        assert row.unrenewed
    if row.way == "share":
        assert mechanism.in_place
        assert not mechanism.local
    if row.way == "copy":
        assert not mechanism.in_place
        assert not mechanism.local
    if row.way == "baseline":
        assert mechanism.local


def test_every_mechanism_goes_one_way() -> None:
    ways = [names_of(way) for way in ("clone", "copy", "share", "own", "baseline")]
    assert sorted(sum(ways, ())) == sorted(TABLE)


def test_who_has_no_look_gets_one() -> None:
    """So that a new mechanism is drawn before anybody has chosen its colour."""
    assert look("teleport") == look("teleport") not in LOOKS.values()


def test_the_scenarios_are_those_of_c_in_their_order() -> None:
    assert list(SCENARIOS) == list(SCENES)
    assert sorted(ALL_PHASES) == sorted(PHASE_NAMES)


@pytest.mark.parametrize("name", SCENES)
def test_a_scenario_says_what_c_says(name: str) -> None:
    scenario, scene = SCENARIOS[name], SCENES[name]
    assert set(scenario.phases) == set(scene.phases)
    assert set(scenario.axes) == set(scene.axes)
    assert set(scene.axes) <= set(AXES)


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"transfer", "deliver"}))
def test_a_scenario_has_its_paragraph(name: str) -> None:
    """The README explains the two that are left out."""
    text = (Path(__file__).parents[1] / "bench/SCENARIOS.md").read_text()
    assert f"## {name}\n" in text


def test_no_scene_knows_a_mechanism_and_no_mechanism_a_scene() -> None:
    """A new one of either is one file and one row: the others ask flags."""
    native = Path(vmabench.native.__file__).parent
    for scene in native.glob("scene_*.c"):
        for name in MECHANISMS:
            assert f"vmb_mech_{name.replace('-', '_')}" not in scene.read_text(), scene
        assert "mech->run" not in scene.read_text(), scene
    for path in [*native.glob("mech_*.c"), native / "case.c", native / "source.c"]:
        assert "params.scenario" not in path.read_text(), path
