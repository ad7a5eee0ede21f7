# SPDX-License-Identifier: GPL-2.0-only
"""Which gate of the machine is behind an error, and the command that would open it."""

import errno
import os
from dataclasses import dataclass

from vmabench.machine.facts import THP, MachineFacts


@dataclass(frozen=True, slots=True)
class Gate:
    """``name`` says what is in the way, ``mend`` the command or step that would open it."""

    name: str
    mend: str

    def __str__(self) -> str:
        return f"{self.name} ({self.mend})" if self.mend else self.name


def permission_gate(error: int, facts: MachineFacts, self_error: int, what: str) -> Gate:
    """The gate behind a call on another process that was refused or is not there.

    ``self_error`` is what process_vm_readv() of the caller itself gave: no permission rule
    forbids that, so if it fails too, the call is missing or a filter takes it away.
    """
    if self_error and facts.seccomp == 2:
        gate = Gate(
            f"a seccomp filter refuses {what} ({errno.errorcode.get(self_error)})",
            "run outside the sandbox, or allow the call in its seccomp profile",
        )
    elif self_error == errno.ENOSYS:
        gate = Gate(f"{what}: ENOSYS, this kernel lacks it", "needs CONFIG_CROSS_MEMORY_ATTACH=y")
    elif error == errno.ENOSYS:
        gate = Gate(f"{what}: ENOSYS, this kernel does not have the call", "")
    elif facts.yama == 3:
        gate = Gate("yama: kernel.yama.ptrace_scope is 3", "reboot: 3 can't be lowered")
    elif facts.yama == 2 and not facts.ptrace_capable:
        gate = Gate(
            "yama: kernel.yama.ptrace_scope is 2 and CAP_SYS_PTRACE is missing",
            "sysctl kernel.yama.ptrace_scope=1, or run with CAP_SYS_PTRACE",
        )
    else:
        gate = Gate(
            f"ptrace access: {what} gives {errno.errorcode.get(error, error)}; the other process "
            "belongs to another user or is not dumpable",
            "run as the user of the source process, or with CAP_SYS_PTRACE",
        )
    return gate


def page_gate(facts: MachineFacts, memory: str, backed_pct: float) -> Gate:
    """Why memory of that kind (``anon``, ``memfd`` or ``shm``) is not huge as it was to be."""
    if facts.thp_bytes is None:
        return Gate("the kernel has no THP", "needs CONFIG_TRANSPARENT_HUGEPAGE=y")
    if memory == "shm" and facts.dev_shm_huge in ("never", "deny"):
        return Gate(
            f"/dev/shm is mounted with huge={facts.dev_shm_huge}",
            "mount -o remount,huge=advise /dev/shm",
        )
    if memory == "memfd" and facts.thp_shmem in ("never", "deny"):
        return Gate(
            f"shared memory: shmem_enabled is {facts.thp_shmem}",
            f"echo advise > /{THP}/shmem_enabled",
        )
    if memory == "anon" and facts.thp == "never":
        return Gate("THP is set to never", f"echo madvise > /{THP}/enabled")
    return Gate(
        f"only {backed_pct:.1f} % of the memory is backed by huge pages: memory is fragmented, "
        "or THP is off for this process",
        "echo 1 > /proc/sys/vm/compact_memory",
    )


def other_gate(error: int, detail: str) -> Gate:
    """For errors that name themselves."""
    mends = {
        errno.ENOMEM: "free memory, or raise the limits (ulimit -v, memory cgroup)",
        errno.EMFILE: "raise ulimit -n",
        errno.ENOSPC: "free space in /dev/shm",
    }
    return Gate(detail or os.strerror(error), mends.get(error, ""))
