# SPDX-License-Identifier: GPL-2.0-only
"""Facts of this machine, read from /proc and /sys. What cannot be read is None, never 0."""

import gzip
import hashlib
import json
import os
import platform
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmabench.errors import MachineError
from vmabench.units import format_size

#: the directory of THP's settings below a root of the file system
THP = "sys/kernel/mm/transparent_hugepage"

#: options that cost time on the measured paths
DEBUG_OPTIONS = ("KASAN", "KCSAN", "PROVE_LOCKING", "DEBUG_VM", "PAGE_TABLE_CHECK_ENFORCED")

#: from this size on a limit of a version 1 cgroup is none: the largest multiple of a page
_UNLIMITED = 1 << 62

#: the option that the series adds, which the kernel to compare with lacks
OWN_OPTION = "CONFIG_PROCESS_VM_MMAP"

#: the description of a guest of vmabench, written by guest/boot.py
GUEST = "run/vmabench/machine.json"


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Facts that decide which cases can run here, or that a reader of the results needs.

    ``mthp_bytes`` are the sizes between base page and PMD that anonymous memory may have,
    ``hugetlb_bytes`` those of which there may be pools.
    ``thp_bytes`` is None on a kernel without THP; ``thp`` and ``thp_shmem`` are then ``absent``.
    ``thp_process`` is False after prctl(PR_SET_THP_DISABLE), which child processes inherit.
    ``dev_shm_huge`` is the mount option of /dev/shm, for which ``thp_shmem`` does not count.
    ``kernel_config_sha256`` is None where the kernel does not show its configuration; the hash
    leaves out the option of the call itself.
    ``kernel_debug`` lists the debug options that cost time.
    ``overcommit`` is vm.overcommit_memory, ``pipe_max_bytes`` fs.pipe-max-size.
    ``seccomp`` is the mode of this process: 0 without a filter, 2 with one.
    ``yama`` is None on a kernel without it. ``cpus`` are those that this process may use.
    ``guest`` is None outside of a guest of vmabench; else how it was made: ``accel``, ``clock``,
    ``qemu``, ``cpu`` (QEMU's -cpu) and the facts of its kernel.
    """

    cpu_model: str
    cpus: tuple[int, ...]
    smt: str
    memory_bytes: int | None
    available_bytes: int | None
    numa_nodes: int | None
    base_page_bytes: int
    thp: str
    thp_shmem: str
    dev_shm_huge: str
    thp_bytes: int | None
    mthp_bytes: tuple[int, ...]
    hugetlb_bytes: tuple[int, ...]
    kernel: str
    kernel_version: str
    kernel_config_sha256: str | None
    arch: str
    virt: str
    yama: int | None
    seccomp: int | None
    ptrace_capable: bool
    overcommit: int | None = None
    pipe_max_bytes: int | None = None
    thp_process: bool = True
    kernel_debug: tuple[str, ...] = ()
    guest: dict[str, Any] | None = None

    @property
    def clock(self) -> str:
        """Return the unit of a nanosecond here: ``raw`` time, or ``instructions``."""
        return "instructions" if (self.guest or {}).get("clock") == "instructions" else "raw"

    @property
    def pages(self) -> tuple[str, str]:
        """Return the names of the base page and of the page that one PMD entry maps.

        The latter is known without THP as well: a table of 8-byte entries fills a base page.
        """
        pmd_bytes = self.thp_bytes or self.base_page_bytes**2 // 8
        return format_size(self.base_page_bytes), format_size(pmd_bytes)

    @property
    def all_pages(self) -> tuple[str, ...]:
        """Return the names of all kinds of pages of this kernel, the two of ``pages`` first."""
        mthp = (format_size(size) for size in self.mthp_bytes)
        hugetlb = (f"hugetlb-{format_size(size)}" for size in self.hugetlb_bytes)
        return (*self.pages, *mthp, *hugetlb)

    @property
    def slug(self) -> str:
        """Return a directory name for machines of this kind, without the host's name."""
        model = re.sub(r"\((r|tm)\)|processor|cpu|@.*", " ", self.cpu_model.lower())
        words = re.findall(r"[a-z0-9.]+", model)
        words.append(f"{len(self.cpus)}cpu")
        if self.memory_bytes is not None:
            words.append(f"{max(1, round(self.memory_bytes / (1 << 30)))}g")
        return "-".join(words)


def read_facts(root: Path = Path("/")) -> MachineFacts:
    """Return the facts below ``root``, which tests point at a tree of their own.

    Raise MachineError where /proc shows the processes of another namespace.
    """
    _check_proc(root)
    status = _fields(_read(root, "proc/self/status"))
    memory = _fields(_read(root, "proc/meminfo"))
    cpuinfo = _fields(_read(root, "proc/cpuinfo"))
    return MachineFacts(
        cpu_model=cpuinfo.get("model name", platform.processor() or platform.machine()),
        cpus=tuple(sorted(os.sched_getaffinity(0))),
        smt=_read(root, "sys/devices/system/cpu/smt/control") or "unknown",
        memory_bytes=_kib(memory.get("MemTotal")),
        available_bytes=_available_bytes(root, _kib(memory.get("MemAvailable"))),
        numa_nodes=len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or None,
        base_page_bytes=os.sysconf("SC_PAGE_SIZE"),
        thp=_chosen(_read(root, f"{THP}/enabled")),
        thp_shmem=_chosen(_read(root, f"{THP}/shmem_enabled")),
        dev_shm_huge=_dev_shm_huge(root),
        thp_bytes=_number(_read(root, f"{THP}/hpage_pmd_size")),
        mthp_bytes=_mthp_sizes(root),
        hugetlb_bytes=_sizes(root / "sys/kernel/mm/hugepages"),
        kernel=platform.release(),
        kernel_version=platform.version(),
        kernel_config_sha256=_config_hash(root),
        arch=platform.machine(),
        virt=_virt(root, cpuinfo.get("flags", "")),
        yama=_number(_read(root, "proc/sys/kernel/yama/ptrace_scope")),
        seccomp=_number(status.get("Seccomp", "")),
        ptrace_capable=bool(int(status.get("CapEff", "0"), 16) >> 19 & 1),
        overcommit=_number(_read(root, "proc/sys/vm/overcommit_memory")),
        pipe_max_bytes=_number(_read(root, "proc/sys/fs/pipe-max-size")),
        thp_process=status.get("THP_enabled") != "0",
        kernel_debug=_debug_options(root),
        guest=_guest(root),
    )


def _check_proc(root: Path) -> None:
    """Refuse a /proc that numbers processes as another PID namespace does."""
    try:
        shown = str((root / "proc/self").readlink())
    except OSError:  # not mounted: the probe that needs it reports that
        return
    if shown != str(os.getpid()):
        raise MachineError(
            f"/proc belongs to another PID namespace: it calls this process {shown}, whose id here"
            f" is {os.getpid()}; mount it anew (unshare --fork --pid --mount-proc)"
        )


def read_text(path: Path) -> str:
    """Return text of the kernel, in which names may be no UTF-8. Raise OSError."""
    return path.read_text(encoding="utf-8", errors="surrogateescape").strip()


def _read(root: Path, name: str) -> str:
    """Return the text of a file, empty where there is none or it may not be read."""
    try:
        return read_text(root / name)
    except OSError:
        return ""


def _fields(text: str) -> dict[str, str]:
    """Return the first value of each ``name: value`` line."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _kib(value: str | None) -> int | None:
    match = re.match(r"(\d+) kB", value or "")
    return int(match[1]) * 1024 if match else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _chosen(setting: str) -> str:
    """Return the word in brackets, as in ``always [madvise] never``."""
    match = re.search(r"\[([^]]+)\]", setting)
    return match[1] if match else "absent"


def _sizes(directory: Path, file: str = "") -> tuple[int, ...]:
    """Return the sizes in bytes of the directories ``hugepages-2048kB`` that have the file."""
    found = (
        re.fullmatch(r"hugepages-(\d+)kB", entry.name)
        for entry in directory.glob("hugepages-*kB")
        if (entry / file).exists()
    )
    return tuple(sorted(int(match[1]) << 10 for match in found if match))


def _mthp_sizes(root: Path) -> tuple[int, ...]:
    pmd_bytes = _number(_read(root, f"{THP}/hpage_pmd_size")) or 0
    return tuple(size for size in _sizes(root / THP, "enabled") if size < pmd_bytes)


def _dev_shm_huge(root: Path) -> str:
    """Return the option of the topmost mount; the kernel leaves out its default, never."""
    options = ""
    for line in _read(root, "proc/self/mounts").splitlines():
        words = line.split()
        if words[1:3] == ["/dev/shm", "tmpfs"]:
            options = words[3]
    match = re.search(r"\bhuge=(\w+)", options)
    return match[1] if match else "never"


def _available_bytes(root: Path, available: int | None) -> int | None:
    """Return the machine's free memory, or less under a cgroup's limit; None if unknown."""
    for line in _read(root, "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            files = ("memory.max", "memory.current")
            base = root / "sys/fs/cgroup" / path.lstrip("/")
        elif "memory" in controllers.split(","):
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            base = root / "sys/fs/cgroup/memory" / path.lstrip("/")
        else:
            continue
        limit, used = (_number(_read(base, name)) for name in files)
        if limit is not None and limit < _UNLIMITED and used is not None:
            left = max(0, limit - used)
            available = left if available is None else min(available, left)
    return available


def _config_lines(root: Path) -> list[str]:
    """Return the sorted lines that set an option; empty where the kernel does not show them."""
    try:
        packed = (root / "proc/config.gz").read_bytes()
        text = gzip.decompress(packed).decode(errors="surrogateescape")
    except (OSError, EOFError, zlib.error):
        text = _read(root, f"boot/config-{platform.release()}")
    return sorted(line for line in text.splitlines() if line.startswith("CONFIG_"))


def _config_hash(root: Path) -> str | None:
    """Return one hash for equal configurations, with or without the option of the call."""
    lines = [line for line in _config_lines(root) if not line.startswith(f"{OWN_OPTION}=")]
    text = "\n".join(lines).encode(errors="surrogateescape")
    return hashlib.sha256(text).hexdigest() if lines else None


def _debug_options(root: Path) -> tuple[str, ...]:
    on = {line.removesuffix("=y") for line in _config_lines(root)}
    return tuple(name for name in DEBUG_OPTIONS if f"CONFIG_{name}" in on)


def _guest(root: Path) -> dict[str, Any] | None:
    try:
        told = json.loads(_read(root, GUEST))
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _virt(root: Path, cpu_flags: str) -> str:
    """Return the name of the hypervisor, ``none``, or ``vm`` for an unknown one.

    ``emulated`` marks QEMU without hardware support: its CPU names itself so.
    """
    model = _fields(_read(root, "proc/cpuinfo")).get("model name", "")
    if "TCG" in model:
        return "emulated"
    if "hypervisor" not in cpu_flags.split():
        return "none"
    product = " ".join(
        _read(root, f"sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name")
    ).lower()
    known = ("qemu", "kvm", "firecracker", "vmware", "xen", "microsoft", "amazon", "google")
    return next((name for name in known if name in product), "vm")
