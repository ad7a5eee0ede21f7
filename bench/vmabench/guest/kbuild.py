# SPDX-License-Identifier: GPL-2.0-only
"""Build the patched kernel, or return it from the cache."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from vmabench.errors import KernelBuildError, MachineError
from vmabench.guest import base as base_of
from vmabench.guest import cache, kconfig, scratch, series

Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]  # objects made so far, and of how many

#: where kernels are built that are not of this checkout
AGAINST = "against"

_DIR, _NAME = "mm", "rmap"  # includes what the audit looks at
_OBJECT = re.compile(r"^\s+(?:CC|AS|LD|AR)\s")


def project_kernel() -> Path:
    """Return the directory kernel/: the copy in an installed package, or that of the checkout.

    Raise MachineError if neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for directory in (package / "kernel", package.parents[1] / "kernel"):
        if (directory / "patches").is_dir():
            return directory
    raise MachineError(f"{package} has no kernel series: the installation is incomplete")


def silent(_: str) -> None:
    """Say nothing."""


def build(  # noqa: PLR0913 - each is an option of some command
    flavour: str = "bench",
    *,
    ksrc: str | None = None,
    extra: Sequence[Path] = (),
    instead: Sequence[Path] | None = None,
    say: Say = silent,
    progress: Progress | None = None,
) -> cache.Kernel:
    """Return the kernel of this installation: from the cache if it is there, built otherwise.

    What a guest needs is installed in either case.

    ``extra`` are patches that go on top of the series and of the flavour's own.
    ``instead`` replaces the series: the kernel to compare it with may have other patches, or none.
    """
    found = _already_built(flavour, ksrc, extra, instead)
    if found:
        base_of.prepare_guest(install=base_of.apt_install)
        return found
    # Packages are installed last: nothing is fetched for a build that cannot begin.
    kernel_dir, directory = project_kernel(), cache.root()
    patches = _chosen(kernel_dir, flavour, extra, instead)
    source = base_of.prepare(ksrc, install=base_of.apt_install)
    facts = _facts(source, kernel_dir, flavour, patches)
    room = flavour if instead is None else AGAINST
    with cache.lock(directory, say):
        found = cache.look_up(facts["key"], directory)
        if found:  # made while this one waited
            return found
        cache.clean_up(directory)
        return _build_locked(source, patches, directory, facts | {"room": room}, say, progress)


def own_options() -> set[str]:
    """The options that the series adds: a kernel without it has none of them."""
    return series.options(series.patches(project_kernel() / "patches"))


def all_patches(kernel_dir: Path, flavour: str, extra: Sequence[Path] = ()) -> list[Path]:
    """The series, what is in ``patches/FLAVOUR`` on top of it, and ``extra``."""
    own = sorted((kernel_dir / "patches" / flavour).glob("*.patch"))
    return [*series.patches(kernel_dir / "patches"), *own, *extra]


def _chosen(
    kernel_dir: Path, flavour: str, extra: Sequence[Path], instead: Sequence[Path] | None
) -> list[Path]:
    if instead is not None:
        return [*instead, *extra]
    return all_patches(kernel_dir, flavour, extra)


def _already_built(
    flavour: str, ksrc: str | None, extra: Sequence[Path], instead: Sequence[Path] | None
) -> cache.Kernel | None:
    """Return the kernel if it is in the cache: that takes no tool of a build."""
    try:
        return cached(flavour, ksrc=ksrc, extra=extra, instead=instead)
    except (MachineError, FileNotFoundError):  # no sources, no compiler
        return None


def cached(
    flavour: str = "bench",
    *,
    ksrc: str | None = None,
    extra: Sequence[Path] = (),
    instead: Sequence[Path] | None = None,
) -> cache.Kernel | None:
    """The kernel of this checkout if it has been built already, at no cost."""
    source, kernel_dir = base_of.find(ksrc), project_kernel()
    patches = _chosen(kernel_dir, flavour, extra, instead)
    return cache.look_up(_facts(source, kernel_dir, flavour, patches)["key"], cache.root())


def _facts(
    source: base_of.Base, kernel_dir: Path, flavour: str, patches: list[Path]
) -> dict[str, str]:
    compiler = _output(["gcc", "--version"]).splitlines()[0]
    parts = {
        "base": source.identity,
        "series": _hash(patches),
        "config": _hash(kconfig.fragments(kernel_dir / "config", flavour)),
        "compiler": compiler,
    }
    return {"key": cache.key(parts), "flavour": flavour, "compiler": compiler}


