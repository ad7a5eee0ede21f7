# SPDX-License-Identifier: GPL-2.0-only
"""The packages and the room on the disk that building and booting a kernel need."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from vmabench.errors import MachineError

# command -> Debian's package; init.sh runs the last six in the guest, which sees the host's files
GUEST_TOOLS = {
    "cpio": "cpio",
    "qemu-system-x86_64": "qemu-system-x86",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mkswap": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
    "swapon": "mount",
}
# what a build needs as well
TOOLS = GUEST_TOOLS | {
    "gcc": "gcc",
    "make": "make",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "patch": "patch",
    "xz": "xz-utils",
}
# header -> Debian's package; the kernel build links objtool with libelf
HEADERS = {"libelf.h": "libelf-dev", "stdio.h": "libc6-dev"}
UNPACKED_GB = 1.6
OBJECTS_GB = {"bench": 0.6, "debug": 3.0}
#: an ordinary user's PATH has no directory for the tools of root
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
# the lines of apt-get that name a cause; its last line often gives advice only
_CAUSE = re.compile(
    r"No space left|Temporary failure resolving|Could not resolve|Could not connect"
    r"|Unable to connect|Connection failed|Could not get lock|Unable to locate package"
    r"|no installation candidate|Proxy|\b40[37]\b"
)


#: Install packages; return why that failed, else None.
Install = Callable[[list[str]], str | None]


def prepare(install: Install | None = None) -> None:
    """Install all that a build and a guest need; ``install`` is called once, with all packages.

    Raise MachineError that names the packages that are still missing.
    """
    _install_missing(missing_packages, install)


def prepare_guest(install: Install | None = None) -> None:
    """Install the tools of a guest whose kernel is built. Raise MachineError if any is missing."""
    _install_missing(partial(_packages_of, GUEST_TOOLS), install)


def _install_missing(missing: Callable[[], list[str]], install: Install | None) -> None:
    """Install the packages that ``missing`` returns; raise MachineError with those that stay."""
    packages, why = missing(), None
    if packages and install is not None:
        why = install(packages)
        packages = missing()
    if packages:
        raise MachineError(
            f"the guest needs packages that are not installed:"
            f" run 'apt-get install {' '.join(packages)}'{_because(why)}"
        )


def missing_packages() -> list[str]:
    """Return the packages to install for a build."""
    packages = set(_packages_of(TOOLS))
    packages |= {package for header, package in HEADERS.items() if not _has_header(header)}
    return sorted(packages)


def _packages_of(tools: Mapping[str, str]) -> list[str]:
    """Return the packages of the tools that are not there."""
    path = f"{os.environ.get('PATH', os.defpath)}:{_SBIN}"
    return sorted({package for tool, package in tools.items() if not shutil.which(tool, path=path)})


def _has_header(name: str) -> bool:
    if not shutil.which("gcc"):
        return False
    done = subprocess.run(
        ["gcc", "-E", "-xc", "-"],
        input=f"#include <{name}>\n",
        text=True,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def apt_install(packages: list[str]) -> str | None:
    """Install packages where that needs no password; return why it failed, else None."""
    if not shutil.which("apt-get"):
        return "there is no apt-get"
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and not shutil.which("sudo"):
        return "only root may"
    proxies = {name: os.environ.get(name, "") for name in ("http_proxy", "https_proxy")}
    variables = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", **proxies}
    # by env, because sudo drops the caller's variables
    environment = ["env", *(f"{name}={value}" for name, value in variables.items() if value)]
    apt_get = ["apt-get", "-o", "DPkg::Lock::Timeout=300"]
    output = ""
    for command in (
        ["dpkg", "--configure", "-a"],  # after an interrupted installation
        [*apt_get, "update", "-qq"],
        [*apt_get, "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(
            [*as_root, *environment, *command], check=False, capture_output=True, text=True
        )
        output += done.stderr
    return None if done.returncode == 0 else f"apt-get failed: {apt_reason(output)}"


def apt_reason(output: str) -> str:
    """Return the line of apt-get that names the cause: the first such one, else the last line."""
    lines = [line for line in output.splitlines() if _CAUSE.search(line)]
    return lines[0].strip() if lines else _last_line(output)


def _because(why: str | None) -> str:
    return f" ({why})" if why else ""


def check_space(directory: Path, flavour: str) -> None:
    """Raise MachineError if a build does not fit on the disk."""
    check_room(directory, UNPACKED_GB + OBJECTS_GB.get(flavour, 1.0), f"a {flavour} kernel")


def check_room(directory: Path, need_gb: float, what: str) -> None:
    """Raise MachineError if less than ``need_gb`` is free in a directory."""
    free_gb = shutil.disk_usage(directory).free / 1e9
    if free_gb < need_gb:
        raise MachineError(
            f"{what} needs {need_gb:.1f} GB in {directory}, {free_gb:.1f} GB are free"
        )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
