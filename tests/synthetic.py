# SPDX-License-Identifier: GPL-2.0-only
"""A plausible run, made from a small cost model instead of a measurement.

An operation costs ``fixed + pages * per_page + bytes * per_byte`` nanoseconds, times a factor of
the round (what the processes of a round have in common), one of the case in the round, and one
of the value.
"""

import gzip
import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vmabench.matrix.case import Case
from vmabench.store.format import FORMAT_VERSION, MACHINE, PLAN, SAMPLES, Record, Result

SIZES = tuple(4096 * 4**step for step in range(9))
HUGE_SIZES = (2 << 20, *(size for size in SIZES if size > 2 << 20))
MECHANISMS = ("fork", "readv", "writev", "memfd", "memfd-inplace", "shm", "memcpy", "null")

#: mechanism -> nanoseconds (fixed, a page, a byte)
COSTS = {
    "clone": (2_000.0, 8.0, 0.0),
    "fork": (30_000.0, 12.0, 0.0),
    "readv": (900.0, 90.0, 0.11),
    "writev": (1_000.0, 95.0, 0.11),
    "memfd": (20.0, 0.0, 0.12),
    "memfd-inplace": (15.0, 0.0, 0.05),
    "shm": (20.0, 0.0, 0.125),
    "mremap": (800.0, 0.1, 0.0),
    "memcpy": (15.0, 0.0, 0.10),
    "null": (2.0, 0.0, 0.0),
}


def _other_costs(mechanism: str) -> tuple[float, float, float]:
    """Of a mechanism without a model of its own: the same each time, between copies and clones."""
    random_ = random.Random(mechanism)
    return random_.uniform(10, 3_000), random_.uniform(0, 100), random_.uniform(0.02, 0.3)


HEADER: Record = {
    "kind": "header",
    "format": FORMAT_VERSION,
    "run": "0" * 32,
    "vmabench": "0.1.0",
    "kernel": "6.12.0-test",
    "virt": "none",
    "thp": "madvise",
    "clock": "raw",
    "plan": "quick",
    "seed": 1,
    "started": "2025-06-01T12:00:00+00:00",
    "source_cpu": 0,
    "receiver_cpu": 1,
}
FACTS = {
    "cpu_model": "Example CPU 9000 @ 3.00GHz",
    "cpus": [0, 1],
    "memory_bytes": 16 << 30,
    "arch": "x86_64",
}


def cases(
    mechanisms: Sequence[str] = MECHANISMS,
    scenarios: Sequence[str] = ("transfer", "deliver"),
    touches: Sequence[tuple[str, int]] = (("read", 100), ("write", 100)),
) -> list[Case]:
    made = []
    for mechanism in mechanisms:
        for page, sizes in (("4K", SIZES), ("2M", HUGE_SIZES)):
            if "transfer" in scenarios:
                made += [Case(mechanism, "transfer", page, size) for size in sizes]
            if "deliver" in scenarios:
                made += [
                    Case(mechanism, "deliver", page, size, mode, pct)
                    for size in sizes[::2]
                    for mode, pct in touches
                ]
    return made


def cost_ns(case: Case) -> dict[str, float]:
    """Nanoseconds of each phase of one operation."""
    phases = _cost_to_receiver_ns(case)
    if case.source == "idle":
        return phases
    shares = case.mechanism in ("fork", "clone")
    writing = case.size_bytes / case.page_bytes * (400.0 if shares else 10.0)
    return phases | {"source-rewrite": writing, "system": phases["total"] + writing}


def _cost_to_receiver_ns(case: Case) -> dict[str, float]:
    fixed, per_page, per_byte = COSTS.get(case.mechanism, _other_costs(case.mechanism))
    pages = case.size_bytes / case.page_bytes
    whole = fixed + pages * per_page + case.size_bytes * per_byte
    if case.scenario in ("transfer", "scatter"):
        return {"total": whole * case.segments}
    shares = case.mechanism in ("fork", "clone", "memfd-inplace")
    base_pages = case.size_bytes / 4096
    used = case.touch_pct / 100 * base_pages
    touch = used * (500.0 if case.touch_mode == "write" and shares else 40.0)
    phases = {
        "attach": whole if shares else 3_000.0 + 5 * pages,
        "transfer": 0.0 if shares else whole + 250 * pages,
        "touch": touch,
        "release": 1_500.0 + 20 * pages,
    }
    return phases | {"total": sum(phases.values())}


