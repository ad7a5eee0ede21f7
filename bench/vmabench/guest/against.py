# SPDX-License-Identifier: GPL-2.0-only
"""The kernel that another one is compared with, by the name that a user gives it.

``base`` is the same kernel without its series, and a directory of patches is the same kernel with
these instead. Any other name is one of ``--kernel``, built without a series.
"""

import re
from pathlib import Path

from vmabench.guest import cache, kbuild, kconfig, series, spec

BASE = "base"


def spec_of(name: str, own: spec.Spec) -> spec.Spec:
    """Return the kernel that ``--against`` names, where ``own`` is the one it is compared with."""
    if name == BASE:
        return spec.Spec(_base_of(own), spec.NONE, own.option)
    path = Path(name).expanduser()
    if path.is_dir() and spec.patch_directory(path):
        return spec.Spec(_base_of(own), name, own.option)
    return spec.Spec(name, spec.NONE, "--against")


def _base_of(own: spec.Spec) -> str | None:
    """Return the kernel that the series goes on: of a range of commits, the first one."""
    first, dots, _ = (own.series or "").partition("..")
    is_range = dots and first and own.kernel and not Path(own.series or "").is_dir()
    return f"{own.kernel}@{first}" if is_range else own.kernel


def differences(a: cache.Kernel, b: cache.Kernel) -> list[str]:
    """Return in what two kernels differ beside their sources.

    Options that the series adds do not count, as the kernel without it cannot have them. Two
    versions differ in many options that nobody asked for, so of those only the options of the
    fragments count that both versions have.
    """
    found = [f"the compiler is {a.compiler} and {b.compiler}"] if a.compiler != b.compiler else []
    configs = (a.config.read_text(), b.config.read_text())
    # the compiler is named above, and its version is in the configuration several times
    version = re.compile(r"CONFIG_(CC|GCC|AS|LD|CLANG|RUSTC|PAHOLE)_")
    different = kconfig.differences(*configs, own_options())
    if version_of(a.release) != version_of(b.release):
        asked = _asked_for() & set(kconfig.parse(configs[0])) & set(kconfig.parse(configs[1]))
        different = [text for text in different if text.split()[0] in asked]
    return found + [text for text in different if not version.match(text)]


def version_of(release: str) -> str:
    """Return the version of a release: ``6.12`` of ``6.12.117-vmabench``."""
    return ".".join(release.split("-", maxsplit=1)[0].split(".")[:2])


def own_options() -> set[str]:
    """Return the options that the default series adds."""
    return series.options(series.patches(kbuild.project_kernel() / "patches"))


def _asked_for() -> set[str]:
    paths = kconfig.fragments(kbuild.project_kernel() / "config", "bench")
    return {option for path in paths for option in kconfig.parse(path.read_text())}
