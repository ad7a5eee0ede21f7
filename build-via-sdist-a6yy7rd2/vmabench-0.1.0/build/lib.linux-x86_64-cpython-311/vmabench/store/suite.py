# SPDX-License-Identifier: GPL-2.0-only
"""The values of a result as a pyperf suite, which ``pyperf stats`` and ``compare_to`` read.

One Benchmark is one phase of one case, one Run is one round (a process), a value is the seconds
of one operation, or by the instruction clock its instructions. Axes, counters and facts are
metadata of a Run: flat keys, scalars, each chosen here, so that no host name, user or path can get
in. pyperf collects nothing of its own: it would describe the process that writes the file.
"""

import contextlib
import gzip
import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyperf

from vmabench.atomic import replacing
from vmabench.errors import UsageError
from vmabench.matrix.case import Case
from vmabench.store.format import Record, Result
from vmabench.store.reader import machine_facts

Scalar = str | int | float

#: header keys that are stored as they are, under the name on the right
_HEADER_KEYS = {
    "kernel": "kernel",
    "virt": "virt",
    "thp": "thp",
    "clock": "clock",
    "plan": "plan",
    "seed": "seed",
    "vmabench": "vmabench_version",
    "source_cpu": "source_cpu",
    "receiver_cpu": "receiver_cpu",
}


def build_suite(result: Result, *, by_mechanism: str | None = None) -> pyperf.BenchmarkSuite:
    """Everything that was measured, or what one mechanism did.

    A benchmark is named by its case, with ``/phase:attach`` after it for a phase that is not
    the whole. With ``by_mechanism`` the mechanism is left out of the names, so that
    ``pyperf compare_to`` sets the suites of two mechanisms against each other. A phase with a
    value of 0, such as the transfer of what is used in place, is left out: pyperf knows values
    above 0 only. Raises UsageError where nothing is left.
    """
    common = _common_metadata(result)
    counted = result.header.get("clock") == "instructions"
    start_ns = min(
        (ns for record in result.of_kind("case") for ns in _starts_ns(record)), default=0
    )
    runs: dict[tuple[Case, str], list[pyperf.Run]] = {}
    excluded: set[tuple[Case, str]] = set()
    for record in result.of_kind("case"):
        case = Case.parse(record["case"])
        if record["outcome"] != "ok" or by_mechanism not in (None, case.mechanism):
            continue
        metadata = common | _date(result, record, start_ns) | _case_metadata(case, record)
        for phase in case.phases:
            name = _benchmark_name(case, phase, with_mechanism=by_mechanism is None)
            values = _values(record, phase, counted=counted)
            if values is None:
                excluded.add((case, phase))
            elif values:
                extra: dict[str, Scalar] = {"name": name, "case_phase": phase}
                extra |= _counters(record) if phase == "total" else {}
                run = pyperf.Run(values, metadata=metadata | extra, collect_metadata=False)
                runs.setdefault((case, phase), []).append(run)
    benchmarks = [pyperf.Benchmark(runs[key]) for key in sorted(runs.keys() - excluded)]
    if not benchmarks:
        raise UsageError(
            f"{result.directory} holds no values{_of(by_mechanism)}: nothing to export"
        )
    return pyperf.BenchmarkSuite(benchmarks)


def mechanisms_with_values(result: Result) -> list[str]:
    """The mechanisms for which ``build_suite(..., by_mechanism=...)`` has something to give."""
    ok = (record["case"] for record in result.of_kind("case") if record["outcome"] == "ok")
    return sorted({Case.parse(name).mechanism for name in ok})


def write_suite(suite: pyperf.BenchmarkSuite, path: Path | str) -> None:
    """Write a ``.json.gz`` file, complete or not at all; the same suite gives the same bytes."""
    text = io.StringIO()
    suite.dump(text)
    with replacing(path) as unfinished:
        unfinished.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def _benchmark_name(case: Case, phase: str, *, with_mechanism: bool) -> str:
    name = str(case) if with_mechanism else str(case).removeprefix(f"{case.mechanism}/")
    return name if phase == "total" else f"{name}/phase:{phase}"


def _of(mechanism: str | None) -> str:
    return f" of {mechanism}" if mechanism else ""


def _values(record: Record, phase: str, *, counted: bool) -> tuple[float, ...] | None:
    """Seconds or instructions of one operation; None where pyperf would refuse one of them."""
    times_ns = [value["time_ns"].get(phase, 0) for value in record["values"]]
    if any(time_ns <= 0 for time_ns in times_ns):
        return None
    if counted:
        return tuple(max(1, round(count / record["loops"])) for count in times_ns)
    return tuple(time_ns / record["loops"] / 1e9 for time_ns in times_ns)


def _common_metadata(result: Result) -> dict[str, Scalar]:
    facts = machine_facts(result)
    cpus = facts.get("cpus")
    metadata = {name: result.header.get(key) for key, name in _HEADER_KEYS.items()}
    metadata["cpu_model_name"] = facts.get("cpu_model")
    metadata["cpu_count"] = len(cpus) if isinstance(cpus, list | tuple) else None
    metadata["platform"] = "-".join(
        str(part) for part in ("Linux", result.header.get("kernel"), facts.get("arch")) if part
    )
    counted = result.header.get("clock") == "instructions"
    return {"unit": "integer" if counted else "second"} | _scalars(metadata)


def _case_metadata(case: Case, record: Record) -> dict[str, Scalar]:
    proof = record.get("proof") or {}
    metadata: dict[str, Scalar] = {
        "loops": int(record["loops"]),
        "case_mechanism": case.mechanism,
        "case_scenario": case.scenario,
        "case_page": case.page,
        "case_size_bytes": case.size_bytes,
        "case_touch_mode": case.touch_mode,
        "case_touch_pct": case.touch_pct,
        "round": int(record["round"]),
    }
    return metadata | _scalars({f"mm_{name}": value for name, value in proof.items()})


def _counters(record: Record) -> dict[str, Scalar]:
    """Counts of one operation, the mean over the values of the round; absent if not counted."""
    names = {name for value in record["values"] for name in value} - {"time_ns", "at_ns"}
    counts: dict[str, Any] = {}
    for name in names:
        counted = [value[name] for value in record["values"] if value.get(name) is not None]
        if counted and all(isinstance(count, int | float) for count in counted):
            counts[f"mm_{name}"] = sum(counted) / len(counted) / record["loops"]
    return _scalars(counts)


def _date(result: Result, record: Record, start_ns: int) -> dict[str, Scalar]:
    """When the record's first value was taken, counted from the start of the run.

    The clock of the values has no date, so the first value is set to the start of the run: a
    difference of the seconds that the run took to begin.
    """
    starts_ns = _starts_ns(record)
    with contextlib.suppress(KeyError, TypeError, ValueError):
        started = datetime.fromisoformat(result.header["started"])
        if starts_ns:
            started += timedelta(microseconds=(min(starts_ns) - start_ns) // 1000)
        return {"date": started.isoformat(" ", "microseconds")}
    return {}


def _starts_ns(record: Record) -> list[int]:
    return [value["at_ns"] for value in record.get("values", ()) if "at_ns" in value]


def _scalars(metadata: dict[str, Any]) -> dict[str, Scalar]:
    """What pyperf takes: numbers, and text on one line; what is empty or unknown is absent."""
    taken: dict[str, Scalar] = {}
    for name, value in metadata.items():
        scalar = " ".join(value.split()) if isinstance(value, str) else value
        if isinstance(scalar, str | int | float) and scalar != "":
            taken[name] = scalar
    return taken
