# SPDX-License-Identifier: GPL-2.0-only
"""The tidy frame: one row a value and phase, in the columns that ``export`` writes.

Times and counts are of one operation: what the store holds for all loops of a value, divided by
its loops. By the instruction clock a row has ``instructions`` and no ``time_ns``. Sizes of page
tables and of peak memory are states and not divided. What was not measured is empty (NA) and never
0; a phase of 0 ns is a part that the mechanism does not have.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import pandas_dtype

from vmabench.analysis import latency, levels
from vmabench.analysis.disturbance import disturbed
from vmabench.atomic import replacing
from vmabench.matrix.case import OPTIONAL_FIELDS, Case
from vmabench.store.format import Record, Result
from vmabench.store.reader import machine_facts

#: column -> dtype, in the order of the file. Ordered categories have the order of
#: ``analysis.levels``. Missing is NA throughout.
COLUMNS: dict[str, str] = {
    "case_id": "category",  # str(Case)
    "kernel": "category",
    "virt": "category",
    "mechanism": "category",  # ordered
    "scenario": "category",  # ordered
    "phase": "category",  # ordered; "total" alone where a case has no values
    "page": "category",  # ordered by size
    "thp": "category",  # the setting of the machine
    "size_bytes": "Int64",
    "touch_pct": "Int64",  # of the base pages, by the receiver
    "touch_mode": "category",  # ordered
    "swapped_pct": "Int64",  # of the source
    "receivers": "Int64",
    "process": "Int64",  # the round, from 1; empty where the case was never tried
    "value_index": "Int64",  # from 0, within case and process
    "loops": "Int64",  # operations in the value
    "time_ns": "Float64",  # of one operation
    "outcome": "category",  # ordered
    "reason": "string",  # of an outcome that is not ok
    "src_backed_pct": "Float64",  # share of the bytes that huge pages map; of the case
    "dst_backed_pct": "Float64",
    "minor_faults": "Float64",  # from here on the row of "total" only; both processes
    "major_faults": "Float64",
    "swap_in_bytes": "Float64",
    "swap_out_bytes": "Float64",
    "page_table_bytes": "Int64",
    "peak_bytes": "Int64",
    "clock": "category",  # raw, or instructions: such a row has no time
    "instructions": "Float64",  # of one operation; only by the instruction clock
    "touch_order": "category",  # ordered
    "context_switches": "Float64",  # voluntary ones of both processes; on the row of "total"
    "preemptions": "Float64",
    "steal_ns": "Float64",  # of all CPUs
    "moved_bytes": "Int64",  # what arrived and was compared whole; of the case
    "disturbed": "boolean",  # whether 1 % or more of the value's time was stolen by the host
    "segments": "Int64",
    "pairs": "Int64",  # side by side
    "wait": "category",  # ordered; how a side learns of a message; none but in pingpong
    "rate": "category",  # pages a second that the source writes, or max; none: it does not
    "fastest_receiver_ns": "Float64",  # of one operation; contention: each receiver's own time
    "slowest_receiver_ns": "Float64",
    "lock_wait_ns": "Float64",  # of all receivers for their mmap_lock, in one traced operation
    "writes": "Float64",  # by the source of snapshot or vmbranch, beside one operation
    "writer_faults": "Float64",  # minor ones, of the source meanwhile
    "cow_ns": "Float64",  # what its writes took beyond what they take without receivers
    "stall_ns": "Float64",  # the longest time between the ends of two writes
    "stopped_ns": "Float64",  # in its own part of the taking: fork, seal, protect, stand still
    "torn_pct": "Float64",  # of the receivers' pages that are not of one moment
    "swap_device": "category",  # of the suite's own: zram, file; empty where none is on
    "limit_bytes": "Int64",  # of the memory cgroup of the case; 0: none
    "swap_device_read_bytes": "Float64",  # of the block device below it, whoever reads it
    "swap_device_written_bytes": "Float64",
    "call_swap_in_bytes": "Float64",  # during attach and transfer
    "call_swap_out_bytes": "Float64",
    "use_swap_in_bytes": "Float64",  # while the receiver uses the data
    "use_swap_out_bytes": "Float64",
    "rss_bytes": "Int64",  # of both processes, all of them, while the data is delivered
    "pss_bytes": "Int64",
    "anon_huge_bytes": "Int64",
    "peak_how": "category",  # cgroup-v1, cgroup-v2, or sampled-pss: at borders of phases
    "cycles": "Float64",  # of the CPUs that the case is pinned to; where the machine counts them
    "tlb_misses": "Float64",  # of reads of data, on the same CPUs
    "boot": "Int64",  # of a result of several boots; else empty
    "run": "category",  # the run's id; processes and boots are numbered within a run
    "source": "category",  # ordered; what it does between operations: idle or rewritten
    "buffer": "category",  # ordered; of the receiver: fresh, reused or populated
    "placement": "category",  # ordered; of the CPUs of the two sides; unknown in older results
    "cpu_model": "category",
    "clocksource": "category",
    "congruent": "category",  # whether a clone lies in its page tables as its source does
    "source_threads": "Int64",  # that run while the memory is handed over
    "tlb_shootdowns": "Float64",  # interrupts on all CPUs, of whatever process; x86 alone
    "rewrite_faults": "Float64",  # of the minor faults those of the source in source-rewrite
    "child_read_bytes": "Int64",  # vmbranch: PSS that a child adds when it has read everything
    "child_written_bytes": "Int64",  # the same, after the source has written each page
    "child_private_bytes": "Int64",  # of a child, mapped by no other process; after these writes
    "source_huge_bytes": "Int64",  # that huge pages map; after these writes
    "child_huge_bytes": "Int64",
    "op_p50_ns": "Float64",  # of the single operations (messages, gaps, writes) of the round
    "op_p99_ns": "Float64",
    "op_max_ns": "Float64",  # the same for all values of a case and round
}

#: what rivals have in common that are compared over sizes: never NA
CONDITIONS = (
    "scenario", "page", "thp",
    *(name for name in OPTIONAL_FIELDS if name != "thp"),
)  # fmt: skip

#: these tell one case from another, also when frames of several results are put together
AXES = ("kernel", "virt", "run", *CONDITIONS, "size_bytes", "mechanism")

_PER_LOOP = frozenset((
    "minor_faults", "major_faults", "swap_in_bytes", "swap_out_bytes",
    "context_switches", "preemptions", "steal_ns", "swap_device_read_bytes",
    "swap_device_written_bytes", "call_swap_in_bytes", "call_swap_out_bytes", "use_swap_in_bytes",
    "use_swap_out_bytes", "cycles", "tlb_misses", "rewrite_faults",
    "tlb_shootdowns",
))  # fmt: skip
_STATES = frozenset((
    "page_table_bytes", "peak_bytes", "peak_how", "rss_bytes", "pss_bytes", "anon_huge_bytes",
    "child_read_bytes", "child_written_bytes", "child_private_bytes", "source_huge_bytes",
    "child_huge_bytes",
))  # fmt: skip
_BACKING = ("src_backed_pct", "dst_backed_pct", "moved_bytes")


def tidy(result: Result) -> pd.DataFrame:
    """Return every value of a result, and one row for each case (and round) that has none.

    The columns are those of COLUMNS. Rows of a case without values have its axes, outcome and
    reason, and ``total`` as their phase. The values of a failed case are left out.
    """
    machine = {name: result.header.get(name) for name in ("kernel", "virt", "thp")}
    counted = result.header.get("clock") == "instructions"
    machine |= {"clock": result.header.get("clock", "raw"), "run": result.run}
    machine |= _of_machine(result)
    single = {} if counted else latency.of_cases(result)
    columns = _Columns()
    for record in result.records:
        if record["kind"] in ("skipped", "case"):
            operations = single.get((record["case"], record.get("round", 0)), {})
            columns.add(record, machine, "instructions" if counted else "time_ns", operations)
    return columns.frame()


def timed(frame: pd.DataFrame, mechanisms: Iterable[str]) -> list[str]:
    """Return those of ``mechanisms`` that have a time in the frame."""
    found = set(frame.loc[frame["time_ns"].notna(), "mechanism"].unique())
    return [name for name in mechanisms if name in found]


class _Columns:
    """The columns of a frame, as long as what they tell apart: cases, records or rows.

    A result of 2,000 cases in 30 rounds has 180,000 rows. Most columns are the same for all rows of
    a case or a record, and most others exist on a record's rows of ``total`` only: filling each
    column row by row takes four times as long.
    """

    def __init__(self) -> None:
        self._cases: dict[str, tuple[int, Case]] = {}
        self._of_cases: dict[str, list[Any]] = defaultdict(list)
        self._of_records: dict[str, list[Any]] = defaultdict(list)
        #: column -> the rows that have a value, and these values
        self._of_rows: dict[str, tuple[list[int], list[Any]]] = defaultdict(lambda: ([], []))
        self._case_of: list[int] = []  # of each record
        self._rows_of: list[int] = []
        self._phases: list[str] = []  # of each row

    def add(
        self, record: Record, machine: Mapping[str, Any], unit: str, operations: dict[str, float]
    ) -> None:
        """Add the rows of a record, whose times are in the column ``unit``."""
        name = record["case"]
        if name not in self._cases:
            self._cases[name] = len(self._cases), Case.parse(name)
            for column, one in _case_columns(name, self._cases[name][1], machine).items():
                self._of_cases[column].append(one)
        number, case = self._cases[name]
        outcome, reason = _outcome(record)
        for column, one in _record_columns(record, outcome, reason).items():
            self._of_records[column].append(one)
        before = len(self._phases)
        if outcome == "ok":
            self._add_values(record, case.phases, unit, operations)
        else:
            self._phases.append("total")
        self._case_of.append(number)
        self._rows_of.append(len(self._phases) - before)

    def _add_values(
        self, record: Record, phases: Sequence[str], unit: str, operations: dict[str, float]
    ) -> None:
        loops = record["loops"]
        proof = record.get("proof") or {}
        states = {name: one for name, one in proof.items() if name in _STATES and one is not None}
        places, times = self._of_rows[unit]
        marks, indices = self._of_rows["disturbed"], self._of_rows["value_index"]
        for index, value in enumerate(record["values"]):
            mark = disturbed(value)
            for phase in phases:
                time = value["time_ns"].get(phase)
                if time is None:
                    continue
                place = len(self._phases)
                self._phases.append(phase)
                for (rows, column), one in ((marks, mark), (indices, index)):
                    rows.append(place)
                    column.append(one)
                places.append(place)
                times.append(time / loops)
                if phase == "total":
                    self._put(place, states | _counters(value, loops) | operations)

    def _put(self, place: int, row: Mapping[str, Any]) -> None:
        for name, one in row.items():
            places, column = self._of_rows[name]
            places.append(place)
            column.append(one)

    def frame(self) -> pd.DataFrame:
        """Return the columns with their types, and the levels of ordered ones in their order."""
        orders = _orders(self._of_cases)
        record_of = np.repeat(np.arange(len(self._rows_of)), self._rows_of)
        case_of = np.array(self._case_of, dtype=np.int64)[record_of]
        rows = range(len(record_of))
        columns: dict[str, Any] = {}
        for name, dtype in COLUMNS.items():
            kind = pd.CategoricalDtype(orders[name], ordered=True) if name in orders else dtype
            if name in self._of_cases:
                columns[name] = _spread(self._of_cases[name], kind, case_of)
            elif name in self._of_records:
                columns[name] = _spread(self._of_records[name], kind, record_of)
            elif name == "phase":
                columns[name] = pd.Series(self._phases, dtype=pandas_dtype(kind))
            else:
                places, values = self._of_rows.get(name, ([], []))
                columns[name] = pd.Series(values, places, dtype=pandas_dtype(kind)).reindex(rows)
        return pd.DataFrame(columns, columns=list(COLUMNS))


def _spread(values: list[Any], kind: Any, places: npt.NDArray[np.int64]) -> pd.Series:
    """Return the values at these places as a column."""
    return pd.Series(values, dtype=pandas_dtype(kind)).take(places).reset_index(drop=True)


def _of_machine(result: Result) -> dict[str, Any]:
    """Return the conditions of the machine that are a column of every row."""
    conditions = result.machine.get("conditions")
    found = {
        name: _known(_known(conditions, dict, {}).get(name), dict, {})
        for name in ("cpus", "clocksource")
    }
    return {
        "placement": _known(found["cpus"].get("placement"), str, "") or levels.UNKNOWN,
        "clocksource": _known(found["clocksource"].get("now"), str, None),
        "cpu_model": _known(machine_facts(result).get("cpu_model"), str, None),
    }


def _known(value: Any, kind: type, otherwise: Any) -> Any:
    """Return a value of machine.json, which anybody may have written, if it is of its kind."""
    return value if isinstance(value, kind) else otherwise


def write_csv(frame: pd.DataFrame, target: Path | str | IO[str]) -> None:
    """Write all rows; a file is complete or not there at all. Raises MachineError."""
    if isinstance(target, Path | str):
        with replacing(target) as unfinished:
            frame.to_csv(unfinished, index=False, lineterminator="\n")
    else:
        frame.to_csv(target, index=False, lineterminator="\n")


def _case_columns(name: str, case: Case, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that are the same in all rows of a case."""
    return {
        **machine,
        "case_id": name,
        "mechanism": case.mechanism,
        "scenario": case.scenario,
        "page": case.page,
        "size_bytes": case.size_bytes,
        **{field: getattr(case, field) for field in OPTIONAL_FIELDS},
        "thp": case.thp or machine["thp"],
        "placement": case.placement or machine["placement"],
    }


