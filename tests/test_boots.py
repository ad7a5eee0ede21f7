# SPDX-License-Identifier: GPL-2.0-only
"""Several boots as one result, and the boot as the sample of a comparison."""

import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import synthetic
from tests.command import call, error_line
from vmabench.analysis.compare import (
    FALSE_DISCOVERIES,
    FEWEST_BOOTS,
    compare,
    enough_samples,
)
from vmabench.analysis.frame import tidy
from vmabench.analysis.intervals import smallest_p
from vmabench.analysis.samples import samples, unit_of
from vmabench.matrix.case import Case
from vmabench.store.boots import Boots, boots_of, order_of
from vmabench.store.format import Record, Result
from vmabench.store.reader import read

READV = Case("readv", "transfer", "4K", 65536)
FORK = Case("fork", "transfer", "4K", 65536)


def boot(seed: int, rounds: int = 2, **kwargs: Any) -> Result:
    """What one boot leaves."""
    return synthetic.result(synthetic.records([READV, FORK], rounds=rounds, seed=seed, **kwargs))


def kept(directory: Path, results: Sequence[Result], numbers: Sequence[int]) -> Result:
    store = Boots(directory)
    for number, result in zip(numbers, results, strict=True):
        store.add(number, result)
    store.close("done")
    return read(directory)


def test_rounds_go_on_from_boot_to_boot() -> None:
    result = kept(Path("a"), [boot(1), boot(2, rounds=3)], [1, 4])
    assert result.complete
    assert [r["round"] for r in result.of_kind("round")] == [1, 2, 3, 4, 5]
    assert [r["boot"] for r in result.of_kind("round")] == [1, 1, 4, 4, 4]
    assert [(r["boot"], r["rounds"]) for r in boots_of(result)] == [(1, 2), (4, 3)]
    assert len(result.of_kind("header")) == len(result.of_kind("skipped")) == 1
    assert result.of_kind("end")[0]["rounds"] == 5
    assert result.of_kind("end")[0]["wall_ns"] == 5 * 10**10
    frame = tidy(result)
    known = frame.loc[frame["time_ns"].notna(), ["process", "boot"]].drop_duplicates()
    assert dict(zip(known["process"], known["boot"], strict=True)) == {1: 1, 2: 1, 3: 4, 4: 4, 5: 4}


def test_only_whole_rounds_of_a_boot_are_kept() -> None:
    result = boot(1, rounds=3)
    cut = [r for r in result.records if r["kind"] != "end"]
    cut[-1] = cut[-1] | {"complete": False}
    store = Boots(Path("a"))
    store.add(1, synthetic.result(cut), status="interrupted")
    store.close("interrupted")
    found = read("a")
    assert not found.complete
    assert {r["round"] for r in found.of_kind("case")} == {1, 2}
    assert (boots_of(found)[0]["status"], boots_of(found)[0]["rounds"]) == ("interrupted", 2)


@pytest.mark.parametrize("first", [True, False])
def test_a_lost_boot_is_named_and_nothing_of_it_is_kept(first: bool) -> None:
    store = Boots(Path("a"))
    assert store.empty
    if first:
        store.lose(1, "the guest is lost: panic")
    store.add(4, boot(2))
    if not first:
        store.lose(5, "the guest is lost: panic")
    store.close("done")
    result = read("a")
    (lost,) = [r for r in boots_of(result) if r["status"] == "lost"]
    assert lost["reason"] == "the guest is lost: panic"
    assert lost["rounds"] == 0
    assert {r["boot"] for r in result.of_kind("case")} == {4}
    assert result.records[0]["kind"] == "header"


def test_without_any_boot_there_is_no_result() -> None:
    store = Boots(Path("a"))
    store.lose(1, "gone")
    store.close("done")
    assert store.empty
    assert not Path("a").exists()


def test_the_order_of_the_boots_is_known() -> None:
    a = synthetic.in_boots(synthetic.records([READV], rounds=2), (1, 4))
    b = synthetic.in_boots(synthetic.records([READV], rounds=2), (2, 3))
    assert order_of([synthetic.result(a), synthetic.result(b)]) == "A B B A"
    assert order_of([boot(1), boot(2)]) == ""


def test_one_boot_has_no_boots() -> None:
    assert unit_of(tidy(boot(1))) == "process"
    assert boots_of(boot(1)) == []


