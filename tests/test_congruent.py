# SPDX-License-Identifier: GPL-2.0-only
"""A clone of huge pages at an address where no huge entry fits."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests import synthetic
from vmabench.analysis.frame import tidy
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import why_not
from vmabench.mechanisms import Evidence, Pair, Proof, base_page_bytes
from vmabench.native._core import ffi
from vmabench.runner import worker
from vmabench.runner.rounds import choose_cpus

FACTS = read_facts()
BASE, HUGE = FACTS.pages
CPUS = choose_cpus(FACTS.cpus)
CLONE = Case("clone", "deliver", HUGE, 8 << 20, "read", 100, congruent="no")


@pytest.mark.machine
@pytest.mark.parametrize("congruent", ["yes", "no"])
def test_the_range_of_the_receiver_lies_beside_the_multiple(congruent: str) -> None:
    """The core does it for any mechanism; what it has mapped is gone afterwards."""
    case = Case("readv", "deliver", BASE, 64 * base_page_bytes(), "read", 100, congruent=congruent)
    with Pair(*CPUS) as pair:
        pair.make_source("anon", case.page_bytes, case.size_bytes)
        before = mappings()
        for _ in range(2):
            with pair.open(case, seed=1) as opened:
                opened.verify(1)
                opened.run(2, 1)
                place = int(ffi.cast("uintptr_t", opened._context.view)) % (1 << 30)
            assert mappings() <= before + 1  # of the interpreter, if any
    assert place == (0 if congruent == "yes" else base_page_bytes())


def mappings() -> int:
    return len(Path("/proc/self/maps").read_text().splitlines())


def test_the_destination_need_not_be_huge_but_the_source_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sides: list[str] = []
    monkeypatch.setattr(worker, "check_proof", lambda _case, side, _proof: sides.append(side))
    proof = Proof(8 << 20, 8 << 20, 0)
    evidence = Evidence(proof, proof, None)
    worker.check_backing(CLONE, evidence)
    assert sides == ["the source"]
    worker.check_backing(replace(CLONE, congruent="yes"), evidence)
    assert sides == ["the source", "the source", "the destination"]


def test_only_a_clone_of_huge_pages_has_the_axis() -> None:
    assert str(CLONE).endswith("/congruent:no")
    assert Case.parse(str(CLONE)) == CLONE
    assert why_not(CLONE, FACTS, {}) is None
    assert "congruent at every address" in (why_not(replace(CLONE, page=BASE), FACTS, {}) or "")
    fork = replace(CLONE, mechanism="fork")
    assert "an address that a user chooses" in (why_not(fork, FACTS, {}) or "")
    frame = tidy(synthetic.result(synthetic.records([CLONE], rounds=1)))
    assert set(frame.loc[frame["case_id"] == str(CLONE), "congruent"]) == {"no"}
