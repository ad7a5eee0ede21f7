# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts: known answers, and what is refused by name."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests import synthetic
from tests.command import call, error_line
from tests.test_paths import counted
from vmabench.analysis.compare import (
    MIN_PATH_EFFECT,
    VERDICTS,
    bare_name,
    compare,
    compare_paths,
    moved_controls,
    out_of_reach,
)
from vmabench.analysis.frame import tidy
from vmabench.analysis.functions import compare_functions
from vmabench.matrix.case import Case
from vmabench.report.verdicts import (
    TWO_BOOTS,
    path_verdict_text,
    robot_text,
    rows_of,
    verdict_text,
)
from vmabench.report.words import three_digits
from vmabench.store.format import MACHINE, Record
from vmabench.store.reader import read

CASES = synthetic.cases(["readv", "memcpy", "fork"], ["transfer"])
ROOM = 0.5
PUBLISHED = Path(__file__).resolve().parents[1] / "results/published"


def records(seed: int, slower: dict[str, float] | None = None, **kwargs: Any) -> list[Record]:
    made = synthetic.records(CASES, seed=seed, **({"rounds": 10, "noise": 0.01} | kwargs))
    for record in made:
        factor = (slower or {}).get(str(record.get("case", "")).partition("/")[0], 1.0)
        for value in record.get("values", ()):
            value["time_ns"] = {name: ns * factor for name, ns in value["time_ns"].items()}
    return made


def frame(made: list[Record]) -> pd.DataFrame:
    return tidy(synthetic.result(made))


def verdicts(compared: pd.DataFrame, mechanism: str) -> set[str]:
    mine = compared["case_id"].astype(str).str.startswith(f"{mechanism}/")
    return set(compared.loc[mine, "verdict"])


def test_a_change_is_found_and_nothing_else() -> None:
    a, b = frame(records(1)), frame(records(2, slower={"readv": 1.15, "fork": 0.8}))
    compared = compare(a, b, target_width=ROOM)
    assert verdicts(compared, "readv") == {"slower"}
    assert verdicts(compared, "fork") == {"faster"}
    assert verdicts(compared, "memcpy") <= {"~", "same"}
    order = [name for name in VERDICTS if name in set(compared["verdict"])]
    assert list(compared["verdict"].unique()) == order
    assert set(order) - {"same"} == {"slower", "faster", "~", "not comparable"}
    slower = compared[compared["verdict"] == "slower"]
    assert slower["ratio"].is_monotonic_decreasing
    assert ((slower["lo"] < 1.15) & (slower["hi"] > 1.10)).all()


def test_the_same_data_twice_has_no_verdict() -> None:
    a = frame(records(1))
    compared = compare(a, a, target_width=ROOM)
    assert set(compared["verdict"]) <= {"~", "same", "not comparable"}
    assert (compared["ratio"].dropna() == 1).all()


def test_runs_without_a_change_rarely_get_a_verdict() -> None:
    """The promise is 5 % of the cases; runs that share a drift of their rounds are harder."""
    wrong = total = 0
    for seed in range(20):
        compared = compare(frame(records(seed)), frame(records(1000 + seed)), target_width=ROOM)
        wrong += int(compared["verdict"].isin(["slower", "faster"]).sum())
        total += int((compared["verdict"] != "not comparable").sum())
    assert wrong / total <= 0.05


def test_an_effect_below_the_least_one_is_none() -> None:
    quiet: dict[str, Any] = {"noise": 0.0005, "round_noise": 0.0}
    a, b = frame(records(1, **quiet)), frame(records(2, slower={"readv": 1.01}, **quiet))
    assert verdicts(compare(a, b, target_width=ROOM), "readv") == {"same"}
    assert verdicts(compare(a, b, target_width=ROOM, min_effect=0.005), "readv") == {"slower"}


def test_the_number_of_cases_counts() -> None:
    """What would be a verdict alone is none among many: q is never below p."""
    compared = compare(frame(records(1)), frame(records(2)), target_width=ROOM)
    tested = compared[compared["p"].notna()]
    assert (tested["q"] >= tested["p"]).all()
    assert tested["q"].min() >= tested["p"].min()
    assert (tested["q"] > tested["p"]).any()


