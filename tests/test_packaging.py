# SPDX-License-Identifier: GPL-2.0-only
"""The sdist and the wheel: complete, and enough to measure with outside a checkout.

The wheel is built from the sdist, by the build requirements of this environment, and installed
into an environment of its own that finds the dependencies of this one. Slow: building compiles the
whole core twice. All tests and all workers of xdist share one build.
"""

import fcntl
import json
import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import setuptools
from setuptools.command.build_ext import build_ext

from tests.command import environ
from tests.needs import needs
from vmabench.errors import MachineError
from vmabench.guest import kbuild

ROOT = Path(__file__).resolve().parents[1]
#: the files of kernel/ that nothing in the package reads
UNUSED = {"kernel/README.md", "kernel/AUDIT.md", "kernel/check", "kernel/selftests/.gitignore"}

#: prints what the guest commands read of kernel/, and the key of each flavour's kernel
SOURCES = """
import json
from vmabench.guest import kbuild, mutants, plan, spec
kernel = kbuild.project_kernel()
keys = {
    flavour: kbuild._facts(spec.resolve(spec.Spec(), flavour, kernel), kernel, flavour)["key"]
    for flavour in ("bench", "debug")
}
programs = [program.name for program in plan.load(kernel / "audit/audit.toml").programs]
faults = [mutant.name for mutant in mutants.find(kernel / "audit/mutants")]
print(json.dumps({"kernel": str(kernel), "keys": keys, "programs": programs, "mutants": faults}))
"""

PLAN = """\
name = "one"
budget = "1s"
[[sweep]]
mechanism = ["readv"]
scenario = ["deliver"]
page = ["base"]
size = ["4K"]
"""

pytestmark = [needs("git", "compiler"), pytest.mark.slow]


@dataclass(frozen=True)
class Artefacts:
    sdist: Path
    wheel: Path
    python: Path  # of an environment with the wheel

    def vmabench(self, directory: Path, *arguments: str) -> str:
        return output([self.python, "-m", "vmabench", *arguments], directory)


def output(command: list[str | Path], directory: Path, **extra: str) -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        env=environ(extra),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked(*directories: str) -> set[str]:
    listing = output(["git", "ls-files", *directories], ROOT)
    return {name for name in listing.splitlines() if (ROOT / name).is_file()}


