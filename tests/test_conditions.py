# SPDX-License-Identifier: GPL-2.0-only
import json
from pathlib import Path

import pytest

from tests.test_facts import write
from vmabench.machine.conditions import pinned_cpus, read_conditions

THP = "sys/kernel/mm/transparent_hugepage"
CPUS = "sys/devices/system/cpu"


def test_what_a_reviewer_asks_for(tmp_path: Path) -> None:
    for cpu, (package, core) in enumerate([(0, 0), (0, 0), (0, 1), (1, 0)]):
        write(tmp_path, f"{CPUS}/cpu{cpu}/topology/physical_package_id", f"{package}\n")
        write(tmp_path, f"{CPUS}/cpu{cpu}/topology/core_id", f"{core}\n")
    write(tmp_path, f"{CPUS}/cpu0/cpufreq/scaling_governor", "performance\n")
    write(tmp_path, f"{CPUS}/intel_pstate/no_turbo", "1\n")
    clock = "sys/devices/system/clocksource/clocksource0"
    write(tmp_path, f"{clock}/current_clocksource", "acpi_pm\n")
    write(tmp_path, f"{clock}/available_clocksource", "tsc acpi_pm \n")
    write(tmp_path, f"{CPUS}/cpuidle/current_driver", "intel_idle\n")
    write(tmp_path, f"{CPUS}/cpuidle/current_governor", "menu\n")
    for state, (name, disabled) in enumerate([("POLL", 0), ("C1", 0), ("C6", 1)]):
        write(tmp_path, f"{CPUS}/cpu0/cpuidle/state{state}/name", f"{name}\n")
        write(tmp_path, f"{CPUS}/cpu0/cpuidle/state{state}/disable", f"{disabled}\n")
    write(tmp_path, "proc/swaps", "Filename Type Size\n/dev/zram0 partition 1 0 100\n")
    write(tmp_path, f"{THP}/defrag", "always defer [madvise] never\n")
    write(tmp_path, f"{THP}/hugepages-64kB/enabled", "[always] inherit madvise never\n")
    write(tmp_path, f"{THP}/hugepages-2048kB/enabled", "always [inherit] madvise never\n")
    write(tmp_path, f"{THP}/khugepaged/defrag", "1\n")
    write(tmp_path, "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64\n")
    write(tmp_path, "proc/version", "Linux version 6.12 (me@home) (gcc-12 (Debian 12.2.0-14)"
          " 12.2.0, GNU ld 2.40) #1\n")  # fmt: skip
    write(tmp_path, "proc/cmdline", "root=/dev/sda1 mitigations=off\n")
    found = read_conditions(tmp_path)
    hashed = found.pop("cmdline_sha256")
    assert found == {
        "sockets": 2, "cores": 3, "governor": "performance", "turbo": "off", "swap": ["zram"],
        "zswap": None, "thp_defrag": "madvise", "mthp": {"64K": "always"}, "khugepaged": "1",
        "hugetlb_pools": {"2M": "64"}, "compiler": "gcc 12.2.0", "aslr": None,
        "clocksource": {"now": "acpi_pm", "available": ["tsc", "acpi_pm"]},
        "cpuidle": {"driver": "intel_idle", "governor": "menu", "states": ["POLL", "C1", "[C6]"]},
    }  # fmt: skip
    assert "me@home" not in json.dumps(found)
    write(tmp_path, "proc/cmdline", "mitigations=off root=/dev/sdb2\n")
    assert read_conditions(tmp_path)["cmdline_sha256"] == hashed  # the same kernel elsewhere
    write(tmp_path, "proc/cmdline", "mitigations=auto\n")
    assert read_conditions(tmp_path)["cmdline_sha256"] != hashed


def test_what_is_not_shown_is_none(tmp_path: Path) -> None:
    found = read_conditions(tmp_path)
    assert found.pop("mthp") == found.pop("hugetlb_pools") == {}
    assert set(found.pop("clocksource").values()) | set(found.pop("cpuidle").values()) == {None}
    assert set(found.values()) == {None}


@pytest.mark.parametrize(
    ("receiver", "placement"),
    [(0, "one-cpu"), (1, "smt"), (2, "llc"), (4, "socket"), (8, "far")],
)
def test_the_relation_of_the_pinned_cpus(tmp_path: Path, receiver: int, placement: str) -> None:
    cpu = f"{CPUS}/cpu0"
    write(tmp_path, f"{cpu}/topology/thread_siblings_list", "0-1\n")
    write(tmp_path, f"{cpu}/topology/core_siblings_list", "0-7\n")
    for index, (level, shared) in enumerate([(1, "0-1"), (2, "0-1"), (3, "0-3")]):
        write(tmp_path, f"{cpu}/cache/index{index}/level", f"{level}\n")
        write(tmp_path, f"{cpu}/cache/index{index}/shared_cpu_list", f"{shared}\n")
    write(tmp_path, f"{cpu}/node3/meminfo", "")
    found = pinned_cpus(0, receiver, tmp_path)
    nodes = {"source_node": 3, "receiver_node": None if receiver else 3}
    assert found == {"source": 0, "receiver": receiver, "placement": placement, **nodes}


def test_an_unknown_topology_is_none(tmp_path: Path) -> None:
    assert pinned_cpus(0, 1, tmp_path)["placement"] is None