def test_noise_is_unstable_and_not_equal() -> None:
    loud: dict[str, Any] = {"noise": 0.6}
    compared = compare(frame(records(1, **loud)), frame(records(2, **loud)), target_width=0.1)
    assert "unstable" in set(compared["verdict"])
    assert "~" not in set(compared["verdict"])


def test_one_round_has_no_interval_and_no_verdict() -> None:
    one: dict[str, Any] = {"rounds": 1}
    compared = compare(
        frame(records(1, **one)), frame(records(2, slower={"readv": 3.0}, **one)), target_width=ROOM
    )
    measured = compared[compared["verdict"] != "not comparable"]
    assert set(measured["verdict"]) == {"unstable"}
    assert measured[["lo", "hi"]].isna().all(axis=None)
    assert (measured["q"] == 1).all()


@pytest.mark.filterwarnings("error")
def test_a_time_of_zero_is_not_comparable_and_says_so() -> None:
    made = records(1)
    for record in made:
        if record["kind"] == "case" and record["case"].startswith("fork/"):
            record["values"] = [value | {"time_ns": {"total": 0}} for value in record["values"]]
    for pair in ((made, records(2)), (records(2), made)):
        rows = compare(*(frame(one) for one in pair), target_width=ROOM)
        zero = rows[rows["case_id"].str.startswith("fork/")]
        assert set(zero["verdict"]) == {"not comparable"}
        assert zero["reason"].str.endswith("it has a value of 0").all()
        assert set(rows["verdict"]) - {"not comparable"}


def test_what_can_not_be_compared_says_why() -> None:
    a, b = records(1), records(2)
    first, second, third, fourth = (str(case) for case in CASES[:4])
    b = [record for record in b if record.get("case") != first]
    for record in b:
        if record.get("case") == second:
            record["proof"] = record["proof"] | {"src_backed_pct": 50.0}
        if record.get("case") == third:
            record |= {"outcome": "failed", "reason": "the worker was lost"}
    for made, size in ((a, 8192), (b, 4096)):
        for record in made:
            if record.get("case") == fourth:
                record["proof"] = record["proof"] | {"moved_bytes": size}
    rows = compare(frame(a), frame(b), target_width=ROOM).set_index("case_id")
    assert rows.loc[first, "reason"] == "B does not have this case"
    assert rows.loc[second, "reason"] == "src_backed_pct is 0 in A and 50 in B: other memory"
    lost = "failed in 10 of 10 rounds of B, in 0 of 10 of A: the worker was lost"
    assert rows.loc[third, "reason"] == lost
    assert rows.loc[third, "verdict"] == "failed"
    moved = "moved_bytes is 8192 in A and 4096 in B: another size was really transferred"
    assert rows.loc[fourth, "reason"] == moved
    assert set(rows.loc[[first, second, fourth], "verdict"]) == {"not comparable"}
    clone = rows.loc[str(Case("clone", "transfer", "4K", 4096)), "reason"]
    assert clone == "A: skipped: the kernel has no clone (ENOSYS)"


def test_few_rounds_and_many_cases_say_that_a_lone_change_is_out_of_reach() -> None:
    few: dict[str, Any] = {"rounds": 5}
    enough: dict[str, Any] = {"rounds": 10}
    a, b = frame(records(1, **few)), frame(records(2, slower={"readv": 2.0}, **few))
    compared = compare(a, b, target_width=ROOM)
    assert out_of_reach(compared) == (5, 5)
    alone = compared[compared["case_id"].isin([str(CASES[0])])]
    assert out_of_reach(alone) is None
    compared = compare(frame(records(1, **enough)), frame(records(2, **enough)), target_width=ROOM)
    assert out_of_reach(compared) is None
    assert out_of_reach(compared.iloc[:0]) is None


