# SPDX-License-Identifier: GPL-2.0-only
"""What ``--kernel`` and ``--series`` name, and what is said of a name that is nothing."""

import re
import struct
from pathlib import Path

import pytest

from tests.linux_trees import commit, git, make_tarball, make_tree
from tests.needs import needs
from vmabench.errors import KernelBuildError, MachineError, UsageError
from vmabench.guest import debian, image, kbuild, series, sources, spec
from vmabench.guest.spec import Spec

CONFIG = 'CONFIG_CC_VERSION_TEXT="gcc 12"\nCONFIG_SMP=y\n'


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with all kinds of kernels, and no source package on the machine but 6.12."""
    monkeypatch.delenv("KSRC", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(debian, "INSTALLED", tmp_path / "installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "installed").mkdir()
    make_tarball(tmp_path / "installed/linux-source-6.12.tar.xz")
    make_tarball(tmp_path / "l.tar.xz", "6.6.1")
    make_tree(tmp_path / "tree", "7.1.0", mm_a="a\n")
    (tmp_path / "v2/patches").mkdir(parents=True)
    (tmp_path / "v2/patches/0001-a.patch").write_text("")
    return tmp_path


def resolve(kernel: str | None = None, wanted: str | None = None) -> spec.Recipe:
    found = spec.resolve(Spec(kernel, wanted), "bench", kbuild.project_kernel())
    assert isinstance(found, spec.Recipe)
    return found


def test_the_default_is_the_patched_kernel_of_the_checkout() -> None:
    for found in (resolve(), resolve("6.12"), resolve("6.12", "default")):
        assert found.sources.version == "6.12"
        assert list(found.patches) == series.patches(kbuild.project_kernel() / "patches")
        assert found.own


@pytest.mark.parametrize(
    ("name", "version"), [("l.tar.xz", "6.6"), ("tree", "7.1"), ("./tree/", "7.1")]
)
def test_another_version_has_no_series_by_default(name: str, version: str) -> None:
    found = resolve(name)
    assert (found.sources.version, found.patches, found.own) == (version, (), False)
    assert found.place("bench") == f"{found.sources.place}-against"
    assert found.place("debug") == f"{found.sources.place}-against-debug"


def test_the_environment_names_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSRC", "tree")
    assert resolve().sources.version == "7.1"
    assert resolve("6.12").sources.version == "6.12"
    monkeypatch.setenv("KSRC", "gone/tree")
    with pytest.raises(UsageError, match="KSRC gone/tree: does not exist"):
        resolve()


def test_the_debug_flavour_has_patches_of_its_own() -> None:
    found = spec.resolve(spec.DEFAULT, "debug", kbuild.project_kernel())
    assert isinstance(found, spec.Recipe)
    assert [path.parent.name for path in found.patches][-1] == "debug"
    assert list(found.patches) == kbuild.all_patches(kbuild.project_kernel(), "debug")


@pytest.mark.parametrize("wanted", ["v2", "v2/patches"])
def test_a_series_of_the_user(wanted: str) -> None:
    found = resolve("tree", wanted)
    assert [path.name for path in found.patches] == ["0001-a.patch"]
    assert resolve("6.12", wanted).place("bench").endswith("-against")
    assert resolve("6.12", "none").patches == ()


@pytest.mark.parametrize(
    ("name", "wanted", "words"),
    [
        ("6.12.117", None, "--kernel 6.12.117: did you mean 6.12?"),
        ("v7.3", None, "did you mean 7.3?"),
        ("linux-source-7.3", None, "did you mean 7.3?"),
        ("a..b", None, "a range of commits goes with --series a..b and --kernel GITDIR"),
        ("gone/linux", None, "does not exist; write a version that Debian packages"),
        ("gone@v6.6", None, "gone is no directory"),
        ("tree@v6.6", None, "tree is no git repository, so it has no commit v6.6"),
        ("latest", None, "--kernel latest: write a version that Debian packages"),
        ("tree", "default", "there is no series for Linux 7.1, only for 6.12"),
        ("tree", "v3", "--series v3: write default, none, a directory of patches, or a range"),
        ("tree", "v1..v2", "a range needs --kernel GITDIR"),
        (None, "v1..v2", "a range needs --kernel GITDIR"),
    ],
)
def test_a_name_that_is_nothing(name: str | None, wanted: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        resolve(name, wanted)


def test_a_version_that_is_not_here_is_fetched_last(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def fetch(version: str, *_: object) -> sources.Tarball:
        fetched.append(version)
        raise MachineError("cannot fetch linux-source-7.3: E: Temporary failure resolving")

    monkeypatch.setattr(debian, "fetch", fetch)
    with pytest.raises(MachineError, match=r"no sources of Linux 7\.3 on this machine"):
        resolve("7.3")
    with pytest.raises(UsageError, match="--series gone"):
        spec.resolve(Spec("7.3", "gone"), "bench", kbuild.project_kernel(), fetch=print)
    assert not fetched
    with pytest.raises(
        MachineError, match=r"Temporary failure.*GITDIR@REF, or a bzImage; and of versions, 6\.12$"
    ):
        spec.resolve(Spec("7.3"), "bench", kbuild.project_kernel(), fetch=print)
    assert fetched == ["7.3"]


@pytest.fixture
def repository(directory: Path) -> Path:
    path = make_tree(directory / "linux", "7.2.0", mm_a="one\n")
    commit(path, "one")
    for word in ("two", "three"):
        (path / "mm/a.c").write_text(f"{word}\n")
        commit(path, f"mm: {word}")
    return path


@needs("git")
def test_a_commit(repository: Path) -> None:
    found = resolve("linux@main~1")
    assert isinstance(found.sources, sources.Commit)
    assert (found.sources.version, found.patches) == ("7.2", ())
    assert found.place("bench") == resolve("linux@main").place("bench")
    said: list[str] = []
    (repository / "mm/a.c").write_text("uncommitted\n")
    spec.resolve(Spec("linux@main"), "bench", kbuild.project_kernel(), fetch=said.append)
    assert said == [f"uncommitted changes in {repository} are no part of main"]


@needs("git")
def test_a_bare_repository_needs_a_commit(repository: Path) -> None:
    git(repository, "clone", "-q", "--bare", ".", str(repository.parent / "bare.git"))
    with pytest.raises(UsageError, match=r"is a git repository: write bare\.git@REF"):
        resolve("bare.git")
    assert resolve("bare.git@main").sources.version == "7.2"


@needs("git")
def test_a_range_of_commits(repository: Path) -> None:
    found = resolve("linux", "main~2..main")
    assert found.sources == sources.commit(repository, "main~2")
    assert [path.name for path in found.patches] == ["0001-mm-two.patch", "0002-mm-three.patch"]
    text = found.patches[0].read_text()
    assert "+two" in text
    assert resolve("linux", "main~2..main").patches == found.patches
    found.sources.extract(None, repository.parent / "installed")
    tree = repository.parent / "installed"
    (repository.parent / "pristine").mkdir()
    series.apply(list(found.patches), tree, repository.parent / "pristine")
    assert (tree / "mm/a.c").read_text() == "three\n"


@needs("git")
@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("main..main", "main..main has no commit"),
        ("main~2..gone", "has no commit gone"),
        ("gone..main", "has no commit gone"),
        ("main~2..merged", r"has 1 merge(s), such as "),
    ],
)
def test_a_range_that_is_no_series(repository: Path, wanted: str, words: str) -> None:
    git(repository, "checkout", "-q", "-b", "merged", "main~1")
    git(repository, "commit", "-q", "--allow-empty", "-m", "other")
    git(repository, "merge", "-q", "-m", "merge", "main")
    with pytest.raises(UsageError, match=re.escape(words)):
        resolve("linux", wanted)
    assert not list((repository.parent / "cache").rglob("partial-*"))


def make_image(directory: Path, release: str = "6.12.9-mine") -> Path:
    directory.mkdir(parents=True)
    head = bytearray(0x4000)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = struct.pack("<H", 0x3000)
    head[0x3200 : 0x3200 + 40] = f"{release} (me@here) #1\0".encode().ljust(40, b"\0")
    (directory / "bzImage").write_bytes(head)
    return directory / "bzImage"


def test_an_image_is_taken_with_its_configuration(tmp_path: Path) -> None:
    path = make_image(tmp_path / "objects/arch/x86/boot")
    kernel = Spec(str(path))
    assert spec.resolve(kernel, "bench", kbuild.project_kernel()) == path
    with pytest.raises(UsageError, match=r"--kernel .*: its configuration must lie beside it"):
        kbuild.cached(kernel=kernel)
    (tmp_path / "objects/.config").write_text(CONFIG)
    with pytest.raises(KernelBuildError, match=r"cannot run as a guest: it lacks .*_9P_FS=y"):
        kbuild.cached(kernel=kernel)
    (tmp_path / "objects/.config").write_text(
        CONFIG + (kbuild.project_kernel() / "config/required.config").read_text()
    )
    found = kbuild.cached(kernel=kernel)
    assert found
    assert (found.release, found.compiler, found.flavour) == ("6.12.9-mine", "gcc 12", "image")
    assert found.image.read_bytes() == path.read_bytes()
    assert kbuild.cached(kernel=kernel) == found
    with pytest.raises(UsageError, match="an image is booted as it is, without --series"):
        spec.resolve(Spec(str(path), "v2"), "bench", kbuild.project_kernel())
    path.write_bytes(b"ELF")
    with pytest.raises(KernelBuildError, match="is no bzImage"):
        image.release(path)
