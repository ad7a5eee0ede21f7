# SPDX-License-Identifier: GPL-2.0-only
"""The functions that a path's instructions are in: known answers, from the plugin's lines on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import synthetic
from tests.command import call, error_line
from tests.test_letter import fit_for_mail, pair
from tests.test_paths import counted
from vmabench.analysis.compare import compare_paths
from vmabench.analysis.frame import tidy
from vmabench.analysis.functions import by_function, compare_functions, function_lengths
from vmabench.guest.functions import read_counts
from vmabench.matrix.case import Case
from vmabench.report.letter import Extras, cover_letter
from vmabench.report.verdicts import origin, path_rows, path_verdict_text
from vmabench.store.format import FUNCTIONS, Record, Result
from vmabench.store.functions import function_records
from vmabench.store.reader import read
from vmabench.store.writer import Writer

READV = Case("readv", "transfer", "4K", 65536)
CLONE = Case("clone", "deliver", "4K", 1 << 24, "read", 100)


def test_lines_of_the_plugin(tmp_path: Path) -> None:
    path = tmp_path / "functions"
    path.write_text("12 attach f=3 [user]=4 f=5\n12 touch g=1\n99 total f=7\n100 total f=")
    assert read_counts(path) == {
        12: {"attach": {"f": 8, "[user]": 4}, "touch": {"g": 1}},
        99: {"total": {"f": 7}},
    }


def of_case(case: Case, starts: list[int]) -> Record:
    values = [{"time_ns": {"total": 1}, "at_ns": start} for start in starts]
    return {
        "kind": "case", "round": 1, "order": 0, "case": str(case), "outcome": "ok", "loops": 10,
        "values": values,
    }  # fmt: skip


def records_of(record: Record, counts: Any) -> dict[str, dict[str, float]]:
    result = synthetic.result([dict(synthetic.HEADER), record])
    return {found["phase"]: found["counts"] for found in function_records(result, counts)}


def test_a_value_finds_its_counts_by_its_start_and_the_median_drops_a_tick() -> None:
    counts = {
        5: {"total": {"copy": 100}},
        6: {"total": {"copy": 100, "tick": 5000}},
        7: {"total": {"copy": 110, "rare": 3}},
        8: {"total": {"copy": 9999}},  # of a calibration: no value began then
    }
    assert records_of(of_case(READV, [5, 6, 7]), counts) == {"total": {"copy": 10}}
    assert records_of(of_case(READV, [1, 2]), counts) == {}


def test_phases_add_up_to_the_total_and_the_sources_part_is_the_transfer() -> None:
    counts = {5: {"attach": {"map": 20}, "total": {"copy": 40}, "release": {"map": 10}}}
    found = records_of(of_case(CLONE, [5]), counts)
    assert found["attach"] == {"map": 2}
    assert found["transfer"] == {"copy": 4}
    assert found["total"] == {"copy": 4, "map": 3}
    assert found["touch"] == {}


def test_the_writes_of_the_source_are_in_the_system_and_not_in_the_total() -> None:
    """Also of a scenario whose operation is the whole, and not a transfer among other phases."""
    counts = {5: {"total": {"copy": 40}, "source-rewrite": {"fault": 70}}}
    found = records_of(of_case(replace(READV, source="rewritten"), [5]), counts)
    assert found["total"] == {"copy": 4}
    assert found["source-rewrite"] == {"fault": 7}
    assert found["system"] == {"copy": 4, "fault": 7}


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "failed", "reason": "no"},
        {"round": 0},
        {"case": str(Case("readv", "handoff", "4K", 65536, "read", 100))},
    ],
)
def test_what_has_no_marks_has_no_functions(fields: dict[str, Any]) -> None:
    record = of_case(READV, [5]) | fields
    assert records_of(record, {5: {"total": {"copy": 1}}}) == {}


def functions(round_: int, counts: dict[str, float], case: Case = CLONE) -> Record:
    return {
        "kind": "functions", "round": round_, "case": str(case), "phase": "attach",
        "counts": counts,
    }  # fmt: skip


def test_the_mean_over_processes_and_variants_of_a_function() -> None:
    made = [functions(1, {"f": 10, "f.isra.0": 2, "g": 4}), functions(2, {"f": 14})]
    lengths = function_lengths(made).set_index("function")
    assert lengths["per_call"].to_dict() == {"f": 13, "g": 2}
    assert lengths["range"].to_dict() == {"f": 2, "g": 4}


def test_differences_come_largest_first_with_what_only_one_side_has() -> None:
    a = [functions(1, {"copy": 100, "same": 7, "old": 5})]
    b = [functions(1, {"copy": 160, "same": 7, "new": 30}), functions(1, {"x": 1}, READV)]
    compared = compare_functions(a, b)
    assert set(compared["case_id"]) == {str(CLONE)}  # what only B has is no comparison
    assert list(compared["function"]) == ["copy", "new", "old", "same"]
    assert list(compared["call"]) == [60, 30, -5, 0]
    assert list(compared["steady"]) == [True, True, True, False]
    assert compare_functions([], b).empty


def test_what_differs_from_process_to_process_is_no_difference() -> None:
    a = [functions(1, {"copy": 100, "tick": 0}), functions(2, {"copy": 102, "tick": 90})]
    b = [functions(1, {"copy": 110, "tick": 70}), functions(2, {"copy": 112, "tick": 100})]
    compared = compare_functions(a, b).set_index("function")
    assert compared["call"].to_dict() == {"tick": 40, "copy": 10}
    assert compared["steady"].to_dict() == {"tick": False, "copy": True}
    assert origin(50, compared.reset_index()) == "+50.0: copy +10.0, unsteady +40.0"


def test_each_function_with_the_cases_that_it_is_longer_in() -> None:
    def total(case: Case, counts: dict[str, float]) -> Record:
        return functions(1, counts, case) | {"phase": "total"}

    a = [total(READV, {"f": 10, "g": 5}), total(CLONE, {"f": 10, "g": 5})]
    b = [total(READV, {"f": 13, "g": 5}), total(CLONE, {"f": 90, "g": 4})]
    found = by_function(compare_functions([*a, functions(1, {"h": 1})], [*b, functions(1, {})]))
    assert found.to_dict("records") == [
        {"function": "f", "cases": 2, "least": 3, "most": 80},
        {"function": "g", "cases": 1, "least": -1, "most": -1},
    ]
    text = path_verdict_text(compare_paths(*[tidy(counted())] * 2), [], compare_functions(a, b))
    assert "0 paths changed" in text
    assert "f      2  +3.00  +80.0" in text


def longer(calls: dict[str, float]) -> tuple[Result, Result]:
    """Two counted results: in B, attach of the largest clone executes ``calls`` more."""
    a, b = counted(), counted()
    for record in b.records:
        if record.get("case") == str(CLONE):
            for value in record["values"]:
                value["time_ns"]["attach"] += round(2 * sum(calls.values()))
    base = {"copy_pte_range": 400_000.0, "lock": 90_000.0}
    more = {name: base.get(name, 0.0) + calls.get(name, 0.0) for name in base | calls}
    return (
        replace(a, functions=[functions(1, base), functions(2, base)]),
        replace(b, functions=[functions(1, more), functions(2, more)]),
    )


def test_a_longer_path_is_attributed() -> None:
    a, b = longer({"copy_pte_range": 8192, "check": 4096, "lock": -12})
    compared = compare_paths(tidy(a), tidy(b))
    found = compare_functions(a.functions, b.functions)
    text = " ".join(path_verdict_text(compared, ["A", "B"], found).split())
    words = "attach: +12,276: copy_pte_range +8,192, check +4,096, lock -12.0"
    assert f"clone/deliver/4K/16M/read-100 {words}" in text
    assert "unsteady" not in text
    rows = path_rows(compared, found)
    (row,) = [row for row in rows if row["verdict"] == "longer" and row["phase"] == "attach"]
    assert [one["function"] for one in row["functions"]] == ["copy_pte_range", "check", "lock"]
    assert all("functions" not in row for row in rows if row["verdict"] == "~")
    json.dumps(rows)


def test_what_no_steady_function_accounts_for_is_said() -> None:
    a, b = longer({"check": 5000})
    found = compare_functions(a.functions, b.functions)
    mine = found[found["call"] != 0]
    assert origin(5000, mine) == "+5,000: check +5,000"
    assert origin(6000, mine) == "+6,000: check +5,000, unsteady +1,000"
    assert origin(6000, mine.iloc[:0]) == "+6,000: unsteady +6,000"
    many = compare_functions(
        [functions(1, {})], [functions(1, {f"f{n}": 100.0 - n for n in range(9)})]
    )
    assert origin(864, many, most=2) == "+864: f0 +100, f1 +99.0, 7 others +665"


def test_a_result_without_functions_says_how_to_get_them() -> None:
    a, b = longer({"check": 5000})
    compared = compare_paths(tidy(a), tidy(b))
    assert "--against KERNEL" in path_verdict_text(compared, [], compare_functions([], []))
    assert "--against" not in path_verdict_text(
        compare_paths(tidy(a), tidy(a)), [], compare_functions([], [])
    )


def test_functions_survive_the_store(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a", {"name": "paths"}, {})
    writer.append([dict(synthetic.HEADER), functions(1, {"f": 1.5})])
    found = read(tmp_path / "a")
    assert found.functions == [functions(1, {"f": 1.5})]
    assert len(found.records) == 1
    (tmp_path / "a" / FUNCTIONS).write_bytes(b"no gzip")
    broken = read(tmp_path / "a")
    assert broken.functions == []
    assert "functions.jsonl.gz holds no result" in str(broken.damage)


def written(name: str, result: Result) -> str:
    directory = synthetic.write(Path(name), result.records)
    with_functions = Writer.__new__(Writer)
    with_functions.directory = directory
    with_functions.append(result.functions)
    return name


def test_published_functions_are_those_that_were_counted() -> None:
    a, _ = longer({"check": 5000})
    assert call("publish", written("a", a), "-o", "shown").returncode == 0
    assert read("shown").functions == a.functions
    checked = call("publish", "--check", "shown")
    assert checked.returncode == 0, checked.stdout


def test_a_letter_has_the_theories() -> None:
    paths = longer({"copy_pte_range": 8192, "check": 4096})
    text = cover_letter(pair(), extras=Extras(paths=paths))
    fit_for_mail(text)
    words = " ".join(text.split())
    assert "Path lengths, A vs B, in instructions of one operation, lower is better; 1" in words
    assert "clone/deliver/4K/16M/read-100 attach: +12,288: copy_pte_range +8,192, check" in words
    same = cover_letter(pair(), extras=Extras(paths=(paths[0], paths[0])))
    assert "0 changed by 0.5 % or more" in " ".join(same.split())


def test_theories_are_of_counts_alone() -> None:
    a, b = longer({"check": 5000})
    for name, result in (("a", a), ("b", b)):
        written(name, result)
    times = [str(synthetic.write(Path(name), synthetic.records(rounds=2))) for name in ("x", "y")]
    letter = call("compare", *times, "--format", "cover-letter", "--paths", "a", "b")
    assert letter.returncode in (0, 2), letter.stderr
    assert "check +5,000" in " ".join(letter.stdout.split())
    wrong = error_line(call("compare", *times, "--format", "cover-letter", "--paths", *times))
    assert "--paths takes two results of the instruction clock" in wrong
    other = error_line(call("compare", *times, "--paths", "a", "b"))
    assert "--paths goes with --format cover-letter only" in other