def test_a_neighbour_in_some_rounds_hides_no_change() -> None:
    """Two of ten rounds twice as slow: a mean would see nothing but noise."""
    disturbed = []
    for seed, slower in ((1, {}), (2, {"readv": 1.06})):
        made = records(seed, slower=slower, round_noise=0.0)
        for record in made:
            if record.get("round") in (3, 7) and record["kind"] == "case":
                for value in record["values"]:
                    value["time_ns"] = {name: 2 * ns for name, ns in value["time_ns"].items()}
        disturbed.append(frame(made))
    compared = compare(*disturbed, target_width=math.inf)
    assert verdicts(compared, "readv") == {"slower"}
    assert verdicts(compared, "memcpy") <= {"~", "same"}


def failing(rounds_lost: int) -> list[Record]:
    """Return a run in which the first case was killed in so many of its 12 rounds."""
    made = records(2, rounds=12)
    mine = [record for record in made if record.get("case") == str(CASES[0])]
    for record in mine[:rounds_lost]:
        record |= {"outcome": "failed", "reason": "killed by signal 9"}
        record.pop("values")
    return made


def test_a_case_that_fails_more_often_is_a_finding_of_its_own_and_first() -> None:
    """Killed in 6 of 12 rounds: the other 6 take as long as before."""
    a, b = frame(records(1, rounds=12)), frame(failing(6))
    compared = compare(a, b, target_width=ROOM)
    first = compared.iloc[0]
    assert (first["case_id"], first["verdict"]) == (str(CASES[0]), "failed")
    words = "failed in 6 of 12 rounds of B, in 0 of 12 of A: killed by signal 9"
    assert first["reason"] == words
    text = " ".join(verdict_text(compared, ["A", "B"]).split())
    assert text.index("failed more often in B (1)") < text.index("Time of one operation")
    assert words in text
    assert rows_of(compared)[0]["b_failed"] == 6
    assert "fails                      6/12" in robot_text(compared, ("a", "b"))
    back = compare(b, a, target_width=ROOM)
    assert (back["verdict"] != "failed").all()
    assert "in 6 of 12 rounds of A, 0 of 12 of B" in verdict_text(back, ["A", "B"])


def test_controls_that_move_void_the_comparison() -> None:
    a, b = frame(records(1)), frame(records(2, slower={"memcpy": 1.2, "readv": 1.2}))
    compared = compare(a, b, target_width=ROOM)
    assert {Case.parse(name).mechanism for name in moved_controls(compared)} == {"memcpy"}
    text = verdict_text(compared, ["A", "B"])
    assert " and 11 more)" in " ".join(text.replace("!", "").split())
    assert text.startswith("! Void as a comparison of kernels: negative controls moved (memcpy/")
    assert all(line.startswith("! ") for line in text.splitlines() if line)
    assert robot_text(compared, ("a", "b")).startswith("! # void as a comparison")
    assert all(row["void"].startswith("void as") for row in rows_of(compared))
    quiet = compare(a, frame(records(2, slower={"readv": 1.2})), target_width=ROOM)
    assert moved_controls(quiet) == []
    assert "void" not in rows_of(quiet)[0]
    assert "oid" not in verdict_text(quiet, ["A", "B"])


def test_what_faults_memory_in_is_no_control() -> None:
    """memcpy of deliver pays for fresh pages: a kernel may change that."""
    delivered = synthetic.cases(["memcpy", "readv"], ["deliver"])
    sides = [synthetic.records(delivered, seed=seed, rounds=10, noise=0.01) for seed in (1, 2)]
    for record in sides[1]:
        for value in record.get("values", ()):
            value["time_ns"] = {name: 1.3 * ns for name, ns in value["time_ns"].items()}
    compared = compare(*map(frame, sides), target_width=ROOM)
    assert verdicts(compared, "memcpy") == {"slower"}
    assert moved_controls(compared) == []


