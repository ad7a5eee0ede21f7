# SPDX-License-Identifier: GPL-2.0-only
"""The programs of the audit and their guests, as kernel/audit/audit.toml lists them."""

import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

from vmabench.errors import UsageError
from vmabench.guest.qemu import Machine
from vmabench.units import parse_size


@dataclass(frozen=True)
class Program:
    """One program of the audit; audit.toml explains the fields."""

    name: str
    questions: tuple[str, ...]
    origin: str = "audit"
    machine: str = "standard"
    arguments: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    limit_s: float = 300.0
    short: bool = True
    seeded: bool = False
    minutes: float = 0.0
    short_s: float = 30.0

    def command(self, path: Path, seed: int, stress_s: float) -> list[str]:
        """Return the command line in the guest."""
        interpreter = [sys.executable] if path.suffix == ".py" else []
        line = [*interpreter, str(path), *self.arguments]
        if self.seeded:
            line += ["--seed", str(seed)]
        if self.minutes:
            line += ["--seconds", f"{stress_s:.0f}"]
        return line


@dataclass(frozen=True)
class Plan:
    """All programs in order, and the machines that they refer to."""

    programs: tuple[Program, ...]
    machines: dict[str, Machine]

    def stress_s(self, program: Program, minutes: float | None) -> float:
        """Return the length of a stress run: a share of ``minutes``, or short_s for None."""
        return program.short_s if minutes is None else program.minutes * minutes * 60

    def chosen(self, names: Sequence[str], short: bool) -> tuple[Program, ...]:
        """Return the named programs, or all (of the short form); raise UsageError for others."""
        known = [program.name for program in self.programs]
        for name in names:
            if name not in known:
                raise UsageError(f"no program {name!r} in the audit: there are {', '.join(known)}")
        if names:
            return tuple(p for p in self.programs if p.name in names)
        return tuple(p for p in self.programs if p.short or not short)


def load(path: Path) -> Plan:
    """Read audit.toml; raise UsageError for a mistake in it."""
    try:
        text = tomllib.loads(path.read_text())
        machines = {name: _machine(table) for name, table in text["machine"].items()}
        programs = tuple(_program(table) for table in text["program"])
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UsageError(f"{path.name}: {error}") from error
    for program in programs:
        if program.machine not in machines:
            raise UsageError(f"{path.name}: {program.name} wants a machine {program.machine!r}")
    return Plan(programs, machines)


def guests(programs: Sequence[Program]) -> Iterator[tuple[str, list[Program]]]:
    """Group consecutive programs of the same machine: they share a guest."""
    for name, group in groupby(programs, key=lambda program: program.machine):
        yield name, list(group)


def _machine(table: dict[str, Any]) -> Machine:
    return Machine(
        memory=parse_size(table.get("memory", "2G")),
        cpus=table.get("cpus", 2),
        cmdline=table.get("cmdline", ""),
        swap=table.get("swap", ""),
        swap_bytes=parse_size(table.get("swap_size", "1G")),
    )


def _program(table: dict[str, Any]) -> Program:
    values: dict[str, Any] = {
        ("origin" if key == "from" else key): value for key, value in table.items()
    }
    unknown = set(values) - {field.name for field in fields(Program)}
    if unknown:
        raise TypeError(f"{table.get('name')}: no field {', '.join(sorted(unknown))}")
    for key in {"questions", "arguments", "uses"} & set(values):
        values[key] = tuple(values[key])
    return Program(**values)
