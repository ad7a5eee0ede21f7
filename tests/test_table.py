# SPDX-License-Identifier: GPL-2.0-only
"""What Python says of the mechanisms is what the table in C says."""

import pytest

from vmabench.matrix.table import ROWS, TABLE, names_of
from vmabench.mechanisms import MECHANISMS
from vmabench.report.style import LOOKS, look


def test_the_rows_are_those_of_c_in_their_order() -> None:
    assert [row.name for row in ROWS] == list(MECHANISMS)


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_row_says_what_c_says(name: str) -> None:
    row, mechanism = TABLE[name], MECHANISMS[name]
    assert row.proxy == mechanism.proxy
    assert bool(row.unscattered) != mechanism.scatters
    assert row.in_object == (mechanism.memory in ("memfd", "shm"))
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