def test_controls_are_a_family_of_their_own() -> None:
    """Real effects in many cases make no false verdict among the controls more likely."""
    a = frame(records(1))
    few, many = (
        compare(a, frame(records(2, slower=slower)), target_width=ROOM).set_index("case_id")
        for slower in ({}, {"readv": 2.0, "fork": 2.0})
    )
    controls = [str(case) for case in CASES if case.mechanism == "memcpy"]
    assert few.loc[controls, "q"].equals(many.loc[controls, "q"])


def test_equivalence_is_told_apart_from_ignorance() -> None:
    quiet: dict[str, Any] = {"noise": 0.001, "round_noise": 0.0}
    compared = compare(frame(records(1, **quiet)), frame(records(2, **quiet)), target_width=ROOM)
    assert set(compared["verdict"]) == {"same", "not comparable"}
    loud: dict[str, Any] = {"noise": 0.1}
    unknown = compare(frame(records(1, **loud)), frame(records(2, **loud)), target_width=10.0)
    row = unknown[unknown["verdict"] == "~"].iloc[0]
    text = " ".join(verdict_text(unknown, ["A", "B"]).split())
    assert (
        f"{bare_name(row['case_id'])} [{three_digits(row['lo'])}..{three_digits(row['hi'])}]"
        in text
    )


def test_verdicts_of_single_boots_are_marked() -> None:
    a, b = frame(records(1)), frame(records(2, slower={"readv": 1.5}))
    text = " ".join(verdict_text(compare(a, b, target_width=ROOM), ["A", "B"]).split())
    assert "slower*" in text
    assert "the kernel is different, or this boot was" in text
    assert "Change: the Hodges-Lehmann estimate" in text


def test_unequal_numbers_of_processes() -> None:
    a, b = frame(records(1, rounds=4)), frame(records(2, rounds=11, slower={"readv": 1.5}))
    compared = compare(a, b, target_width=ROOM)
    assert verdicts(compared, "readv") == {"slower"}
    assert set(zip(compared["a_processes"], compared["b_processes"], strict=True)) >= {(4, 11)}


def test_the_text_names_every_case_and_the_rule() -> None:
    a, b = frame(records(1)), frame(records(2, slower={"readv": 1.5}))
    compared = compare(a, b, target_width=ROOM)
    text = verdict_text(compared, ["A  one", "B  two"])
    assert all(bare_name(case) in text for case in compared["case_id"])
    assert "9 slower" in text or f"{(compared['verdict'] == 'slower').sum()} slower" in text
    assert max(map(len, text.splitlines())) <= 100
    assert text.index("slower*\n") < text.index("not comparable (")
    robot = robot_text(compared, ("6.12.0-a", "6.12.0-b"))
    assert "%stddev    %change                   %stddev" in robot
    assert robot.count("%  readv/") + robot.count("~  ") > 0
    assert "not comparable" not in robot


def test_paths_are_compared_exactly() -> None:
    a, b = counted(), counted()
    for record in b.records:
        if str(record.get("case", "")).startswith("clone/") and record["kind"] == "case":
            entries = Case.parse(record["case"]).size_bytes // Case.parse(record["case"]).page_bytes
            for value in record["values"]:
                value["time_ns"]["attach"] += 2 * 3 * entries
    compared = compare_paths(tidy(a), tidy(b))
    longer = compared[compared["verdict"] == "longer"]
    assert set(longer["phase"]) == {"attach"}
    large = longer[longer["case_id"].str.contains("16M")].iloc[0]
    assert (large["call"], large["entry"]) == (3 * 4096, 3)
    assert len(longer) + (compared["verdict"] == "~").sum() == len(compared)
    text = path_verdict_text(compared, ["A", "B"], compare_functions([], []))
    assert "+12,288" in text
    assert "by more than the processes of either side differ among" in " ".join(text.split())
    assert "slower" not in text


