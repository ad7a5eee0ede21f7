# SPDX-License-Identifier: GPL-2.0-only
"""Sources that Debian packages: those of this machine, or fetched into the cache.

apt runs with a configuration of its own below the cache: this machine's mirror, proxies and
keyring, and the suites that have the version. The machine's own configuration is only read. apt
verifies the package against the signed lists of the mirror.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from vmabench.errors import MachineError
from vmabench.guest import cache, sources
from vmabench.guest.base import apt_reason, check_room

INSTALLED = Path("/usr/src")
KEYRINGS = tuple(
    Path(f"/usr/share/keyrings/debian-archive-keyring.{suffix}") for suffix in ("gpg", "pgp")
)
#: the suites that have a version; for any other version, all of them are asked
SUITES = {
    "6.1": ("bookworm", "bookworm-security"),
    "6.12": ("trixie", "trixie-security"),
    "7.3": ("trixie-backports",),
}
_ALL = tuple(
    f"{name}{part}" for name in ("bookworm", "trixie") for part in ("", "-backports", "-security")
)
_GB = 0.5  # lists, package and tarball
_SETTINGS = re.compile(r"Acquire::(Check-|https?|ForceIPv4|Retries)")


def find(version: str, directory: Path) -> sources.Tarball | None:
    """Return the sources of a version that are on this machine, or None."""
    installed = INSTALLED / f"{_package(version)}.tar.xz"
    if installed.exists():
        return sources.tarball(installed)
    kept = _kept(version, directory)
    if not (kept / "package").exists():
        return None
    # the path of the cache is no part of it: a kernel can be copied to another cache
    identity = hashlib.sha256((kept / "package").read_bytes()).hexdigest()[:16]
    return sources.Tarball(kept / f"{_package(version)}.tar.xz", version, identity)


def fetch(version: str, directory: Path, say: cache.Say) -> sources.Tarball:
    """Return the sources of a version, from Debian's mirror if they are not on this machine."""
    with cache.lock(directory, say):
        found = find(version, directory)
        if found is None:
            check_room(directory, _GB, f"fetching {_package(version)}")
            say(f"fetching {_package(version)} from Debian's mirror ({_GB} GB)")
            with tempfile.TemporaryDirectory(prefix="partial-", dir=directory) as name:
                _publish(version, _download(version, Path(name)), _kept(version, directory))
            found = find(version, directory)
    if found is None:
        raise MachineError(f"{_package(version)} is not in {directory}")
    return found


def _package(version: str) -> str:
    return f"linux-source-{version}"


def _kept(version: str, directory: Path) -> Path:
    return directory / "sources" / _package(version)


def _download(version: str, directory: Path) -> Path:
    """Return the path of the package, which apt has verified."""
    environment = _configure(version, directory)
    said = _apt(["apt-get", "-q", "update"], directory, environment)
    said += _apt(["apt-get", "-q", "download", _package(version)], directory, environment)
    found = next(directory.glob("*.deb"), None)
    if found is None:
        raise MachineError(_why_not(version, said, directory, environment))
    return found


def _publish(version: str, package: Path, final: Path) -> None:
    """Extract the tarball; the directory ``final`` appears at once."""
    unpacked, whole = package.with_name("unpacked"), package.with_name("whole")
    whole.mkdir()
    done = subprocess.run(
        ["dpkg-deb", "-x", package, unpacked], capture_output=True, text=True, check=False
    )
    tarball = unpacked / "usr/src" / f"{_package(version)}.tar.xz"
    if done.returncode != 0 or not tarball.exists():
        why = apt_reason(done.stderr) if done.returncode else "it has no tarball"
        raise MachineError(f"cannot use {package.name}: {why}")
    tarball.rename(whole / tarball.name)
    # as in linux-source-7.3_7.3.4-1~bpo13+1_all.deb; apt writes ":" as %3a
    (whole / "package").write_text(" ".join(package.name.split("_")[:2]))
    final.parent.mkdir(exist_ok=True)
    shutil.rmtree(final, ignore_errors=True)
    whole.rename(final)


def _configure(version: str, directory: Path) -> dict[str, str]:
    """Write a configuration of apt below ``directory``; return the environment that uses it."""
    for name in ("lists/partial", "archives/partial"):
        (directory / name).mkdir(parents=True)
    (directory / "sources.list").write_text("".join(_source_lines(version)))
    paths = {
        "Etc::main": "/dev/null",
        "Etc::parts": "/dev/null",
        "Etc::preferences": "/dev/null",
        "Etc::preferencesparts": "/dev/null",
        "Etc::sourcelist": directory / "sources.list",
        "Etc::sourceparts": "/dev/null",
        "State::lists": directory / "lists",
        "Cache": directory,
        "Cache::archives": directory / "archives",
    }
    text = "".join(f'Dir::{name} "{path}";\n' for name, path in paths.items())
    # the sandbox user of apt may not enter the cache of another user
    text += 'APT::Sandbox::User "";\nAcquire::Languages "none";\n' + _machine_settings()
    (directory / "apt.conf").write_text(text)
    return {**os.environ, "APT_CONFIG": str(directory / "apt.conf"), "LC_ALL": "C"}


def _source_lines(version: str) -> list[str]:
    keyring = next((path for path in KEYRINGS if path.exists()), None)
    mirrors = _mirrors()
    if keyring is None or "Debian" not in mirrors:
        lacking = "no keyring" if keyring is None else "no lists of a mirror"
        raise MachineError(f"cannot fetch {_package(version)}: apt has {lacking} of Debian")
    lines = []
    for suite in SUITES.get(version, _ALL):
        label = "Debian-Security" if suite.endswith("-security") else "Debian"
        if label in mirrors:
            lines.append(f"deb [signed-by={keyring}] {mirrors[label]} {suite} main\n")
    return lines


def _mirrors() -> dict[str, str]:
    """Return label -> URI of this machine's own mirrors of Debian."""
    form = "$(LABEL) $(REPO_URI)"
    filters = ["Created-By: Packages", "Origin: Debian"]
    text = _said(["apt-get", "indextargets", "--format", form, *filters])
    pairs = (line.split() for line in reversed(text.splitlines()))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _machine_settings() -> str:
    """Return what this machine needs to reach its mirror: proxies, time-outs."""
    lines = _said(["apt-config", "dump"]).splitlines(keepends=True)
    return "".join(line for line in lines if _SETTINGS.match(line))


def _why_not(version: str, said: str, directory: Path, environment: dict[str, str]) -> str:
    listed = _apt(["apt-cache", "pkgnames", "linux-source-"], directory, environment)
    names = re.findall(r"^linux-source-(\d+\.\d+)$", listed, re.MULTILINE)
    known = sorted(set(names), key=lambda name: tuple(map(int, name.split("."))))
    if known and version not in known:
        return f"Debian's mirror has no {_package(version)}: it has {', '.join(known)}"
    return f"cannot fetch {_package(version)}: {apt_reason(said)}"


def _apt(command: list[str], directory: Path, environment: dict[str, str]) -> str:
    """Run a command of apt; return what it printed, errors last."""
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def _said(command: list[str]) -> str:
    if not shutil.which(command[0]):
        return ""
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout
