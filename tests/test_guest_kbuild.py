# SPDX-License-Identifier: GPL-2.0-only
"""The packages of a build, and a cache in which an unfinished kernel is no kernel."""

import multiprocessing
import os
import re
from pathlib import Path

import pytest

from vmabench.errors import MachineError, UsageError
from vmabench.guest import base, cache, kbuild, spec


def no_network(packages: list[str]) -> str:
    return "apt-get failed: E: Unable to fetch some archives"


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "TOOLS", {"no-such-tool": "flex", "no-such-either": "bc"})
    asked: list[list[str]] = []

    def refuse(packages: list[str]) -> str:
        asked.append(packages)
        return no_network(packages)

    with pytest.raises(
        MachineError, match=r"apt-get install bc flex' \(apt-get failed: E: Unable to fetch"
    ):
        base.prepare(install=refuse)
    assert asked == [["bc", "flex"]], "all packages come in one call"


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (spec.Spec("6.12.117"), "did you mean 6.12"),
        (spec.Spec("6.6", "default"), "there is no series for Linux 6.6"),
        (spec.Spec("6.12", "gone"), "--series gone: write default, none"),
        (spec.Spec("gone@v6.6"), "gone is no directory"),
    ],
)
def test_a_wrong_name_is_an_error_before_anything_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: spec.Spec, words: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(base, "TOOLS", {"no-such-tool": "flex"})
    asked: list[list[str]] = []
    monkeypatch.setattr(base, "apt_install", asked.append)
    with pytest.raises(UsageError, match=re.escape(words)):
        kbuild.build(kernel=named)
    assert not asked


