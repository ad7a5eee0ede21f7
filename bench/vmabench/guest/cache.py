# SPDX-License-Identifier: GPL-2.0-only
"""Where built kernels are kept, and how nobody ever takes half of one for a whole one."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

Say = Callable[[str], None]

FORMAT = 1  # part of the key: another format never finds what this one left


@dataclass(frozen=True)
class Kernel:
    """A kernel that is finished and can be booted."""

    image: Path
    config: Path
    key: str
    flavour: str
    release: str
    compiler: str
    config_sha256: str

    @property
    def types(self) -> Path:
        """An object with debug information of the kernel's types, where there is one."""
        return self.image.with_name("types.o")


def root() -> Path:
    """The directory of the cache, made if it is not there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(base) / "vmabench" / "kernels"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def key(parts: dict[str, str]) -> str:
    """The name of what these parts make: base, series, configuration, compiler."""
    text = json.dumps({"format": str(FORMAT), **parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def look_up(name: str, directory: Path) -> Kernel | None:
    """The finished kernel of a key, or None; one of an unknown shape counts as none."""
    try:
        facts = json.loads((directory / name / "build.json").read_text())
        kernel = Kernel(
            image=directory / name / "bzImage",
            config=directory / name / "config",
            **{field: str(facts[field]) for field in _FACTS},
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kernel if kernel.image.is_file() and kernel.config.is_file() else None


_FACTS = ("key", "flavour", "release", "compiler", "config_sha256")


def publish(
    image: Path,
    config: Path,
    facts: dict[str, str],
    directory: Path,
    types: Path | None = None,
) -> Kernel:
    """Copy a build into the cache: it is there under its key all at once, by a rename."""
    final = directory / facts["key"]
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=directory))
    shutil.copyfile(image, partial / "bzImage")
    shutil.copyfile(config, partial / "config")
    if types:
        shutil.copyfile(types, partial / "types.o")
    kernel = Kernel(final / "bzImage", final / "config", **{name: facts[name] for name in _FACTS})
    stored = {name: value for name, value in asdict(kernel).items() if name in _FACTS}
    (partial / "build.json").write_text(json.dumps(stored, indent=2) + "\n")
    for path in partial.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    shutil.rmtree(final, ignore_errors=True)  # only if look_up() had refused it
    partial.rename(final)
    return kernel


def clean_up(directory: Path) -> None:
    """Remove what builds that were cut off have left; call it with the lock held."""
    for path in directory.glob("partial-*"):
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def lock(directory: Path, say: Say) -> Iterator[None]:
    """One build at a time: a second one waits, and then finds the kernel of the first.

    The kernel drops the lock of a build that is killed, so there is no stale one.
    """
    with (directory / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            say(f"another build is running (process {file.read().strip() or '?'}): waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            # by hand: a child that was forked meanwhile may still have the file open
            fcntl.flock(file, fcntl.LOCK_UN)