def copy_sources(target: Path) -> Path:
    """What git knows of the checkout: nothing that was built there."""
    for name in tracked(".", ":!results", ":!tests", ":!notebooks"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Artefacts:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    directory, complete = shared / "artefacts", shared / "artefacts.complete"
    with (shared / "artefacts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            build_artefacts(directory)
            complete.touch()
    (sdist,), (wheel,) = (list((directory / "dist").glob(f"*{end}")) for end in (".gz", ".whl"))
    return Artefacts(sdist, wheel, directory / "env/bin/python")


def build_artefacts(directory: Path) -> None:
    sources = copy_sources(directory / "sources")
    build: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation"]
    output([*build, "--outdir", directory / "dist", sources], directory)
    (wheel,) = (directory / "dist").glob("*.whl")
    output([sys.executable, "-m", "venv", "--without-pip", directory / "env"], directory)
    python = directory / "env/bin/python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(directory / "env")}))
    # The .pth files of this environment are not read: they would lead to the checkout.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "install"]
    output([*pip, "-q", "--no-deps", "--no-index", wheel], directory)


def test_the_sdist_has_every_source_and_nothing_that_was_built(artefacts: Artefacts) -> None:
    with tarfile.open(artefacts.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if "egg-info" not in name}
    missing = tracked("kernel", "bench/vmabench", "setup.py", "pyproject.toml", "LICENSE") - names
    assert missing == set()
    assert not [name for name in names if name.endswith((".so", ".o", "_core.c", "-source"))]


def test_the_wheel_has_one_package_with_all_that_it_reads(artefacts: Artefacts) -> None:
    with zipfile.ZipFile(artefacts.wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"vmabench"}
    package = {name.removeprefix("bench/") for name in tracked("bench/vmabench")}
    package = {name for name in package if not name.endswith(".c")} | {
        "vmabench/guest/functions.c",
        "vmabench/native/vmabench-source",
    }
    package |= {f"vmabench/{name}" for name in tracked("kernel") - UNUSED}
    assert package - names == set()
    assert "abi3" in artefacts.wheel.name, "one wheel serves all versions of Python"


@pytest.mark.machine
def test_the_wheel_measures_outside_a_checkout(artefacts: Artefacts, tmp_path: Path) -> None:
    where = output([artefacts.python, "-c", "import vmabench; print(vmabench.__file__)"], tmp_path)
    assert Path(where).is_relative_to(artefacts.python.parents[1])
    assert "smoke" in artefacts.vmabench(tmp_path, "list", "plans")
    (tmp_path / "one.toml").write_text(PLAN)
    found = json.loads(artefacts.vmabench(tmp_path, "doctor", "one.toml", "--no-noise", "--json"))
    assert {entry["state"] for entry in found["findings"]} == {"ok"}
    few = ("--mechanism", "readv,memcpy", "--page", "base", "--size", "4K", "--budget", "500ms")
    artefacts.vmabench(tmp_path, "run", "smoke", *few, "-o", "result")
    page = artefacts.vmabench(tmp_path, "report", "result", "--format", "html")
    assert page.startswith("<!DOCTYPE html>")
    assert "readv" in page


def test_the_wheel_has_the_kernels_of_the_checkout(artefacts: Artefacts, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 5\n")
    told = [
        json.loads(output([python, "-c", SOURCES], tmp_path, KSRC=str(tmp_path)))
        for python in (Path(sys.executable), artefacts.python)
    ]
    kernels = [Path(answer.pop("kernel")) for answer in told]
    assert kernels[0] == ROOT / "kernel"
    assert kernels[1].is_relative_to(artefacts.python.parents[1])
    assert told[0] == told[1]
    assert told[0]["mutants"]
    for name in ("audit", "selftests"):
        targets = output(["make", "-n", "-C", kernels[1] / name, "KSRC=x", "all"], tmp_path)
        assert "process_vm_mmap.h" in targets


def test_an_incomplete_installation_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kbuild, "__file__", str(tmp_path / "lib/x/vmabench/guest/kbuild.py"))
    with pytest.raises(MachineError, match=r"x/vmabench has no kernel series: the installation"):
        kbuild.project_kernel()


def test_a_removed_patch_leaves_the_next_wheel(tmp_path: Path) -> None:
    sources = copy_sources(tmp_path / "sources")
    build: list[str | Path] = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", "lib"]
    output(build, sources)
    patch = next((sources / "kernel/patches").glob("0001-*"))
    copies = sources / "lib/vmabench/kernel/patches"
    assert (copies / patch.name).exists()
    patch.unlink()
    output(build, sources)
    assert (copies / "0000-cover-letter.patch").exists()
    assert not (copies / patch.name).exists()


@pytest.mark.parametrize(
    ("compiler", "cause"),
    [
        ("gcc", "source.c: No such file or directory"),
        ("/no/such/compiler", "/no/such/compiler: No such file or directory .install gcc"),
    ],
)
def test_a_failed_build_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, cause: str
) -> None:
    """An sdist without source.c blamed a missing compiler."""
    sources = copy_sources(tmp_path / "sources")
    for path in (sources / "bench/vmabench/native").glob("*.c"):
        path.unlink()
    monkeypatch.chdir(sources)
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setattr(setuptools, "setup", lambda **_: None)
    monkeypatch.setattr(build_ext, "run", lambda _: None)
    core = runpy.run_path("setup.py")["BuildCore"](setuptools.Distribution())
    core.inplace = True
    with pytest.raises(SystemExit, match=rf"cannot build vmabench-source: [^?]*{cause}"):
        core.run()
