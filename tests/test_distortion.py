# SPDX-License-Identifier: GPL-2.0-only
"""The ratios of stock mechanisms on the machine and in an emulated guest."""

from typing import Any

import pytest

from tests import synthetic
from vmabench.analysis.distortion import distortion
from vmabench.analysis.frame import tidy
from vmabench.report.joint import distortion_text, joint_parts, joint_report
from vmabench.store.format import Result

CASES = synthetic.cases(["readv", "memcpy", "fork", "null"], ["transfer"])


def real() -> Result:
    return synthetic.result(synthetic.records(CASES, noise=0.0, round_noise=0.0))


def slowed(factors: dict[str, float]) -> Result:
    """An emulated run in which a mechanism is slower than the real one by its factor."""
    made = synthetic.records(CASES, noise=0.0, round_noise=0.0)
    made[0] |= {"virt": "emulated"}
    for record in made:
        values: list[dict[str, Any]] = record.get("values", [])
        factor = factors.get(str(record.get("case", "")).partition("/")[0], 16.0)
        for value in values:
            value["time_ns"] = {name: ns * factor for name, ns in value["time_ns"].items()}
    return synthetic.result(made)


def test_an_even_slowdown_is_no_distortion() -> None:
    found = distortion(tidy(real()), tidy(slowed({})))
    assert len(found) == 2 * len([c for c in CASES if c.mechanism == "memcpy"])
    assert found["distortion"].to_numpy(dtype=float) == pytest.approx(1.0, rel=1e-6)
    assert set(found["mechanism"]) == {"memcpy", "fork"}


def test_a_mechanism_that_is_slower_than_the_rest_shows() -> None:
    found = distortion(tidy(real()), tidy(slowed({"memcpy": 48.0})))
    by_name = found.groupby("mechanism", observed=True)["distortion"].median()
    assert by_name["memcpy"] == pytest.approx(3.0, rel=1e-6)
    assert by_name["fork"] == pytest.approx(1.0, rel=1e-6)
    text = distortion_text(found)
    assert "(3.00)" in text
    assert "transfer, 4K pages: real | emulated (quotient)" in text


def test_results_without_a_common_case() -> None:
    one = synthetic.result(synthetic.records(synthetic.cases(["readv"], ["transfer"])))
    found = distortion(tidy(one), tidy(slowed({})))
    assert found.empty
    assert "No case was measured on both" in distortion_text(found)


def test_a_report_of_both_has_each_and_the_table() -> None:
    parts = joint_parts([real(), slowed({})])
    assert len(parts) == 3
    assert "EMULATED" in parts[1]
    assert "EMULATED" not in parts[0]
    whole = joint_report([real(), slowed({})])
    assert all(part in whole for part in parts)
    assert len(joint_parts([real(), real()])) == 2  # nothing emulated: nothing to distort