def _record_columns(record: Record, outcome: str, reason: str | None) -> dict[str, Any]:
    """Return the columns that are the same in all rows of a record."""
    proof = record.get("proof") or {}
    return {
        "process": record.get("round"),
        "boot": record.get("boot"),
        "loops": record["loops"] if outcome == "ok" else None,
        "outcome": outcome,
        "reason": reason,
        **{name: proof.get(name) for name in _BACKING},
        "lock_wait_ns": record.get("lock_wait", {}).get("wait_ns"),
    }


def _outcome(record: Record) -> tuple[str, str | None]:
    outcome = record.get("outcome", "skipped")
    if outcome == "ok":
        return ("ok", None) if record["values"] else ("failed", "no value was stored")
    return outcome, record.get("reason", "no reason was given")


def _counters(value: Record, loops: int) -> dict[str, Any]:
    """Return the columns of a value that its row of ``total`` has alone."""
    row: dict[str, Any] = {}
    for name, one in value.items():
        if one is None:
            continue
        if name in _PER_LOOP:
            row[name] = one / loops
        elif name in _STATES:
            row[name] = one
    return row | _of_receivers(value, loops) | _of_writer(value, loops)


def _of_receivers(value: Record, loops: int) -> dict[str, float]:
    times_ns = value.get("receiver_ns")
    if not times_ns:
        return {}
    return {
        "fastest_receiver_ns": min(times_ns) / loops,
        "slowest_receiver_ns": max(times_ns) / loops,
    }


