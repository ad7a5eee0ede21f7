# SPDX-License-Identifier: GPL-2.0-only
"""The kernel that the series is compared with, by the name that a user gives it.

``base`` is the kernel without the series. A directory is another series (its patches lie in it, or
in ``patches`` or ``kernel/patches`` below it, as in a checkout), or else the sources of a kernel,
built as they are.
A file is a kernel image, with its configuration where a build leaves it or as ``config`` beside it.
"""

import hashlib
import re
import struct
from pathlib import Path

from vmabench.errors import KernelBuildError, UsageError
from vmabench.guest import cache, kbuild, kconfig, series

BASE = "base"


def obtain(
    name: str, say: kbuild.Say = kbuild.silent, progress: kbuild.Progress | None = None
) -> cache.Kernel:
    """The kernel of that name, built where it has to be; raises UsageError, KernelBuildError."""
    if name == BASE:
        return kbuild.build(instead=(), say=say, progress=progress)
    path = Path(name).expanduser().resolve()
    if path.is_file():
        return _imported(path)
    for directory in (path, path / "patches", path / "kernel" / "patches"):
        if any(directory.glob("[0-9][0-9][0-9][0-9]-*.patch")):
            patches = series.patches(directory)
            return kbuild.build(instead=patches, say=say, progress=progress)
    if (path / "Makefile").is_file():
        return kbuild.build(ksrc=str(path), instead=(), say=say, progress=progress)
    raise UsageError(
        f"--against {name}: write base, a directory of patches or of kernel sources, or an image"
    )


def differences(a: cache.Kernel, b: cache.Kernel) -> list[str]:
    """In what two kernels differ beside their sources; nothing where only those do.

    The options that the series adds are part of it: the kernel without it can't have them.
    """
    found = [f"the compiler is {a.compiler} and {b.compiler}"] if a.compiler != b.compiler else []
    configs = (a.config.read_text(), b.config.read_text())
    # the compiler is named above, and its version is in the configuration several times
    version = re.compile(r"CONFIG_(CC|GCC|AS|LD|CLANG|RUSTC|PAHOLE)_")
    return found + [
        text
        for text in kconfig.differences(*configs, kbuild.own_options())
        if not version.match(text)
    ]


def _imported(image: Path) -> cache.Kernel:
    """A copy in the cache, where symbols and answers about the image are kept beside it."""
    places = [image.with_name("config"), image.with_name(".config")]
    if len(image.parents) > 3:  # arch/x86/boot/bzImage
        places.append(image.parents[3] / ".config")
    config = next((path for path in places if path.is_file()), None)
    if config is None:
        raise UsageError(f"--against {image}: its configuration must lie beside it, as 'config'")
    release = _release(image)
    text = config.read_bytes()
    compiler = re.search(rb'^CONFIG_CC_VERSION_TEXT="(.*)"$', text, re.MULTILINE)
    key = hashlib.sha256(image.read_bytes() + b"\0" + text).hexdigest()[:16]
    facts = {
        "key": key,
        "flavour": "image",
        "release": release,
        "compiler": compiler[1].decode() if compiler else "unknown",
        "config_sha256": hashlib.sha256(text).hexdigest(),
    }
    found = cache.look_up(key, cache.root())
    return found or cache.publish(image, config, facts, cache.root())


def _release(image: Path) -> str:
    """As ``uname -r`` gives it; by the header of a bzImage (Documentation/arch/x86/boot.rst)."""
    with image.open("rb") as file:
        head = file.read(1 << 16)
    if head[0x202:0x206] != b"HdrS":
        raise KernelBuildError(f"{image} is no bzImage")
    (offset,) = struct.unpack_from("<H", head, 0x20E)
    words = head[0x200 + offset :].partition(b"\0")[0].decode(errors="replace").split()
    if not words:
        raise KernelBuildError(f"{image} does not say of which release it is")
    return words[0]
