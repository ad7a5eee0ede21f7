# SPDX-License-Identifier: GPL-2.0-only
"""The sources that the series is for: Debian's package, or what KSRC= names."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import KernelBuildError, MachineError

VERSION = (6, 12)
PACKAGE = "linux-source-6.12"
PACKAGED = Path("/usr/src/linux-source-6.12.tar.xz")
# what building and booting needs besides the sources: command -> Debian's package
TOOLS = {
    "gcc": "gcc",
    "make": "make",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "patch": "patch",
    "xz": "xz-utils",
    "cpio": "cpio",
    "qemu-system-x86_64": "qemu-system-x86",
}
# header -> Debian's package; objtool, which the build makes first, is linked with libelf
HEADERS = {"libelf.h": "libelf-dev", "stdio.h": "libc6-dev"}
UNPACKED_GB = 1.6
OBJECTS_GB = {"bench": 0.6, "debug": 3.0}


#: Installs packages; what went wrong, if something did.
Install = Callable[[list[str]], str | None]


@dataclass(frozen=True)
class Base:
    """Where the sources are: a tarball, or a tree that is only ever read."""

    path: Path
    identity: str  # changes when the sources do


def find(ksrc: str | None = None, install: Install | None = None) -> Base:
    """The base to build from; ``install`` is asked for Debian's package if there is none."""
    if ksrc is None:
        ksrc = os.environ.get("KSRC") or None
    if ksrc is not None:
        path = Path(ksrc).expanduser().resolve()
        if not path.exists():
            raise KernelBuildError(f"KSRC={ksrc}: there is nothing")
        return _judge(path)
    why = install([PACKAGE]) if not PACKAGED.exists() and install is not None else None
    if not PACKAGED.exists():
        raise MachineError(
            f"no kernel sources: run 'apt-get install {PACKAGE}',"
            f" or set KSRC= to a tree or tarball of Linux 6.12{_because(why)}"
        )
    return _judge(PACKAGED)


def check_tools(install: Install | None = None) -> None:
    """Raise MachineError that names everything that is missing, with the one command for it."""
    missing, why = _missing(), None
    if missing and install is not None:
        why = install(missing)
        missing = _missing()
    if missing:
        raise MachineError(
            f"the guest needs more: run 'apt-get install {' '.join(missing)}'{_because(why)}"
        )


def _missing() -> list[str]:
    packages = {package for tool, package in TOOLS.items() if not shutil.which(tool)}
    if shutil.which("gcc"):
        packages |= {package for header, package in HEADERS.items() if not _has_header(header)}
    return sorted(packages)


def _has_header(name: str) -> bool:
    done = subprocess.run(
        ["gcc", "-E", "-xc", "-"],
        input=f"#include <{name}>\n",
        text=True,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def apt_install(packages: list[str]) -> str | None:
    """Install packages where that is possible without a question; why it was not, else None."""
    if not shutil.which("apt-get"):
        return "there is no apt-get"
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and not shutil.which("sudo"):
        return "only root may"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    wanted = ["install", "-y", "-qq", "--no-install-recommends", *packages]
    for command in (["update", "-qq"], wanted):
        done = subprocess.run(
            [*as_root, "apt-get", *command],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
    return None if done.returncode == 0 else f"apt-get failed: {_last_line(done.stderr)}"


def _because(why: str | None) -> str:
    return f" ({why})" if why else ""


def check_space(directory: Path, flavour: str) -> None:
    """Raise MachineError if what a build needs does not fit."""
    need_gb = UNPACKED_GB + OBJECTS_GB.get(flavour, 1.0)
    free_gb = shutil.disk_usage(directory).free / 1e9
    if free_gb < need_gb:
        raise MachineError(
            f"a {flavour} kernel needs {need_gb:.1f} GB in {directory}, {free_gb:.1f} GB are free"
        )


def unpack(base: Base, target: Path) -> None:
    """Lay the sources out in ``target``, which appears all at once or not at all."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if base.path.is_dir():
        ignore = shutil.ignore_patterns(".git", "*.o", "*.cmd")
        shutil.copytree(base.path, partial, symlinks=True, ignore=ignore)
        if (partial / ".config").exists():
            raise KernelBuildError(f"{base.path} was built in place: run 'make mrproper' there")
    else:
        partial.mkdir(parents=True)
        command = ["tar", "-xf", str(base.path), "-C", str(partial), "--strip-components=1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise KernelBuildError(f"{base.path} can't be unpacked: {_last_line(done.stderr)}")
    partial.rename(target)


def _judge(path: Path) -> Base:
    text = _makefile(path)
    version = tuple(
        int(match[1]) if (match := re.search(rf"^{name} = (\d+)$", text, re.MULTILINE)) else -1
        for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")
    )
    if version[:2] != VERSION:
        found = ".".join(map(str, version[:2])) if version[0] >= 0 else "no kernel"
        raise KernelBuildError(f"{path} is {found}: the series is for Linux 6.12")
    stat = path.stat()
    seed = f"{path}:{stat.st_size}:{stat.st_mtime_ns}:{version}"
    return Base(path, hashlib.sha256(seed.encode()).hexdigest()[:16])


def _makefile(path: Path) -> str:
    if path.is_dir():
        makefile = path / "Makefile"
        return makefile.read_text(errors="replace") if makefile.is_file() else ""
    try:
        with tarfile.open(path) as archive:
            # it is among the first of thousands: no need to read the rest
            for member in archive:
                if member.isfile() and re.fullmatch(r"[^/]+/Makefile", member.name):
                    file = archive.extractfile(member)
                    return file.read().decode(errors="replace") if file else ""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise KernelBuildError(f"{path} is no tarball: {error}") from error
    return ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