def test_the_sentence_on_two_boots_agrees_with_the_committed_paths() -> None:
    """Each holds two boots of one kernel, compared here as if they were two kernels."""
    paths = changed = 0
    for name in ("paths-base", "paths-series"):
        mixed = tidy(read(PUBLISHED / name))
        boots = sorted(mixed["boot"].dropna().unique())
        assert len(boots) == 2
        compared = compare_paths(*(mixed[mixed["boot"] == boot] for boot in boots))
        paths += len(compared)
        changed += int((compared["verdict"] != "~").sum())
        floors = compared["floor"]
        assert (floors > MIN_PATH_EFFECT).any()
    assert (
        f"Of {paths} paths, two boots of one kernel differ by more than that in {changed}."
    ) == TWO_BOOTS


def test_force_marks_every_line() -> None:
    a = write("a", records(1, rounds=6))
    made = records(2, rounds=6, slower={"readv": 1.5})
    made[0] = made[0] | {"thp": "always"}
    b = write("b", made)
    for layout in ("text", "robot"):
        shown = call("compare", a, b, "--force", "--format", layout).stdout
        assert len(shown.splitlines()) > 20
        assert all(line.startswith("! ") for line in shown.splitlines() if line)
        assert "! " not in call("compare", a, a, "--format", layout).stdout
    rows = json.loads(call("compare", a, b, "--force", "--format", "json").stdout)
    assert all(row["forced"] == ["THP setting madvise and always"] for row in rows)
    assert "forced" not in json.loads(call("compare", a, a, "--format", "json").stdout)[0]


def test_what_is_not_whole_is_compared_only_if_asked() -> None:
    a = write("a", records(1, rounds=6))
    made = records(2, rounds=6)
    bad_line = next(n for n, r in enumerate(made, 1) if r.get("round") == 6)
    made[bad_line - 1]["values"][0]["time_ns"]["total"] = math.nan
    edited = write("edited", made)
    cut = write("cut", records(2, rounds=6)[:-1])
    error = error_line(call("compare", a, edited))
    assert (
        f"B is not whole: samples.jsonl.gz is damaged at line {bad_line} (total is nan ns" in error
    )
    assert "A is not whole: it was cut off after 6 whole rounds" in error_line(
        call("compare", cut, a)
    )
    for broken in (edited, cut):
        partial = call("compare", a, broken, "--partial")
        assert partial.returncode in (0, 2), partial.stderr
        assert "of B only a part is compared" in partial.stderr
    (Path(edited) / "machine.json").unlink()
    assert "machine.json is missing" in error_line(call("compare", a, edited))


def test_few_rounds_say_what_they_can_not_show() -> None:
    a, b = write("a", records(1, rounds=1)), write("b", records(2, rounds=1))
    shown = call("compare", a, b).stdout
    assert "B has one round only: there is no interval, and so no verdict, below 5" in shown
    assert "0 slower, 0 faster" in shown
    a, b = write("c", records(1, rounds=5)), write("d", records(2, rounds=5))
    shown = " ".join(call("compare", a, b).stdout.split())
    assert "5 rounds against 5 can't show that one case of" in shown
    assert "only that several have: 7 rounds of each would do" in shown


def write(name: str, made: list[Record], **facts: Any) -> str:
    synthetic.write(Path(name), made)
    (Path(name) / MACHINE).write_text(json.dumps({"facts": synthetic.FACTS | facts}))
    return name


@pytest.mark.parametrize(
    ("header", "facts", "words"),
    [
        ({"virt": "emulated"}, {}, "A is real (none), B is emulated"),
        ({"thp": "always"}, {}, "THP setting madvise and always"),
        ({}, {"cpu_model": "Another CPU"}, "another machine: processor Example CPU"),
        ({}, {"cpus": [0, 1, 2, 3]}, "another machine: CPUs 2 and 4"),
        ({}, {"kernel_debug": ["KASAN"]}, "B is a debug kernel (KASAN)"),
        ({}, {"kernel_config_sha256": "feedbeef00"}, "kernel configurations abcdef12 and feedbeef"),
        ({}, {"kernel_config_sha256": None}, "kernel configurations abcdef12 and unknown"),
        ({"injected": "readv:300ns"}, {}, "in B a delay was injected on purpose (readv:300ns)"),
        ({"format": 4}, {}, "result format 5 and 4"),
        ({"vmabench": "0.2.0"}, {}, "version of vmabench 0.1.0 and 0.2.0"),
        ({"clock": "instructions"}, {}, "never mixed"),
    ],
)
def test_what_is_no_comparison_is_refused_by_name(
    header: dict[str, str], facts: dict[str, Any], words: str
) -> None:
    known = {"kernel_config_sha256": "abcdef1200"}
    a = write("a", records(1, rounds=2), **known)
    made = records(2, rounds=2)
    made[0] = made[0] | header
    b = write("b", made, **(known | facts))
    assert words in error_line(call("compare", a, b))
    forced = call("compare", a, b, "--force")
    if "never mixed" in words:
        assert forced.returncode == 1
    else:
        assert forced.returncode in (0, 2)
        assert f"compared by force: {words}" in forced.stderr


