# SPDX-License-Identifier: GPL-2.0-only
"""From a result directory to a Result: every record up to the first damage."""

import gc
import hashlib
import json
import math
import tomllib
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vmabench.errors import FormatError, UsageError
from vmabench.matrix.case import name_without_doubles
from vmabench.store.format import (
    FORMAT_VERSION,
    FUNCTIONS,
    LATENCY,
    MACHINE,
    PLAN,
    SAMPLES,
    Record,
    Result,
)

#: what a record of each kind can't do without; kinds that are not named here are kept as read
_REQUIRED: dict[str, tuple[str, ...]] = {
    "header": ("format", "kernel"),
    "skipped": ("case", "reason"),
    "case": ("round", "case", "outcome"),
    "round": ("round", "complete"),
    "end": ("status",),
    "boot": ("boot", "status"),
    "functions": ("case", "round", "phase", "counts"),
    "latency": ("case", "round", "count", "max_ns", "buckets"),
}


def read(directory: Path | str) -> Result:
    """Return the result in ``directory``.

    Damaged parts are left out and named in ``damage``; numbers that can be read are never
    refused for it. Raises UsageError where there is no result directory or the system refuses to
    read it, and FormatError where no record can be read or a newer version wrote them.
    """
    try:
        with _no_collection():
            return _read(Path(directory))
    except OSError as error:
        raise UsageError(f"can't read {error.filename or directory}: {error.strerror}") from error


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector: parsed JSON has no cycles, and each pass walks all of it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read(base: Path) -> Result:
    if not base.is_dir():
        link = f" (a link to {base.readlink()})" if base.is_symlink() else ""
        raise UsageError(
            f"{base} is no directory{link}: give a result directory, as results/latest"
        )
    samples = base / SAMPLES
    if not samples.is_file():
        raise UsageError(f"{base} is no result directory: there is no {SAMPLES} in it")
    records, damage = _read_records(samples)
    _check_header(samples, records[0])
    # Formats before 5 have no run id. The bytes of the samples tell such a run from any other.
    if "run" not in records[0]:
        records[0]["run"] = hashlib.sha256(samples.read_bytes()).hexdigest()[:32]
    latencies, no_latencies = _read_more(base / LATENCY)
    functions, no_functions = _read_more(base / FUNCTIONS)
    machine, no_machine = _read_beside(base / MACHINE, json.loads)
    plan, no_plan = _read_beside(base / PLAN, tomllib.loads)
    last = records[-1]
    return Result(
        directory=str(base),
        machine=machine,
        plan=plan,
        header=records[0],
        records=records,
        complete=not damage and last["kind"] == "end" and last["status"] == "done",
        damage="; ".join(filter(None, (damage, no_latencies, no_functions, no_machine, no_plan)))
        or None,
        latencies=latencies,
        functions=functions,
    )


def machine_facts(result: Result) -> dict[str, Any]:
    """The facts of machine.json, whether they stand under ``facts`` or at its top."""
    facts = result.machine.get("facts", result.machine)
    return facts if isinstance(facts, dict) else {}


def placement_of(result: Result) -> str:
    """Return how the CPUs of the run lie, by machine.placement; empty where it is unknown."""
    return str(_pinned(result).get("placement") or "")


def nodes_of(result: Result) -> tuple[int, ...]:
    """Return the NUMA nodes of source and receiver; empty where they are unknown."""
    pinned = _pinned(result)
    nodes = (pinned.get("source_node"), pinned.get("receiver_node"))
    return tuple(node for node in nodes if type(node) is int) if None not in nodes else ()


def _pinned(result: Result) -> dict[str, Any]:
    conditions = result.machine.get("conditions")
    cpus = conditions.get("cpus") if isinstance(conditions, dict) else None
    return cpus if isinstance(cpus, dict) else {}


def refuse_injected(result: Result) -> None:
    """Raises UsageError for a run into which a delay was put on purpose."""
    injected = result.header.get("injected")
    if injected:
        raise UsageError(
            f"{result.directory} is a test of this tool: a delay was injected ({injected}),"
            " and nothing is reported of it"
        )