def of_boots(
    seed: int, *, factor: float = 1.0, boots: int = 6, rounds: int = 4, boot_noise: float = 0.0
) -> pd.DataFrame:
    """Boots that differ by ``boot_noise``, each with quiet processes; ``factor`` is of readv."""
    random_ = random.Random(seed)
    made: list[Record] = []
    for number in range(boots):
        of_boot = random_.lognormvariate(0, boot_noise)
        records = synthetic.records(
            [READV, FORK], rounds=rounds, seed=1000 * seed + number, noise=0.002, round_noise=0.002
        )
        for record in records:
            mine = factor if str(record.get("case", "")).startswith("readv/") else 1.0
            for value in record.get("values", ()):
                value["time_ns"] = {n: t * of_boot * mine for n, t in value["time_ns"].items()}
            if "round" in record:
                moved = {"round": record["round"] + number * rounds, "boot": number + 1}
                made.append(record | moved)
    header = synthetic.records([], rounds=0)[:1]
    return tidy(synthetic.result([*header, *made]))


def verdict(a: pd.DataFrame, b: pd.DataFrame, case: Case) -> str:
    compared = compare(a, b, target_width=math.inf).set_index("case_id")
    return str(compared.loc[str(case), "verdict"])


def without_boots(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(boot=frame["boot"].where(frame["boot"] < 0))


def test_what_differs_from_boot_to_boot_is_no_change() -> None:
    """Boots vary by 5 %, processes of a boot by 0.2 %: taken one by one, those would decide."""
    claimed = {"boot": 0, "process": 0}
    for seed in range(12):
        a, b = of_boots(seed, boot_noise=0.05), of_boots(100 + seed, boot_noise=0.05)
        for sample, frames in {
            "boot": (a, b),
            "process": (without_boots(a), without_boots(b)),
        }.items():
            compared = compare(*frames, target_width=math.inf)
            assert set(compared["sample"]) == {sample}
            claimed[sample] += int(compared["verdict"].isin(["slower", "faster"]).sum())
    # Both cases share what the boot decides: of 12 pairs of runs, more than 2 are wrong in 2 %.
    assert claimed["boot"] <= 2 * 2
    assert claimed["process"] >= 6


def test_a_change_is_found_between_boots() -> None:
    a, b = of_boots(1, boot_noise=0.005), of_boots(2, factor=1.1, boot_noise=0.005)
    assert verdict(a, b, READV) == "slower"
    assert verdict(b, a, READV) == "faster"
    assert verdict(a, b, FORK) in ("~", "same")
    compared = compare(a, b, target_width=math.inf).set_index("case_id")
    row = compared.loc[str(READV)]
    assert (row["a_processes"], row["b_processes"], row["sample"]) == (6, 6, "boot")
    assert row["lo"] < 1.1 * 1.01
    assert row["hi"] > 1.1 * 0.99


def test_a_sample_is_the_median_of_the_processes_medians() -> None:
    frame = of_boots(1, boots=2, rounds=3, boot_noise=0.1)
    (row,) = samples(frame, ["case_id"], unit="boot").loc[[str(READV)]].to_numpy()
    for number in (1, 2):
        mine = frame[(frame["case_id"].astype(str) == str(READV)) & (frame["boot"] == number)]
        expected = mine.groupby("process")["time_ns"].median().median()
        assert row[number - 1] == pytest.approx(expected)
    assert len(row) == 2


@given(
    st.lists(
        st.lists(st.lists(st.floats(1, 1e9), min_size=1, max_size=4), min_size=1, max_size=4),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=15, deadline=None)
def test_any_number_of_boots_processes_and_values(times: list[list[list[float]]]) -> None:
    """times: boot -> process -> value."""
    made: list[Record] = list(synthetic.records([], rounds=0)[:1])
    for boot_number, processes in enumerate(times, start=1):
        for values in processes:
            number = sum(r["kind"] == "case" for r in made) + 1
            made.append(
                {
                    "kind": "case", "round": number, "boot": boot_number, "order": 0,
                    "case": str(READV), "outcome": "ok", "loops": 1,
                    "values": [{"time_ns": {"total": ns}, "at_ns": 1} for ns in values],
                }
            )  # fmt: skip
    compared = compare(*[tidy(synthetic.result(made))] * 2, target_width=math.inf)
    expected = [statistics.median([statistics.median(v) for v in boot]) for boot in times]
    (row,) = compared.to_dict("records")
    assert row["a_processes"] == len(times)
    assert row["a_ns"] == pytest.approx(statistics.geometric_mean(expected))
    assert row["ratio"] == pytest.approx(1.0)
    assert row["verdict"] in ("~", "same", "unstable")
    assert math.isnan(row["lo"]) == (len(times) < FEWEST_BOOTS)
    assert (row["verdict"] == "unstable") == math.isnan(row["lo"])


def test_a_case_that_failed_in_some_boots_is_compared_by_the_others() -> None:
    a, b = of_boots(1), of_boots(2)
    failing = (b["boot"] <= 2) & (b["case_id"].astype(str) == str(READV))
    b.loc[failing, ["time_ns", "value_index", "loops"]] = pd.NA
    b.loc[failing, "outcome"] = "failed"
    b.loc[failing, "reason"] = "the worker was lost"
    row = compare(a, b, target_width=math.inf).set_index("case_id").loc[str(READV)]
    assert row["b_processes"] == 4
    assert (row["a_failed"], row["a_tried"]) == (0, 24)
    assert (row["b_failed"], row["b_tried"]) == (8, 24)
    assert row["verdict"] == "failed"


def many(seed: int, changed: float = 1.0, boots: int = 5, cases: int = 60) -> pd.DataFrame:
    """Return boots that vary by 1 %; the first case takes ``changed`` times as long."""
    dice = random.Random(seed)
    made: list[Record] = list(synthetic.records([], rounds=0)[:1])
    for number in range(1, boots + 1):
        for place in range(cases):
            name = str(Case("readv", "transfer", "4K", 4096 * (place + 1)))
            ns = 1e6 * dice.lognormvariate(0, 0.01) * (changed if place == 0 else 1.0)
            made.append(
                {
                    "kind": "case", "round": number, "boot": number, "order": place, "case": name,
                    "outcome": "ok", "loops": 1,
                    "values": [{"time_ns": {"total": ns}, "at_ns": 1}],
                }
            )  # fmt: skip
    return tidy(synthetic.result(made))


def test_five_boots_show_one_changed_case_of_many() -> None:
    """A rank test needs 8: with 5 boots a lone change of any size had no verdict."""
    found = wrong = 0
    for seed in range(10):
        a, b = many(2 * seed), many(2 * seed + 1, changed=1.06)
        compared = compare(a, b, target_width=math.inf)
        hit = compared["case_id"] == str(Case("readv", "transfer", "4K", 4096))
        decided = compared["verdict"].isin(["slower", "faster"])
        found += int((hit & (compared["verdict"] == "slower")).sum())
        wrong += int((decided & ~hit).sum())
    assert found >= 8
    assert wrong <= 3


def test_the_printed_change_of_boots_is_that_of_the_printed_times() -> None:
    a, b = of_boots(1, boot_noise=0.05), of_boots(2, factor=1.1, boot_noise=0.05)
    compared = compare(a, b, target_width=math.inf)
    compared = compared[compared["ratio"].notna()]
    assert len(compared) == 2
    assert (compared["b_ns"] / compared["a_ns"]).to_numpy() == pytest.approx(
        compared["ratio"].to_numpy()
    )


def test_how_many_samples_are_enough() -> None:
    assert [enough_samples(cases) for cases in (1, 6, 7, 40)] == [4, 5, 6, 7]
    for cases in (1, 10, 100, 400):
        count = enough_samples(cases)
        assert smallest_p(count, count) * cases <= FALSE_DISCOVERIES
        assert smallest_p(count - 1, count - 1) * cases > FALSE_DISCOVERIES


def stored(name: str, boots: Sequence[int]) -> str:
    made = synthetic.records([READV, FORK], rounds=len(boots), seed=boots[0])
    synthetic.write(Path(name), synthetic.in_boots(made, boots))
    return name


def test_few_boots_have_no_verdict_and_say_how_many_would() -> None:
    shown = call("compare", stored("a", [1, 4]), stored("b", [2, 3])).stdout
    words = " ".join(shown.split())
    assert "boots in the order A B B A" in words
    assert "2 boots, 2 rounds" in words
    few = f"there is no interval, and so no verdict, below {FEWEST_BOOTS}"
    assert f"A has 2 boots: {few}" in words
    assert "can't show that one case" not in words
    assert "0 slower, 0 faster" in words
    one = " ".join(call("compare", stored("c", [1]), stored("d", [2])).stdout.split())
    assert f"B has one boot only: {few}" in one
    enough = " ".join(
        call("compare", stored("e", [1, 4, 5]), stored("f", [2, 3, 6])).stdout.split()
    )
    assert few not in enough
    guide = (Path(__file__).resolve().parents[1] / "bench/AGAINST.md").read_text()
    assert f"Fewer than {FEWEST_BOOTS} boots of each have no interval and no verdict" in guide


def test_boots_and_one_boot_are_no_comparison() -> None:
    synthetic.write(Path("one"), synthetic.records([READV, FORK], rounds=6))
    error = error_line(call("compare", stored("a", [1, 4, 5]), "one"))
    assert "A is of 3 boots and B of one, whose processes are no boots" in error


def test_a_lost_boot_is_told_in_the_comparison() -> None:
    directory = Path(stored("a", [1, 4, 5, 8, 9]))
    made = synthetic.in_boots(synthetic.records([READV, FORK], rounds=4), [2, 3, 7, 10])
    lost = {"kind": "boot", "boot": 6, "status": "lost", "rounds": 0, "reason": "no end after 5 s"}
    synthetic.write(Path("b"), [*made[:-1], lost, made[-1]])
    shown = " ".join(call("compare", str(directory), "b").stdout.split())
    assert "4 boots (boot 6 was lost: no end after 5 s), 4 rounds" in shown
