# SPDX-License-Identifier: GPL-2.0-only
"""Format the model for people, and its constants as settings of MPI stacks."""

import math
from collections.abc import Mapping
from typing import Any, cast

import pandas as pd

from vmabench.analysis.model import GROUP, Threshold, handshake_ns, threshold
from vmabench.matrix.case import Case
from vmabench.report.layout import layout
from vmabench.report.words import condition_words, label, three_digits
from vmabench.units import format_size, format_time

#: the copy through the kernel, and the copy through memory that both sides map
CMA, SHARED = "readv", "shm"

#: a cost below this is not shown
LEAST_COST_NS = 1e-3

_NONE: Mapping[str, Threshold] = {}

_NOTES = """\
time = call + entry x entries + KiB x size, fitted to the medians of the sizes named, on base pages
and on those of THP together. a KiB*: with its page-table entries, as pages of one size cannot tell
them apart. misses: the median of what the line misses, the most that it misses, and where."""


def model_text(models: pd.DataFrame) -> str:
    """Return a table for each scenario and way of touching: a row a mechanism and phase."""
    if models.empty:
        return "No model: it takes at least five sizes of a mechanism.\n"
    parts = []
    varying = [name for name in ("thp", "placement") if models[name].nunique() > 1]
    common = [name for name in GROUP if name not in ("mechanism", "phase")]
    for key, rows in models.groupby(common, observed=True, dropna=False, sort=False):
        conditions = dict(zip(common, cast(tuple[Any, ...], key), strict=True))
        title = f"{conditions['scenario']}{condition_words(conditions, varying)}"
        parts.append(f"{title}\n{layout(_HEADER, [_cells(row) for row in _dicts(rows)])}")
    return "\n\n".join([*parts, _NOTES]) + "\n"


_HEADER = ("mechanism", "phase", "a call", "an entry", "a KiB", "sizes", "misses", "most", "at")


def _cells(row: dict[str, Any]) -> list[str]:
    alone = math.isnan(row["entry_ns"])
    worst = Case.parse(str(row["worst_case"]))
    return [
        label(row["mechanism"]),
        str(row["phase"]),
        format_time(row["call_ns"]),
        "-" if alone else _cost(row["entry_ns"]),
        _cost(row["kib_ns"]) + ("*" if alone else ""),
        f"{format_size(row['from_bytes'])}..{format_size(row['to_bytes'])}",
        f"{row['residual_pct']:.0f} %",
        f"{row['worst_pct']:+.0f} %",
        f"{worst.page}/{format_size(worst.size_bytes)}",
    ]


def _cost(cost_ns: float) -> str:
    """Return ns; what is less than a thousandth is nothing that was measured."""
    return f"{three_digits(cost_ns)} ns" if cost_ns >= LEAST_COST_NS else "0"


def constants(models: pd.DataFrame) -> dict[str, float | int]:
    """Return what MPI stacks hard-code, of this machine; what was not measured is absent.

    ``cma_*`` is of readv, ``shared_*`` of copies out of POSIX shared memory. A bandwidth is that of
    messages on base pages from ``*_from_bytes`` to ``*_to_bytes``, a latency of the line that was
    fitted from ``*_fit_from_bytes`` to ``*_fit_to_bytes``. ``attach_ns`` is what mapping an object
    costs a receiver.
    """
    found: dict[str, float | int] = {}
    for name, mechanism in (("cma", CMA), ("shared", SHARED)):
        row = _row(models, mechanism, "transfer", "total")
        if row is None:
            continue
        found[f"{name}_latency_ns"] = row["call_ns"]
        found[f"{name}_residual_pct"] = row["residual_pct"]
        found |= _fit_range(f"{name}_fit", row)
        if row["long_bytes_per_s"] > 0:
            found[f"{name}_bytes_per_s"] = row["long_bytes_per_s"]
            found[f"{name}_from_bytes"] = int(row["long_from_bytes"])
            found[f"{name}_to_bytes"] = int(row["long_to_bytes"])
    row = _row(models, "memfd-inplace", "deliver", "attach")
    if row is not None:
        found["attach_ns"] = row["call_ns"]
        found |= _fit_range("attach_fit", row)
    return found


def _fit_range(name: str, row: dict[str, Any]) -> dict[str, float | int]:
    return {f"{name}_{end}_bytes": int(row[f"{end}_bytes"]) for end in ("from", "to")}