def _of_writer(value: Record, loops: int) -> dict[str, float]:
    """Return the columns of the writing source of a snapshot, beyond its own plain writes."""
    if not value.get("plain_writes"):
        return {}
    plain_ns = value["writes"] * value["plain_write_ns"] / value["plain_writes"]
    found = {
        "writes": value["writes"] / loops,
        "writer_faults": value["writer_faults"] / loops,
        "cow_ns": (value["write_ns"] - plain_ns) / loops,
        "stall_ns": float(value["stall_ns"]),
    }
    if "stopped_ns" in value:
        found["stopped_ns"] = value["stopped_ns"] / loops
    if value["checked_pages"]:
        found["torn_pct"] = 100 * value["torn_pages"] / value["checked_pages"]
    return found


def _orders(of_cases: Mapping[str, list[Any]]) -> dict[str, list[str]]:
    """Return the levels of each ordered category."""
    return {
        "mechanism": levels.with_strangers(levels.MECHANISMS, of_cases.get("mechanism", ())),
        "scenario": levels.with_strangers(levels.SCENARIOS, of_cases.get("scenario", ())),
        "phase": list(levels.PHASES),
        "page": levels.page_order(of_cases.get("page", ())),
        "touch_mode": list(levels.TOUCH_MODES),
        "touch_order": list(levels.TOUCH_ORDERS),
        "wait": list(levels.WAITS),
        "source": list(levels.SOURCES),
        "buffer": list(levels.BUFFERS),
        "placement": list(levels.PLACEMENTS),
        "outcome": list(levels.OUTCOMES),
    }
