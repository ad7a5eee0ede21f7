# SPDX-License-Identifier: GPL-2.0-only
"""Build a kernel, or return it from the cache."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import KernelBuildError, MachineError
from vmabench.guest import base, cache, image, kconfig, scratch, series, sources, spec

Say = Callable[[str], None]
Progress = Callable[[int, int | None], None]  # objects made so far, and of how many

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


def build(
    flavour: str = "bench",
    *,
    kernel: spec.Spec = spec.DEFAULT,
    extra: Sequence[Path] = (),
    say: Say = silent,
    progress: Progress | None = None,
) -> cache.Kernel:
    """Return a kernel: from the cache if it is there, built otherwise.

    Packages that a guest needs are installed in either case. ``extra`` are patches on top of those
    of ``kernel``. Raises UsageError, MachineError and KernelBuildError.
    """
    project, directory = project_kernel(), cache.root()
    found = _already_built(flavour, kernel, extra)
    if found:
        base.prepare_guest(install=base.apt_install)
        return found
    # Packages are installed last: nothing is fetched for a build that cannot begin.
    base.prepare(install=base.apt_install)
    recipe = spec.resolve(kernel, flavour, project, fetch=say)
    if isinstance(recipe, Path):
        return _take(recipe, kernel, project)
    facts = _facts(recipe, project, flavour, extra)
    with cache.lock(directory, say):
        found = cache.look_up(facts["key"], directory)
        if found:  # made while this one waited
            return found
        cache.clean_up(directory)
        return _Build(recipe, tuple(extra), facts, directory, say, progress).run()


def all_patches(project: Path, flavour: str, extra: Sequence[Path] = ()) -> list[Path]:
    """Return the default series, the patches of ``patches/FLAVOUR`` on top, and ``extra``."""
    own = sorted((project / "patches" / flavour).glob("*.patch"))
    return [*series.patches(project / "patches"), *own, *extra]


def _already_built(flavour: str, kernel: spec.Spec, extra: Sequence[Path]) -> cache.Kernel | None:
    """Return the kernel if it is in the cache: that takes no tool of a build."""
    try:
        return cached(flavour, kernel=kernel, extra=extra)
    except (MachineError, FileNotFoundError):  # no sources, no compiler
        return None


def cached(
    flavour: str = "bench",
    *,
    kernel: spec.Spec = spec.DEFAULT,
    extra: Sequence[Path] = (),
) -> cache.Kernel | None:
    """Return a kernel if it has been built already, else None; build and fetch nothing."""
    project = project_kernel()
    kconfig.fragments(project / "config", flavour)
    recipe = spec.resolve(kernel, flavour, project)
    if isinstance(recipe, Path):
        return _take(recipe, kernel, project)
    return cache.look_up(_facts(recipe, project, flavour, extra)["key"], cache.root())


def patches(flavour: str, kernel: spec.Spec) -> tuple[Path, ...]:
    """Return the patches that a kernel was built with: none of an image."""
    recipe = spec.resolve(kernel, flavour, project_kernel())
    return () if isinstance(recipe, Path) else recipe.patches


def _take(path: Path, kernel: spec.Spec, project: Path) -> cache.Kernel:
    return image.take(path, kconfig.required(project / "config"), kernel.option)


def _facts(
    recipe: spec.Recipe, project: Path, flavour: str, extra: Sequence[Path] = ()
) -> dict[str, str]:
    compiler = _output(["gcc", "--version"]).splitlines()[0]
    parts = {
        "base": recipe.sources.identity,
        "series": _hash([*recipe.patches, *extra]),
        "config": _hash(kconfig.fragments(project / "config", flavour, recipe.sources.version)),
        "compiler": compiler,
    }
    return {"key": cache.key(parts), "flavour": flavour, "compiler": compiler}


@dataclass(frozen=True)
class _Build:
    """One build, with the lock of the cache held."""

    recipe: spec.Recipe
    extra: tuple[Path, ...]
    facts: dict[str, str]
    directory: Path
    say: Say
    progress: Progress | None

    def run(self) -> cache.Kernel:
        """Bring the tree up to date, configure and compile it, and publish the kernel."""
        flavour, place = self.facts["flavour"], self.recipe.place(self.facts["flavour"])
        tree, pristine, objects = (
            self.directory / f"{kind}-{place}" for kind in ("tree", "pristine", "objects")
        )
        if not tree.exists() or not objects.exists():
            base.check_space(self.directory, flavour)
        if not tree.exists():
            self.say(f"unpacking Linux {self.recipe.sources.version} ({base.UNPACKED_GB} GB)")
        patches = [*self.recipe.patches, *self.extra]
        sources.update(self.recipe.sources, tree, pristine, series.touched(patches))
        try:
            changed = series.apply(patches, tree, pristine)
        except KernelBuildError as error:
            raise KernelBuildError(f"Linux {self.recipe.sources.version}: {error}") from error
        count = f"{len(patches)} patches applied ({changed} files changed)"
        self.say(f"{count}, building the {flavour} kernel")
        objects.mkdir(exist_ok=True)
        self._configure(tree, objects)
        _compile(tree, objects, self.facts["key"], self.progress)
        return self._publish(objects)

    def _configure(self, tree: Path, objects: Path) -> None:
        """Write .config, but keep an equal one: make compares modification times."""
        fragments, version = project_kernel() / "config", self.recipe.sources.version
        paths = kconfig.fragments(fragments, self.facts["flavour"], version)
        wanted = "".join(path.read_text() for path in paths)
        wanted, unknown = kconfig.known(wanted, kconfig.symbols(tree))
        kconfig.check_required(kconfig.required(fragments), unknown, version)
        if unknown:
            self.say(f"left out, as Linux {version} does not have them: {', '.join(unknown)}")
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

    def _publish(self, objects: Path) -> cache.Kernel:
        types = _compile_types(objects) if self.facts["flavour"] != "bench" else None
        config = objects / ".config"
        facts = {
            **self.facts,
            "release": (objects / "include/config/kernel.release").read_text().strip(),
            "config_sha256": hashlib.sha256(config.read_bytes()).hexdigest(),
        }
        image_path = objects / "arch/x86/boot/bzImage"
        return cache.publish(image_path, config, facts, self.directory, types)


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
