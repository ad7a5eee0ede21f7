# SPDX-License-Identifier: GPL-2.0-only
"""The text report against golden files, and what it must never leave out.

After an intended change, VMABENCH_GOLDEN=write makes the files anew; read the difference.
"""

import os
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from tests import synthetic
from vmabench.analysis.crossover import Crossover
from vmabench.analysis.frame import tidy
from vmabench.analysis.stats import judged, summarize
from vmabench.errors import UsageError
from vmabench.matrix.case import Case
from vmabench.report.findings import findings, headline, outcome, short_place
from vmabench.report.layout import layout
from vmabench.report.tables import (
    backing,
    latency_tables,
    phase_tables,
    scatter_tables,
    time_cell,
    times,
)
from vmabench.report.text import brief_report, header, missing, text_report
from vmabench.report.words import (
    WIDTH,
    approximate_size,
    bulleted,
    listed,
    rounds_of_a_case,
    rounds_words,
    three_digits,
)
from vmabench.store.format import Record, Result
from vmabench.units import parse_size

GOLDEN = Path(__file__).parent / "golden"
READV = Case("readv", "transfer", "4K", 4096)
TWO = [READV, Case("shm", "transfer", "4K", 4096)]
FORK = Crossover(
    "fork", "fastest copy", {"scenario": "deliver", "page": "4K", "touch_mode": "read"}, "total",
    "crossover",
    faster_above=True, size_bytes=98304, lo_bytes=65536, hi_bytes=163840,
)  # fmt: skip


