# SPDX-License-Identifier: GPL-2.0-only
"""A page server that doubles: by how much, in how many rounds, and what was claimed of it."""

import pandas as pd
import pytest

from tests import synthetic
from vmabench.analysis.doubling import growths
from vmabench.analysis.frame import tidy
from vmabench.analysis.stats import summarize
from vmabench.matrix.case import Case
from vmabench.report.findings import findings
from vmabench.report.pageserver import pageserver_findings
from vmabench.store.format import Record

MIB = 1 << 20
TIMES_MS = {
    "memfd": {16: 10, 32: 95, 64: 190},
    "clone": {16: 10, 32: 25, 64: 150},
    "writev": {16: 10, 32: 30, 64: 40},
}


def case(mechanism: str, size_mib: int) -> Case:
    return Case(
        mechanism, "pageserver", "4K", size_mib * MIB, "read", 50,
        swap_device="zram", receivers=4, limit_bytes=32 * MIB,
    )  # fmt: skip


def records(names: tuple[str, ...] = tuple(TIMES_MS), rounds: int = 6) -> list[Record]:
    """Each round is slower or faster as a whole, by up to a half: pairs do not feel it."""
    made = synthetic.records([case(name, mib) for name in names for mib in (16, 32, 64)],
                             rounds=rounds)  # fmt: skip
    for record in made:
        if record["kind"] == "case":
            one = Case.parse(record["case"])
            ms = TIMES_MS[one.mechanism][one.size_bytes // MIB] * (1 + 0.1 * (record["round"] % 5))
            record["loops"] = 1
            record["values"] = [{"time_ns": {"total": round(ms * 1e6)}, "at_ns": 1}]
    return made


def test_a_growth_is_of_pairs_in_one_process() -> None:
    grown = {(g.mechanism, g.size_bytes // MIB): g for g in growths(frame_of(records()))}
    assert set(grown) == {(name, mib) for name in TIMES_MS for mib in (16, 32)}
    for (name, mib), growth in grown.items():
        expected = TIMES_MS[name][2 * mib] / TIMES_MS[name][mib]
        assert growth.ratio == pytest.approx(expected, rel=1e-6)
        assert growth.lo == pytest.approx(expected, rel=1e-6)
        assert (growth.processes, growth.tried) == (6, 6)


def frame_of(made: list[Record]) -> pd.DataFrame:
    return tidy(synthetic.result(made))


def test_rounds_that_failed_are_told() -> None:
    made = records()
    large = [r for r in made if r.get("case") == str(case("writev", 32))]
    for record in large[1:]:
        record |= {"outcome": "failed", "reason": "the OOM killer acted"}
    one = next(g for g in growths(frame_of(made)) if g.mechanism == "writev")
    assert (one.processes, one.tried) == (1, 6)
    text = "\n".join(pageserver_findings(frame_of(made)))
    assert "writev: doubling what it holds takes 3.00 times as long from 16M to 32M" in text
    assert "in 1 of 6 rounds" in text


def test_rounds_that_tighten_one_size_are_no_failures() -> None:
    """A round beyond the planned ones repeats the cases that are not tight yet."""
    made = records(rounds=10)
    only_small = str(case("writev", 16))
    made = [r for r in made if r.get("round", 0) <= 6 or r.get("case", only_small) == only_small]
    one = next(g for g in growths(frame_of(made)) if g.mechanism == "writev")
    assert (one.processes, one.tried) == (6, 6)
    sentence = next(s for s in pageserver_findings(frame_of(made)) if "writev: doubling" in s)
    assert "rounds" not in sentence


def test_the_claim_of_2019_is_held_against_what_was_measured() -> None:
    *_, verdict = pageserver_findings(frame_of(records()))
    assert verdict == (
        "In 2019 it was claimed that filling a page server by writev takes 100 times as long when "
        "the container doubles and swaps: here it takes 3.00 times [3.00..3.00] as long at most, "
        "from 16M to 32M; of all mechanisms memfd grows the most, by 9.50 times [9.50..9.50] from "
        "16M to 32M."
    )


def test_without_writev_that_is_said_and_the_others_are_told() -> None:
    *_, verdict = pageserver_findings(frame_of(records(("clone",))))
    assert "writev has no times at two such sizes here" in verdict
    assert "clone grows the most, by 6.00 times" in verdict


def test_one_size_alone_says_nothing() -> None:
    made = [r for r in records() if r.get("case", "").find("size:16M") < 0 and r["kind"] == "case"]
    made = [r for r in made if "size:64M" not in r["case"]]
    *_, verdict = pageserver_findings(frame_of([*records()[:1], *made]))
    assert "nothing can be said of it" in verdict


def test_the_sentence_is_one_of_the_findings() -> None:
    frame = frame_of(records())
    assert any("In 2019 it was claimed" in text for text in findings(frame, summarize(frame)))
    others = synthetic.records()
    assert not any("2019" in text for text in pageserver_findings(frame_of(others)))
