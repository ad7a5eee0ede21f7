# SPDX-License-Identifier: GPL-2.0-only
"""What a clone does with memory that is swapped out, handed over, or under a limit."""

from pathlib import Path

import pandas as pd
import pytest

from tests.test_guest_run import run
from tests.test_guest_selftests import kernel as patched_kernel
from vmabench.analysis.frame import tidy

kernel = patched_kernel
pytestmark = pytest.mark.usefixtures("kernel")

PLAN = """
name = "memory"
budget = "2s"
rounds = 1
[[sweep]]
mechanism = ["clone", "readv"]
scenario = ["handoff"]
page = ["base"]
size = ["64M"]
[[sweep]]
mechanism = ["clone", "readv"]
scenario = ["swapped"]
page = ["base"]
size = ["1M"]
swapped = ["100-zram"]
[[sweep]]
mechanism = ["clone"]
scenario = ["pageserver"]
page = ["base"]
size = ["8M"]
limit = ["4M"]
"""


@pytest.fixture
def rows(kernel: object) -> pd.DataFrame:
    Path("plan.toml").write_text(PLAN)
    frame = tidy(run("out", "plan.toml"))
    whole = frame[(frame["phase"] == "total") & frame["process"].notna()]
    assert set(whole["outcome"]) == {"ok"}, whole["reason"].dropna().unique()
    return whole.set_index(["scenario", "mechanism"])


def test_a_clone_reads_nothing_back_and_has_the_payload_once(rows: pd.DataFrame) -> None:
    def found(scenario: str, mechanism: str, column: str) -> float:
        (value,) = rows.loc[[(scenario, mechanism)]][column]
        return float(value)

    touched = -(-256 * 10 // 100) * 4096
    assert found("swapped", "clone", "call_swap_in_bytes") == 0
    assert found("swapped", "clone", "use_swap_in_bytes") == touched
    assert found("swapped", "readv", "call_swap_in_bytes") == 1 << 20

    assert found("handoff", "clone", "peak_bytes") <= 1.1 * (64 << 20)
    assert found("handoff", "readv", "peak_bytes") >= 1.9 * (64 << 20)

    assert found("pageserver", "clone", "peak_bytes") <= 4 << 20
    assert found("pageserver", "clone", "swap_out_bytes") > 0
