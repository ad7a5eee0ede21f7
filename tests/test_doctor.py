# SPDX-License-Identifier: GPL-2.0-only
"""Restrictions that are really there: a filter, another user, a missing call."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import DOCTOR, ONLY_SAMPLES, call, findings, vmabench
from tests.needs import needs
from tests.users import ORDINARY, WITHOUT_PTRACE
from vmabench.machine.facts import read_facts
from vmabench.mechanisms import MECHANISMS, SOURCE_PROGRAM
from vmabench.store.reader import read

BASE, HUGE = read_facts().pages
SYS_PROCESS_VM_READV = 310  # x86-64
SYS_USERFAULTFD = 323


@pytest.fixture
def foreign_source() -> Iterator[str]:
    """A source program that runs as another user than its parent."""
    program = Path("/var/tmp") / f"vmabench-source-{os.getpid()}"
    shutil.copy(SOURCE_PROGRAM, program)
    try:
        os.chown(program, 65534, 65534)
        program.chmod(0o6755)
        yield str(program)
    finally:
        program.unlink()


@pytest.mark.slow
def test_every_mechanism_and_page_has_a_finding() -> None:
    """Slow: each mechanism fills and compares pages of 1G, where the machine has them."""
    found = findings(vmabench("doctor", "--no-noise", "--json"))
    own = {(name, "") for name in ("worker", "swap-zram", "swap-file", "memory-cgroup")}
    pages = read_facts().all_pages
    assert set(found) == {(name, page) for name in MECHANISMS for page in pages} | own
    for finding in found.values():
        assert finding["state"] in ("ok", "blocked")
        assert (finding["blocked_by"] is None) == (finding["state"] == "ok")
    assert found["memcpy", BASE]["state"] == "ok"


def test_the_text_names_what_blocks_and_the_fix() -> None:
    text = call(*DOCTOR[:-1]).stdout
    if not Path("/dev/xpmem").exists():
        assert "blocked by: there is no /dev/xpmem" in text
        assert "fix: modprobe xpmem" in text
    assert "worker" in text
    assert "memcpy" in text
    assert read_facts().cpu_model in text


@needs("compiler", "root", "setpriv")
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
def test_a_seccomp_filter_is_named(seccomp_filter: str, error: int, user: tuple[str, ...]) -> None:
    prefix = (*user, seccomp_filter, str(SYS_PROCESS_VM_READV), str(error))
    run = vmabench(
        "run", "smoke", "--mechanism", "readv,fork", "--page", BASE, "--size", "4K",
        "--budget", "1s", *ONLY_SAMPLES, prefix=prefix,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    result = read(Path("out"))
    assert {r["case"].split("/")[0] for r in result.of_kind("skipped")} == {"readv"}
    name = errno.errorcode[error]
    for record in result.of_kind("skipped"):
        assert f"a seccomp filter refuses process_vm_readv ({name})" in record["reason"]
    assert {r["case"].split("/")[0] for r in result.of_kind("case")} == {"fork"}


@needs("root", "setpriv")
def test_the_process_of_another_user_is_named(foreign_source: str) -> None:
    run = vmabench(*DOCTOR, env={"VMABENCH_SOURCE": foreign_source}, prefix=WITHOUT_PTRACE)
    found = findings(run)
    assert found["readv", BASE]["state"] == "blocked"
    assert "belongs to another user" in found["readv", BASE]["blocked_by"]
    assert "CAP_SYS_PTRACE" in found["readv", BASE]["fix"]
    # The set-user-id bit leaves the source its real user, which is what counts for a caller.
    for mechanism in ("writev", "memfd", "shm", "fork", "memcpy"):
        assert found[mechanism, BASE]["state"] == "ok"


def shared_memory_mounts() -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if line.split()[2] == "tmpfs"]


@needs("root", "thp")
def test_shared_memory_is_huge_without_a_setting_by_hand() -> None:
    """POSIX shared memory too, and no mount of shared memory is changed for it."""
    mounts = shared_memory_mounts()
    found = findings(call(*DOCTOR))
    for mechanism in ("memfd", "shm", "sysv", "memfd-private"):
        assert found[mechanism, HUGE]["state"] == "ok"
    assert shared_memory_mounts() == mounts


@needs("root", "thp")
def test_thp_never(thp_never: None) -> None:
    found = findings(call(*DOCTOR))
    assert "THP is set to never" in found["readv", HUGE]["blocked_by"]
    assert "echo madvise" in found["readv", HUGE]["fix"]
    assert found["readv", BASE]["state"] == "ok"


@needs("compiler")
def test_a_filter_on_a_call_that_asks_no_permission_is_named(seccomp_filter: str) -> None:
    prefix = (seccomp_filter, str(SYS_USERFAULTFD), str(errno.EPERM))
    found = findings(vmabench(*DOCTOR, prefix=prefix))
    for mechanism in ("uffd-copy", "uffd-move", "uffd-wp", "uffd-minor", "pagemap-scan"):
        blocked_by = found[mechanism, BASE]["blocked_by"]
        assert "a seccomp filter refuses userfaultfd (EPERM)" in blocked_by
    assert found["readv", BASE]["state"] == "ok"


@needs("root", "setpriv")
def test_an_ordinary_user_may_do_all_of_it() -> None:
    found = findings(vmabench(*DOCTOR, prefix=ORDINARY))
    blocked = {name for (name, page), f in found.items() if page == BASE and f["state"] != "ok"}
    assert blocked <= {"clone", "xpmem"}
