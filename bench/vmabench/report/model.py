# SPDX-License-Identifier: GPL-2.0-only
"""Format the model for people, and its constants as settings of MPI stacks."""

import math
from typing import Any, cast

import pandas as pd

from vmabench.report.words import label, three_digits, wrapped
from vmabench.units import format_size, format_time

#: the copy through the kernel, and the copy through memory that both sides map
CMA, SHARED = "readv", "shm"

_NOTES = """\
time = call + entry x entries + KiB x size, fitted to the medians of all sizes on base pages and on
those of THP together. ±: the median of what the line misses, and the most that it misses, where."""


def model_text(models: pd.DataFrame) -> str:
    """Return a line for each mechanism and phase, grouped by scenario."""
    if models.empty:
        return "No model: it takes at least five sizes of a mechanism.\n"
    parts = []
    for key, rows in models.groupby(
        ["scenario", "touch_mode", "touch_pct"], observed=True, dropna=False, sort=False
    ):
        scenario, mode, pct = cast(tuple[str, str, Any], key)
        touch = "" if mode == "none" else f", {mode}-{pct}"
        lines = [_sentence(row) for row in _dicts(rows)]
        parts.append("\n".join([f"{scenario}{touch}", *lines]))
    return "\n\n".join([*parts, _NOTES]) + "\n"


def _sentence(row: dict[str, Any]) -> str:
    costs = [f"{format_time(row['call_ns'])} a call"]
    if math.isnan(row["entry_ns"]):
        costs.append(f"{three_digits(row['kib_ns'])} ns a KiB with its page-table entries")
    else:
        costs.append(f"{three_digits(row['entry_ns'])} ns a page-table entry")
        costs.append(f"{three_digits(row['kib_ns'])} ns a KiB")
    fit = f"±{row['residual_pct']:.0f} %, {row['worst_pct']:+.0f} % at {row['worst_case']}"
    return wrapped(f"{label(row['mechanism'])} {row['phase']}: {', '.join(costs)} ({fit})", "    ")


def constants(models: pd.DataFrame) -> dict[str, float | int]:
    """Return what MPI stacks hard-code, of this machine; what was not measured is absent.

    ``cma_*`` is of readv, ``shared_*`` of copies out of POSIX shared memory, on base pages. A
    bandwidth is that of messages from ``*_from_bytes`` to ``*_to_bytes``. ``attach_ns`` is what
    mapping an object costs a receiver.
    """
    found: dict[str, float | int] = {}
    for name, mechanism in (("cma", CMA), ("shared", SHARED)):
        row = _row(models, mechanism, "transfer", "total")
        if row is None:
            continue
        found[f"{name}_latency_ns"] = row["call_ns"]
        found[f"{name}_residual_pct"] = row["residual_pct"]
        if row["long_bytes_per_s"] > 0:
            found[f"{name}_bytes_per_s"] = row["long_bytes_per_s"]
            found[f"{name}_from_bytes"] = int(row["long_from_bytes"])
            found[f"{name}_to_bytes"] = int(row["long_to_bytes"])
    row = _row(models, "memfd-inplace", "deliver", "attach")
    if row is not None:
        found["attach_ns"] = row["call_ns"]
    return found


def ucx_text(found: dict[str, float | int]) -> str:
    """Return environment variables of UCX. Its latencies are no settings; MBps is 10^6 bytes/s."""
    lines = []
    for name, mechanism, variables in (
        ("cma", CMA, ["UCX_CMA_BW"]),
        ("shared", SHARED, ["UCX_POSIX_BW", "UCX_SYSV_BW"]),
    ):
        if rate := found.get(f"{name}_bytes_per_s"):
            lines.append(f"# {_fitted(found, name, mechanism)}")
            lines += [f"export {variable}={rate / 1e6:.0f}MBps" for variable in variables]
    return (
        "\n".join(lines or [f"# neither {CMA} nor {SHARED} has enough sizes: run standard"]) + "\n"
    )


def _fitted(found: dict[str, float | int], name: str, mechanism: str) -> str:
    """Return ``readv, messages of 16M to 256M``."""
    first, last = (format_size(int(found[f"{name}_{end}_bytes"])) for end in ("from", "to"))
    return f"{mechanism}, messages of {first if first == last else f'{first} to {last}'}"


def open_mpi_text(found: dict[str, float | int]) -> str:
    """Return lines of openmpi-mca-params.conf for the BTL sm (before 5.0: vader).

    It has one bandwidth, in Mbit/s, and one latency, in whole microseconds of at least 1: those
    of CMA, by which it moves what is too long for its fragments in shared memory.
    """
    if "cma_bytes_per_s" not in found:
        return f"# {CMA} has not enough sizes: run standard\n"
    latency_us = max(1, round(found["cma_latency_ns"] / 1e3))
    return (
        f"# {_fitted(found, 'cma', CMA)}\n"
        f"btl_sm_bandwidth = {found['cma_bytes_per_s'] * 8 / 1e6:.0f}\n"
        f"btl_sm_latency = {latency_us}\n"
    )


def _row(models: pd.DataFrame, mechanism: str, scenario: str, phase: str) -> dict[str, Any] | None:
    mine = models[
        (models["mechanism"] == mechanism)
        & (models["scenario"] == scenario)
        & (models["phase"] == phase)
    ]
    return _dicts(mine)[0] if len(mine) else None


def _dicts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], rows.to_dict("records"))
