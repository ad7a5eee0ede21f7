# SPDX-License-Identifier: GPL-2.0-only
"""Build the patched kernel, or take it from the cache."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from vmabench.errors import KernelBuildError, MachineError
from vmabench.guest import base as base_of
from vmabench.guest import cache, kconfig, series

Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]  # objects made so far, and of how many

_OBJECT = re.compile(r"^\s+(?:CC|AS|LD|AR)\s")


def project_kernel() -> Path:
    """The project's kernel/ directory, beside bench/."""
    directory = Path(__file__).resolve().parents[3] / "kernel"
    if not (directory / "patches").is_dir():
        raise MachineError(
            "the kernel series is not part of an installed package: run from a checkout"
        )
    return directory


def silent(_: str) -> None:
    """Say nothing."""


def build(
    flavour: str = "bench",
    *,
    ksrc: str | None = None,
    say: Say = silent,
    progress: Progress | None = None,
) -> cache.Kernel:
    """The kernel of this checkout: from the cache if it is there, built otherwise."""
    found = _already_built(flavour, ksrc)
    if found:
        return found
    base_of.check_tools(install=base_of.apt_install)  # xz, for the sources, is one of them
    source = base_of.find(ksrc, install=base_of.apt_install)
    kernel_dir, directory = project_kernel(), cache.root()
    facts = _facts(source, kernel_dir, flavour)
    with cache.lock(directory, say):
        found = cache.look_up(facts["key"], directory)
        if found:  # made while this one waited
            return found
        cache.clean_up(directory)
        return _build_locked(source, kernel_dir, directory, facts, say, progress)


def _already_built(flavour: str, ksrc: str | None) -> cache.Kernel | None:
    """For what is in the cache already no tool is missed."""
    try:
        return cached(flavour, ksrc=ksrc)
    except (MachineError, FileNotFoundError):  # no sources, no compiler
        return None


def cached(flavour: str = "bench", *, ksrc: str | None = None) -> cache.Kernel | None:
    """The kernel of this checkout if it has been built already, at no cost."""
    source = base_of.find(ksrc)
    return cache.look_up(_facts(source, project_kernel(), flavour)["key"], cache.root())


def _facts(source: base_of.Base, kernel_dir: Path, flavour: str) -> dict[str, str]:
    compiler = _output(["gcc", "--version"]).splitlines()[0]
    parts = {
        "base": source.identity,
        "series": _hash(series.patches(kernel_dir / "patches")),
        "config": _hash(kconfig.fragments(kernel_dir / "config", flavour)),
        "compiler": compiler,
    }
    return {"key": cache.key(parts), "flavour": flavour, "compiler": compiler}


def _build_locked(  # noqa: PLR0913, PLR0917 - one step after the other
    source: base_of.Base,
    kernel_dir: Path,
    directory: Path,
    facts: dict[str, str],
    say: Say,
    progress: Progress | None,
) -> cache.Kernel:
    flavour = facts["flavour"]
    tree, objects = directory / f"tree-{source.identity}", directory / f"objects-{flavour}"
    if not tree.exists() or not objects.exists():
        base_of.check_space(directory, flavour)
    if not tree.exists():
        say(f"unpacking {source.path} ({base_of.UNPACKED_GB} GB)")
        base_of.unpack(source, tree)
    pristine = directory / f"pristine-{source.identity}"
    pristine.mkdir(exist_ok=True)
    changed = series.apply(series.patches(kernel_dir / "patches"), tree, pristine)
    say(f"series applied ({changed} files changed), building the {flavour} kernel")
    objects.mkdir(exist_ok=True)
    _configure(tree, objects, kconfig.fragments(kernel_dir / "config", flavour))
    _compile(tree, objects, facts["key"], progress)
    config = objects / ".config"
    facts = {
        **facts,
        "release": (objects / "include/config/kernel.release").read_text().strip(),
        "config_sha256": hashlib.sha256(config.read_bytes()).hexdigest(),
    }
    return cache.publish(objects / "arch/x86/boot/bzImage", config, facts, directory)


def _configure(tree: Path, objects: Path, fragments: list[Path]) -> None:
    """Write .config, but leave an equal one alone: make compares times."""
    wanted = "".join(path.read_text() for path in fragments)
    config, old = objects / ".config", objects / ".config.kept"
    if config.exists():
        config.replace(old)
    _make(tree, objects, ["tinyconfig"])
    with config.open("a") as file:
        file.write(wanted)
    _make(tree, objects, ["olddefconfig"])
    kconfig.check(wanted, config.read_text())
    if old.exists() and old.read_bytes() == config.read_bytes():
        old.replace(config)


def _compile(tree: Path, objects: Path, key: str, progress: Progress | None) -> None:
    count_file, log = objects / "vmabench-count", objects / "vmabench-log"
    expected = int(count_file.read_text()) if count_file.exists() else None
    done = 0
    command = _command(tree, objects, ["bzImage", f"-j{len(os.sched_getaffinity(0))}"])
    with log.open("w") as log_file:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment()
        )
        try:
            for line in process.stdout or ():
                log_file.write(line)
                done += bool(_OBJECT.match(line))
                if progress:
                    progress(done, expected)
        except BaseException:
            process.terminate()  # make removes the target that it was at
            raise
        finally:
            process.wait()
    if process.returncode != 0:
        raise KernelBuildError(f"the build failed: {first_error(log.read_text())} (see {log})")
    if expected is None:
        count_file.write_text(str(done))
    (objects / "vmabench-key").write_text(key)


def first_error(log: str) -> str:
    """The line of a build log that says most: the first error of the compiler, else the last."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in lines:
        if re.search(r"\berror:|undefined reference|No space left", line):
            return line
    return lines[-1] if lines else "no output"


def _command(tree: Path, objects: Path, targets: list[str]) -> list[str]:
    compiler = "ccache gcc" if shutil.which("ccache") else "gcc"
    return ["make", "-C", str(tree), f"O={objects}", f"CC={compiler}", "ARCH=x86", *targets]


def _environment() -> dict[str, str]:
    # the same sources make the same image, whoever builds it and when
    fixed = {
        "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
        "KBUILD_BUILD_USER": "vmabench",
        "KBUILD_BUILD_HOST": "vmabench",
        "LC_ALL": "C",
    }
    return {**os.environ, **fixed}


def _make(tree: Path, objects: Path, targets: list[str]) -> None:
    done = subprocess.run(
        _command(tree, objects, targets),
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
    if done.returncode != 0:
        raise KernelBuildError(
            f"make {targets[0]} failed: {first_error(done.stdout + done.stderr)}"
        )


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _hash(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
