# SPDX-License-Identifier: GPL-2.0-only
"""The histogram and the run chart of single operations, in C and as they are stored."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.synthetic import records, write
from vmabench.analysis.latency import (
    PERCENTILES,
    bucket_bounds_ns,
    bucket_of,
    by_round,
    corrected,
    distribution,
    error_pct,
    percentile_ns,
    percentiles,
    run_chart,
)
from vmabench.mechanisms import Latency, clock_step_ns, read_latency, step_ns
from vmabench.native._core import ffi, lib
from vmabench.store.format import LATENCY, LATENCY_BITS
from vmabench.store.reader import read
from vmabench.store.writer import Writer

Times = npt.NDArray[np.int64]
CASE = "readv/scenario:pingpong/page:4K/size:64/wait:futex"


def keep(times_ns: Times) -> Latency:
    """What the core keeps of operations that took so long, in this order."""
    kept = ffi.new("struct vmb_latency *")
    lib.vmb_latency_reset(kept)
    for time_ns in times_ns:
        lib.vmb_latency_add(kept, int(time_ns))
    latency = read_latency(kept)
    assert latency
    return latency


def sampled(name: str) -> Times:
    random = np.random.default_rng(7)
    shapes = {
        "flat": random.integers(0, 300, 5000),
        "normal": np.abs(random.normal(1e4, 2e3, 5000)),
        "long tail": random.lognormal(7, 2, 20000),
        "two humps": np.concatenate([random.normal(500, 9, 990), random.normal(1e6, 1e4, 10)]),
        "seconds": random.integers(10**9, 10**10, 1000),
        "one": np.array([123456]),
    }
    return np.asarray(shapes[name], dtype=np.int64)


@pytest.mark.parametrize("shape", ["flat", "normal", "long tail", "two humps", "seconds", "one"])
@pytest.mark.parametrize("share", [*PERCENTILES.values(), 0.25, 1.0])
def test_percentiles_are_those_of_numpy_to_half_a_bucket(shape: str, share: float) -> None:
    times_ns = sampled(shape)
    latency = keep(times_ns)
    right = float(np.quantile(times_ns, share, method="inverted_cdf"))
    found = percentile_ns(latency.buckets, latency.max_ns, share)
    assert abs(found - right) <= right * 2.0 ** -(LATENCY_BITS + 1) + 0.5


def test_count_sum_and_maximum_are_exact() -> None:
    times_ns = sampled("long tail")
    latency = keep(times_ns)
    assert (latency.count, latency.sum_ns) == (len(times_ns), int(times_ns.sum()))
    assert latency.max_ns == int(times_ns.max())
    assert sum(latency.buckets.values()) == latency.count


def test_c_and_python_agree_on_the_bounds_of_all_buckets() -> None:
    assert lib.VMB_LATENCY_BITS == LATENCY_BITS
    indices = list(range(lib.VMB_LATENCY_BUCKETS - 1))
    start_ns, end_ns = bucket_bounds_ns(indices)
    for index in indices:
        first, behind = lib.vmb_latency_bound(index), lib.vmb_latency_bound(index + 1)
        assert (start_ns[index], end_ns[index]) == (first, behind)
        assert lib.vmb_latency_bucket(first) == lib.vmb_latency_bucket(behind - 1) == index
        assert behind - first <= max(1, first * 2.0**-LATENCY_BITS)


def test_what_is_too_long_goes_into_the_last_bucket() -> None:
    last = lib.VMB_LATENCY_BUCKETS - 1
    assert lib.vmb_latency_bucket(1 << 60) == last
    latency = keep(np.array([1 << 60]))
    assert (latency.buckets, latency.max_ns) == ({last: 1}, 1 << 60)


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 2048, 2049, 5000, 70001])
def test_a_long_run_chart_is_coarser_and_loses_no_operation(count: int) -> None:
    times_ns = np.random.default_rng(count).integers(100, 200, count)
    slow = [place for place in (3, count // 2, count - 1) if 0 <= place < count]
    times_ns[slow] = 10**6 + np.arange(len(slow))
    latency = keep(times_ns)
    points = len(latency.chart_max_ns)
    assert points <= lib.VMB_CHART_POINTS
    assert points == -(-count // latency.stride)
    assert latency.stride == 1 or points > lib.VMB_CHART_POINTS // 2
    for point in range(points):
        mine = times_ns[point * latency.stride : (point + 1) * latency.stride]
        assert latency.chart_max_ns[point] == mine.max()
        assert latency.chart_mean_ns[point] == pytest.approx(mine.mean())


def store(directory: Path, rounds: list[Times]) -> None:
    write(directory, records())
    writer = Writer.__new__(Writer)  # of a directory that is there already
    writer.directory = directory
    for number, times_ns in enumerate(rounds, start=1):
        latency = keep(times_ns)
        record = {name: getattr(latency, name) for name in Latency.__slots__}
        writer.append([{"kind": "latency", "round": number, "case": CASE} | record])


def test_what_was_stored_is_read_and_summarised(tmp_path: Path) -> None:
    rounds = [sampled("normal") + 100 * number for number in range(8)]
    store(tmp_path / "r", rounds)
    result = read(tmp_path / "r")
    assert not result.damage
    single = by_round(result)
    assert list(single["round"]) == list(range(1, 9))
    assert single["wait"].unique() == ["futex"]
    (row,) = percentiles(result).to_dict("records")
    medians = [np.quantile(times, 0.99, method="inverted_cdf") for times in rounds]
    assert row["p99_ns"] == pytest.approx(np.median(medians), rel=0.005)
    assert row["lo_p99_ns"] < row["p99_ns"] < row["hi_p99_ns"]
    assert row["max_ns"] == max(times.max() for times in rounds)
    assert row["count"] == 8 * 5000
    spread = distribution(result, CASE)
    assert spread["count"].sum() == 8 * 5000
    assert spread["share"].iloc[-1] == pytest.approx(1)


def test_a_percentile_takes_operations_above_it(tmp_path: Path) -> None:
    store(tmp_path / "r", [sampled("flat")[:999], sampled("flat")[:1000]])
    rounds = by_round(read(tmp_path / "r"))
    assert rounds["p999_ns"].isna().tolist() == [True, False]
    assert rounds["p99_ns"].notna().all()


def test_the_run_chart_of_a_case_has_all_operations_in_order(tmp_path: Path) -> None:
    rounds = [sampled("flat"), sampled("normal")]
    store(tmp_path / "r", rounds)
    chart = run_chart(read(tmp_path / "r"), CASE)
    for number, times_ns in enumerate(rounds, start=1):
        mine = chart[chart["round"] == number]
        assert mine["operations"].sum() == len(times_ns)
        assert list(mine["operation"]) == sorted(mine["operation"])
        assert mine["max_ns"].max() == times_ns.max()
        total = (mine["mean_ns"] * mine["operations"]).sum()
        assert total == pytest.approx(times_ns.sum())
    assert run_chart(read(tmp_path / "r"), "another").empty


def test_a_damaged_histogram_leaves_the_samples_alone(tmp_path: Path) -> None:
    store(tmp_path / "r", [sampled("flat"), sampled("flat")])
    path = tmp_path / "r" / LATENCY
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    result = read(tmp_path / "r")
    assert len(result.latencies) == 1
    assert "latency.jsonl.gz is damaged" in str(result.damage)
    path.write_bytes(b"no gzip")
    result = read(tmp_path / "r")
    assert result.latencies == []
    assert result.records
    assert "latency" in str(result.damage)


@pytest.mark.parametrize(
    ("hertz", "expected_ns"),
    [(24e6, 41), (25e6, 40), (14.31818e6, 69), (54e6, 18), (100e6, 10), (1e9, 1), (2.4e9, 1)],
)
def test_the_step_of_a_clock_is_seen_in_its_readings(hertz: float, expected_ns: int) -> None:
    """arm64 counters, HPET, and clocks of nanoseconds, read every 30 to 300 ns."""
    times_ns = np.cumsum(np.random.default_rng(1).uniform(30, 300, 20_000))
    ticks = np.floor(times_ns * hertz / 1e9)
    readings = [int(one) for one in ticks * 1e9 / hertz]
    assert abs(step_ns(readings) - expected_ns) <= (expected_ns > 1)


def test_a_coarse_clock_is_in_the_error_of_a_percentile() -> None:
    assert error_pct(100_000, 1) < 0.4
    assert error_pct(1000, 42) == pytest.approx(4.35, abs=0.01)
    for time_ns in (1, 127, 128, 1000, 123_456_789):
        assert bucket_of(time_ns) == lib.vmb_latency_bucket(time_ns)


@pytest.mark.parametrize("step", [1, 42])
def test_no_percentile_is_further_off_than_its_error(step: int) -> None:
    true_ns = np.random.default_rng(2).uniform(200, 20_000, 500)
    for time_ns in true_ns:
        for measured_ns in (int(time_ns // step) * step, (int(time_ns // step) + 1) * step):
            found_ns = percentile_ns({bucket_of(measured_ns): 1}, 10**9, 0.5)
            assert abs(found_ns - time_ns) <= error_pct(measured_ns, step) / 100 * measured_ns


def test_the_clock_here_has_a_step() -> None:
    assert 1 <= clock_step_ns() < 2000


def test_a_corrected_histogram_has_what_a_stall_left_out() -> None:
    """10,000 writes a second for 0.2 s, one of which is 20 ms late."""
    times_ns = np.concatenate([np.full(1800, 100_000), [20_000_000]])
    latency = keep(times_ns)
    due = corrected(latency.buckets, 100_000)
    assert sum(due.values()) == len(times_ns) + 199 - 1
    assert percentile_ns(latency.buckets, latency.max_ns, 0.99) == pytest.approx(1e5, rel=0.01)
    # the slowest 20 of 1999 are those of the stall that were due 18 to 20 ms before its end
    assert percentile_ns(due, latency.max_ns, 0.99) == pytest.approx(18.1e6, rel=0.01)
    assert corrected(due, float("nan")) == due
    on_time = keep(np.full(1000, 100_000)).buckets
    assert corrected(on_time, 100_000) == on_time