def report(result: Result) -> str:
    frame = tidy(result)
    return text_report(result, frame, summarize(frame))


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("VMABENCH_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def of_case(made: list[Record], case: Case) -> list[Record]:
    return [record for record in made if record.get("case") == str(case)]


def troubled() -> Result:
    """Five rounds and a cut-off sixth, with a failed, a partly failed and an unstable case."""
    made = synthetic.records(synthetic.cases(scenarios=("transfer",)), rounds=6)
    while made[-1]["kind"] in ("end", "round"):
        made.pop()
    made.append(synthetic.round_record(6) | {"complete": False})
    for record in of_case(made, READV):
        record |= {"outcome": "failed", "reason": "the source died (signal 9)"}
    part = of_case(made, Case("writev", "transfer", "4K", 4096))[0]
    part |= {"outcome": "failed", "reason": "hung for 5 s"}
    for factor, record in enumerate(of_case(made, Case("shm", "transfer", "2M", 2 << 20)), 1):
        for value in record["values"]:
            value["time_ns"]["total"] *= factor
    for size in synthetic.SIZES[1:]:
        name = str(Case("clone", "transfer", "4K", size))
        made.insert(
            1, {"kind": "skipped", "case": name, "reason": "the kernel has no clone (ENOSYS)"}
        )
    return replace(synthetic.result(made), damage="samples.jsonl.gz is damaged after line 99")


@cache
def finished_text() -> str:
    return report(synthetic.result())


@cache
def troubled_text() -> str:
    return report(troubled())


def test_a_finished_run() -> None:
    check("report.txt", finished_text())


def test_a_run_in_trouble() -> None:
    check("troubled.txt", troubled_text())


def test_a_brief_report() -> None:
    result = synthetic.result()
    frame = tidy(result)
    check("brief.txt", brief_report(result, frame, summarize(frame)))


def test_a_run_without_a_finding_does_not_say_that_nothing_was_measured() -> None:
    case = Case("readv", "scatter", "4K", 4 << 20, segments=16)
    text = report(synthetic.result(synthetic.records([case], rounds=5)))
    assert "Nothing was measured" not in text
    assert "no sentence sums it up" in text
    assert "time of all segments" in text


def test_a_run_without_a_number_says_so() -> None:
    text = report(synthetic.result(synthetic.records([], rounds=0)[:2]))
    assert "Nothing was measured." in text
    assert "the kernel has no clone (ENOSYS)" in text
    assert "0 rounds complete" in text
    assert "cut off" in text


@pytest.mark.parametrize("noise", [0.01, 0.5])
def test_it_fits_the_page_and_holds_no_dump(noise: float) -> None:
    every = synthetic.cases(mechanisms=("clone", *synthetic.MECHANISMS))
    for text in (troubled_text(), report(synthetic.result(synthetic.records(every, noise=noise)))):
        assert max(map(len, text.splitlines())) <= WIDTH
        assert not re.search(r"\b(nan|NaN|None|<NA>|dtype|inf)\b", text)


@pytest.mark.parametrize(("rounds", "words"), [(1, "with 1 round"), (4, "with 4 rounds")])
def test_too_few_rounds_for_intervals_say_so(rounds: int, words: str) -> None:
    text = report(synthetic.result(synthetic.records(TWO, rounds=rounds)))
    assert f"{words} there are no intervals: they take 5" in text


def test_enough_rounds_for_intervals_do_not() -> None:
    assert "no intervals" not in report(synthetic.result(synthetic.records(TWO, rounds=5)))


def test_fork_is_never_named_without_its_label() -> None:
    for text in (troubled_text(), finished_text()):
        for line in text.replace("\n  ", " ").splitlines():
            if re.search(r"\bfork(ing)?\b", line, re.IGNORECASE) and not line.startswith("in for"):
                assert "proxy" in line, line


def test_nothing_is_dropped() -> None:
    result = troubled()
    text = missing(summarize(tidy(result)))
    assert "failed: readv/scenario:transfer/page:4K/size:4K: the source died (signal 9)" in text
    assert "1 of 6 rounds failed: hung for 5 s" in text
    assert "unstable: shm/scenario:transfer/page:2M/size:2M" in text
    assert "9 cases (clone; transfer; 4K pages; 4K to 256M)" in text
    assert text.count("ENOSYS") == 1


def test_the_header_says_what_a_reader_must_know() -> None:
    text = header(troubled())
    for part in (
        "Example CPU 9000", "16G", "6.12.0-test", "THP madvise", "no virtualisation",
        "5 rounds complete", "40 %", "cut off", "is damaged after line 99",
    ):  # fmt: skip
        assert part in text, part
    assert "NOTICE" not in header(synthetic.result())
    emulated = synthetic.result()
    emulated.header["virt"] = "emulated"
    assert "EMULATED" in header(emulated)
    guest = {"qemu": "7.2.22", "cpu": "qemu64,smap=on"}
    emulated = replace(emulated, machine={"facts": synthetic.FACTS | {"guest": guest}})
    assert "virtualisation emulated (QEMU 7.2.22, CPU qemu64)" in " ".join(header(emulated).split())


def test_the_header_names_a_slow_clocksource_alone() -> None:
    for clock, named in (("acpi_pm", True), ("tsc", False), (None, False)):
        result = synthetic.result()
        result.machine["conditions"] = {"clocksource": {"now": clock, "available": None}}
        assert ("CLOCKSOURCE acpi_pm" in header(result)) == named


def test_a_machine_without_facts_is_unknown_and_no_error() -> None:
    assert "unknown processor" in header(replace(synthetic.result(), machine={}))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (FORK, "faster from 96K up [64K..160K]"),
        (replace(FORK, faster_above=False, lo_bytes=float("nan")), "faster from 96K down"),
        (replace(FORK, answer="never", decided_bytes=(4096, 1 << 20)),
         "slower at every size, 4K to 1M"),
        (replace(FORK, answer="always", decided_bytes=(4096, 4096), undecided=3),
         "faster where a difference shows, 4K; 3 measured sizes show none"),
        (replace(FORK, answer="undecided", processes=6), "show no difference"),
        (replace(FORK, answer="undecided", processes=3),
         "were measured in too few rounds for an interval"),
    ],
)  # fmt: skip
def test_a_crossover_in_words(found: Crossover, text: str) -> None:
    assert outcome(found) == text


def test_a_headline_puts_clone_before_its_proxy_and_names_its_scope() -> None:
    assert headline([FORK]) == (
        "Forking (proxy for clone) against the fastest copy, receiver's time:"
        " faster from 96K up if read (4K pages)"
    )
    clone = replace(FORK, mechanism="clone", answer="always", decided_bytes=(4096, 8192))
    assert headline([clone, FORK]).endswith("faster at every size if read (4K pages)")
    system = replace(clone, phase="system", answer="never")
    assert headline([clone, FORK, system]) == headline([clone])
    written = replace(clone, conditions={**clone.conditions, "touch_mode": "write"}, answer="never")
    assert headline([clone, written]).endswith(
        "faster at every size if read, at no size if written (4K pages)"
    )
    assert headline([replace(clone, answer="unmeasured"), FORK]).startswith("Forking")
    assert "memory" in headline([])
    assert short_place(replace(FORK, answer="never")) == "at no size"


