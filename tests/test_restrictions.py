# SPDX-License-Identifier: GPL-2.0-only
import errno
from collections.abc import Collection
from dataclasses import replace

import pytest

from vmabench.machine.facts import MachineFacts, read_facts
from vmabench.machine.restrictions import (
    killed_restriction,
    other_restriction,
    page_restriction,
    permission_restriction,
    restriction_of,
)
from vmabench.matrix.case import Case
from vmabench.probe import _restriction

FACTS = replace(
    read_facts(),
    yama=None,
    seccomp=0,
    ptrace_capable=False,
    thp="madvise",
    thp_shmem="never",
    dev_shm_huge="never",
    thp_process=True,
)


@pytest.mark.parametrize(
    ("facts", "error", "self_error", "words"),
    [
        (FACTS, errno.EPERM, 0, "another user or is not dumpable"),
        (replace(FACTS, yama=1), errno.EPERM, 0, "another user or is not dumpable"),
        (replace(FACTS, yama=2), errno.EPERM, 0, "ptrace_scope is 2 and CAP_SYS_PTRACE is missing"),
        (replace(FACTS, yama=2, ptrace_capable=True), errno.EPERM, 0, "another user"),
        (replace(FACTS, yama=3, ptrace_capable=True), errno.EPERM, 0, "ptrace_scope is 3"),
        (replace(FACTS, seccomp=2), errno.EPERM, errno.EPERM, "seccomp filter refuses"),
        (replace(FACTS, seccomp=2), errno.ENOSYS, errno.ENOSYS, "seccomp filter refuses"),
        (FACTS, errno.ENOSYS, errno.ENOSYS, "this kernel lacks it"),
        (FACTS, errno.ENOSYS, 0, "ENOSYS, this kernel does not have the call"),
    ],
)
def test_each_restriction_is_told_from_the_others(
    facts: MachineFacts, error: int, self_error: int, words: str
) -> None:
    assert words in permission_restriction(error, facts, self_error, "process_vm_readv").name


def test_a_restriction_comes_with_the_command_that_lifts_it() -> None:
    found = permission_restriction(errno.EPERM, replace(FACTS, yama=2), 0, "process_vm_readv")
    assert found.fix.startswith("sysctl kernel.yama.ptrace_scope=1")
    assert found.name in str(found)
    assert found.fix in str(found)


@pytest.mark.parametrize(
    ("facts", "memory", "words"),
    [
        (replace(FACTS, thp_bytes=None), "anon", "no THP"),
        (replace(FACTS, thp="never"), "anon", "THP is set to never"),
        # shmem_enabled was borrowed for the case: it is not the cause
        (FACTS, "memfd", "only 12.5 %"),
        (FACTS, "sealed", "only 12.5 %"),
        (FACTS, "sysv", "only 12.5 %"),
        (FACTS, "shm", "/dev/shm is mounted with huge=never"),
        (FACTS, "anon", "only 12.5 % of the memory"),
        (replace(FACTS, thp_process=False), "anon", "THP is disabled for this process"),
        (replace(FACTS, thp="never"), "memfd", "only 12.5 %"),
        (replace(FACTS, dev_shm_huge="advise"), "shm", "only 12.5 %"),
    ],
)
def test_why_memory_is_not_huge(facts: MachineFacts, memory: str, words: str) -> None:
    assert words in page_restriction(facts, memory, backed_pct=12.5).name


def test_errors_that_name_themselves() -> None:
    assert "ulimit" in other_restriction(errno.ENOMEM, "mmap of 4096 bytes: no memory").fix
    assert other_restriction(errno.EIO, "").name == "Input/output error"


