# SPDX-License-Identifier: GPL-2.0-only
import json
from pathlib import Path

from tests.test_facts import write
from vmabench.machine.conditions import read_conditions

THP = "sys/kernel/mm/transparent_hugepage"
CPUS = "sys/devices/system/cpu"


def test_what_a_reviewer_asks_for(tmp_path: Path) -> None:
    for cpu, (package, core) in enumerate([(0, 0), (0, 0), (0, 1), (1, 0)]):
        write(tmp_path, f"{CPUS}/cpu{cpu}/topology/physical_package_id", f"{package}\n")
        write(tmp_path, f"{CPUS}/cpu{cpu}/topology/core_id", f"{core}\n")
    write(tmp_path, f"{CPUS}/cpu0/cpufreq/scaling_governor", "performance\n")
    write(tmp_path, f"{CPUS}/intel_pstate/no_turbo", "1\n")
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
    }  # fmt: skip
    assert "me@home" not in json.dumps(found)
    write(tmp_path, "proc/cmdline", "mitigations=off root=/dev/sdb2\n")
    assert read_conditions(tmp_path)["cmdline_sha256"] == hashed  # the same kernel elsewhere
    write(tmp_path, "proc/cmdline", "mitigations=auto\n")
    assert read_conditions(tmp_path)["cmdline_sha256"] != hashed


def test_what_is_not_shown_is_none(tmp_path: Path) -> None:
    found = read_conditions(tmp_path)
    assert found.pop("mthp") == found.pop("hugetlb_pools") == {}
    assert set(found.values()) == {None}
