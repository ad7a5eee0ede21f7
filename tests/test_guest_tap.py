# SPDX-License-Identifier: GPL-2.0-only
from vmabench.guest import kselftest, tap

GOOD = """\
TAP version 13
1..4
# Starting 4 tests from 1 test cases.
#  RUN           clone.base.contents ...
#            OK  clone.base.contents
ok 1 clone.base.contents
#      SKIP      no swap
ok 2 swapped.no_io # SKIP no swap
ok 3 - with a dash
not ok 4 known # XFAIL not yet
# Totals: pass:2 fail:0 xfail:1 xpass:0 skip:1 error:0
"""


def test_verdicts_and_reasons() -> None:
    report = tap.parse(GOOD)
    assert [result.verdict for result in report.results] == ["ok", "skipped", "ok", "xfail"]
    assert report.results[1].name == "swapped.no_io"
    assert report.results[1].reason == "no swap"
    assert report.results[2].name == "with a dash"
    assert report.good


def test_one_failure_is_enough() -> None:
    report = tap.parse(GOOD.replace("ok 1 clone", "not ok 1 clone"))
    assert report.count("failed") == 1
    assert not report.good


def test_a_program_that_dies_half_way_is_not_good() -> None:
    report = tap.parse("".join(GOOD.splitlines(keepends=True)[:6]))
    assert report.count("failed") == 0
    assert not report.good
    assert "1 of 4" in report.problem


def test_nothing_at_all_is_not_good() -> None:
    assert not tap.parse("").good
    assert not tap.parse("TAP version 13\n1..0\n").good


def test_split_misses_no_program() -> None:
    reports = kselftest.split(f"=== program {kselftest.PROGRAMS[0]}\n{GOOD}")
    assert set(reports) == set(kselftest.PROGRAMS)
    assert reports[kselftest.PROGRAMS[0]].good
    assert not reports[kselftest.PROGRAMS[1]].good


def test_selftests_fail_with_a_complaint_of_the_kernel() -> None:
    from vmabench.guest.splats import Splat

    reports = {name: tap.parse(GOOD) for name in kselftest.PROGRAMS}
    assert kselftest.Selftests(reports, (), 1.0).good
    bad = kselftest.Selftests(reports, (Splat(3, "BUG: x", ""),), 1.0)
    assert not bad.good
    assert any("BUG: x" in line for line in bad.lines())