def test_a_kernel_that_cannot_be_built_installs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the series fails for that reason, whatever tools are missing."""

    def incomplete() -> Path:
        raise MachineError("no kernel series")

    asked: list[list[str]] = []
    monkeypatch.setattr(base, "TOOLS", {"no-such-tool": "flex"})
    monkeypatch.setattr(base, "apt_install", asked.append)
    monkeypatch.setattr(kbuild, "project_kernel", incomplete)
    with pytest.raises(MachineError, match="no kernel series"):
        kbuild.build()
    assert not asked


@pytest.mark.parametrize("helps", [True, False])
def test_a_kernel_in_the_cache_still_needs_a_guest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, helps: bool
) -> None:
    """KSRC and a cache that was copied here: nothing is built, and QEMU was never installed."""
    kernel = cache.Kernel(tmp_path, tmp_path, "key", "bench", "6.12.5", "gcc", "sha")
    tools = {"no-such-tool": "qemu-system-x86"}
    asked: list[list[str]] = []

    def install(packages: list[str]) -> str | None:
        asked.append(packages)
        if helps:
            tools.clear()
        return None if helps else no_network(packages)

    monkeypatch.setattr(base, "GUEST_TOOLS", tools)
    monkeypatch.setattr(base, "apt_install", install)
    monkeypatch.setattr(kbuild, "cached", lambda *_, **__: kernel)
    if helps:
        assert kbuild.build() == kernel
    else:
        with pytest.raises(MachineError, match=r"install qemu-system-x86' \(apt-get failed"):
            kbuild.build()
    assert asked == [["qemu-system-x86"]]


def test_missing_tools_come_in_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def which(tool: str, path: str | None = None) -> str | None:
        return None if tool in {"flex", "bc", "mkfs.ext4"} else tool

    monkeypatch.setattr("shutil.which", which)
    with pytest.raises(MachineError, match=r"apt-get install bc e2fsprogs flex'$"):
        base.prepare()


def test_a_missing_header_is_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "HEADERS", {"no-such-header.h": "libelf-dev"})
    monkeypatch.setattr(base, "TOOLS", {"gcc": "gcc"})
    with pytest.raises(MachineError, match="apt-get install libelf-dev"):
        base.prepare()


def test_tools_of_root_are_found_without_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user of Debian has no /usr/sbin in PATH."""
    monkeypatch.setattr(base, "TOOLS", {"mkfs.ext4": "e2fsprogs", "swapon": "mount"})
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert not {"e2fsprogs", "mount"} & set(base.missing_packages())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "W: Failed to fetch http://x/InRelease  Temporary failure resolving 'x'\n"
            "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?",
            "W: Failed to fetch http://x/InRelease  Temporary failure resolving 'x'",
        ),
        (
            "dpkg: error: cannot write: No space left on device\nE: Sub-process returned 1\n",
            "dpkg: error: cannot write: No space left on device",
        ),
        ("E: something else\n", "E: something else"),
        ("", "no reason given"),
    ],
)
def test_the_cause_is_said_rather_than_the_last_line(said: str, reason: str) -> None:
    assert base.apt_reason(said) == reason


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'E: Temporary failure resolving' >&2; exit 100", "E: Temporary failure resolving"),
        ("exit 100", "no reason given"),
        (None, "there is no apt-get"),
    ],
)
def test_packages_that_can_not_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, why: str
) -> None:
    """A directory of programs without flex, and an apt-get that fails."""
    if script is not None:
        apt_get = tmp_path / "apt-get"
        apt_get.write_text(f"#!/bin/sh\n{script}\n")
        apt_get.chmod(0o755)
    for tool, program in (("gcc", "gcc"), ("make", "make"), ("env", "env"), ("dpkg", "true")):
        (tmp_path / tool).symlink_to(f"/usr/bin/{program}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(MachineError, match=rf"the guest needs packages .* flex .*\(.*{why}\)"):
        base.prepare(install=base.apt_install)


#: sudo with its usual setting, env_reset
SUDO = """#!/bin/sh
shift
exec /usr/bin/env -i PATH="$PATH" "$@"
"""


def test_an_installation_goes_on_after_an_interrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dpkg is configured first, and sudo does not drop the proxy."""
    log = f'/usr/bin/printf "%s\\n" "${{0##*/}} $* $https_proxy $DEBIAN_FRONTEND" >>{tmp_path}/log'
    for name, text in (("sudo", SUDO), ("dpkg", log), ("apt-get", log)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("https_proxy", "http://10.0.0.1:1")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert base.apt_install(["flex"]) is None
    calls = (tmp_path / "log").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["dpkg", "apt-get", "apt-get"]
    assert calls[0].startswith("dpkg --configure -a ")
    assert all(call.endswith(" http://10.0.0.1:1 noninteractive") for call in calls)


def test_only_root_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda tool: None if tool == "sudo" else tool)
    assert base.apt_install(["flex"]) == "only root may"


def test_space_is_said_beforehand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("U", (), {"free": 10**8})())
    with pytest.raises(MachineError, match=r"needs 2\.2 GB .* 0\.1 GB are free"):
        base.check_space(tmp_path, "bench")


FACTS = {
    "key": "k1",
    "flavour": "bench",
    "release": "6.12",
    "compiler": "gcc",
    "config_sha256": "0",
}


def publish(directory: Path) -> cache.Kernel:
    (directory / "image").write_text("image")
    (directory / "conf").write_text("config")
    return cache.publish(directory / "image", directory / "conf", FACTS, directory)


def test_what_is_published_is_found(tmp_path: Path) -> None:
    kernel = publish(tmp_path)
    assert cache.look_up("k1", tmp_path) == kernel
    assert kernel.image.read_text() == "image"
    assert cache.look_up("k2", tmp_path) is None


@pytest.mark.parametrize("victim", ["bzImage", "config", "build.json"])
def test_a_part_is_nothing(tmp_path: Path, victim: str) -> None:
    publish(tmp_path)
    (tmp_path / "k1" / victim).unlink()
    assert cache.look_up("k1", tmp_path) is None
    publish(tmp_path)
    assert cache.look_up("k1", tmp_path) is not None


def test_a_cut_off_publication_is_nothing_and_is_removed(tmp_path: Path) -> None:
    (tmp_path / "partial-x").mkdir()
    assert cache.look_up("partial-x", tmp_path) is None
    cache.clean_up(tmp_path)
    assert not (tmp_path / "partial-x").exists()


def test_every_part_of_the_key_counts() -> None:
    parts = {"base": "1", "series": "2", "config": "3", "compiler": "4"}
    keys = {cache.key(parts)} | {cache.key({**parts, name: "x"}) for name in parts}
    assert len(keys) == 5


def _second(directory: Path, said: "multiprocessing.Queue[str]") -> None:
    with cache.lock(directory, said.put):
        said.put("in")


def test_a_second_build_waits_and_says_so(tmp_path: Path) -> None:
    said: multiprocessing.Queue[str] = multiprocessing.Queue()
    with cache.lock(tmp_path, lambda _: None):
        process = multiprocessing.Process(target=_second, args=(tmp_path, said))
        process.start()
        assert f"process {os.getpid()}" in said.get(timeout=20)
        assert said.empty()
    assert said.get(timeout=20) == "in"
    process.join()


def test_first_error_of_a_log() -> None:
    log = (
        "  CC  a.o\nmm/a.c:1:2: error: no such thing\nmake[1]: *** [x] Error 1\nmake: *** Error 2\n"
    )
    assert kbuild.first_error(log) == "mm/a.c:1:2: error: no such thing"
    assert kbuild.first_error("a\nlast\n") == "last"
