# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that was built elsewhere: a bzImage and its configuration.

The configuration is where a build leaves it, or beside the image as ``config``.
"""

import hashlib
import re
import struct
from pathlib import Path

from vmabench.errors import KernelBuildError, UsageError
from vmabench.guest import cache, kconfig

_HEAD = 1 << 16


def is_image(path: Path) -> bool:
    """Return whether a file is a bzImage: see Documentation/arch/x86/boot.rst."""
    with path.open("rb") as file:
        return file.read(_HEAD)[0x202:0x206] == b"HdrS"


def take(image: Path, required: str, option: str = "--kernel") -> cache.Kernel:
    """Return a copy in the cache, where symbols and facts on the image are kept beside it.

    Raise KernelBuildError if the configuration lacks an option of ``required``.
    """
    config = _config_of(image)
    if config is None:
        raise UsageError(f"{option} {image}: its configuration must lie beside it, as 'config'")
    text = config.read_bytes()
    if lost := kconfig.missing(required, text.decode(errors="replace")):
        raise KernelBuildError(f"{image} cannot run as a guest: it lacks {', '.join(lost)}")
    compiler = re.search(rb'^CONFIG_CC_VERSION_TEXT="(.*)"$', text, re.MULTILINE)
    key = hashlib.sha256(image.read_bytes() + b"\0" + text).hexdigest()[:16]
    facts = {
        "key": key,
        "flavour": "image",
        "release": release(image),
        "compiler": compiler[1].decode() if compiler else "unknown",
        "config_sha256": hashlib.sha256(text).hexdigest(),
    }
    found = cache.look_up(key, cache.root())
    return found or cache.publish(image, config, facts, cache.root())


def release(image: Path) -> str:
    """Return the release as ``uname -r`` prints it, from the header of a bzImage."""
    with image.open("rb") as file:
        head = file.read(_HEAD)
    if head[0x202:0x206] != b"HdrS":
        raise KernelBuildError(f"{image} is no bzImage")
    (offset,) = struct.unpack_from("<H", head, 0x20E)
    words = head[0x200 + offset :].partition(b"\0")[0].decode(errors="replace").split()
    if not words:
        raise KernelBuildError(f"{image} has no release in its header")
    return words[0]


def _config_of(image: Path) -> Path | None:
    places = [image.with_name("config"), image.with_name(".config")]
    if len(image.parents) > 3:  # arch/x86/boot/bzImage
        places.append(image.parents[3] / ".config")
    return next((path for path in places if path.is_file()), None)
