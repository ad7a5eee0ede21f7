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
from tests.needs import needs
from vmabench.machine.facts import read_facts
from vmabench.mechanisms import MECHANISMS, SOURCE_PROGRAM
from vmabench.store.reader import read

NATIVE = Path(__file__).with_name("native")
BASE, HUGE = read_facts().pages
SYS_PROCESS_VM_READV = 310  # x86-64
SYS_PROCESS_VM_WRITEV = 311


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


def states(run: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], dict[str, str]]:
    assert run.returncode == 0, run.stderr
    return {(entry["mechanism"], entry["page"]): entry for entry in json.loads(run.stdout)}


def test_every_mechanism_and_page_has_a_finding() -> None:
    found = states(vmabench("doctor", "--json"))
    assert set(found) == {(name, page) for name in MECHANISMS for page in (BASE, HUGE)}
    for finding in found.values():
        assert finding["state"] in ("ok", "blocked")
        assert (finding["gate"] is None) == (finding["state"] == "ok")
    assert found["memcpy", BASE]["state"] == "ok"


def test_the_text_names_gate_and_mend() -> None:
    text = vmabench("doctor").stdout
    assert "memcpy" in text
    assert read_facts().cpu_model in text


@needs("compiler")
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
def test_a_seccomp_filter_is_named(seccomp_filter: str, error: int) -> None:
    prefix = (seccomp_filter, str(SYS_PROCESS_VM_READV), str(error))
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
        "doctor", "--json", env={"VMABENCH_SOURCE": foreign_source}, prefix=WITHOUT_PTRACE
    )
    found = states(run)
    assert found["readv", BASE]["state"] == "blocked"
    assert "belongs to another user" in found["readv", BASE]["gate"]
    assert "CAP_SYS_PTRACE" in found["readv", BASE]["mend"]
    # The set-user-id bit leaves the source its real user, which is what counts for a caller.
    for mechanism in ("writev", "memfd", "shm", "fork", "memcpy"):
        assert found[mechanism, BASE]["state"] == "ok"


@needs("root", "thp")
def test_shared_memory_and_its_two_settings(shmem_advise: None) -> None:
    found = states(vmabench("doctor", "--json"))
    assert found["memfd", HUGE]["state"] == "ok"
    assert "/dev/shm is mounted with huge=never" in found["shm", HUGE]["gate"]


@needs("root", "thp")
def test_thp_never(thp_never: None) -> None:
    found = states(vmabench("doctor", "--json"))
    assert "THP is set to never" in found["readv", HUGE]["gate"]
    assert "echo madvise" in found["readv", HUGE]["mend"]
    assert found["readv", BASE]["state"] == "ok"
