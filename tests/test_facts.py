# SPDX-License-Identifier: GPL-2.0-only
import gzip
import json
import os
from pathlib import Path

import pytest

from vmabench.commands.doctor import describe_machine
from vmabench.errors import MachineError
from vmabench.machine.facts import GUEST, read_facts
from vmabench.matrix.case import Case
from vmabench.matrix.rules import why_too_large

STATUS = "Name:\tcat\nCapEff:\t{caps}\nSeccomp:\t2\n"
CPUINFO = "processor\t: 0\nmodel name\t: {model}\nflags\t\t: fpu {flags}\n\nprocessor\t: 1\n"
MEMINFO = "MemTotal:       24683656 kB\nMemFree: 5 kB\nMemAvailable:   20000000 kB\n"


def write(root: Path, name: str, text: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "proc/self/status", STATUS.format(caps="0000000000080000"))
    write(
        tmp_path, "proc/cpuinfo", CPUINFO.format(model="Intel(R) Xeon(R) CPU @ 2.20GHz", flags="")
    )
    write(tmp_path, "proc/meminfo", MEMINFO)
    thp = "sys/kernel/mm/transparent_hugepage"
    write(tmp_path, f"{thp}/enabled", "always [madvise] never\n")
    write(tmp_path, f"{thp}/shmem_enabled", "always within_size advise [never] deny force\n")
    write(tmp_path, f"{thp}/hpage_pmd_size", "2097152\n")
    write(tmp_path, "proc/sys/kernel/yama/ptrace_scope", "1\n")
    return tmp_path


def test_facts_are_read_from_proc_and_sys(root: Path) -> None:
    facts = read_facts(root)
    assert facts.memory_bytes == 24683656 * 1024
    assert facts.available_bytes == 20000000 * 1024
    assert (facts.thp, facts.thp_shmem, facts.thp_bytes) == ("madvise", "never", 2 << 20)
    assert (facts.yama, facts.seccomp, facts.ptrace_capable) == (1, 2, True)
    assert facts.virt == "none"


def test_a_kernel_without_thp_and_yama(root: Path) -> None:
    for name in ("enabled", "shmem_enabled", "hpage_pmd_size"):
        (root / "sys/kernel/mm/transparent_hugepage" / name).unlink()
    (root / "proc/sys/kernel/yama/ptrace_scope").unlink()
    facts = read_facts(root)
    assert (facts.thp, facts.thp_shmem, facts.thp_bytes) == ("absent", "absent", None)
    assert facts.yama is None
    base = os.sysconf("SC_PAGE_SIZE")
    assert facts.pages == (f"{base >> 10}K", f"{base * base // 8 >> 20}M")


def test_missing_capability(root: Path) -> None:
    write(root, "proc/self/status", STATUS.format(caps="0000000000000000"))
    assert not read_facts(root).ptrace_capable


def test_a_cgroup_limit_is_less_than_the_free_memory(root: Path) -> None:
    write(root, "proc/self/cgroup", "4:memory:/jobs/1\n1:name=systemd:/\n")
    write(root, "sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes", "1000000\n")
    write(root, "sys/fs/cgroup/memory/jobs/1/memory.usage_in_bytes", "400000\n")
    assert read_facts(root).available_bytes == 600000


def test_a_cgroup2_limit(root: Path) -> None:
    write(root, "proc/self/cgroup", "0::/jobs/1\n")
    write(root, "sys/fs/cgroup/jobs/1/memory.max", "max\n")
    write(root, "sys/fs/cgroup/jobs/1/memory.current", "400000\n")
    assert read_facts(root).available_bytes == 20000000 * 1024
    write(root, "sys/fs/cgroup/jobs/1/memory.max", "1000000\n")
    assert read_facts(root).available_bytes == 600000


def test_the_hash_is_of_what_the_configuration_sets(root: Path) -> None:
    config = b"# Linux/x86 6.12\nCONFIG_B=y\nCONFIG_A=m\n# CONFIG_C is not set\n"
    write(root, "proc/config.gz", gzip.compress(config))
    first = read_facts(root).kernel_config_sha256
    write(root, "proc/config.gz", gzip.compress(b"CONFIG_A=m\nCONFIG_B=y\n# other comment\n"))
    assert read_facts(root).kernel_config_sha256 == first
    # the kernel without the series can't have its option
    own = b"CONFIG_A=m\nCONFIG_B=y\nCONFIG_PROCESS_VM_MMAP=y\n"
    write(root, "proc/config.gz", gzip.compress(own))
    assert read_facts(root).kernel_config_sha256 == first
    write(root, "proc/config.gz", gzip.compress(b"CONFIG_A=y\nCONFIG_B=y\n"))
    assert read_facts(root).kernel_config_sha256 != first


@pytest.mark.parametrize(
    ("model", "flags", "virt"),
    [
        ("QEMU TCG CPU version 2.5+", "hypervisor", "emulated"),
        ("AMD EPYC", "hypervisor svm", "vm"),
        ("AMD EPYC", "svm", "none"),
    ],
)
def test_virtualisation(root: Path, model: str, flags: str, virt: str) -> None:
    write(root, "proc/cpuinfo", CPUINFO.format(model=model, flags=flags))
    assert read_facts(root).virt == virt


