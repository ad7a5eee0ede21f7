# SPDX-License-Identifier: GPL-2.0-only
"""The real thing: the patched kernel, booted, and what its selftests and its log say."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.needs import needs
from vmabench import guest
from vmabench.errors import VmabenchError
from vmabench.guest import boot, kbuild, programs

REQUIRED = not {"guest", "all"}.isdisjoint(os.environ.get("VMABENCH_REQUIRE", "").split(","))


@pytest.fixture(scope="module")
def kernel() -> guest.Kernel:
    """A kernel from the cache; built only where a guest is required, as it takes minutes."""
    try:
        found = guest.build() if REQUIRED else kbuild.cached()
    except VmabenchError as error:
        if REQUIRED:
            raise
        pytest.skip(f"{error} (VMABENCH_REQUIRE=guest makes this a failure)")
    if found is None:
        pytest.skip("no kernel in the cache: vmabench guest build, or VMABENCH_REQUIRE=guest")
    if not REQUIRED and not shutil.which("qemu-system-x86_64"):
        pytest.skip("no QEMU (VMABENCH_REQUIRE=guest makes this a failure)")
    return found


def test_a_command_and_its_exit_status(kernel: guest.Kernel, tmp_path: Path) -> None:
    machine = guest.Machine(shares=(tmp_path,), swap="zram", swap_bytes=64 << 20)
    script = f"uname -r; grep -c zram0 /proc/swaps; echo from the guest >{tmp_path}/file; exit 7"
    outcome = guest.run(["sh", "-c", script], kernel, machine=machine, timeout=120)
    assert outcome.status == 7
    assert outcome.stdout.split() == [kernel.release, "1"]
    assert (tmp_path / "file").read_text() == "from the guest\n"
    assert outcome.splats == ()


def test_the_root_of_the_host_is_not_written(kernel: guest.Kernel) -> None:
    mark = Path.home() / "vmabench-must-not-be-here"
    outcome = guest.run(["sh", "-c", f"echo x >{mark} && cat {mark}"], kernel, timeout=120)
    assert outcome.stdout == "x\n"
    assert not mark.exists()


def test_home_is_on_the_guests_own_memory(kernel: guest.Kernel) -> None:
    """The host's /root is not: 9p reads it as the user that started QEMU."""
    script = 'stat -f -c %T "$HOME" && touch "$HOME/x" && env | cut -d= -f1 | sort | xargs'
    outcome = guest.run(["sh", "-c", script], kernel, timeout=120)
    home, names = outcome.stdout.splitlines()
    assert home == "tmpfs"
    # nothing of the host's environment but where its user's packages are
    assert set(names.split()) <= {
        "HOME",
        "OLDPWD",
        "PATH",
        "PWD",
        "PYTHONUSERBASE",
        "SHLVL",
        "TERM",
        "_",
    }


def test_a_panic_is_a_lost_guest(kernel: guest.Kernel) -> None:
    with pytest.raises(guest.LostGuest, match=r"lost: .*panic"):
        guest.run(["sh", "-c", "echo c >/proc/sysrq-trigger; sleep 30"], kernel, timeout=120)


def test_all_selftests(kernel: guest.Kernel) -> None:
    result = guest.selftests(kernel, timeout=900)
    assert result.good, "\n".join(result.lines())


def test_whom_the_limit_ends_has_no_wrong_page(kernel: guest.Kernel, tmp_path: Path) -> None:
    """The stress goes on without a worker that the OOM killer ended, and counts them."""
    stress = programs.compile_all(kbuild.project_kernel() / "audit", ["stress"], tmp_path)["stress"]
    options = ["--seconds", "20", "--seed", "3", "--beside", "reclaim,limit", "--limit-mb", "8"]
    machine = guest.Machine(swap="zram", swap_bytes=64 << 20)
    outcome = guest.run([str(stress), *options], kernel, machine=machine, timeout=300)
    ended = re.search(r"the OOM killer ended (\d+) processes", outcome.stdout)
    assert ended, outcome.stdout
    assert int(ended[1]) > 0
    assert "not ok" not in outcome.stdout, outcome.stdout
    assert outcome.splats == ()
    # what the base itself loses must not be looked for
    assert "no MADV_FREE as swap is on zram" in outcome.stdout


def test_the_stress_uses_madv_free_where_the_base_is_right(
    kernel: guest.Kernel, tmp_path: Path
) -> None:
    """Without swap, with swap on a disk, or with --fixed-base."""
    stress = programs.compile_all(kbuild.project_kernel() / "audit", ["stress"], tmp_path)["stress"]
    command = f"{stress} --seconds 1 --workers 2"
    machine = guest.Machine(swap="file", swap_bytes=64 << 20)
    disk = guest.run(["sh", "-c", command], kernel, machine=machine, timeout=120)
    machine = guest.Machine(swap="zram", swap_bytes=64 << 20)
    script = f"{command} --fixed-base && swapoff -a && {command}"
    others = guest.run(["sh", "-c", script], kernel, machine=machine, timeout=120)
    for outcome in (disk, others):
        assert outcome.status == 0, outcome.stdout
        assert "MADV_FREE" not in outcome.stdout
    assert others.stdout.count("# stress by clone") == 2


def test_what_shows_a_mistake_of_the_base_passes_without_it(
    kernel: guest.Kernel, tmp_path: Path
) -> None:
    """Each program of audit/base does nothing else that could lose a page."""
    audit = kbuild.project_kernel() / "audit"
    names = sorted(path.stem for path in audit.glob("base/*.c"))
    paths = programs.compile_all(audit, names, tmp_path)
    script = " && ".join(f"{paths[name]} -v kept" for name in names)
    machine = guest.Machine(swap="zram", swap_bytes=64 << 20)
    outcome = guest.run(["sh", "-c", script], kernel, machine=machine, timeout=300)
    assert outcome.status == 0, outcome.stdout
    assert outcome.stdout.count("# PASSED: 1 / 1 tests passed.") == len(names) == 2
    assert "SKIP" not in outcome.stdout


@needs("shellcheck")
def test_init_is_a_good_script() -> None:
    script = Path(boot.__file__).with_name("init.sh")
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert done.stdout == ""
