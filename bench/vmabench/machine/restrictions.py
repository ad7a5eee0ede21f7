# SPDX-License-Identifier: GPL-2.0-only
"""Name the permission check, limit or setting behind an error, and the command that lifts it."""

import errno
import os
import signal
from collections.abc import Collection
from dataclasses import dataclass

from vmabench.machine.facts import THP, MachineFacts


@dataclass(frozen=True, slots=True)
class Restriction:
    """A permission check, limit or setting that blocks a case, and its fix, if one is known."""

    name: str
    fix: str

    def __str__(self) -> str:
        return f"{self.name} ({self.fix})" if self.fix else self.name


#: calls without a permission check on another process
_UNCHECKED = ("userfaultfd", "vmsplice", "pipe2", "socketpair", "memfd_create", "shmget", "shmat")

#: the size of a pipe, as in mech_stream.c
PIPE_BYTES = 1 << 20

#: the fix for a call that a seccomp filter refuses
_UNFILTERED = "run outside the sandbox, or allow the call in its seccomp profile"

#: the calls of each mechanism, by names as in calls.c
CALLS_OF = {
    "clone": ("process_vm_mmap", "pidfd_open"),
    "readv": ("process_vm_readv",),
    "writev": ("process_vm_writev",),
    "pipe": ("pipe2",),
    "vmsplice": ("pipe2", "vmsplice"),
    "vmsplice-gift": ("pipe2", "vmsplice"),
    "socket": ("socketpair",),
    "socket-seqpacket": ("socketpair",),
    "memfd": ("memfd_create",),
    "memfd-inplace": ("memfd_create",),
    "memfd-private": ("memfd_create",),
    "memfd-getfd": ("memfd_create", "pidfd_open", "pidfd_getfd"),
    "sysv": ("shmget", "shmat"),
    "mremap": ("mremap",),
    "mremap-dup": ("memfd_create", "mremap"),
    "readv-holes": ("process_vm_readv",),
    "uffd-copy": ("userfaultfd",),
    "uffd-wp": ("process_vm_readv", "userfaultfd"),
    "pagemap-scan": ("process_vm_readv", "userfaultfd"),
    "uffd-minor": ("memfd_create", "userfaultfd"),
    "uffd-move": ("userfaultfd",),
}

_NO_DEVICE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)

#: calls with errors of their own: the beginning of the core's sentence, the error numbers, the
#: restriction ({what} is the call as in that sentence) and its fix
_SPECIAL = (
    (
        "pipe2",
        (errno.ENFILE,),
        "fs.pipe-user-pages-hard or fs.file-max forbids {what}",
        "sysctl fs.pipe-user-pages-hard=0, or close pipes",
    ),
    (
        "shmget",
        (errno.EPERM,),
        "the group vm.hugetlb_shm_group, or CAP_IPC_LOCK, is missing: without it no pool is"
        " open to {what}",
        "sysctl vm.hugetlb_shm_group=$(id -g)",
    ),
    (
        "shmget",
        (errno.EINVAL,),
        "kernel.shmmax forbids {what}",
        "sysctl kernel.shmmax=18446744073692774399",
    ),
    (
        "shmget",
        (errno.ENOSPC,),
        "kernel.shmall or kernel.shmmni forbids {what}",
        "sysctl kernel.shmall=18446744073692774399",
    ),
    (
        "open /dev/xpmem",
        _NO_DEVICE,
        "there is no /dev/xpmem: the module is not loaded",
        "modprobe xpmem",
    ),
    (
        "open /dev/xpmem",
        (errno.EACCES, errno.EPERM),
        "/dev/xpmem may not be opened",
        "chmod 666 /dev/xpmem",
    ),
    ("UFFDIO_MOVE", (errno.ENOSYS,), "the kernel lacks {what}", "needs Linux 6.8"),
    (
        "UFFDIO_CONTINUE",
        (errno.ENOSYS,),
        "the kernel lacks {what} for this memory",
        "needs Linux 5.14 on x86-64 or arm64",
    ),
    (
        "UFFDIO_WRITEPROTECT",
        (errno.ENOSYS,),
        "the kernel lacks {what} for this memory",
        "needs Linux 5.7, or 5.19 for pages of a pool",
    ),
    ("UFFD_FEATURE_WP_ASYNC", (errno.ENOSYS,), "the kernel lacks {what}", "needs Linux 6.7"),
    ("ioctl(PAGEMAP_SCAN)", (errno.ENOTTY,), "the kernel lacks PAGEMAP_SCAN", "needs Linux 6.7"),
    (
        "userfaultfd",
        (errno.ENOSYS,),
        "the kernel lacks userfaultfd",
        "needs CONFIG_USERFAULTFD=y",
    ),
    (
        "userfaultfd",
        (errno.EPERM,),
        "vm.unprivileged_userfaultfd is 0 and CAP_SYS_PTRACE is missing",
        "sysctl vm.unprivileged_userfaultfd=1",
    ),
)


def restriction_of(error: int, detail: str, facts: MachineFacts, self_error: int) -> Restriction:
    """Return the restriction behind an error of the core, a number and a sentence.

    ``self_error`` is as in ``permission_restriction``.
    """
    what = detail.partition(":")[0]
    special = _pipe_restriction(error, what, facts) or _special_restriction(error, what, facts)
    if special:
        return special
    if error in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        return permission_restriction(error, facts, self_error, what)
    return other_restriction(error, detail)


