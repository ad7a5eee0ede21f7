# SPDX-License-Identifier: GPL-2.0-only
"""Sources from Debian's mirror: apt has a configuration of its own, and the machine's is only read.

The programs of apt are stand-ins here, first in PATH; they leave what they were told in files.
"""

import os
import re
from pathlib import Path

import pytest

from tests.linux_trees import make_tarball
from vmabench.errors import MachineError
from vmabench.guest import cache, debian

TARGETS = """\
Debian http://mirror.example/debian/
Debian http://mirror.example/debian-updates/
Debian-Security http://mirror.example/security/
"""
# indextargets knows the mirrors, update and download leave the configuration they ran with
APT_GET = """\
#!/bin/sh
case $* in
indextargets*) cat "$HERE/targets" ;;
*update) cp "$APT_CONFIG" "$HERE/apt.conf"; cp sources.list "$HERE/sources.list" ;;
*download*) [ -e "$HERE/fails" ] && { cat "$HERE/fails" >&2; exit 100; }
	: >linux-source-7.3_7.3.4-1_all.deb ;;
esac
"""
APT_CONFIG = """\
#!/bin/sh
echo 'Acquire::http::Proxy "http://proxy.example:3128";'
echo 'APT::Update::Post-Invoke:: "rm -rf /";'
"""
APT_CACHE = "#!/bin/sh\nprintf 'linux-source-6.1\\nlinux-source-6.12\\nlinux-source-6.12-rt\\n'\n"
DPKG_DEB = """\
#!/bin/sh
mkdir -p "$3/usr/src"
cp "$HERE/linux.tar.xz" "$3/usr/src/linux-source-7.3.tar.xz"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with stand-ins for apt, and a machine without source packages."""
    programs = {
        "apt-get": APT_GET,
        "apt-config": APT_CONFIG,
        "apt-cache": APT_CACHE,
        "dpkg-deb": DPKG_DEB,
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "targets").write_text(TARGETS)
    (tmp_path / "keyring").write_text("")
    make_tarball(tmp_path / "linux.tar.xz", "7.3.4")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(debian, "INSTALLED", tmp_path / "installed")
    monkeypatch.setattr(debian, "KEYRINGS", (tmp_path / "none", tmp_path / "keyring"))
    return tmp_path


def fetch(version: str = "7.3") -> Path:
    return debian.fetch(version, cache.root(), lambda _: None).path


def test_a_version_is_fetched_once(here: Path) -> None:
    assert debian.find("7.3", cache.root()) is None
    found = debian.fetch("7.3", cache.root(), lambda _: None)
    assert found.path.read_bytes() == (here / "linux.tar.xz").read_bytes()
    assert found.version == "7.3"
    assert found == debian.find("7.3", cache.root())
    (here / "fails").write_text("E: it asks again")
    assert debian.fetch("7.3", cache.root(), lambda _: None) == found
    assert not list(cache.root().glob("partial-*"))


def test_apt_has_a_configuration_of_its_own(here: Path) -> None:
    fetch()
    used = (here / "apt.conf").read_text()
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in used
    assert "Post-Invoke" not in used, "hooks of the machine stay with the machine"
    paths = dict(re.findall(r'^Dir::(\S+) "(.*)";$', used, re.MULTILINE))
    for name in ("Etc::parts", "Etc::main", "Etc::sourceparts"):
        assert paths[name] == "/dev/null"
    for name in ("Etc::sourcelist", "State::lists", "Cache", "Cache::archives"):
        assert Path(paths[name]).is_relative_to(here / "cache")
    assert (here / "sources.list").read_text() == (
        f"deb [signed-by={here / 'keyring'}] http://mirror.example/debian/ trixie-backports main\n"
    )


@pytest.mark.parametrize(
    ("version", "suites"),
    [
        ("6.1", ["debian/ bookworm", "security/ bookworm-security"]),
        ("6.12", ["debian/ trixie", "security/ trixie-security"]),
    ],
)
def test_the_suites_of_a_version(here: Path, version: str, suites: list[str]) -> None:
    lines = "".join(debian._source_lines(version))
    assert re.findall(r"example/(\S+ \S+) main$", lines, re.MULTILINE) == suites


def test_a_version_that_the_mirror_does_not_have(here: Path) -> None:
    (here / "fails").write_text("E: Unable to locate package linux-source-6.6\n")
    with pytest.raises(MachineError, match=r"mirror has no linux-source-6\.6: it has 6\.1, 6\.12$"):
        fetch("6.6")
    assert {"bookworm-backports", "trixie-security"} <= set(
        (here / "sources.list").read_text().split()
    )


def test_a_mirror_that_does_not_answer(here: Path) -> None:
    (here / "bin/apt-cache").write_text("#!/bin/sh\n")
    (here / "fails").write_text("W: x\nE: Temporary failure resolving 'mirror.example'\n")
    with pytest.raises(MachineError, match=r"cannot fetch linux-source-7\.3: E: Temporary failure"):
        fetch()
    assert debian.find("7.3", cache.root()) is None


def test_a_machine_that_is_no_debian(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "targets").write_text("")
    with pytest.raises(MachineError, match="apt has no lists of a mirror of Debian"):
        fetch()
    monkeypatch.setattr(debian, "KEYRINGS", ())
    with pytest.raises(MachineError, match="apt has no keyring of Debian"):
        fetch()


def test_a_package_that_cannot_be_unpacked(here: Path) -> None:
    (here / "bin/dpkg-deb").write_text(
        "#!/bin/sh\necho 'dpkg-deb: error: No space left' >&2\nexit 2\n"
    )
    with pytest.raises(MachineError, match=r"cannot use linux-source-7\.3.*: .*No space left"):
        fetch()
    assert debian.find("7.3", cache.root()) is None
    assert not list(cache.root().glob("partial-*"))


def test_room_is_checked_before_the_download(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("U", (), {"free": 10**8})())
    with pytest.raises(MachineError, match=r"fetching linux-source-7\.3 needs 0\.5 GB"):
        fetch()
    assert not (here / "apt.conf").exists()