def test_the_effect_of_pages_has_the_right_direction() -> None:
    frame = tidy(synthetic.result())
    found = findings(frame, summarize(frame))
    (text,) = (text for text in found if "Forking" in text and "M of 2M pages is" in text)
    size = re.search(r"(\d+M) of 2M", text)
    assert size
    size_bytes = parse_size(size[1])
    ratio = re.search(r"is ([\d.]+)x \[([\d.]+)\.\.([\d.]+)\] faster than of 4K pages", text)
    assert ratio
    costs = [
        synthetic.cost_ns(Case("fork", "deliver", page, size_bytes, "read", 100))["total"]
        for page in ("4K", "2M")
    ]
    assert float(ratio[1]) == pytest.approx(costs[0] / costs[1], rel=0.1)
    assert float(ratio[2]) < float(ratio[1]) < float(ratio[3])


def test_cells() -> None:
    row = {"median_ns": 64_200.0, "lo_ns": 63_000.0, "hi_ns": 66_126.0, "outcome": "ok"}
    assert time_cell(row) == "64.2us ±3%"
    assert time_cell(row | {"outcome": "unstable"}) == "64.2us ±3%!"
    assert time_cell(row | {"lo_ns": float("nan"), "hi_ns": float("nan")}) == "64.2us"
    assert time_cell(row | {"median_ns": float("nan"), "outcome": "skipped"}) == "skipped"
    assert time_cell(row | {"median_ns": 0.0}) == "0"


def test_times_as_a_table_for_notebooks() -> None:
    cases = synthetic.cases(("fork", "readv"), scenarios=("transfer",))
    summary = summarize(tidy(synthetic.result(synthetic.records(cases))))
    table = times(summary.query("page == '4K'"), "size_bytes", "mechanism")
    assert list(table.columns)[-2:] == ["fork (proxy)", "readv"]
    assert list(table.index)[:2] == ["4K", "16K"]
    (cell,) = summary.query(
        "page == '4K' and size_bytes == 16384 and mechanism == 'readv'"
    ).to_dict("records")
    assert table.loc["16K", "readv"] == time_cell({str(name): one for name, one in cell.items()})
    assert table.loc["16K", "clone"] == "-"
    with pytest.raises(UsageError, match="select first"):
        times(summary, "size_bytes", "mechanism")


def test_the_backing_is_told_by_page() -> None:
    cases = synthetic.cases(("fork", "readv"), scenarios=("transfer",))
    found = backing(tidy(synthetic.result(synthetic.records(cases, rounds=2))))
    assert found["source"].to_numpy().tolist() == [[0.0, 0.0], [100.0, 100.0]]
    assert list(found.index) == ["4K", "2M"]


def test_sentences_are_wrapped_below_their_title() -> None:
    text = bulleted("Found", ["short", "long " * 30])
    assert text.startswith("Found\n- short\n- long")
    assert max(map(len, text.splitlines())) <= WIDTH


def test_a_wide_table_goes_on_below_with_its_first_column() -> None:
    text = layout(["size", *["x" * 30] * 4], [["4K", "1", "2", "3", "4"]])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("4K") == 2
    assert text.splitlines()[-1].split() == ["4K", "4"]


def test_a_phase_table_shows_the_size_that_was_measured() -> None:
    case = Case("readv", "deliver", "4K", 256 << 20, "read", 10)
    (table,) = phase_tables(summarize(tidy(synthetic.result(synthetic.records([case])))))
    assert table.startswith("deliver, 4K pages, then read 10 %, 256M: where the time goes")
    assert table.splitlines()[1].split() == [
        "mechanism", "attach", "transfer", "touch", "release", "total",
    ]  # fmt: skip


def test_numbers_have_three_digits() -> None:
    numbers = {0.012345: "0.0123", 1.234: "1.23", 27.04: "27.0", 999.6: "1000", 8660.0: "8660"}
    assert {number: three_digits(number) for number in numbers} == numbers
    sizes = {98304.0: "96K", 229435.0: "224K", 1.5 * 2**20: "1.5M", 300.0: "300", 1023.9: "1K"}
    assert {size: approximate_size(size) for size in sizes} == sizes
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")


def test_the_report_is_a_function_of_the_result() -> None:
    frame = tidy(synthetic.result())
    before = frame.copy(deep=True)
    assert report(synthetic.result()) == finished_text()
    findings(frame, summarize(frame))
    pd.testing.assert_frame_equal(frame, before)


