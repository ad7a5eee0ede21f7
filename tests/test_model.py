# SPDX-License-Identifier: GPL-2.0-only
"""The model finds the constants that the times were made of, and says how far it is off."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import synthetic
from tests.command import error_line, vmabench
from vmabench.analysis.frame import tidy
from vmabench.analysis.model import fit, models
from vmabench.analysis.stats import summarize
from vmabench.report.model import constants, model_text, open_mpi_text, ucx_text

SIZES = np.array([4096.0 * 4**n for n in range(9)] + [2.0**21 * 4**n for n in range(4)])
PAGES = np.array([4096.0] * 9 + [2.0**21] * 4)
ENTRIES = SIZES / PAGES

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
    known = constants(found, 4096)
    assert known["cma_bytes_per_s"] == pytest.approx(1e9 / (per_byte + per_page / 4096), rel=0.05)
    assert known["shared_bytes_per_s"] == pytest.approx(8e9, rel=0.05)
    assert known["attach_ns"] >= 0
    text = model_text(found)
    assert "ns a page-table entry" in text
    assert "fork (proxy)" in text
    assert max(map(len, text.splitlines())) <= 100


def test_constants_in_the_form_of_their_users() -> None:
    known = {"cma_bytes_per_s": 7.5e9, "cma_latency_ns": 812.0, "shared_bytes_per_s": 8e9}
    assert ucx_text(known).splitlines() == [
        "export UCX_CMA_BW=7500MBps",
        "export UCX_POSIX_BW=8000MBps",
        "export UCX_SYSV_BW=8000MBps",
    ]
    assert open_mpi_text(known) == "btl_sm_bandwidth = 60000\nbtl_sm_latency = 1\n"
    assert ucx_text({}).startswith("#")
    assert open_mpi_text({}).startswith("#")


def test_too_few_sizes_have_no_model() -> None:
    few = synthetic.cases(["readv"], ["transfer"])[:4]
    found = models(summarize(tidy(synthetic.result(synthetic.records(few)))))
    assert found.empty
    assert "at least five sizes" in model_text(found)


def test_on_the_command_line() -> None:
    synthetic.write(Path("a"), synthetic.records())
    assert "a page-table entry" in vmabench("report", "a", "--format", "model").stdout
    known = json.loads(vmabench("report", "a", "--format", "constants").stdout)
    assert known["cpu_model"].startswith("Example")
    assert known["cma_bytes_per_s"] > 1e9
    assert vmabench("report", "a", "--format", "ucx").stdout.startswith("export UCX_CMA_BW=")
    assert "is of one result" in error_line(vmabench("report", "a", "a", "--format", "ucx"))
    made = synthetic.records()
    made[0] = made[0] | {"virt": "emulated"}
    synthetic.write(Path("b"), made)
    assert vmabench("report", "b", "--format", "openmpi").stdout.startswith("# EMULATED")
