# SPDX-License-Identifier: GPL-2.0-only
"""The settings under which a result was measured, for a reviewer; no rule depends on them.

None is unknown. The command line of the kernel is kept as a hash alone.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

from vmabench.machine.facts import THP, read_text
from vmabench.machine.placement import node_of, placement_of
from vmabench.units import format_size

#: clocksources that a process reads without a system call: x86, guests of KVM, arm64
FAST_CLOCKSOURCES = ("tsc", "kvm-clock", "arch_sys_counter")

_CLOCKSOURCE = "sys/devices/system/clocksource/clocksource0"
_CPUS = "sys/devices/system/cpu"

#: words of the kernel's command line without influence on speed: files and devices
_PLACES = re.compile(r"(BOOT_IMAGE|root|initrd|resume)=|vmabench\.")


def read_conditions(root: Path = Path("/")) -> dict[str, Any]:
    """Return the conditions below ``root``; strings, numbers, lists and objects of those.

    ``sockets`` and ``cores`` of the CPUs that are online; ``governor``; ``turbo`` (``on`` or
    ``off``); ``clocksource`` (``now`` and ``available``); ``cpuidle`` (``driver``, ``governor``
    and ``states``, those that are disabled in brackets); ``swap`` (kinds of devices, empty without
    one); ``zswap``; ``thp_defrag``; ``mthp`` (size -> setting, those that are not at their
    default); ``khugepaged`` (its defrag setting); ``hugetlb_pools`` (size -> pages); ``compiler``
    of the kernel; ``aslr`` (kernel.randomize_va_space); ``cmdline_sha256``.
    """
    cpus = list((root / _CPUS).glob("cpu[0-9]*"))
    packages = {_read(cpu / "topology/physical_package_id") for cpu in cpus} - {None}
    cores = {
        (_read(cpu / "topology/physical_package_id"), _read(cpu / "topology/core_id"))
        for cpu in cpus
    }
    command_line = _read(root / "proc/cmdline")
    return {
        "sockets": len(packages) or None,
        "cores": len(cores) if packages else None,
        "governor": _read(root / _CPUS / "cpu0/cpufreq/scaling_governor"),
        "turbo": _turbo(root),
        "clocksource": _clocksource(root),
        "cpuidle": _cpuidle(root),
        "swap": _swap(root),
        "zswap": _read(root / "sys/module/zswap/parameters/enabled"),
        "thp_defrag": _chosen(_read(root / THP / "defrag")),
        "mthp": _sizes(root / THP, "enabled"),
        "khugepaged": _read(root / THP / "khugepaged/defrag"),
        "hugetlb_pools": _sizes(root / "sys/kernel/mm/hugepages", "nr_hugepages"),
        "compiler": _compiler(_read(root / "proc/version")),
        "aslr": _read(root / "proc/sys/kernel/randomize_va_space"),
        "cmdline_sha256": None if command_line is None else _hash(command_line),
    }


def pinned_cpus(source: int, receiver: int, root: Path = Path("/")) -> dict[str, Any]:
    """Return the CPUs of the two sides, their NUMA nodes and their ``placement``.

    ``one-cpu``, ``smt`` (one core), ``llc`` (one last-level cache), ``socket`` or ``far``. Nodes
    and placement are None where sysfs does not tell.
    """
    return {
        "source": source,
        "receiver": receiver,
        "placement": placement_of(source, receiver, root),
        "source_node": node_of(source, root),
        "receiver_node": node_of(receiver, root),
    }


def _clocksource(root: Path) -> dict[str, Any]:
    available = _read(root / _CLOCKSOURCE / "available_clocksource")
    return {
        "now": _read(root / _CLOCKSOURCE / "current_clocksource"),
        "available": None if available is None else available.split(),
    }


def _cpuidle(root: Path) -> dict[str, Any]:
    states = sorted((root / _CPUS / "cpu0/cpuidle").glob("state*"))
    named = [
        f"[{_read(state / 'name')}]" if _read(state / "disable") == "1" else _read(state / "name")
        for state in states
    ]
    return {
        "driver": _read(root / _CPUS / "cpuidle/current_driver"),
        "governor": _read(root / _CPUS / "cpuidle/current_governor"),
        "states": named or None,
    }


def _read(path: Path) -> str | None:
    """Return the text of a file, or None where there is none or it may not be read."""
    try:
        return read_text(path)
    except (OSError, ValueError):
        return None


def _chosen(setting: str | None) -> str | None:
    match = re.search(r"\[([^]]+)\]", setting or "")
    return match[1] if match else None


def _turbo(root: Path) -> str | None:
    cpus = root / _CPUS
    no_turbo = _read(cpus / "intel_pstate/no_turbo")
    boost = _read(cpus / "cpufreq/boost")
    if no_turbo is not None:
        return "off" if no_turbo == "1" else "on"
    return None if boost is None else "on" if boost == "1" else "off"


def _swap(root: Path) -> list[str] | None:
    """Return the kind of each device, since its name would be a path of this machine."""
    table = _read(root / "proc/swaps")
    if table is None:
        return None
    devices = [line.split() for line in table.splitlines()[1:]]
    return ["zram" if "/zram" in words[0] else words[1] for words in devices if len(words) > 1]


def _sizes(directory: Path, file: str) -> dict[str, Any]:
    """Return page size -> content of the file, where that is not the default."""
    found = {}
    for path in directory.glob(f"hugepages-*kB/{file}"):
        size = format_size(int(re.sub(r"\D", "", path.parent.name)) << 10)
        text = _read(path)
        value = _chosen(text) or text
        # the kernel's default: the PMD size inherits the global switch, the others are never
        if value not in (None, "0", "never", "inherit"):
            found[size] = value
    return dict(sorted(found.items()))


def _compiler(version: str | None) -> str | None:
    """Return ``gcc 12.2.0`` of ``(gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld ...)``."""
    match = re.search(r"\b(gcc|clang)\b.*?(\d+\.\d+\.\d+)(?:,| )", version or "")
    return f"{match[1]} {match[2]}" if match else None


def _hash(command_line: str) -> str:
    words = sorted(word for word in command_line.split() if not _PLACES.match(word))
    return hashlib.sha256(" ".join(words).encode(errors="surrogateescape")).hexdigest()