def thresholds(summary: pd.DataFrame) -> dict[str, Threshold]:
    """Return ``cma``: readv against two copies; ``rendezvous``: the same after a handshake.

    A threshold of which a part was not measured is absent.
    """
    round_trip = handshake_ns(summary)
    asked = {"cma": 0.0} | ({} if round_trip is None else {"rendezvous": round_trip})
    found = {name: threshold(summary, cost_ns) for name, cost_ns in asked.items()}
    return {name: one for name, one in found.items() if one}


def threshold_constants(found: Mapping[str, Threshold]) -> dict[str, float | int | None]:
    """Return the thresholds as constants; null where readv does not win up to ``*_to_bytes``."""
    known: dict[str, float | int | None] = {}
    for name, one in found.items():
        known[f"{name}_threshold_bytes"] = one.from_bytes
        known[f"{name}_threshold_above_bytes"] = one.above_bytes
        known[f"{name}_threshold_to_bytes"] = one.to_bytes
        known[f"{name}_handshake_ns"] = one.handshake_ns
    return known


def _threshold_lines(found: Mapping[str, Threshold], setting: str) -> list[str]:
    """Return the setting of the rendezvous threshold below its derivation, or why there is none."""
    one = found.get("rendezvous")
    if one is None:
        return ["# no threshold of rendezvous: it takes readv, shm or memfd, and a polled pingpong"]
    rule = (
        f"# rendezvous: {format_time(one.handshake_ns)} of handshake and one {CMA} against two"
        f" copies through {one.shared}:"
    )
    if one.from_bytes is None:
        return [rule, f"# not shown to win up to {format_size(one.to_bytes)}, so no threshold"]
    lost = f"not at {format_size(one.above_bytes)}" if one.above_bytes else "at every size"
    return [
        rule,
        f"# wins from {format_size(one.from_bytes)} to {format_size(one.to_bytes)}, {lost}",
        f"{setting}{one.from_bytes}",
    ]


def ucx_text(found: dict[str, float | int], limits: Mapping[str, Threshold] = _NONE) -> str:
    """Return environment variables of UCX. Its latencies are no settings; MBps is 10^6 bytes/s."""
    lines = []
    for name, mechanism, variables in (
        ("cma", CMA, ["UCX_CMA_BW"]),
        ("shared", SHARED, ["UCX_POSIX_BW", "UCX_SYSV_BW"]),
    ):
        if rate := found.get(f"{name}_bytes_per_s"):
            lines.append(f"# {_fitted(found, name, mechanism)}")
            lines += [f"export {variable}={rate / 1e6:.0f}MBps" for variable in variables]
    if not lines:
        return f"# neither {CMA} nor {SHARED} has enough sizes: run standard\n"
    return "\n".join([*lines, *_threshold_lines(limits, "export UCX_RNDV_THRESH=")]) + "\n"


def _fitted(found: dict[str, float | int], name: str, mechanism: str) -> str:
    """Return ``readv, messages of 16M to 256M``."""
    first, last = (format_size(int(found[f"{name}_{end}_bytes"])) for end in ("from", "to"))
    return f"{mechanism}, messages of {first if first == last else f'{first} to {last}'}"


def open_mpi_text(found: dict[str, float | int], limits: Mapping[str, Threshold] = _NONE) -> str:
    """Return lines of openmpi-mca-params.conf for the BTL sm (before 5.0: vader).

    It has one bandwidth, in Mbit/s, and one latency, in whole microseconds of at least 1: those
    of CMA, by which it moves what is too long for its fragments in shared memory.
    """
    if "cma_bytes_per_s" not in found:
        return f"# {CMA} has not enough sizes: run standard\n"
    latency_us = max(1, round(found["cma_latency_ns"] / 1e3))
    lines = [
        f"# {_fitted(found, 'cma', CMA)}",
        f"btl_sm_bandwidth = {found['cma_bytes_per_s'] * 8 / 1e6:.0f}",
        f"btl_sm_latency = {latency_us}",
        *_threshold_lines(limits, "btl_sm_eager_limit = "),
    ]
    return "\n".join(lines) + "\n"


def _row(models: pd.DataFrame, mechanism: str, scenario: str, phase: str) -> dict[str, Any] | None:
    mine = models[
        (models["mechanism"] == mechanism)
        & (models["scenario"] == scenario)
        & (models["phase"] == phase)
    ]
    return _dicts(mine)[0] if len(mine) else None


def _dicts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], rows.to_dict("records"))
