# SPDX-License-Identifier: GPL-2.0-only
"""The times of single operations of transfer, deliver and handoff: in C, stored and shown."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests import synthetic
from tests.command import vmabench
from vmabench.analysis.frame import tidy
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.scenarios import EACH_BYTES
from vmabench.mechanisms import MECHANISMS, Pair, base_page_bytes
from vmabench.native._core import lib
from vmabench.report.scenarios import operation_tables
from vmabench.runner.rounds import choose_cpus
from vmabench.store.format import Record
from vmabench.store.reader import read

FACTS = read_facts()
CPUS = choose_cpus(FACTS.cpus)
BASE = FACTS.pages[0]
SMALL = 16 * base_page_bytes()
LOOPS = 5


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair(*CPUS) as opened:
        yield opened


def make_case(mechanism: str, scenario: str, size_bytes: int) -> Case:
    touch = ("none", 0) if scenario in ("transfer", "scatter", "contention") else ("read", 100)
    return Case(mechanism, scenario, BASE, size_bytes, *touch)


@pytest.mark.machine
@pytest.mark.parametrize("mechanism", ["readv", "writev", "fork", "pipe", "memfd", "null"])
@pytest.mark.parametrize(
    ("scenario", "size_bytes"),
    [("transfer", EACH_BYTES), ("deliver", SMALL), ("touch", SMALL), ("handoff", SMALL),
     ("deliver", EACH_BYTES)],
)  # fmt: skip
def test_each_operation_is_in_the_histogram_once(
    pair: Pair, mechanism: str, scenario: str, size_bytes: int
) -> None:
    case = make_case(mechanism, scenario, size_bytes)
    pair.make_source(MECHANISMS[mechanism].memory, case.page_bytes, size_bytes)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        opened.forget_latency()
        total_ns = sum(opened.run(LOOPS, expected_s=1).time_ns["total"] for _ in range(2))
        latency = opened.latency()
    assert latency
    assert latency.count == 2 * LOOPS
    if mechanism == "pipe" and scenario == "transfer":
        assert latency.sum_ns == pytest.approx(total_ns, rel=0.2)  # with what keeping takes
    else:
        assert latency.sum_ns == total_ns
    assert total_ns / (2 * LOOPS) <= latency.max_ns < total_ns


@pytest.mark.machine
@pytest.mark.parametrize(
    ("scenario", "size_bytes"), [("transfer", EACH_BYTES // 2), ("contention", EACH_BYTES)]
)
def test_what_is_timed_in_batches_or_by_several_at_once_keeps_nothing(
    pair: Pair, scenario: str, size_bytes: int
) -> None:
    case = make_case("readv", scenario, size_bytes)
    pair.make_source("anon", case.page_bytes, size_bytes)
    with pair.open(case, seed=7) as opened:
        opened.verify(generation=1)
        opened.forget_latency()
        opened.run(LOOPS, expected_s=1)
        assert opened.latency() is None


def test_c_and_python_agree_on_the_size() -> None:
    assert lib.VMB_EACH_BYTES == EACH_BYTES


DELIVER = Case("readv", "deliver", "4K", 1 << 20, "read", 100)


def records(count: int) -> list[Record]:
    """Six rounds; in round n one of the operations takes n ms, the others 1 us."""
    made = synthetic.records([DELIVER], rounds=6)
    found = []
    for number in range(1, 7):
        times_ns = np.full(count, 1000)
        times_ns[0] = number * 1_000_000
        buckets: dict[str, int] = {}
        for time_ns in times_ns:
            index = str(lib.vmb_latency_bucket(int(time_ns)))
            buckets[index] = buckets.get(index, 0) + 1
        found.append(
            {"kind": "latency", "round": number, "case": str(DELIVER), "count": count,
             "sum_ns": int(times_ns.sum()), "max_ns": int(times_ns.max()), "buckets": buckets,
             "stride": 1, "chart_max_ns": [], "chart_mean_ns": []}
        )  # fmt: skip
    return made + found


def test_the_tail_is_in_the_csv_and_in_a_table() -> None:
    made = records(count=200)
    result = synthetic.result([one for one in made if one["kind"] != "latency"])
    result.latencies.extend(one for one in made if one["kind"] == "latency")
    frame = tidy(result)
    whole = frame[(frame["phase"] == "total") & frame["time_ns"].notna()]
    assert whole["op_max_ns"].tolist() == [
        1e6 * number for number in range(1, 7) for _ in range(len(whole) // 6)
    ]
    assert set(whole["op_p50_ns"].round(-1)) == {1000.0}
    assert set(whole["op_p99_ns"].round(-1)) == {1000.0}
    assert frame.loc[frame["phase"] != "total", "op_max_ns"].isna().all()
    (table,) = operation_tables(result)
    assert table.splitlines()[0].startswith("deliver, 4K pages, 1M, read-100: single operations")
    assert table.splitlines()[2].split() == ["readv", "1.00us", "1.00us", "6.00ms"]


def test_a_percentile_without_an_operation_above_it_is_empty() -> None:
    made = records(count=20)
    result = synthetic.result([one for one in made if one["kind"] != "latency"])
    result.latencies.extend(one for one in made if one["kind"] == "latency")
    whole = tidy(result)
    whole = whole[(whole["phase"] == "total") & whole["time_ns"].notna()]
    assert whole["op_p99_ns"].isna().all()
    assert whole["op_p50_ns"].notna().all()


@pytest.mark.machine
def test_a_run_stores_the_operations_without_their_chart() -> None:
    run = vmabench("run", "smoke", "--mechanism", "readv", "--scenario", "deliver", "--page",
                   "base", "--size", "64K", "--budget", "1s", "-o", "out")  # fmt: skip
    assert run.returncode == 0, run.stderr
    result = read("out")
    assert result.latencies
    assert all(not record["chart_max_ns"] for record in result.latencies)
    whole = tidy(result)
    assert whole.loc[whole["phase"] == "total", "op_max_ns"].notna().all()
