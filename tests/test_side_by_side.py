# SPDX-License-Identifier: GPL-2.0-only
"""compare A B C: a line for each case, a column for each other result, as text and as CSV."""

import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests import synthetic
from tests.command import error_line, vmabench
from vmabench.analysis.compare import compare
from vmabench.analysis.frame import tidy
from vmabench.analysis.side_by_side import side_by_side
from vmabench.api.comparable import differences
from vmabench.cli import main
from vmabench.matrix.case import Case
from vmabench.store.format import FUNCTIONS
from vmabench.store.reader import read

CASES = [
    Case(name, "transfer", "4K", size)
    for name in ("readv", "shm")
    for size in (4096, 65536, 1 << 20)
]
SLOWER = str(Case("readv", "transfer", "4K", 65536))


@pytest.fixture
def results(tmp_path: Path) -> tuple[str, ...]:
    """A and B are alike; C is 1.5 times as slow in one case and lacks the largest size."""
    made = []
    for seed, name in enumerate("abc"):
        cases = CASES if name != "c" else [case for case in CASES if case.size_bytes < 1 << 20]
        records = synthetic.records(cases, rounds=10, noise=0.005, round_noise=0.002, seed=seed)
        for record in records:
            factor = 1.5 if name == "c" and record.get("case") == SLOWER else 1.0
            for value in record.get("values", ()):
                value["time_ns"] = {n: round(factor * t) for n, t in value["time_ns"].items()}
        made.append(str(synthetic.write(tmp_path / name, records)))
    return tuple(made)


def test_columns_are_those_of_the_single_comparisons(results: tuple[str, ...]) -> None:
    a, b, c = (tidy(read(path)) for path in results)
    single = {name: compare(a, one, target_width=0.3) for name, one in (("B", b), ("C", c))}
    table = side_by_side(single)
    for name, one in single.items():
        of_case = one.set_index("case_id")
        for row in table.to_dict("records"):
            expected = of_case.loc[row["case_id"]]
            assert row[f"{name}_verdict"] == expected["verdict"]
            assert row[f"{name}_ratio"] == pytest.approx(expected["ratio"], nan_ok=True)
            assert row["base"] == pytest.approx(expected["a_ns"], nan_ok=True)
    assert list(table["case_id"].head(3)) == [
        str(Case("clone", "transfer", "4K", 4096)), str(CASES[0]), str(CASES[1])
    ]  # fmt: skip
    assert table.set_index("case_id").loc[SLOWER, "C_verdict"] == "slower"


def test_a_case_that_one_comparison_lacks_has_no_verdict_there(results: tuple[str, ...]) -> None:
    a, b, _ = (tidy(read(path)) for path in results)
    whole = compare(a, b, target_width=0.3)
    part = whole[whole["case_id"] != SLOWER]
    row = side_by_side({"B": part, "C": whole}).set_index("case_id").loc[SLOWER]
    assert row["B_verdict"] == ""
    assert pd.isna(row["B_ratio"])
    assert row["C_verdict"] in ("~", "same")
    assert row["base"] == whole.set_index("case_id").loc[SLOWER, "a_ns"]


def test_text_has_a_line_for_each_case_and_a_column_for_each_result(
    results: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *results]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert lines["case"] == ["case", "A", "B", "C"]
    row = lines["readv/transfer/4K/64K"]
    assert row[-1] == "slower"
    assert 1.45 < float(row[-2]) < 1.55
    assert lines["readv/transfer/4K/1M"][-2:] == ["not", "comparable"]
    assert [line[:2] for line in out.splitlines()[:3]] == ["A ", "B ", "C "]


def test_csv_has_numbers_to_read_again(
    results: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for paths, names in ((results, "BC"), (results[:2], "B")):
        assert main(["compare", *paths, "--format", "csv"]) == 0
        table = pd.read_csv(io.StringIO(capsys.readouterr().out))
        each = [f"{name}_{one}" for name in names for one in ("ratio", "lo", "hi", "verdict")]
        assert list(table.columns) == ["case_id", "phase", "base", *each]


def test_any_result_can_decide_the_status(results: tuple[str, ...]) -> None:
    assert main(["compare", *results, "--fail-on", "slower"]) == 3
    assert main(["compare", results[0], results[2], results[1], "--fail-on", "slower"]) == 3
    assert main(["compare", results[0], results[1], results[1], "--fail-on", "slower"]) == 0


def test_a_result_that_is_not_comparable_is_named(results: tuple[str, ...], tmp_path: Path) -> None:
    records = synthetic.records(CASES, rounds=2)
    records[0] |= {"virt": "emulated"}
    other = str(synthetic.write(tmp_path / "other", records))
    assert "C as B: not comparable" in error_line(vmabench("compare", *results[:2], other))
    assert main(["compare", *results[:2], other, "--force"]) in (0, 2)
    line = error_line(vmabench("compare", *results, "--format", "json"))
    assert "--format json is of two results" in line


def test_counted_results_name_the_functions_that_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of B nothing differs; C has a function more, in one case."""
    case = Case("readv", "transfer", "4K", 65536)
    paths = []
    for name, counts in (
        ("a", {"copy": 900}),
        ("b", {"copy": 900}),
        ("c", {"copy": 900, "drain": 90}),
    ):
        records = synthetic.records([case], rounds=2, noise=0.0, round_noise=0.0)
        records[0] |= {"clock": "instructions", "virt": "emulated"}
        for record in records:
            for value in record.get("values", ()):
                value["time_ns"] = {"total": sum(counts.values()) * record["loops"]}
        path = synthetic.write(tmp_path / name, records)
        lines = [
            {"kind": "functions", "round": round_, "case": str(case), "phase": "total",
             "counts": counts}
            for round_ in (1, 2)
        ]  # fmt: skip
        (path / FUNCTIONS).write_bytes(
            gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
        )
        paths.append(str(path))
    assert main(["compare", *paths]) == 0
    out = capsys.readouterr().out
    head = "less A, instructions of a call, by function (cases)"
    assert f"B {head}: none" in out
    assert f"C {head}: drain +90.0 (1)" in out
    assert "1.10 longer" in out


@pytest.mark.parametrize(
    ("flavours", "releases", "comparable"),
    [
        (("bench", "bench"), ("6.1.170-vmabench", "6.12.117-vmabench"), True),
        (("bench", "bench"), ("6.12.117-vmabench", "6.12.118"), False),
        (("bench", "debug"), ("6.1.170-vmabench", "6.12.117-vmabench"), False),
        (("image", "image"), ("6.1.170", "6.12.117"), False),
        ((None, None), ("6.1.170", "6.12.117"), False),
    ],
)
def test_guests_of_two_versions_have_no_configuration_in_common(
    flavours: tuple[str | None, ...], releases: tuple[str, ...], comparable: bool
) -> None:
    """The fragments that configure both are the same. Any other two must be equal."""
    made = []
    for number, (flavour, release) in enumerate(zip(flavours, releases, strict=True)):
        records = synthetic.records(CASES, rounds=2)
        records[0] |= {"kernel": release}
        facts = synthetic.FACTS | {"kernel_config_sha256": str(number) * 64}
        facts |= {"guest": {"flavour": flavour}} if flavour else {}
        made.append(replace(synthetic.result(records), machine={"facts": facts}))
    found = [text for text in differences(*made) if "configurations" in text]
    assert (not found) == comparable