def _build_locked(  # noqa: PLR0913, PLR0917 - one step after the other
    source: base_of.Base,
    patches: list[Path],
    directory: Path,
    facts: dict[str, str],
    say: Say,
    progress: Progress | None,
) -> cache.Kernel:
    flavour, room = facts["flavour"], facts["room"]
    tree, pristine = _trees(directory, source, room)
    objects = directory / f"objects-{room}"
    if not tree.exists() or not objects.exists():
        base_of.check_space(directory, flavour)
    if not tree.exists():
        say(f"unpacking {source.path} ({base_of.UNPACKED_GB} GB)")
        base_of.unpack(source, tree)
    pristine.mkdir(exist_ok=True)
    changed = series.apply(patches, tree, pristine)
    say(f"series applied ({changed} files changed), building the {flavour} kernel")
    objects.mkdir(exist_ok=True)
    fragments = kconfig.fragments(project_kernel() / "config", flavour)
    _configure(tree, objects, fragments, own_options() if room == AGAINST else set())
    _compile(tree, objects, facts["key"], progress)
    types = _compile_types(objects) if flavour != "bench" else None
    config = objects / ".config"
    facts = {
        **facts,
        "release": (objects / "include/config/kernel.release").read_text().strip(),
        "config_sha256": hashlib.sha256(config.read_bytes()).hexdigest(),
    }
    return cache.publish(objects / "arch/x86/boot/bzImage", config, facts, directory, types)


def _trees(directory: Path, source: base_of.Base, room: str) -> tuple[Path, Path]:
    """The tree of a room, and the pristine text of what is patched in it.

    Each flavour has its own, and so has what the series is compared with: patches that only one of
    them has, of a header maybe, would else make all of the other one old.
    """
    name = source.identity if room == "bench" else f"{source.identity}-{room}"
    return directory / f"tree-{name}", directory / f"pristine-{name}"


def _configure(tree: Path, objects: Path, fragments: list[Path], without: set[str]) -> None:
    """Write .config, but keep an equal one: make compares modification times.

    The kernel may lack the options ``without``.
    """
    wanted = "".join(path.read_text() for path in fragments)
    config, old = objects / ".config", objects / ".config.kept"
    if config.exists():
        config.replace(old)
    _make(tree, objects, ["tinyconfig"])
    with config.open("a") as file:
        file.write(wanted)
    _make(tree, objects, ["olddefconfig"])
    kconfig.check(wanted, config.read_text(), without)
    if old.exists() and old.read_bytes() == config.read_bytes():
        old.replace(config)


def _compile(tree: Path, objects: Path, key: str, progress: Progress | None) -> None:
    count_file, log = objects / "vmabench-count", objects / "vmabench-log"
    expected = int(count_file.read_text()) if count_file.exists() else None
    done = 0
    command = _command(tree, objects, ["bzImage", f"-j{len(os.sched_getaffinity(0))}"])
    with log.open("w") as log_file:
        process = subprocess.Popen(
            scratch.tied(command, "TERM"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(),
        )
        try:
            for line in process.stdout or ():
                log_file.write(line)
                done += bool(_OBJECT.match(line))
                if progress:
                    progress(done, expected)
        except BaseException:
            process.terminate()  # make ends its children and removes unfinished targets
            raise
        finally:
            process.wait()
    if process.returncode != 0:
        raise KernelBuildError(f"the build failed: {first_error(log.read_text())} (see {log})")
    if expected is None:
        count_file.write_text(str(done))
    (objects / "vmabench-key").write_text(key)


def _compile_types(objects: Path) -> Path:
    """Compile one object of mm/ with debug information, for a debugger that needs its types.

    Debug information for the whole kernel would take three times the space and half as much time
    again, for the same few structures.
    """
    saved = (objects / f"{_DIR}/.{_NAME}.o.cmd").read_text()
    match = re.search(rf"^savedcmd_\S+ := (.*? -o ){_DIR}/{_NAME}\.o (\S+)", saved, re.MULTILINE)
    if not match:
        raise KernelBuildError(f"no command for {_DIR}/{_NAME}.o in {objects}")
    target = objects / "vmabench-types.o"
    command = f"{match[1]}{target} -g -gdwarf-4 {match[2]}"
    done = subprocess.run(
        ["sh", "-c", command], cwd=objects, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise KernelBuildError(f"types for the debugger: {first_error(done.stderr)}")
    return target


def first_error(log: str) -> str:
    """Return the first compiler error of a build log, or its last line."""
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
        scratch.tied(_command(tree, objects, targets), "TERM"),
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