@pytest.mark.parametrize(
    ("guest", "words"),
    [
        ({"qemu": "10.0.2"}, "QEMU 7.2.22 and 10.0.2"),
        ({"cpu": "max"}, "emulated CPU qemu64,smap=on and max"),
        ({"cpu": None}, "emulated CPU qemu64,smap=on and unknown"),
    ],
)
def test_results_of_two_emulators_are_refused(guest: dict[str, Any], words: str) -> None:
    known = {"qemu": "7.2.22", "cpu": "qemu64,smap=on"}
    told = {name: text for name, text in (known | guest).items() if text}
    made = records(1, rounds=2)
    made[0] = made[0] | {"virt": "emulated"}
    a, b = write("a", made, guest=known), write("b", made, guest=told)
    assert f"not comparable: {words} (" in error_line(call("compare", a, b))
    assert call("compare", a, b, "--force").returncode in (0, 2)
    assert call("compare", a, write("c", made, guest=known)).returncode in (0, 2)


def test_compare_on_the_command_line() -> None:
    a, b = write("a", records(1)), write("b", records(2, slower={"readv": 1.5}))
    run = call("compare", a, b)
    assert run.returncode == 0, run.stderr
    assert "slower" in run.stdout.splitlines()[3]
    rows = json.loads(call("compare", a, b, "--format", "json").stdout)
    assert rows[0]["verdict"] == "slower"
    assert set(VERDICTS) >= {row["verdict"] for row in rows}
    assert not any(isinstance(v, float) and math.isnan(v) for row in rows for v in row.values())
    assert "%stddev" in call("compare", a, b, "--format", "robot").stdout
    assert "gone is no directory" in error_line(call("compare", a, "gone"))


def test_a_single_round_has_no_reason_that_is_no_number() -> None:
    run = call("compare", write("a", records(1, rounds=1)), write("b", records(2, rounds=1)))
    assert "~ (" in run.stdout or "unstable (" in run.stdout
    assert "nan" not in run.stdout


@pytest.mark.parametrize(
    ("fail_on", "status"),
    [("slower", 3), ("failed,slower", 3), ("failed", 0), ("unstable", 0)],
)
def test_the_outcomes_that_fail_a_comparison(fail_on: str, status: int) -> None:
    a, b = write("a", records(1)), write("b", records(2, slower={"readv": 1.5}))
    run = call("compare", a, b, "--fail-on", fail_on)
    assert run.returncode == status, run.stderr
    assert ("--fail-on: " in run.stderr) == (status == 3)
    assert call("compare", b, a, "--fail-on", "slower").returncode == 0


def test_a_failed_case_of_b_fails_a_comparison() -> None:
    made = records(2)
    last = next(r for r in reversed(made) if r["kind"] == "case")
    for key in ("values", "loops"):
        last.pop(key, None)
    last |= {"outcome": "failed", "reason": "the worker process was killed"}
    a, b = write("a", records(1)), write("b", made)
    assert call("compare", a, b, "--fail-on", "slower,failed").returncode == 3
    assert call("compare", b, a, "--fail-on", "slower,failed").returncode == 0
    assert "'fast' is none of slower, failed, unstable" in error_line(
        call("compare", a, b, "--fail-on", "fast")
    )
