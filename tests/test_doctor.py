# SPDX-License-Identifier: GPL-2.0-only
"""Gates that are really there: a filter, another user, a missing call."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import vmabench
from tests.needs import borrowed, needs
from vmabench.machine.facts import read_facts
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, SOURCE_PROGRAM
from vmabench.store.reader import read

NATIVE = Path(__file__).with_name("native")
BASE, HUGE = read_facts().pages
SYS_PROCESS_VM_READV = 310  # x86-64
SYS_PROCESS_VM_WRITEV = 311
SYS_USERFAULTFD = 323


@pytest.fixture
def seccomp_filter(tmp_path: Path) -> str:
    program = tmp_path / "seccomp_filter"
    subprocess.run(["gcc", "-o", program, NATIVE / "seccomp_filter.c"], check=True)
    return str(program)


@pytest.fixture
def foreign_source() -> Iterator[str]:
    """A source program that runs as another user than whoever starts it."""
    program = Path("/var/tmp") / f"vmabench-source-{os.getpid()}"
    shutil.copy(SOURCE_PROGRAM, program)
    try:
        os.chown(program, 65534, 65534)
        program.chmod(0o6755)
        yield str(program)
    finally:
        program.unlink()


#: root, but for the capability that lets root look into the processes of others
WITHOUT_PTRACE = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")


#: nobody, who may do one thing more: read files of root, where the tests may live
ORDINARY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
)  # fmt: skip


@pytest.fixture(params=["root", "ordinary"])
def user(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, ...]:
    """What to put before a command to be that user, who may write to the working directory."""
    tmp_path.chmod(0o777)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return ORDINARY if request.param == "ordinary" else ()


def states(run: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], dict[str, str]]:
    assert run.returncode == 0, run.stderr
    return {
        (entry["mechanism"], entry["page"]): entry for entry in json.loads(run.stdout)["findings"]
    }


def test_every_mechanism_and_page_has_a_finding() -> None:
    found = states(vmabench("doctor", "--no-noise", "--json"))
    own = {(name, "") for name in ("swap-zram", "swap-file", "memory-cgroup")}
    pages = read_facts().all_pages
    assert set(found) == {(name, page) for name in MECHANISMS for page in pages} | own
    for finding in found.values():
        assert finding["state"] in ("ok", "blocked")
        assert (finding["gate"] is None) == (finding["state"] == "ok")
    assert found["memcpy", BASE]["state"] == "ok"


def test_the_text_names_gate_and_mend() -> None:
    text = vmabench("doctor", "--no-noise").stdout
    assert "memcpy" in text
    assert read_facts().cpu_model in text


@needs("compiler", "root", "setpriv")
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
def test_a_seccomp_filter_is_named(seccomp_filter: str, error: int, user: tuple[str, ...]) -> None:
    prefix = (*user, seccomp_filter, str(SYS_PROCESS_VM_READV), str(error))
    run = vmabench(
        "run", "smoke", "--mechanism", "readv,fork", "--page", BASE, "--size", "4K",
        "--budget", "1s", "-o", "out", prefix=prefix,
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
    run = vmabench(
        "doctor",
        "--no-noise",
        "--json",
        env={"VMABENCH_SOURCE": foreign_source},
        prefix=WITHOUT_PTRACE,
    )
    found = states(run)
    assert found["readv", BASE]["state"] == "blocked"
    assert "belongs to another user" in found["readv", BASE]["gate"]
    assert "CAP_SYS_PTRACE" in found["readv", BASE]["mend"]
    # The set-user-id bit leaves the source its real user, which is what counts for a caller.
    for mechanism in ("writev", "memfd", "shm", "fork", "memcpy"):
        assert found[mechanism, BASE]["state"] == "ok"


@needs("root", "thp")
def test_shared_memory_is_huge_without_a_setting_by_hand() -> None:
    """POSIX shared memory too, and nobody's mount is changed for it."""
    mounts = Path("/proc/self/mounts").read_text()
    found = states(vmabench("doctor", "--no-noise", "--json"))
    for mechanism in ("memfd", "shm", "sysv", "memfd-private"):
        assert found[mechanism, HUGE]["state"] == "ok"
    assert Path("/proc/self/mounts").read_text() == mounts


@needs("root", "thp")
def test_thp_never(thp_never: None) -> None:
    found = states(vmabench("doctor", "--no-noise", "--json"))
    assert "THP is set to never" in found["readv", HUGE]["gate"]
    assert "echo madvise" in found["readv", HUGE]["mend"]
    assert found["readv", BASE]["state"] == "ok"