def test_the_slug_says_what_kind_of_machine_it_is_and_not_whose(root: Path) -> None:
    cpus = len(os.sched_getaffinity(0))
    assert read_facts(root).slug == f"intel-xeon-{cpus}cpu-24g"
    assert os.uname().nodename not in read_facts(root).slug


def test_an_empty_root_is_no_error(tmp_path: Path) -> None:
    facts = read_facts(tmp_path / "empty")
    assert facts.slug


def test_what_cannot_be_read_is_unknown_and_never_0(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal: many\n")
    facts = read_facts(tmp_path)
    assert facts.memory_bytes is facts.available_bytes is facts.numa_nodes is None
    assert facts.overcommit is facts.pipe_max_bytes is facts.seccomp is None
    assert "0g" not in facts.slug
    assert "memory unknown" in describe_machine(facts)
    assert why_too_large(Case("readv", "transfer", "4K", 1 << 40), facts) is None


def test_the_limit_of_a_cgroup_is_known_without_meminfo(root: Path) -> None:
    (root / "proc/meminfo").unlink()
    write(root, "proc/self/cgroup", "0::/jobs/1\n")
    write(root, "sys/fs/cgroup/jobs/1/memory.max", "1000000\n")
    write(root, "sys/fs/cgroup/jobs/1/memory.current", "400000\n")
    assert read_facts(root).available_bytes == 600000


def test_a_cgroup_without_a_limit_says_nothing_of_the_memory(root: Path) -> None:
    (root / "proc/meminfo").unlink()
    write(root, "proc/self/cgroup", "4:memory:/jobs/1\n")
    write(root, "sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes", "9223372036854771712\n")
    write(root, "sys/fs/cgroup/memory/jobs/1/memory.usage_in_bytes", "400000\n")
    assert read_facts(root).available_bytes is None


def test_text_of_the_kernel_that_is_not_utf_8_is_read(root: Path) -> None:
    write(root, "proc/cpuinfo", b"model name\t: Caf\xe9 CPU\n")
    assert read_facts(root).cpu_model.startswith("Caf")


def test_a_process_without_thp(root: Path) -> None:
    assert read_facts(root).thp_process
    write(root, "proc/self/status", STATUS.format(caps="0") + "THP_enabled:\t0\n")
    assert not read_facts(root).thp_process


def test_the_mount_of_dev_shm_has_a_setting_of_its_own(root: Path) -> None:
    assert read_facts(root).dev_shm_huge == "never"
    first = "tmpfs /dev/shm tmpfs rw,huge=always 0 0\n"
    write(root, "proc/self/mounts", first + "tmpfs /dev/shm tmpfs rw,size=24k,huge=advise 0 0\n")
    assert read_facts(root).dev_shm_huge == "advise"


def test_a_guest_knows_what_it_is(root: Path) -> None:
    assert read_facts(root).guest is None
    assert read_facts(root).clock == "raw"
    write(root, GUEST, '{"accel": "tcg", "clock": "instructions", "qemu": "7.2"}')
    facts = read_facts(root)
    assert facts.guest == {"accel": "tcg", "clock": "instructions", "qemu": "7.2"}
    assert facts.clock == "instructions"
    write(root, GUEST, '{"accel": "tcg", "clock": "time"}')
    assert read_facts(root).clock == "raw"
    write(root, GUEST, "not json")
    assert read_facts(root).guest is None


def test_the_kinds_of_pages_are_those_with_switches_and_pools(root: Path) -> None:
    assert read_facts(root).all_pages == read_facts(root).pages
    thp = "sys/kernel/mm/transparent_hugepage"
    for size_kib in (16, 64, 1024, 2048):
        write(root, f"{thp}/hugepages-{size_kib}kB/enabled", "always inherit madvise [never]\n")
    write(root, f"{thp}/hugepages-8kB/shmem_enabled", "[never]\n")  # for shared memory alone
    for size_kib in (2048, 1048576):
        write(root, f"sys/kernel/mm/hugepages/hugepages-{size_kib}kB/nr_hugepages", "0\n")
    facts = read_facts(root)
    assert facts.mthp_bytes == (16 << 10, 64 << 10, 1 << 20)
    assert facts.all_pages[2:] == ("16K", "64K", "1M", "hugetlb-2M", "hugetlb-1G")


def test_kernel_text_that_is_no_utf8(root: Path) -> None:
    mounts = root / "proc/self/mounts"
    mounts.write_bytes(b"tmpfs /dev/shm tmpfs rw,huge=advise 0 0\nnone /m\xff\xfe\n\n")
    (root / "proc/self/cgroup").write_bytes(b"0::/\xff\nodd\n")
    (root / "proc/cpuinfo").write_bytes(b"model name : odd \xff\n")
    facts = read_facts(root)
    assert facts.dev_shm_huge == "advise"
    assert facts.cpu_model == "odd \udcff"
    assert json.dumps(facts.cpu_model)


def test_the_proc_of_another_namespace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/self").symlink_to("1")
    with pytest.raises(MachineError, match="it calls this process 1, whose id here is"):
        read_facts(tmp_path)