def test_what_stays_within_one_process_is_no_fastest_delivery() -> None:
    made = synthetic.cases(("readv", "mremap", "memcpy"), scenarios=("deliver",))
    text = report(synthetic.result(synthetic.records(made, rounds=2)))
    deliveries = [line for line in text.splitlines() if line.startswith("- Delivering")]
    assert deliveries
    assert all("readv" in line and "mremap" not in line for line in deliveries)
    assert "mremap (proxy): within one process, no way to another one." in text


def test_segments_are_the_rows_of_one_table() -> None:
    made = [
        Case(name, "scatter", "4K", 4 << 20, segments=segments)
        for name in ("readv", "memfd")
        for segments in (1, 16, 1024)
    ]
    summary = summarize(tidy(synthetic.result(synthetic.records(made, rounds=6))))
    (table,) = scatter_tables(summary)
    head, columns, *rows = table.splitlines()
    assert head == "scatter, 4K pages, 4M: time of all segments"
    assert columns.split() == ["segments", "readv", "memfd"]
    assert [row.split()[0] for row in rows] == ["1", "16", "1024"]
    assert not list(latency_tables(summary))


def test_settings_of_thp_are_told_apart_where_there_are_several() -> None:
    made = [
        Case(name, "transfer", "4K", size, thp=thp)
        for thp in ("always", "never")
        for name in ("readv", "fork")
        for size in (4096, 65536, 1 << 20)
    ]
    text = report(synthetic.result(synthetic.records(made, rounds=6)))
    for thp in ("always", "never"):
        assert f"transfer, 4K pages, THP {thp}: time of one operation" in text
        assert f"- THP {thp}: " in text
    alone = [case for case in made if case.thp == "always"]
    assert "THP always" not in report(synthetic.result(synthetic.records(alone, rounds=6)))


@pytest.mark.parametrize(("rounds", "named"), [(1, False), (8, True)])
def test_without_an_interval_no_copy_is_the_fastest(rounds: int, named: bool) -> None:
    made = synthetic.records(synthetic.cases(["readv", "shm"], ["transfer"]), rounds=rounds)
    frame, summary = judged(synthetic.result(made))
    line = next(
        text for text in findings(frame, summary) if text.startswith("Fastest copy with 4K")
    )
    assert ("none for certain, without intervals" in line) is not named
    assert ("shm" in line) is named


def test_a_copy_in_no_time_is_not_the_fastest() -> None:
    """Such a time comes of a coarse clock or of an edited file, and has no throughput."""
    made = synthetic.records(synthetic.cases(["readv", "shm"]), rounds=8)
    for record in made:
        if record["kind"] == "case" and record["case"].startswith("shm/"):
            for value in record["values"]:
                value["time_ns"] = dict.fromkeys(value["time_ns"], 0)
    lines = findings(*judged(synthetic.result(made)))
    text = "\n".join(line for line in lines if line.startswith(("Fastest copy", "Delivering")))
    assert "readv" in text
    assert "nan" not in text
    assert "shm" not in text


def test_the_fastest_copy_stands_beside_the_best_baseline() -> None:
    """memcpy of libc is one baseline of several, and not always the best."""
    costs = {"memcpy": (15.0, 0.0, 0.10), "avx": (15.0, 0.0, 0.05), "null": (1.0, 0.0, 0.0)}
    with pytest.MonkeyPatch.context() as patch:
        for name, cost in costs.items():
            patch.setitem(synthetic.COSTS, name, cost)
        made = synthetic.cases(["readv", *costs], ["transfer"])
        frame, summary = judged(synthetic.result(synthetic.records(made, rounds=8)))
    (line,) = (text for text in findings(frame, summary) if text.startswith("Fastest copy with 4K"))
    assert re.findall(r"GB/s; baseline (\S+)", line) == ["avx"] * 3


def test_rounds_are_counted_by_case() -> None:
    """Six rounds of all cases, four more of one that was not tight yet."""
    made = synthetic.records(TWO, rounds=10)
    one = str(TWO[0])
    made = [r for r in made if r.get("round", 0) <= 6 or r.get("case", one) == one]
    assert rounds_words(synthetic.result(made)) == "10 rounds (6 to 10 of each case)"
    assert rounds_of_a_case(synthetic.result(made)) == "6 to 10 rounds"
    assert "10 rounds (6 to 10 of each case) complete" in header(synthetic.result(made))
    assert rounds_words(synthetic.result(synthetic.records(TWO))) == "6 rounds"
