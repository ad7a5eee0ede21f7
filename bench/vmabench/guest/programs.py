# SPDX-License-Identifier: GPL-2.0-only
"""Build the programs that run in a guest, out of tree, against the sources of its kernel."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vmabench.errors import KernelBuildError
from vmabench.guest import cache, kbuild, scratch, sources, spec
from vmabench.guest.plan import Program


def compile_all(
    source: Path, names: Sequence[str], directory: Path, version: str = spec.DEFAULT_VERSION
) -> dict[str, Path]:
    """Run ``make`` for programs that are made for a version; return name -> path."""
    trees = [tree for tree in cache.root().glob("tree-*") if tree.suffix != ".partial"]
    if not trees:
        raise KernelBuildError("no unpacked sources in the cache: build a kernel first")
    # The harness grows from version to version: take that of the version the programs are made for.
    trees.sort(key=lambda tree: (sources.version_of(tree) != version, tree))
    paths = {name: directory / name for name in names}
    command = ["make", "-C", str(source), f"KSRC={trees[0]}", f"OUTPUT={directory}"]
    line = scratch.tied([*command, *map(str, paths.values())], "TERM")
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = kbuild.first_error(done.stdout + done.stderr)
        raise KernelBuildError(f"the programs of {source.name}: {reason}")
    return paths


def build(wanted: Sequence[Program], kernel: cache.Kernel, directory: Path) -> dict[str, Path]:
    """Build the programs of an audit in ``directory``, which the guest sees; return name -> path.

    The kernel's types for the debugger are copied beside them as ``types.o``.
    """
    found: dict[str, Path] = {}
    for origin in ("selftests", "audit"):
        source = kbuild.project_kernel() / origin
        names = [program.name for program in wanted if program.origin == origin]
        scripts = [name for name in names if (source / f"{name}.py").exists()]
        for name in scripts:
            found[name] = Path(shutil.copy(source / f"{name}.py", directory))
        used = {name for program in wanted if program.origin == origin for name in program.uses}
        compiled = sorted((set(names) | used) - set(scripts))
        if compiled:
            found |= compile_all(source, compiled, directory)
    if kernel.types.exists():
        shutil.copyfile(kernel.types, directory / "types.o")
    return found
