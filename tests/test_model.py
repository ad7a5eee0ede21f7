# SPDX-License-Identifier: GPL-2.0-only
"""The model finds the constants that the times were made of, and says how far it is off."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import synthetic
from tests.command import call, error_line
from vmabench.analysis.frame import tidy
from vmabench.analysis.model import fit, models
from vmabench.analysis.stats import judged, summarize
from vmabench.matrix.case import Case
from vmabench.report.model import (
    constants,
    model_text,
    open_mpi_text,
    threshold_constants,
    thresholds,
    ucx_text,
)
from vmabench.store.reader import read

PUBLISHED = Path(__file__).resolve().parents[1] / "results/published"

SIZES = np.array([4096.0 * 4**n for n in range(9)] + [2.0**21 * 4**n for n in range(4)])
PAGES = np.array([4096.0] * 9 + [2.0**21] * 4)
ENTRIES = SIZES / PAGES

Cost = Callable[[int], float]


@cache
def published(name: str) -> pd.DataFrame:
    """Return the summary of a committed result, for tests that only read it."""
    return judged(read(PUBLISHED / name)).summary


costs = st.floats(0.01, 1e4)


@given(costs, costs, costs)
@settings(max_examples=40, deadline=None)
def test_without_noise_the_constants_come_back(call: float, entry: float, kib: float) -> None:
    times = call + entry * ENTRIES + kib * SIZES / 1024
    found = fit(times, ENTRIES, SIZES)
    again = found.call_ns + found.entry_ns * ENTRIES + found.kib_ns * SIZES / 1024
    np.testing.assert_allclose(again, times, rtol=1e-6)
    np.testing.assert_allclose(found.residuals, 0, atol=1e-6)


def test_one_wild_size_moves_little() -> None:
    times = 800 + 90 * ENTRIES + 36 * SIZES / 1024
    times = times * np.exp(np.random.default_rng(1).normal(0, 0.01, len(times)))
    times[7] *= 3
    found = fit(times, ENTRIES, SIZES)
    assert found.call_ns == pytest.approx(800, rel=0.1)
    assert found.entry_ns == pytest.approx(90, rel=0.1)
    assert found.kib_ns == pytest.approx(36, rel=0.1)
    assert found.residuals[7] == pytest.approx(2, rel=0.1)


def test_on_pages_of_one_size_entries_and_bytes_are_one() -> None:
    few = PAGES == 4096
    found = fit((800 + 90 * ENTRIES + 36 * SIZES / 1024)[few], ENTRIES[few], SIZES[few])
    assert np.isnan(found.entry_ns)
    assert found.kib_ns == pytest.approx(36 + 90 / 4)


def test_no_cost_is_negative() -> None:
    times = np.maximum(1.0, 5000 - SIZES / 1024)
    found = fit(times, ENTRIES, SIZES)
    assert min(found.call_ns, found.entry_ns, found.kib_ns) >= 0
    assert np.isfinite(found.residuals).all()


def test_a_run_gives_the_constants_it_was_made_of() -> None:
    made = synthetic.records(noise=0.01, round_noise=0.0)
    found = models(summarize(tidy(synthetic.result(made))))
    readv = found[(found["mechanism"] == "readv") & (found["scenario"] == "transfer")].iloc[0]
    fixed, per_page, per_byte = synthetic.COSTS["readv"]
    assert readv["call_ns"] == pytest.approx(fixed, rel=0.1)
    assert readv["entry_ns"] == pytest.approx(per_page, rel=0.1)
    assert readv["kib_ns"] == pytest.approx(1024 * per_byte, rel=0.1)
    assert readv["residual_pct"] < 3
    known = constants(found)
    assert known["cma_bytes_per_s"] == pytest.approx(1e9 / (per_byte + per_page / 4096), rel=0.05)
    assert known["shared_bytes_per_s"] == pytest.approx(8e9, rel=0.05)
    assert known["attach_ns"] >= 0
    rows = [line.split() for line in model_text(found).splitlines()]
    row = next(row for row in rows if row[:2] == ["readv", "total"])  # transfer comes first
    call_ns, entry_ns, kib_ns = (float(row[place]) for place in (2, 4, 6))
    assert call_ns == pytest.approx(fixed, rel=0.1)
    assert entry_ns == pytest.approx(per_page, rel=0.1)
    assert kib_ns == pytest.approx(1024 * per_byte, rel=0.1)


@pytest.mark.parametrize("name", ["host-standard", "guest"])
def test_the_model_of_the_committed_results_is_a_table(name: str) -> None:
    """Each row names the sizes that its constants were fitted on, which were measured."""
    summary = published(name)
    found = models(summary)
    text = model_text(found)
    assert max(map(len, text.splitlines())) <= 100
    assert "transfer\n" in text
    assert ", then read 100 %\n" in text
    sizes = [line for line in text.splitlines() if re.search(r" \d+[KM]?\.\.\d+[KM] ", line)]
    assert len(sizes) == len(found)
    for row in found.to_dict("records"):
        mine = summary[
            (summary["mechanism"] == row["mechanism"])
            & (summary["scenario"] == row["scenario"])
            & summary["page"].isin(["4K", "2M"])
        ]
        assert row["from_bytes"] >= mine["size_bytes"].min()
        assert row["to_bytes"] <= mine["size_bytes"].max()


def test_conditions_are_fitted_apart() -> None:
    """A polled message takes 100 ns and one that sleeps 5 us: no line fits both."""
    waits = ("busy", "futex")
    cases = [
        Case("memfd", "pingpong", "4K", 8 * 4**power, wait=wait)
        for wait in waits
        for power in range(6)
    ]
    made = synthetic.records(cases, noise=0.0, round_noise=0.0)
    for record in made:
        if record["kind"] == "case":
            ns = 100.0 if Case.parse(record["case"]).wait == "busy" else 5000.0
            record["loops"] = 1
            record["values"] = [{"time_ns": {"total": ns}, "at_ns": 0}]
    found = models(summarize(tidy(synthetic.result(made)))).set_index("wait")
    assert found.loc["busy", "call_ns"] == pytest.approx(100)
    assert found.loc["futex", "call_ns"] == pytest.approx(5000)
    assert "pingpong, wait futex\n" in model_text(found.reset_index())


def timed(costs: dict[str, Cost], handshake_ns: float | None = None) -> pd.DataFrame:
    """Return the summary of a noiseless run in which a mechanism takes these times by size."""
    cases = [Case(name, "transfer", "4K", 4096 * 4**power) for name in costs for power in range(9)]
    polled = Case("shm", "pingpong", "4K", 8, wait="busy")
    made = synthetic.records(
        cases + [polled] * (handshake_ns is not None), noise=0.0, round_noise=0.0
    )
    for record in made:
        if record["kind"] == "case":
            case = Case.parse(record["case"])
            ns = handshake_ns if case == polled else costs[case.mechanism](case.size_bytes)
            record["loops"] = 1
            record["values"] = [{"time_ns": {"total": ns}, "at_ns": 0}]
    return summarize(tidy(synthetic.result(made)))


def test_the_threshold_is_where_one_readv_beats_two_copies() -> None:
    """1000 + 0.1 n is less than 0.24 n above 7143 bytes, and 5000 + 0.1 n above 35714."""
    costs: dict[str, Cost] = {
        "readv": lambda size: 1000 + 0.1 * size,
        "shm": lambda size: 0.12 * size,
    }
    found = thresholds(timed(costs, 4000.0))
    cma, rendezvous = found["cma"], found["rendezvous"]
    assert (cma.above_bytes, cma.from_bytes, cma.to_bytes) == (4096, 16384, 256 << 20)
    assert (rendezvous.above_bytes, rendezvous.from_bytes) == (16384, 65536)
    assert (rendezvous.shared, rendezvous.handshake_ns) == ("shm", 4000.0)
    known = constants(models(timed(costs, 4000.0)))
    assert ucx_text(known, found).endswith(
        "# rendezvous: 4.00 us of handshake and one readv against two copies through shm:\n"
        "# wins from 64K to 256M, not at 16K\n"
        "export UCX_RNDV_THRESH=65536\n"
    )
    assert open_mpi_text(known, found).endswith("btl_sm_eager_limit = 65536\n")
    assert threshold_constants(found)["rendezvous_threshold_bytes"] == 65536
    assert set(thresholds(timed(costs))) == {"cma"}


def test_a_readv_that_wins_at_some_sizes_only_has_no_threshold_there() -> None:
    """It loses again at the largest size, as copies out of a cache do on the committed host."""
    costs: dict[str, Cost] = {
        "readv": lambda size: 0.1 * size if size < 256 << 20 else 0.5 * size,
        "memfd": lambda size: 0.12 * size,
    }
    (found,) = thresholds(timed(costs)).values()
    assert (found.shared, found.from_bytes, found.above_bytes) == ("memfd", None, 256 << 20)
    always = thresholds(timed(costs | {"readv": lambda size: 0.1 * size}))["cma"]
    assert (always.from_bytes, always.above_bytes) == (4096, None)
    assert thresholds(timed({"readv": lambda size: 0.1 * size})) == {}


@pytest.mark.parametrize("name", ["host-standard", "guest"])
def test_the_thresholds_of_the_committed_results_follow_from_the_medians(name: str) -> None:
    summary = published(name)
    bare = summary[(summary["scenario"] == "transfer") & (summary["page"] == "4K")]
    for found in thresholds(summary).values():
        one, two = (
            bare[bare["mechanism"] == mechanism].set_index("size_bytes")["median_ns"]
            for mechanism in ("readv", found.shared)
        )
        wins = one + found.handshake_ns < 2 * two
        if found.from_bytes is not None:
            assert wins.dropna()[found.from_bytes :].all()
        else:
            assert found.above_bytes == found.to_bytes
            assert not wins.loc[found.to_bytes]


def test_constants_in_the_form_of_their_users() -> None:
    known: dict[str, float | int] = {
        "cma_bytes_per_s": 7.5e9,
        "cma_latency_ns": 812.0,
        "shared_bytes_per_s": 8e9,
    }
    for name in ("cma", "shared"):
        known |= {f"{name}_from_bytes": 16 << 20, f"{name}_to_bytes": 256 << 20}
    assert ucx_text(known).splitlines()[:-1] == [
        "# readv, messages of 16M to 256M",
        "export UCX_CMA_BW=7500MBps",
        "# shm, messages of 16M to 256M",
        "export UCX_POSIX_BW=8000MBps",
        "export UCX_SYSV_BW=8000MBps",
    ]
    assert open_mpi_text(known).splitlines()[:-1] == [
        "# readv, messages of 16M to 256M",
        "btl_sm_bandwidth = 60000",
        "btl_sm_latency = 1",
    ]
    assert "no threshold of rendezvous" in ucx_text(known)
    assert ucx_text({}).startswith("#")
    assert open_mpi_text({}).startswith("#")


def test_bandwidth_is_fitted_where_messages_are_long() -> None:
    """Up to 1M a copy runs in a cache at 12 GB/s, beyond at 5: most sizes are in the cache."""
    made = synthetic.records(synthetic.cases(["readv"], ["transfer"]), noise=0.0, round_noise=0.0)
    for record in made:
        if record["kind"] == "case":
            size = Case.parse(record["case"]).size_bytes
            rate = 12.0 if size <= 1 << 20 else 5.0  # bytes a ns
            for value in record["values"]:
                value["time_ns"] = {"total": record["loops"] * (800 + size / rate)}
    known = constants(models(summarize(tidy(synthetic.result(made)))))
    assert known["cma_bytes_per_s"] == pytest.approx(5e9, rel=0.01)
    assert (known["cma_from_bytes"], known["cma_to_bytes"]) == (16 << 20, 256 << 20)


def test_pages_of_pools_leave_the_model_of_the_others_alone() -> None:
    plain = synthetic.cases(["readv", "shm"], ["transfer"])
    pools = [replace(case, page="hugetlb-2M") for case in plain if case.page == "2M"]
    alone, beside = (
        models(summarize(tidy(synthetic.result(synthetic.records(cases, noise=0.0)))))
        for cases in (plain, [*plain, *pools])
    )
    assert len(alone) == len(beside) == 2
    pd.testing.assert_frame_equal(alone, beside, check_exact=False, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("name", ["host-standard", "guest"])
def test_the_committed_results_have_constants(name: str) -> None:
    """Both hold readv and hugetlb pages beside it; the guest has no shm."""
    summary = published(name)
    known = constants(models(summary))
    bare = summary[(summary["scenario"] == "transfer") & (summary["page"] == "4K")]
    for mechanism, what in (("readv", "cma"), ("shm", "shared")):
        mine = bare[bare["mechanism"] == mechanism].sort_values("size_bytes")
        if mine.empty:
            assert f"{what}_bytes_per_s" not in known
            continue
        measured = mine["bytes_per_s"].to_numpy(dtype=float)[-1]
        assert known[f"{what}_bytes_per_s"] == pytest.approx(measured, rel=0.1)
        assert known[f"{what}_to_bytes"] == mine["size_bytes"].max()
    assert "UCX_CMA_BW" in ucx_text(known)
    assert "btl_sm_bandwidth" in open_mpi_text(known)


def test_too_few_sizes_have_no_model() -> None:
    few = synthetic.cases(["readv"], ["transfer"])[:4]
    found = models(summarize(tidy(synthetic.result(synthetic.records(few)))))
    assert found.empty
    assert "at least five sizes" in model_text(found)


def test_on_the_command_line() -> None:
    synthetic.write(Path("a"), synthetic.records())
    assert "an entry" in call("report", "a", "--format", "model").stdout
    known = json.loads(call("report", "a", "--format", "constants").stdout)
    assert known["cpu_model"].startswith("Example")
    assert known["cma_bytes_per_s"] > 1e9
    assert call("report", "a", "--format", "ucx").stdout.startswith("# readv, messages of")
    assert "is of one result" in error_line(call("report", "a", "a", "--format", "ucx"))
    made = synthetic.records()
    made[0] = made[0] | {"virt": "emulated"}
    synthetic.write(Path("b"), made)
    assert call("report", "b", "--format", "openmpi").stdout.startswith("# EMULATED")
