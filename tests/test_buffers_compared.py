# SPDX-License-Identifier: GPL-2.0-only
"""A fork, which has no receive buffer, is set against copies into each kind of buffer."""

from dataclasses import replace

import pandas as pd

from tests import synthetic
from vmabench.analysis.buffers import across_buffers
from vmabench.analysis.crossover import BreakEven, break_evens
from vmabench.analysis.frame import tidy
from vmabench.analysis.model import models
from vmabench.analysis.stats import summarize
from vmabench.analysis.winners import winners
from vmabench.matrix.case import Case
from vmabench.report.model import model_text
from vmabench.report.touch import sentence
from vmabench.store.format import Record

PCTS = (1, 10, 50, 100)
FORK = Case("fork", "touch", "4K", 1 << 20, "write", 1)


def touched(case: Case) -> list[Case]:
    return [replace(case, touch_pct=pct) for pct in PCTS]


def frame() -> pd.DataFrame:
    """A copy into a reused buffer takes a fifth of one into fresh memory."""
    readv = replace(FORK, mechanism="readv")
    reused = replace(readv, buffer="reused")
    made = synthetic.records([*touched(FORK), *touched(readv), *touched(reused)], rounds=6)
    return tidy(synthetic.result([cheaper(record) for record in made]))


def cheaper(record: Record) -> Record:
    if "/buffer:reused" in record.get("case", ""):
        for value in record["values"]:
            value["time_ns"] = {name: ns / 5 for name, ns in value["time_ns"].items()}
    return record


def test_the_rows_of_a_fork_are_repeated_for_the_buffer_of_its_rivals() -> None:
    found = across_buffers(frame())
    assert len(found) == len(frame()) * 4 // 3
    assert set(found.loc[found["mechanism"] == "fork", "buffer"]) == {"fresh", "reused"}
    assert list(found["buffer"].cat.categories) == ["fresh", "reused", "populated"]
    whole = frame()
    fresh = whole[whole["buffer"] == "fresh"]
    assert across_buffers(fresh) is fresh


def test_a_break_even_names_its_buffer_and_is_lower_against_a_reused_one() -> None:
    found: dict[str, BreakEven] = {
        str(one.conditions["buffer"]): one for one in break_evens(frame(), "fork", "readv")
    }
    assert set(found) == {"fresh", "reused"}
    assert found["fresh"].answer == "always"
    assert found["reused"].answer == "crossover"
    assert not found["reused"].faster_above
    assert "buffer reused" in sentence(found["reused"])
    assert "buffer" not in sentence(found["fresh"])


def test_a_fork_competes_in_the_map_of_each_buffer() -> None:
    cells = winners(frame(), ("cloning", "copying"))
    assert set(cells["buffer"]) == {"fresh", "reused"}


def test_costs_are_fitted_for_each_source_apart() -> None:
    """Points of two kinds of operation would fit neither."""
    idle = [Case("readv", "transfer", "4K", size) for size in synthetic.SIZES]
    made = synthetic.records([*idle, *(replace(case, source="rewritten") for case in idle)])
    found = models(summarize(tidy(synthetic.result(made))))
    totals = found[found["phase"] == "total"]
    assert list(totals["source"].astype(str)) == ["idle", "rewritten"]
    text = model_text(found)
    assert "transfer, source rewritten" in text
    assert "transfer\n" in text
