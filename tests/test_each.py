# SPDX-License-Identifier: GPL-2.0-only
"""Which patch of a series changes which path: known answers on made-up results."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import synthetic
from vmabench.analysis.each import Attribution, Step, attribute, compare_steps
from vmabench.matrix.case import Case
from vmabench.report.each import check_results, each_text, robot_text, summary
from vmabench.store.format import Record, Result

READV = Case("readv", "transfer", "4K", 65536)
FORK = Case("fork", "transfer", "4K", 65536)
CLONE = Case("clone", "transfer", "4K", 65536)
FUNCTIONS = {READV: {"copy": 600.0, "pin": 400.0}, FORK: {"copy_pte": 5000.0}}
COMMAND = ["vmabench", "run", "paths", "--guest", "--kernel", "../linux", "--each", "A..B"]
HEAD = ["series A..B"]


def measured(
    counts: Mapping[Case, float],
    functions: Mapping[Case, Mapping[str, float]] = FUNCTIONS,
    *,
    spread: float = 0.0,
    outcomes: Mapping[Case, str] | None = None,
) -> Result:
    """A result of two rounds whose counts differ by a fraction ``spread``."""
    header = synthetic.HEADER | {"clock": "instructions", "virt": "emulated"}
    made: list[Record] = [header]
    of_functions: list[Record] = []
    for round_ in (1, 2):
        for case, count in counts.items():
            made.append(of_case(case, round_, count * (1 + spread * (round_ - 1))))
            if case in functions:
                of_functions.append(
                    {"kind": "functions", "round": round_, "case": str(case), "phase": "total",
                     "counts": dict(functions[case])}
                )  # fmt: skip
        for case, reason in (outcomes or {}).items():
            made.append(of_case(case, round_, 0) | {"outcome": "failed", "reason": reason})
        made.append(synthetic.round_record(round_))
    made.append({"kind": "end", "status": "done", "rounds": 2, "wall_ns": 1, "timed_ns": 1})
    found = synthetic.result(made)
    found.functions.extend(of_functions)
    return found


def of_case(case: Case, round_: int, count: float) -> Record:
    values = [{"time_ns": {"total": round(count)}, "at_ns": 1}]
    return {
        "kind": "case", "round": round_, "order": 0, "case": str(case), "outcome": "ok",
        "loops": 1, "values": values,
    }  # fmt: skip


def step(number: int, result: Result | None = None, missing: str = "") -> Step:
    commit = f"{number}" * 12
    return Step(number, commit, f"mm: patch {number}", Path(f"out/{number:04}"), result, missing)


BASE = {READV: 1000.0, FORK: 5000.0}
LONGER = BASE | {READV: 1100.0}
DRAINED = FUNCTIONS | {READV: {"copy": 600.0, "pin": 400.0, "drain": 100.0}}


def series() -> Attribution:
    """The second of three patches adds a function to readv."""
    return attribute(
        [
            step(0, measured(BASE)),
            step(1, measured(BASE)),
            step(2, measured(LONGER, DRAINED)),
            step(3, measured(LONGER, DRAINED)),
        ]
    )


def of_text(found: Attribution) -> str:
    return each_text(found, HEAD, COMMAND)


def robot_lines(found: Attribution) -> list[list[str]]:
    return [line.split("\t") for line in robot_text(found).splitlines()]


def test_a_longer_path_is_attributed_to_its_patch_with_its_functions() -> None:
    text = of_text(series())
    assert "1 patch of 3: 1 path longer." in text
    section = text[text.index("0002 222222222222 mm: patch 2") :]
    assert "readv/transfer/4K/64K total" in section.splitlines()[2]
    assert section.splitlines()[2].split()[-4:] == ["1,000", "1,100", "+10.00%", "longer"]
    assert section.splitlines()[3].strip() == "+100: drain +100"
    for quiet in (1, 3):
        assert f"mm: patch {quiet}: no path changed (2 compared)" in text
    assert "The whole series, 000000000000 to 333333333333: 1 path longer, 1 the same" in text


def test_the_command_measures_one_path_on_its_two_kernels_again() -> None:
    """Also where the path of the tree has two dots, as the range does."""
    last = of_text(series()).splitlines()[-1]
    assert "--kernel ../linux --each 111111111111..222222222222" in last
    assert last.endswith("--mechanism readv --scenario transfer --page 4K --size 64K")


def test_robots_get_one_line_for_each_changed_path() -> None:
    lines = robot_lines(series())
    assert [line[0] for line in lines] == ["base", "patch", "patch", "path", "patch", "series"]
    path = next(line for line in lines if line[0] == "path")
    numbers = ["1000.000", "1100.000", "100.000", "10.000"]
    assert path[1:3] == ["2", "2" * 12]
    assert path[3:6] == [str(READV), "total", "longer"]
    assert path[6:] == [*numbers, "1" * 12, "drain=100.000"]
    assert lines[-1] == ["series", "0" * 12, "3" * 12, "1", "0", "1"]


def test_a_tab_or_newline_in_a_subject_makes_no_field_or_line() -> None:
    made = series()
    odd = Step(0, "0" * 12, "mm:\ta\nb", Path("out"), made.steps[0].result)
    assert robot_lines(attribute([odd, *made.steps[1:]]))[0] == ["base", "0" * 12, "mm: a b"]


def test_b4_gets_an_object_of_one_tool() -> None:
    (found,) = check_results(series(), "warn", HEAD, COMMAND)
    assert (found["tool"], found["status"]) == ("vmabench", "warn")
    assert found["summary"] == "1 patch of 3: 1 path longer"
    assert found["details"] == of_text(series())
    (path,) = json.loads(json.dumps(found, allow_nan=False))["paths"]
    assert (path["number"], path["case_id"], path["call"]) == (2, str(READV), 100)
    assert path["functions"] == [{"function": "drain", "call": 100}]
    assert [commit["number"] for commit in found["commits"]] == [0, 1, 2, 3]


def test_a_change_below_the_floor_of_its_path_is_none() -> None:
    """The floor is that of compare: the range of the processes of either side."""
    noisy = measured(LONGER, spread=0.2)
    (change,) = attribute([step(0, measured(BASE, spread=0.2)), step(1, noisy)]).changes
    assert change.changed.empty


def test_an_unmeasured_kernel_is_named_and_the_next_one_compared_across_it() -> None:
    lost = "does not build: mm/gup.c:12: error: 'x' undeclared"
    found = attribute(
        [step(0, measured(BASE)), step(1, missing=lost), step(2, measured(LONGER, DRAINED))]
    )
    (change,) = found.changes
    assert (change.before.number, change.after.number) == (0, 2)
    text = of_text(found)
    assert "0001 111111111111 mm: patch 1, which was not measured" in text
    assert f"0001 111111111111 mm: patch 1: not measured: {lost}" in text
    assert "1 of 3 kernels not measured" in summary(found)
    assert ["missing", "1", "1" * 12, lost] in robot_lines(found)
    assert text.splitlines()[-1].count("000000000000..222222222222") == 1


def test_small_steps_that_add_up_are_named() -> None:
    counts = [{READV: 10_000.0 + 40 * number} for number in range(4)]
    functions = [{READV: {"copy": count[READV]}} for count in counts]
    made = [measured(*both) for both in zip(counts, functions, strict=True)]
    found = attribute([step(number, result) for number, result in enumerate(made)])
    assert found.count("longer") == 0
    (row,) = found.gradual().to_dict("records")
    assert (row["case_id"], row["verdict"]) == (str(READV), "longer")
    text = of_text(found)
    assert "In steps that are each below the noise floor:" in text
    assert "+120: copy +120" in text
    assert robot_lines(found)[-1][:4] == ["gradual", str(READV), "total", "longer"]


def test_a_path_that_a_patch_breaks_is_no_unchanged_one() -> None:
    broken = measured({FORK: 5000.0}, outcomes={READV: "Bad address"})
    change = compare_steps(step(0, measured(BASE)), step(1, broken))
    (row,) = change.changed.to_dict("records")
    assert (row["case_id"], row["verdict"], row["reason"]) == (str(READV), "failed", "Bad address")
    text = of_text(attribute([step(0, measured(BASE)), step(1, broken)]))
    assert "readv/transfer/4K/64K total  failed: Bad address" in text
    assert "1 path failed, 1 the same" in text


def test_a_path_that_fails_before_and_after_is_no_change() -> None:
    broken = measured({FORK: 5000.0}, outcomes={READV: "Bad address"})
    assert compare_steps(step(0, broken), step(1, broken)).changed.empty


def test_a_patch_that_adds_and_one_that_removes_a_path() -> None:
    with_clone = measured(BASE | {CLONE: 700.0})
    found = attribute([step(0, measured(BASE)), step(1, with_clone), step(2, measured(BASE))])
    assert [change.changed["verdict"].tolist() for change in found.changes] == [["new"], ["gone"]]
    text = of_text(found)
    assert "mm: patch 1: no path changed (2 compared, 1 new)" in text
    assert "clone/transfer/4K/64K total  gone: it is no case of the plan" in text
    assert json.dumps(check_results(found, "warn", HEAD, COMMAND), allow_nan=False)


def test_functions_that_were_not_counted_are_no_unsteady_ones() -> None:
    found = attribute([step(0, measured(BASE, {})), step(1, measured(LONGER, {}))])
    assert "+100: functions were not counted" in of_text(found)
    assert "unsteady" not in of_text(found)


def test_a_step_without_a_result_is_not_compared() -> None:
    with pytest.raises(ValueError, match="step 1 has no result"):
        compare_steps(step(0, measured(BASE)), step(1))


def test_the_text_of_a_patch_is_bounded_and_says_where_the_rest_is() -> None:
    cases = [Case("readv", "transfer", "4K", 4096 << power) for power in range(15)]
    before, after = (measured(dict.fromkeys(cases, count), {}) for count in (1000.0, 1100.0))
    found = attribute([step(0, before), step(1, after)])
    text = of_text(found)
    assert text.count("longer\n") == 12
    assert "and 3 more: vmabench compare out/0000 out/0001" in text
    assert sum(line[0] == "path" for line in robot_lines(found)) == 15


def test_a_series_without_a_change_says_so() -> None:
    found = attribute([step(0, measured(BASE)), step(1, measured(BASE))])
    assert summary(found) == "no path changed in 1 comparison"
    text: str = of_text(found)
    assert "again" not in text
