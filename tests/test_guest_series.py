# SPDX-License-Identifier: GPL-2.0-only
"""A series goes on, is replaced by another version, comes off; a bad hunk changes nothing."""

from pathlib import Path

import pytest

from vmabench.errors import KernelBuildError
from vmabench.guest import series

TEXT = "".join(f"line {n}\n" for n in range(30))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "mm").mkdir(parents=True)
    (tree / "mm/a.c").write_text(TEXT)
    (tree / "mm/b.c").write_text(TEXT)
    (tmp_path / "pristine").mkdir()
    return tree


def patch(directory: Path, number: int, name: str, old: str, new: str, at: int) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{number:04d}-{name}.patch"
    path.write_text(
        f"Subject: {name}\n\n---\n"
        f"diff --git a/mm/{name} b/mm/{name}\n--- a/mm/{name}\n+++ b/mm/{name}\n"
        f"@@ -{at},3 +{at},3 @@\n line {at - 1}\n-{old}\n+{new}\n line {at + 1}\n"
    )
    return path


def new_file(directory: Path, number: int) -> Path:
    path = directory / f"{number:04d}-new.patch"
    path.write_text(
        "diff --git a/mm/new.c b/mm/new.c\nnew file mode 100644\n"
        "--- /dev/null\n+++ b/mm/new.c\n@@ -0,0 +1 @@\n+new\n"
    )
    return path


def apply(patches: list[Path], tree: Path) -> int:
    return series.apply(patches, tree, tree.parent / "pristine")


def test_only_what_changes_is_written(tree: Path, tmp_path: Path) -> None:
    one = patch(tmp_path / "p", 1, "a.c", "line 5", "LINE 5", 5)
    assert apply([one], tree) == 1
    assert "LINE 5" in (tree / "mm/a.c").read_text()
    stamp = (tree / "mm/a.c").stat().st_mtime_ns
    two = patch(tmp_path / "p", 2, "b.c", "line 9", "LINE 9", 9)
    assert apply([one, two], tree) == 1
    assert (tree / "mm/a.c").stat().st_mtime_ns == stamp
    assert apply([one, two], tree) == 0


def test_a_changed_and_a_dropped_patch(tree: Path, tmp_path: Path) -> None:
    one = patch(tmp_path / "p", 1, "a.c", "line 5", "LINE 5", 5)
    added = new_file(tmp_path / "p", 2)
    apply([one, added], tree)
    assert (tree / "mm/new.c").read_text() == "new\n"
    one = patch(tmp_path / "p", 1, "a.c", "line 5", "other", 5)
    apply([one], tree)
    assert "other" in (tree / "mm/a.c").read_text()
    assert "LINE 5" not in (tree / "mm/a.c").read_text()
    assert not (tree / "mm/new.c").exists()


def test_a_bad_hunk_is_named_and_changes_nothing(tree: Path, tmp_path: Path) -> None:
    good = patch(tmp_path / "p", 1, "a.c", "line 5", "LINE 5", 5)
    bad = patch(tmp_path / "p", 2, "b.c", "no such line", "x", 9)
    with pytest.raises(KernelBuildError, match=r"0002-b.c.patch .*mm/b.c: Hunk #1 FAILED"):
        apply([good, bad], tree)
    assert (tree / "mm/a.c").read_text() == TEXT
    assert apply([good], tree) == 1


def test_fuzz_is_an_error(tree: Path, tmp_path: Path) -> None:
    one = patch(tmp_path / "p", 1, "a.c", "line 5", "LINE 5", 5)
    one.write_text(one.read_text().replace(" line 6\n", " line six\n"))
    with pytest.raises(KernelBuildError, match="does not apply"):
        apply([one], tree)


def test_the_cover_letter_is_no_patch(tmp_path: Path) -> None:
    (tmp_path / "0000-cover-letter.patch").write_text("text")
    with pytest.raises(KernelBuildError, match="no patch"):
        series.patches(tmp_path)
