# SPDX-License-Identifier: GPL-2.0-only
"""A tree in the cache follows its sources, and only files that differ are written."""

import os
from pathlib import Path

import pytest

from tests.linux_trees import commit, git, make_tarball, make_tree
from tests.needs import needs
from vmabench.errors import KernelBuildError, UsageError
from vmabench.guest import series, sources

TEXT = "".join(f"line {n}\n" for n in range(30))
PATCH = """\
--- a/mm/a.c
+++ b/mm/a.c
@@ -5,3 +5,3 @@
 line 4
-line 5
+LINE 5
 line 6
"""

pytestmark = needs("git")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = make_tree(tmp_path / "linux", mm_a=TEXT, mm_b="b\n", mm_c="c\n")
    (path / "mm/link.c").symlink_to("a.c")
    commit(path, "one")
    return path


class Cached:
    """A tree in the cache, with the pristine text of what is patched in it."""

    def __init__(self, directory: Path) -> None:
        self.tree, self.pristine = directory / "tree", directory / "pristine"
        self.patch = directory / "0001-a.patch"
        self.patch.write_text(PATCH)

    def update(self, found: sources.Sources, patched: bool = True) -> None:
        sources.update(found, self.tree, self.pristine)
        series.apply([self.patch] if patched else [], self.tree, self.pristine)
        for path in self.files():
            os.utime(path, (1, 1), follow_symlinks=False)

    def files(self) -> list[Path]:
        return [path for path in self.tree.rglob("*") if path.is_symlink() or path.is_file()]

    def written(self, found: sources.Sources, patched: bool = True) -> set[str]:
        """Return which files an update wrote."""
        sources.update(found, self.tree, self.pristine)
        series.apply([self.patch] if patched else [], self.tree, self.pristine)
        return {
            str(path.relative_to(self.tree)) for path in self.files() if path.lstat().st_mtime > 1
        }

    def text(self, name: str) -> str:
        return (self.tree / name).read_text()


@pytest.fixture
def cached(tmp_path: Path) -> Cached:
    directory = tmp_path / "cache"
    directory.mkdir()
    return Cached(directory)


def test_a_commit_writes_only_what_it_changes(repository: Path, cached: Cached) -> None:
    cached.update(sources.commit(repository, "main"))
    assert "LINE 5" in cached.text("mm/a.c")
    assert (cached.tree / "mm/link.c").is_symlink()
    (repository / "mm/b.c").write_text("changed\n")
    (repository / "mm/new.c").write_text("new\n")
    (repository / "mm/c.c").unlink()
    commit(repository, "two")
    assert cached.written(sources.commit(repository, "main")) == {"mm/b.c", "mm/new.c"}
    assert not (cached.tree / "mm/c.c").exists()
    assert "LINE 5" in cached.text("mm/a.c")
    cached.update(sources.commit(repository, "main~1"))
    assert (cached.text("mm/b.c"), cached.text("mm/c.c")) == ("b\n", "c\n")
    assert not (cached.tree / "mm/new.c").exists()


def test_a_commit_that_changes_a_patched_file(repository: Path, cached: Cached) -> None:
    cached.update(sources.commit(repository, "main"))
    (repository / "mm/a.c").write_text(TEXT.replace("line 20", "line twenty"))
    commit(repository, "two")
    assert cached.written(sources.commit(repository, "main")) == {"mm/a.c"}
    assert "LINE 5" in cached.text("mm/a.c")
    assert "line twenty" in cached.text("mm/a.c")
    cached.update(sources.commit(repository, "main"), patched=False)
    assert cached.text("mm/a.c") == (repository / "mm/a.c").read_text()


def test_a_commit_is_read_and_its_repository_is_not_touched(
    repository: Path, cached: Cached
) -> None:
    (repository / "mm/b.c").write_text("uncommitted\n")
    before = {path: path.lstat().st_mtime_ns for path in repository.rglob("*")}
    cached.update(sources.commit(repository, "main"))
    assert cached.text("mm/b.c") == "b\n"
    assert before == {path: path.lstat().st_mtime_ns for path in repository.rglob("*")}