def _read_more(path: Path) -> tuple[list[Record], str | None]:
    """The records of a file that not every result has."""
    if not path.is_file():
        return [], None
    try:
        return _read_records(path)
    except FormatError as error:  # the samples are no worse for it
        return [], str(error)
    except OSError as error:
        return [], f"{path.name} can't be read: {error.strerror}"


def _read_records(path: Path) -> tuple[list[Record], str | None]:
    """The records, at least one, and where the file is damaged."""
    data, broken = _decompress(path.read_bytes())
    records: list[Record] = []
    lines = data.split(b"\n")
    unended = lines.pop()
    damage = None
    for number, line in enumerate(lines, start=1):
        record, fault = _parse(line)
        if record is None:
            damage = f"{path.name} is damaged at line {number} ({fault}): the rest is left out"
            break
        records.append(record)
    if not records:
        fault = damage or broken or "it is empty"
        raise FormatError(f"{path} holds no result: {fault}")
    if not damage and (broken or unended):
        fault = broken or "it does not end"
        damage = f"{path.name} is damaged after line {len(records)} ({fault}): the rest is left out"
    return records, damage


def _decompress(data: bytes) -> tuple[bytes, str | None]:
    """Return the contents of all gzip members, and the fault of a damaged one.

    Of a truncated member its beginning is returned. Of one with a wrong checksum nothing is:
    a changed digit would be read as a number.
    """
    parts: list[bytes] = []
    while data:
        stream = zlib.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(data))
        except zlib.error as error:
            return b"".join(parts), f"bad gzip data: {error}"
        if not stream.eof:
            return b"".join(parts), "it was cut off"
        data = stream.unused_data
    return b"".join(parts), None


def _parse(line: bytes) -> tuple[Record | None, str]:
    """The record of a line, or None and what is wrong with it."""
    try:
        record = json.loads(line)
    except ValueError:
        return None, "no JSON"
    except RecursionError:
        return None, "JSON nested too deeply"
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        return None, "no record"
    for key in _REQUIRED.get(record["kind"], ()):
        if key not in record:
            return None, f"a {record['kind']} without {key}"
    if isinstance(record.get("case"), str):
        record["case"] = name_without_doubles(record["case"])
    if record["kind"] == "case" and record["outcome"] == "ok":
        fault = _fault_of_values(record)
        if fault:
            return None, fault
    return record, ""


def _fault_of_values(record: Record) -> str:
    """What is wrong with the numbers of an ok case: a file may have been edited by hand."""
    if not {"loops", "values"} <= record.keys():
        return "an ok case without values"
    loops, values = record["loops"], record["values"]
    if not isinstance(loops, int) or loops < 1 or not isinstance(values, list):
        return "an ok case without operations"
    for value in values:
        times = value.get("time_ns") if isinstance(value, dict) else None
        if not isinstance(times, dict):
            return "a value without a time"
        for phase, time_ns in times.items():
            if isinstance(time_ns, bool) or not isinstance(time_ns, int | float):
                return f"{phase} is {time_ns!r}, no number"
            if not (math.isfinite(time_ns) and time_ns >= 0):
                return f"{phase} is {time_ns} ns, no time"
    return ""


def _check_header(path: Path, header: Record) -> None:
    version = header.get("format")
    if header["kind"] != "header" or not isinstance(version, int):
        raise FormatError(f"{path} holds no result of vmabench: its first line is no header")
    if version > FORMAT_VERSION:
        raise FormatError(
            f"{path} has format {version}, and this version of vmabench reads up to"
            f" {FORMAT_VERSION}: use the newer version that wrote it"
        )


def _read_beside(
    path: Path, loads: Callable[[str], dict[str, Any]]
) -> tuple[dict[str, Any], str | None]:
    """What a file beside the samples says; empty, and the reason, where it can't be read."""
    try:
        contents = loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, f"{path.name} is missing"
    except OSError as error:
        return {}, f"{path.name} can't be read: {error.strerror}"
    except (ValueError, RecursionError):
        return {}, f"{path.name} can't be read"
    return (contents, None) if isinstance(contents, dict) else ({}, f"{path.name} holds no object")