@pytest.mark.parametrize(
    ("facts", "error", "detail", "words"),
    [
        (FACTS, errno.EPERM, "fcntl(F_SETPIPE_SZ, 1048576): Operation", "fs.pipe-user-pages-soft"),
        (
            replace(FACTS, pipe_max_bytes=4096),
            errno.EPERM,
            "fcntl(F_SETPIPE_SZ, 1048576): Operation not",
            "fs.pipe-max-size",
        ),
        (FACTS, errno.ENFILE, "pipe2: Too many", "fs.pipe-user-pages-hard or fs.file-max"),
        (FACTS, errno.EPERM, "shmget of 4096 bytes: Operation not", "vm.hugetlb_shm_group"),
        (FACTS, errno.EINVAL, "shmget of 4096 bytes: Invalid", "kernel.shmmax forbids shmget"),
        (FACTS, errno.ENOSPC, "shmget of 4096 bytes: No space", "kernel.shmall"),
        (FACTS, errno.ENOENT, "open /dev/xpmem: No such file", "no /dev/xpmem"),
        (FACTS, errno.EACCES, "open /dev/xpmem: Permission denied", "/dev/xpmem may not be opened"),
        (FACTS, errno.ENOSYS, "UFFDIO_MOVE: Function not", "lacks UFFDIO_MOVE"),
        (FACTS, errno.ENOSYS, "userfaultfd: Function not", "lacks userfaultfd"),
        (FACTS, errno.EPERM, "userfaultfd: Operation not", "unprivileged_userfaultfd is 0"),
        (replace(FACTS, seccomp=2), errno.EPERM, "userfaultfd: x", "a seccomp filter refuses"),
        (
            replace(FACTS, overcommit=2),
            errno.ENOMEM,
            "mmap of 1 bytes: x",
            "overcommit_memory is 2",
        ),
        (FACTS, errno.ENOMEM, "mmap of 1 bytes: Cannot", "mmap of 1 bytes: Cannot"),
        (FACTS, errno.EPERM, "pidfd_getfd: Operation not", "ptrace access: pidfd_getfd gives"),
        (
            replace(FACTS, seccomp=2),
            errno.EPERM,
            "pidfd_getfd: Operation not",
            "pidfd_getfd gives EPERM: a seccomp filter refuses it, or the other process",
        ),
        (
            replace(FACTS, seccomp=2),
            errno.EPERM,
            "process_vm_readv: Operation not",
            "ptrace access",
        ),
    ],
)
def test_an_error_has_its_restriction(
    facts: MachineFacts, error: int, detail: str, words: str
) -> None:
    assert words in restriction_of(error, detail, facts, 0).name


SIGSYS = "the worker process was killed by signal 31 (SIGSYS)"


@pytest.mark.parametrize(
    ("mechanism", "killed", "words"),
    [
        ("readv", {"process_vm_readv", "vmsplice"}, "kills process_vm_readv (SIGSYS)"),
        ("vmsplice", {"pipe2", "vmsplice"}, "kills pipe2 and vmsplice (SIGSYS)"),
        ("memcpy", {"sched_setaffinity"}, "kills sched_setaffinity (SIGSYS)"),
        ("memcpy", (), "kills a system call (SIGSYS)"),
    ],
)
def test_the_call_that_a_filter_kills_is_named(
    mechanism: str, killed: Collection[str], words: str
) -> None:
    found = killed_restriction(mechanism, SIGSYS, killed)
    assert found and found.name == f"a seccomp filter {words}"
    source = "the source process was killed by signal 31 (Bad system call)"
    assert killed_restriction(mechanism, source, killed) == found
    assert killed_restriction(mechanism, SIGSYS.replace("31", "3"), killed) is None


def test_the_memory_of_the_receiver_goes_by_its_own_switch() -> None:
    """A memfd is huge under THP never; the anonymous memory that it is copied to is not."""
    case = Case("memfd", "deliver", FACTS.pages[1], 2 << 20, "read", 100)
    proof = {"src_backed_pct": 100.0, "dst_backed_pct": 0.0}
    for side, words in (("destination", "THP is set to never"), ("source", "only 0.0 %")):
        message = {
            "outcome": "failed", "backing": True, "proof": proof,
            "reason": f"the {side} is 0.0 % backed by huge pages, not 100 %",
        }  # fmt: skip
        found = _restriction(case, message, replace(FACTS, thp="never"), 0)
        assert found.name.startswith(words)