@needs("compiler")
def test_a_filter_on_a_call_that_asks_no_permission_is_named(seccomp_filter: str) -> None:
    prefix = (seccomp_filter, str(SYS_USERFAULTFD), str(errno.EPERM))
    found = states(vmabench("doctor", "--no-noise", "--json", prefix=prefix))
    for mechanism in ("uffd-copy", "uffd-move"):
        gate = found[mechanism, BASE]["gate"]
        assert "a seccomp filter refuses userfaultfd (EPERM)" in gate
    assert found["readv", BASE]["state"] == "ok"


@needs("root", "setpriv")
def test_an_ordinary_user_may_do_all_of_it() -> None:
    found = states(vmabench("doctor", "--no-noise", "--json", prefix=ORDINARY))
    blocked = {name for (name, page), f in found.items() if page == BASE and f["state"] != "ok"}
    assert blocked <= {"clone", "xpmem"}


@needs("root", "setpriv")
def test_nobody_locks_memory(user: tuple[str, ...]) -> None:
    """RLIMIT_MEMLOCK gates nothing here: no mechanism locks or registers memory."""
    found = states(
        vmabench("doctor", "--no-noise", "--json", prefix=(*user, "prlimit", "--memlock=0"))
    )
    blocked = {name for (name, page), f in found.items() if page == BASE and f["state"] != "ok"}
    assert blocked <= {"clone", "xpmem"}


@needs("root", "setpriv")
def test_a_pipe_that_may_not_be_that_large() -> None:
    without = ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")
    with borrowed(Path("/proc/sys/fs/pipe-max-size"), "65536"):
        found = states(vmabench("doctor", "--no-noise", "--json", prefix=without))
    for mechanism in ("pipe", "vmsplice", "vmsplice-gift"):
        assert "fs.pipe-max-size" in found[mechanism, BASE]["gate"]
        assert found[mechanism, BASE]["mend"] == "sysctl fs.pipe-max-size=1048576"
    assert found["socket", BASE]["state"] == "ok"


def reasons(run: subprocess.CompletedProcess[str]) -> dict[int, str]:
    """Size -> why it was skipped, of a run that went well otherwise."""
    assert run.returncode == 0, run.stderr
    skipped = read(Path("out")).of_kind("skipped")
    return {Case.parse(r["case"]).size_bytes: r["reason"] for r in skipped}


def small_run(mechanism: str, sizes: str, prefix: tuple[str, ...] = ()) -> dict[int, str]:
    run = vmabench(
        "run", "smoke", "--mechanism", mechanism, "--page", BASE, "--size", sizes,
        "--scenario", "transfer", "--budget", "1s", "-o", "out", prefix=prefix,
    )  # fmt: skip
    return reasons(run)


@needs("root", "setpriv")
def test_a_segment_larger_than_shmmax(user: tuple[str, ...]) -> None:
    with borrowed(Path("/proc/sys/kernel/shmmax"), "65536"):
        found = small_run("sysv", "64K,1M", prefix=user)
    assert set(found) == {1 << 20}
    assert "kernel.shmmax forbids shmget" in found[1 << 20]


@needs("root", "setpriv")
def test_shared_memory_that_is_too_small(user: tuple[str, ...]) -> None:
    mount = 'mount -t tmpfs -o size=256k tmpfs /dev/shm && exec "$@"'
    found = small_run("shm", "64K,1M", prefix=("unshare", "-m", "sh", "-c", mount, "sh", *user))
    assert set(found) == {1 << 20}
    assert "262144 free" in found[1 << 20]
    assert "/dev/shm" in found[1 << 20]


@needs("root", "setpriv")
def test_strict_overcommit(user: tuple[str, ...]) -> None:
    memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    committed_kib = int(memory["Committed_AS"].split()[0])
    ratio = Path("/proc/sys/vm/overcommit_ratio").read_text()
    limit = Path("/proc/sys/vm/overcommit_kbytes")
    try:
        limit.write_text(str(committed_kib + (400 << 10)))
        with borrowed(Path("/proc/sys/vm/overcommit_memory"), "2"):
            found = small_run("readv", "64K,1G", prefix=user)
    finally:
        Path("/proc/sys/vm/overcommit_ratio").write_text(ratio)
    assert set(found) == {1 << 30}
    assert "vm.overcommit_memory is 2" in found[1 << 30]