def case_record(
    case: Case,
    round_number: int,
    order: int,
    *,
    of_round: float,
    noise: float,
    values: int,
    random_: random.Random,
) -> Record:
    phases = cost_ns(case)
    loops = max(1, round(2e6 / phases["total"]))
    of_case = of_round * random_.lognormvariate(0, noise)
    huge = 100.0 if case.page == "2M" else 0.0
    made = []
    for index in range(values):
        factor = of_case * random_.lognormvariate(0, noise / 3)
        made.append(
            {
                "time_ns": {name: round(value * loops * factor) for name, value in phases.items()},
                "minor_faults": loops * (case.size_bytes // case.page_bytes),
                "major_faults": 0,
                "at_ns": (round_number * 10_000 + order * 10 + index) * 1_000_000,
            }
        )
    proof = {"src_backed_pct": huge, "dst_backed_pct": huge, "page_table_bytes": 65536}
    return {
        "kind": "case", "round": round_number, "order": order, "case": str(case),
        "outcome": "ok", "loops": loops, "values": made, "proof": proof,
    }  # fmt: skip


def records(
    made_cases: Iterable[Case] | None = None,
    *,
    rounds: int = 6,
    values: int = 3,
    noise: float = 0.03,
    round_noise: float = 0.02,
    seed: int = 1,
) -> list[Record]:
    """A finished run; ``clone`` is skipped, as on every stock kernel."""
    random_ = random.Random(seed)
    all_cases = list(cases() if made_cases is None else made_cases)
    clone = Case("clone", "transfer", "4K", 4096)
    skipped = {"kind": "skipped", "case": str(clone), "reason": "the kernel has no clone (ENOSYS)"}
    contents = repr((rounds, values, noise, round_noise, seed, [str(one) for one in all_cases]))
    run = hashlib.sha256(contents.encode()).hexdigest()[:32]
    made = [HEADER | {"run": run}, skipped]
    for number in range(1, rounds + 1):
        of_round = random_.lognormvariate(0, round_noise)
        order = random_.sample(all_cases, len(all_cases))
        made += [
            case_record(
                case,
                number,
                place,
                of_round=of_round,
                noise=noise,
                values=values,
                random_=random_,
            )
            for place, case in enumerate(order)
        ]
        made.append(round_record(number))
    end = {"kind": "end", "status": "done", "rounds": rounds, "wall_ns": rounds * 10**10}
    return [*made, end | {"timed_ns": rounds * 4 * 10**9, "peak_rss_bytes": 100 << 20}]


def in_boots(made_records: Iterable[Record], numbers: Sequence[int]) -> list[Record]:
    """The records with each round in a boot of its own, which have these numbers."""
    made: list[Record] = []
    for record in made_records:
        if not record.get("round"):
            made.append(record)
            continue
        boot = numbers[record["round"] - 1]
        made.append(record | {"boot": boot})
        if record["kind"] == "round":
            made.append({"kind": "boot", "boot": boot, "status": "done", "rounds": 1})
    return made


def round_record(number: int) -> Record:
    return {
        "kind": "round", "round": number, "complete": True, "wall_ns": 10**10,
        "timed_ns": 4 * 10**9, "ready_ns": 10**8, "workers": 1,
    }  # fmt: skip


def result(made_records: list[Record] | None = None, **kwargs: Any) -> Result:
    made = records(**kwargs) if made_records is None else made_records
    return Result(
        directory="results/example",
        machine={"facts": FACTS},
        plan={"name": "quick"},
        header=made[0],
        records=made,
        complete=made[-1]["kind"] == "end",
    )


def write(directory: Path, made_records: list[Record]) -> Path:
    """The records as a result directory, with a gzip member for each round."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MACHINE).write_text(json.dumps({"facts": FACTS}))
    (directory / PLAN).write_text('name = "quick"\n')
    with (directory / SAMPLES).open("wb") as file:
        lines: list[str] = []
        for record in made_records:
            lines.append(json.dumps(record) + "\n")
            if record["kind"] in ("round", "end"):
                file.write(gzip.compress("".join(lines).encode()))
                lines = []
        if lines:
            file.write(gzip.compress("".join(lines).encode()))
    return directory
