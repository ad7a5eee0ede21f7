# SPDX-License-Identifier: GPL-2.0-only
"""Published results against measured ones, on results that were made to agree or not."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from tests import synthetic
from tests.command import call
from vmabench.analysis.claims import Outcome, answer_of, judge, judge_any
from vmabench.analysis.frame import COLUMNS, tidy
from vmabench.analysis.levels import MECHANISMS
from vmabench.matrix.case import Case
from vmabench.matrix.claims import Cases, Claim, published_claims

READV = Cases({"mechanism": "readv", "scenario": "transfer", "page": "4K"}, (64 << 20, 1 << 20))
FORK = Cases({"mechanism": "fork", "scenario": "transfer", "page": "4K"}, (64 << 20, 1 << 20))
CLAIM = Claim("x", "readv is slow", "nobody", READV, FORK, expected=40, between=(20, 80))


def frame(
    rounds: int = 6, factor: float = 1.0, sizes: tuple[int, ...] = (1 << 20,)
) -> pd.DataFrame:
    """fork and readv that take the same; ``factor`` is how much longer readv takes."""
    made = [Case(name, "transfer", "4K", size) for name in ("fork", "readv") for size in sizes]
    records = synthetic.records(made, rounds=rounds, noise=0.01)
    for record in records:
        for value in record.get("values", ()):
            share = factor if record["case"].startswith("readv") else 1.0
            size = Case.parse(record["case"]).size_bytes
            value["time_ns"] = {"total": round(record["loops"] * size * share)}
    return tidy(synthetic.result(records))


@pytest.mark.parametrize(
    ("factor", "answer", "remark"),
    [
        (40.0, "CONFIRMED", "at 1M"),
        (10.0, "NOT CONFIRMED", "at 1M, the direction holds, the size does not"),
        (200.0, "NOT CONFIRMED", "at 1M, the direction holds, the size does not"),
        (0.5, "NOT CONFIRMED", "at 1M, it is the other way round"),
    ],
)
def test_direction_and_size_are_judged(factor: float, answer: str, remark: str) -> None:
    found = judge(frame(factor=factor), CLAIM)
    assert (found.answer, found.remark) == (answer, remark)
    assert found.ratio == pytest.approx(factor, rel=0.01)


def test_without_an_interval_nothing_is_confirmed() -> None:
    found = judge(frame(rounds=2, factor=40.0), CLAIM)
    assert found.answer == "INCONCLUSIVE"
    assert "more rounds" in found.remark
    assert math.isnan(found.lo)


def test_the_first_size_that_both_have_is_taken() -> None:
    assert judge(frame(factor=40, sizes=(1 << 20, 64 << 20)), CLAIM).remark == "at 64M"


def test_what_was_not_measured_is_unsupported_and_says_why() -> None:
    clone = Cases({"mechanism": "clone", "scenario": "transfer"}, (4096,))
    unmeasured = Claim("x", "y", "z", READV, clone, expected=2, between=(1.5, 3))
    found = judge(frame(), unmeasured)
    assert found.answer == "UNSUPPORTED"
    assert found.remark == "clone/transfer: the kernel has no clone (ENOSYS)"
    assert judge(frame(), Claim("x", "y", "z", needs="MPI")).remark == "needs MPI"
    nowhere = Cases({"mechanism": "shm", "scenario": "transfer"}, (4096,))
    found = judge(frame(), Claim("x", "y", "z", nowhere, nowhere))
    assert "shm/transfer was not measured" in found.remark


def test_the_largest_growth_from_a_size_to_twice_that_size() -> None:
    sizes = (1 << 20, 2 << 20, 4 << 20, 16 << 20)
    claim = Claim("x", "y", "z", READV, doubling=True, expected=2, between=(1.9, 2.1))
    found = judge(frame(sizes=sizes), claim)
    assert found.answer == "CONFIRMED"
    assert found.ratio == pytest.approx(2.0, rel=0.01)
    assert found.remark in ("at 2M", "at 4M")  # 16M is not twice one of them
    assert judge(frame(), claim).answer == "UNSUPPORTED"


def test_the_published_claims_are_well_formed() -> None:
    found = published_claims()
    assert found[0].name == "writev-under-swap"
    assert "2019" in found[0].source
    assert len({one.name for one in found}) == len(found) >= 28
    for one in found:
        assert bool(one.needs) != bool(one.over)
        assert one.source
        for cases in (one.over, one.under):
            if cases is not None:
                assert set(cases.columns) <= set(COLUMNS)
                assert cases.columns["mechanism"] in MECHANISMS
        if one.over:
            if one.expected is None:
                assert one.between[0] > 1
            else:
                assert one.between[0] <= one.expected <= one.between[1]
            assert bool(one.under) != one.doubling
            assert one.doubling or one.over.sizes == one.under.sizes  # type: ignore[union-attr]


def test_where_only_a_direction_was_published_the_interval_decides() -> None:
    claim = Claim("x", "readv is slower", "nobody", READV, FORK, between=(1.02, math.inf))
    assert judge(frame(factor=3.0), claim).answer == "CONFIRMED"
    assert judge(frame(factor=0.5), claim).remark == "at 1M, it is the other way round"
    assert judge(frame(rounds=2, factor=3.0), claim).answer == "INCONCLUSIVE"


def test_an_interval_that_reaches_beyond_the_claim_confirms_nothing() -> None:
    """1.2 [0.3..4.0] against [1.0..1.5] is no evidence, on either side."""
    assert answer_of(CLAIM, *(30.0, 25.0, 39.0))[0] == "CONFIRMED"
    for lo, hi in ((1.0, 39.0), (25.0, 400.0), (1.0, 400.0), (math.nan, math.nan)):
        answer, why = answer_of(CLAIM, 30.0, lo, hi)
        assert answer == "INCONCLUSIVE"
        assert "more rounds" in why
    assert answer_of(CLAIM, 2.0, 1.5, 3.0)[0] == "NOT CONFIRMED"


def test_two_that_should_be_the_same_and_are_not() -> None:
    claim = Claim("x", "they are equal", "nobody", READV, FORK, expected=1, between=(0.8, 1.25))
    assert judge(frame(), claim).answer == "CONFIRMED"
    for factor in (0.5, 2.0):
        assert judge(frame(factor=factor), claim).remark == "at 1M, it is not about the same"


def test_of_several_results_the_first_that_can_tell_answers() -> None:
    without = tidy(synthetic.result(synthetic.records([Case("shm", "transfer", "4K", 4096)])))
    found = judge_any([("a", without), ("b", frame(factor=40.0)), ("c", frame(factor=0.5))], CLAIM)
    assert (found.answer, found.remark) == ("CONFIRMED", "at 1M, in b")
    assert judge_any([("b", frame(factor=40.0))], CLAIM).remark == "at 1M"
    nobody = judge_any([("a", without), ("d", without)], CLAIM)
    assert nobody.answer == "UNSUPPORTED"
    assert "was not measured" in nobody.remark


def test_a_published_claim_on_a_result(tmp_path: Path) -> None:
    made = [Case("readv", "transfer", page, size) for page in ("4K", "2M") for size in (64 << 20,)]
    directory = synthetic.write(tmp_path / "run", synthetic.records(made, rounds=6))
    text = call("claims", str(directory))
    assert (text.returncode, text.stderr) == (0, "")
    assert "1 CONFIRMED, 0 NOT CONFIRMED, 0 INCONCLUSIVE" in text.stdout
    assert "CONFIRMED: readv-little-from-thp" in text.stdout
    assert "measured 1." in text.stdout
    first = next(line for line in text.stdout.splitlines() if "UNSUPPORTED:" in line)
    assert "writev-under-swap" in first
    data = json.loads(call("claims", str(directory), "--json").stdout, parse_constant=pytest.fail)
    assert [row["answer"] for row in data].count("CONFIRMED") == 1
    both = call("claims", str(directory), str(directory)).stdout
    assert both.count("result   run") == 2
    assert "at 64M, in run; published 1.10, confirmed [1.00..1.50]" in " ".join(both.split())
    listed = call("list", "claims").stdout.splitlines()
    assert listed[0].startswith("writev-under-swap")
    assert len(listed) == len(published_claims())


def test_outcomes_without_numbers_have_none() -> None:
    assert math.isnan(Outcome(CLAIM, "UNSUPPORTED").ratio)
