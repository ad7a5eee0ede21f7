# SPDX-License-Identifier: GPL-2.0-only
"""The ratios of stock mechanisms on the machine and in an emulated guest."""

from dataclasses import replace
from typing import Any

import pytest

from tests import synthetic
from vmabench.analysis.frame import tidy
from vmabench.analysis.ratios import distortion
from vmabench.report.build import Report
from vmabench.report.joint import distortion_text, joint_parts, joint_report
from vmabench.store.format import Result

CASES = [
    case
    for case in synthetic.cases(["readv", "memcpy", "fork", "null"], ["transfer"])
    if case.size_bytes in (4096, 65536, 2 << 20, 16 << 20)
]


@pytest.fixture
def no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that reads the table alone, the last part of a joint report."""
    monkeypatch.setattr(Report, "text", lambda *_, **__: "")


def real() -> Result:
    return synthetic.result(synthetic.records(CASES, noise=0.0, round_noise=0.0))


def slowed(factors: dict[str, float], thp: str = "madvise") -> Result:
    """Return an emulated run in which each mechanism is slower than the real one by its factor."""
    made = synthetic.records(CASES, noise=0.0, round_noise=0.0)
    made[0] |= {"virt": "emulated", "thp": thp}
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


@pytest.mark.usefixtures("no_reports")
def test_the_thp_setting_of_the_machines_is_no_part_of_a_case() -> None:
    """Debian's kernel has ``always``, the guest ``madvise``: each case still has its partner."""
    found = distortion(tidy(real()), tidy(slowed({}, thp="always")))
    alike = distortion(tidy(real()), tidy(slowed({})))
    assert len(found) == len(alike) > 0
    assert found["distortion"].to_numpy(dtype=float) == pytest.approx(1.0, rel=1e-6)
    assert set(found["real_thp"]) == {"madvise"}
    assert set(found["emulated_thp"]) == {"always"}
    assert "THP is madvise on the machine and always in the guest" in distortion_text(found)
    assert "THP is" not in distortion_text(alike)
    assert "No case was measured on both" not in joint_report([real(), slowed({}, thp="always")])


def test_a_setting_that_the_case_names_is_part_of_it() -> None:
    named = [replace(case, thp="always") for case in CASES]
    both = [*CASES, *named]
    sides = [synthetic.records(both, noise=0.0, round_noise=0.0) for _ in range(2)]
    sides[0][0] |= {"thp": "madvise"}
    sides[1][0] |= {"thp": "never", "virt": "emulated"}
    found = distortion(*(tidy(synthetic.result(made)) for made in sides))
    assert len(found) == 2 * len(distortion(tidy(real()), tidy(slowed({}))))
    assert set(zip(found["thp"], found["real_thp"], found["emulated_thp"], strict=True)) == {
        ("", "madvise", "never"),
        ("always", "always", "always"),
    }


def of_kernel(result: Result, kernel: str) -> Result:
    header = result.header | {"kernel": kernel}
    return replace(result, header=header, records=[header, *result.records[1:]])


@pytest.mark.usefixtures("no_reports")
def test_two_kernels_are_confounded_with_emulation() -> None:
    """Updates of one stable version are not; a third result of the guest's version is preferred."""
    guest = of_kernel(slowed({}), "6.12.117-vmabench")
    host = of_kernel(real(), "6.18.44")
    text = joint_parts([host, guest])[-1]
    assert "CONFOUNDED: the machine runs Linux 6.18.44 and the guest 6.12.117-vmabench" in text
    assert max(map(len, text.splitlines())) <= 100
    same = of_kernel(real(), "6.12.90")
    assert "CONFOUNDED" not in joint_parts([same, guest])[-1]
    assert "CONFOUNDED" not in joint_parts([host, same, guest])[-1]
    assert "CONFOUNDED" not in joint_parts([host, guest, of_kernel(slowed({}), "6.18.2")])[-1]


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


@pytest.mark.usefixtures("no_reports")
def test_the_joint_report_has_all_parts() -> None:
    whole = joint_report([real(), slowed({})])
    assert all(part in whole for part in joint_parts([real(), slowed({})]))


@pytest.mark.usefixtures("no_reports")
def test_two_results_of_machines_have_no_table() -> None:
    assert len(joint_parts([real(), real()])) == 2