def test_all_work_trees_of_a_repository_share_a_tree(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "other"))
    one = sources.commit(repository, "main")
    other = sources.commit(tmp_path / "other", "main")
    assert (one.place, one.identity) == (other.place, other.identity)
    assert one.place.startswith("linux-")


def test_a_name_that_make_does_not_accept(tmp_path: Path) -> None:
    assert " " not in sources.place_of(tmp_path / "my linux: 2")
    assert ":" not in sources.place_of(tmp_path / "my linux: 2")


def test_a_commit_that_has_left_the_repository(repository: Path, cached: Cached) -> None:
    cached.update(sources.commit(repository, "main"))
    (cached.pristine / "source").write_text("0" * 40)
    (cached.tree / "mm/stray.c").write_text("")
    cached.update(sources.commit(repository, "main"))
    assert not (cached.tree / "mm/stray.c").exists()


def test_a_directory_writes_only_what_changed(tmp_path: Path, cached: Cached) -> None:
    path = make_tree(tmp_path / "mine", mm_a=TEXT, mm_b="b\n", mm_c="c\n")
    first = sources.directory(path)
    cached.update(first)
    (path / "mm/b.c").write_text("changed\n")
    os.utime(path / "mm/a.c")
    (path / "mm/c.c").unlink()
    second = sources.directory(path)
    assert first.identity != second.identity
    assert first.place == second.place
    assert cached.written(second) == {"mm/b.c"}, "the text of mm/a.c is the same"
    assert not (cached.tree / "mm/c.c").exists()


def test_an_interrupted_update_starts_again(
    repository: Path, cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached.update(sources.commit(repository, "main"))
    (repository / "mm/b.c").write_text("changed\n")
    commit(repository, "two")

    def interrupted(*_: object) -> None:
        (cached.tree / "mm/b.c").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(series, "rebase", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cached.update(sources.commit(repository, "main"))
    cached.update(sources.commit(repository, "main~1"))
    assert cached.text("mm/b.c") == "b\n"
    assert not list(cached.tree.parent.glob("partial-*"))


def test_a_tarball(tmp_path: Path, cached: Cached) -> None:
    found = sources.tarball(make_tarball(tmp_path / "l.tar.xz", "7.3.4"))
    assert found.version == "7.3"
    sources.update(found, cached.tree, cached.pristine)
    assert (cached.tree / "Makefile").exists()
    assert not list(cached.tree.parent.glob("*.partial"))
    os.utime(cached.tree / "Makefile", (1, 1))
    sources.update(found, cached.tree, cached.pristine)
    assert (cached.tree / "Makefile").stat().st_mtime == 1


def test_a_cut_off_unpacking_leaves_no_tree(tmp_path: Path) -> None:
    path = make_tarball(tmp_path / "l.tar.xz")
    found = sources.tarball(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(KernelBuildError, match="cannot unpack"):
        sources.unpack(found, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_what_is_no_kernel(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "file").write_text("nothing")
    with pytest.raises(KernelBuildError, match="neither a bzImage nor a tarball"):
        sources.tarball(tmp_path / "file")
    with pytest.raises(KernelBuildError, match="has no Linux sources"):
        sources.directory(tmp_path)
    with pytest.raises(UsageError, match="has no commit mian: did you mean main"):
        sources.commit(repository, "mian")
    (repository / "Makefile").write_text("all:\n")
    commit(repository, "two")
    with pytest.raises(KernelBuildError, match="linux@main has no Linux sources"):
        sources.commit(repository, "main")


@pytest.mark.parametrize("left", [".config", "include/config/auto.conf"])
def test_a_tree_that_was_built_in_place(tmp_path: Path, left: str) -> None:
    path = make_tree(tmp_path / "mine")
    (path / left).parent.mkdir(parents=True, exist_ok=True)
    (path / left).write_text("")
    with pytest.raises(KernelBuildError, match="run 'make mrproper' there"):
        sources.directory(path)