def killed_restriction(mechanism: str, reason: str, killed: Collection[str]) -> Restriction | None:
    """Return the seccomp filter that killed a process with SIGSYS; None if nothing did.

    ``reason`` is that of the failed case, ``killed`` the calls that kill their caller.
    """
    if f"killed by signal {signal.SIGSYS.value} " not in reason:
        return None
    own = [name for name in CALLS_OF.get(mechanism, ()) if name in killed]
    names = " and ".join(own or sorted(killed)) or "a system call"
    return Restriction(f"a seccomp filter kills {names} (SIGSYS)", _UNFILTERED)


def _pipe_restriction(error: int, what: str, facts: MachineFacts) -> Restriction | None:
    """Tell the two causes of EPERM from F_SETPIPE_SZ apart."""
    if error != errno.EPERM or not what.startswith("fcntl(F_SETPIPE_SZ"):
        return None
    if facts.pipe_max_bytes is not None and facts.pipe_max_bytes < PIPE_BYTES:
        return Restriction(
            "fs.pipe-max-size is below the 1M of the pipe and CAP_SYS_RESOURCE is missing",
            f"sysctl fs.pipe-max-size={PIPE_BYTES}",
        )
    return Restriction(
        "fs.pipe-user-pages-soft or -hard leaves this user no pipe of 1M",
        "sysctl fs.pipe-user-pages-soft=16384 fs.pipe-user-pages-hard=0, or close pipes",
    )


def _special_restriction(error: int, what: str, facts: MachineFacts) -> Restriction | None:
    if what in _UNCHECKED and error in (errno.EPERM, errno.ENOSYS) and facts.seccomp == 2:
        return Restriction(
            f"a seccomp filter refuses {what} ({errno.errorcode[error]})",
            _UNFILTERED,
        )
    if error == errno.ENOMEM and facts.overcommit == 2:
        return Restriction(
            f"vm.overcommit_memory is 2 and its limit is reached: {what}",
            "sysctl vm.overcommit_memory=0, or raise vm.overcommit_ratio",
        )
    for call, errors, name, fix in _SPECIAL:
        if what.startswith(call) and error in errors:
            return Restriction(name.format(what=what), fix)
    return None


def permission_restriction(
    error: int, facts: MachineFacts, self_error: int, what: str
) -> Restriction:
    """Return the restriction behind a call on another process that failed with ``error``.

    ``self_error`` is the error number of process_vm_readv() on the calling process. No permission
    check applies to that call: an error means that the kernel lacks it or a filter refuses it.
    """
    if self_error and facts.seccomp == 2:
        found = Restriction(
            f"a seccomp filter refuses {what} ({errno.errorcode.get(self_error)})",
            _UNFILTERED,
        )
    elif self_error == errno.ENOSYS:
        found = Restriction(
            f"{what}: ENOSYS, this kernel lacks it", "needs CONFIG_CROSS_MEMORY_ATTACH=y"
        )
    elif error == errno.ENOSYS:
        found = Restriction(f"{what}: ENOSYS, this kernel does not have the call", "")
    elif facts.yama == 3:
        found = Restriction("yama: kernel.yama.ptrace_scope is 3", "reboot: 3 can't be lowered")
    elif facts.yama == 2 and not facts.ptrace_capable:
        found = Restriction(
            "yama: kernel.yama.ptrace_scope is 2 and CAP_SYS_PTRACE is missing",
            "sysctl kernel.yama.ptrace_scope=1, or run with CAP_SYS_PTRACE",
        )
    elif facts.seccomp == 2 and what != "process_vm_readv":
        found = Restriction(
            f"{what} gives {errno.errorcode.get(error, error)}: a seccomp filter refuses it, or the"
            " other process belongs to another user or is not dumpable",
            _UNFILTERED,
        )
    else:
        found = Restriction(
            f"ptrace access: {what} gives {errno.errorcode.get(error, error)}; the other process "
            "belongs to another user or is not dumpable",
            "run as the user of the source process, or with CAP_SYS_PTRACE",
        )
    return found


def page_restriction(facts: MachineFacts, memory: str, backed_pct: float) -> Restriction:
    """Return why huge pages do not back this kind of memory (a name as in the core).

    The switches that a case borrows are not the cause: they were set when it failed.
    """
    if facts.thp_bytes is None:
        return Restriction("the kernel has no THP", "needs CONFIG_TRANSPARENT_HUGEPAGE=y")
    if memory == "shm" and facts.dev_shm_huge in ("never", "deny"):
        return Restriction(
            f"/dev/shm is mounted with huge={facts.dev_shm_huge}",
            "mount -o remount,huge=advise /dev/shm",
        )
    if not facts.thp_process:
        return Restriction(
            "THP is disabled for this process (PR_SET_THP_DISABLE)",
            "start it from a process that has THP: grep THP_enabled /proc/PID/status",
        )
    if memory == "anon" and facts.thp == "never":
        return Restriction("THP is set to never", f"echo madvise > /{THP}/enabled")
    return Restriction(
        f"only {backed_pct:.1f} % of the memory is backed by huge pages: memory is fragmented",
        "echo 1 > /proc/sys/vm/compact_memory",
    )


def other_restriction(error: int, detail: str) -> Restriction:
    """Return a restriction that is named by the sentence of its error."""
    fixes = {
        errno.ENOMEM: "free memory, or raise the limits (ulimit -v, memory cgroup)",
        errno.EMFILE: "raise ulimit -n",
        errno.ENOSPC: "free space in /dev/shm",
    }
    return Restriction(detail or os.strerror(error), fixes.get(error, ""))
