# SPDX-License-Identifier: GPL-2.0-only
"""Where the CPUs of source and receiver lie, by sysfs, and which pair of them a run takes."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations_with_replacement
from pathlib import Path

from vmabench.errors import UsageError
from vmabench.machine.facts import read_text

#: one CPU for both; two of one core; of one last-level cache; of one socket and NUMA node; of two
PLACEMENTS = ("one-cpu", "smt", "llc", "socket", "far")

#: the order in which a pair is chosen for a run that asks for none
_PREFERRED = ("llc", "socket", "far", "smt", "one-cpu")

_CPUS = "sys/devices/system/cpu"
_NODES = "sys/devices/system/node"

Cpus = tuple[int, int]


def placement_of(source: int, receiver: int, root: Path = Path("/")) -> str | None:
    """Return one of PLACEMENTS; None where sysfs does not tell."""
    return _Topology(root, (source, receiver)).placement(source, receiver)


def choose_cpus(cpus: Sequence[int], root: Path = Path("/")) -> Cpus:
    """Return the CPUs of source and receiver of a run that asks for none.

    Two cores of one last-level cache if there are any, and not CPU 0, which takes more interrupts
    than others, if there is such a pair without it.
    """
    found = pairs_of(cpus, root)
    chosen = next((found[name] for name in _PREFERRED if name in found), None)
    unknown = cpus[0], cpus[min(1, len(cpus) - 1)]
    return chosen if chosen and (len(cpus) == 1 or chosen[0] != chosen[1]) else unknown


def pairs_of(cpus: Sequence[int], root: Path = Path("/")) -> dict[str, Cpus]:
    """Return the best pair of each placement that these CPUs have."""
    topology = _Topology(root, cpus)
    found: dict[str, Cpus] = {}
    for source, receiver in _candidates(cpus):
        placement = topology.placement(source, receiver)
        if placement:
            found.setdefault(placement, (source, receiver))
            if len(found) == len(PLACEMENTS):
                break
    return found


def why_not_placed(placement: str, cpus: Sequence[int], root: Path = Path("/")) -> str:
    """Return the reason for which no two of the CPUs lie so; empty if some do."""
    found = pairs_of(cpus, root)
    if placement in found:
        return ""
    there = ", ".join(name for name in PLACEMENTS if name in found)
    return f"no two of the {len(cpus)} CPUs are placed {placement}: there is {there}"


def parse_pin(text: str, cpus: Sequence[int], online: Collection[int] | None = None) -> Cpus:
    """Return the CPUs of ``--pin SRC,DST``; raise UsageError with the nearest valid pair.

    ``cpus`` are those that this process may use, ``online`` those of the machine.
    """
    match = re.fullmatch(r"(\d{1,5}),(\d{1,5})", text)
    if len(cpus) == 1:
        raise UsageError(f"--pin {text}: this process may use CPU {cpus[0]} alone: leave --pin out")
    near = ",".join(map(str, choose_cpus(cpus)))
    if not match:
        raise UsageError(f"--pin {text!r}: write it as SRC,DST, for example {near}")
    source, receiver = int(match[1]), int(match[2])
    for cpu in (source, receiver):
        if cpu not in cpus:
            nearest = min(cpus, key=lambda one: abs(one - cpu))
            why = f"CPU {cpu} is not in the cpuset of this process"
            if cpu not in (online or ()):
                why = f"there is no CPU {cpu} that is online"
            raise UsageError(
                f"--pin {text}: {why} (the nearest is {nearest}, for example --pin {near})"
            )
    if source == receiver:
        raise UsageError(
            f"--pin {text}: one CPU for both is asked for by --placement one-cpu (else for example"
            f" --pin {near})"
        )
    return source, receiver


def node_of(cpu: int, root: Path = Path("/")) -> int | None:
    """Return the NUMA node of a CPU; None where sysfs does not tell."""
    found = (root / _CPUS / f"cpu{cpu}").glob("node[0-9]*")
    return next((int(path.name.removeprefix("node")) for path in found), None)


def memory_nodes(cpus: Collection[int], root: Path = Path("/")) -> tuple[int, ...]:
    """Return the NUMA nodes of these CPUs, in order.

    Empty where one node has all memory, where a CPU's node has none, or where sysfs does not tell.
    """
    having = _cpu_list(_read(root / _NODES / "has_memory") or "")
    nodes = {-1 if node is None else node for node in (node_of(cpu, root) for cpu in cpus)}
    return tuple(sorted(nodes)) if len(having) > 1 and nodes <= having else ()


def online_cpus(root: Path = Path("/")) -> set[int]:
    return _cpu_list(_read(root / _CPUS / "online") or "")


def _candidates(cpus: Sequence[int]) -> Iterator[Cpus]:
    """All pairs, those without CPU 0 first."""
    others = sorted(cpu for cpu in cpus if cpu)
    yield from combinations_with_replacement(others, 2)
    if 0 in cpus:
        yield from ((0, cpu) for cpu in (0, *others))


class _Topology:
    """The CPUs that share something with each of ``cpus``, read once."""

    def __init__(self, root: Path, cpus: Sequence[int]) -> None:
        self._shared: Mapping[int, Sequence[tuple[str, set[int]]]] = {
            cpu: _shared_by(root / _CPUS, cpu) for cpu in cpus
        }

    def placement(self, one: int, other: int) -> str | None:
        if one == other:
            return "one-cpu"
        lists = self._shared[one]
        found = next((name for name, members in lists if other in members), None)
        return found or ("far" if lists[-1][1] else None)


def _shared_by(cpus: Path, cpu: int) -> list[tuple[str, set[int]]]:
    topology, caches = cpus / f"cpu{cpu}/topology", cpus / f"cpu{cpu}/cache"
    levels = {_read(path / "level"): path for path in caches.glob("index*")}
    last = levels[max(levels, key=str)] if levels else caches
    files = (
        ("smt", topology / "thread_siblings_list"),
        ("llc", last / "shared_cpu_list"),
        ("socket", topology / "core_siblings_list"),
    )
    shared = [(name, _cpu_list(_read(path) or "")) for name, path in files]
    own = (cpus / f"cpu{cpu}").glob("node*/cpulist")
    nodes = [_cpu_list(_read(path) or "") for path in own]
    return [(name, members.intersection(*nodes)) for name, members in shared]


def _cpu_list(text: str) -> set[int]:
    """Return the CPUs, or nodes, of a list as in sysfs: ``0-3,8``."""
    ranges = [part.split("-") for part in text.split(",") if part]
    return {cpu for ends in ranges for cpu in range(int(ends[0]), int(ends[-1]) + 1)}


def _read(path: Path) -> str | None:
    """Return the text of a file, or None where there is none or it may not be read."""
    try:
        return read_text(path)
    except (OSError, ValueError):
        return None
