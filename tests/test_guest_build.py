# SPDX-License-Identifier: GPL-2.0-only
"""Whole builds of made-up sources: what is compiled again, and how a build fails."""

import re
from pathlib import Path

import pytest

from tests.linux_trees import commit, make_tree
from tests.needs import needs
from vmabench.errors import KernelBuildError, MachineError
from vmabench.guest import base, boot, cache, kbuild, kconfig, kselftest, programs
from vmabench.guest.spec import Spec

# The targets of a kernel's Makefile that a build uses. An "object" is a copy of its source.
MAKEFILE = """\
all:
tinyconfig olddefconfig:
	@touch $(O)/.config
bzImage: $(O)/mm/a.o $(O)/mm/b.o
	@mkdir -p $(O)/arch/x86/boot $(O)/include/config
	@echo 7.2.0-vmabench >$(O)/include/config/kernel.release
	@cat $^ >$(O)/arch/x86/boot/bzImage
$(O)/mm/%.o: mm/%.c
	@mkdir -p $(O)/mm
	@echo "  CC      mm/$*.o"
	@! grep error $< || exit 2
	@cp $< $@
"""
PATCH = "--- a/mm/a.c\n+++ b/mm/a.c\n@@ -1 +1 @@\n-{}\n+{}\n"

pytestmark = needs("compiler")


class Builder:
    """Builds the sources in ``linux``; ``compiled`` are the objects of the last build."""

    def __init__(self, directory: Path) -> None:
        self.tree = make_tree(directory / "linux", "7.2.0", mm_a="a\n", mm_b="b\n")
        with (self.tree / "Makefile").open("a") as file:
            file.write(MAKEFILE)
        names = {*kconfig.parse(wanted_config())} - {"CONFIG_PROCESS_VM_MMAP"}
        kinds = "".join(f"config {name.removeprefix('CONFIG_')}\n\tbool\n" for name in names)
        (self.tree / "Kconfig").write_text(kinds)
        self.compiled: set[str] = set()
        self.said: list[str] = []

    def build(self, kernel: str = "linux", wanted: str | None = None) -> cache.Kernel:
        self.said.clear()
        before = {path: path.stat().st_mtime_ns for path in cache.root().glob("objects-*/mm/*.o")}
        built = kbuild.build(kernel=Spec(kernel, wanted), say=self.said.append)
        after = {path: path.stat().st_mtime_ns for path in cache.root().glob("objects-*/mm/*.o")}
        self.compiled = {path.name for path in after if before.get(path) != after[path]}
        return built


def wanted_config() -> str:
    fragments = kconfig.fragments(kbuild.project_kernel() / "config", "bench", "7.2")
    return "".join(path.read_text() for path in fragments)


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(base, "prepare", lambda **_: None)
    monkeypatch.setattr(base, "prepare_guest", lambda **_: None)
    return Builder(tmp_path)


def test_a_directory_is_built_and_found_again(builder: Builder) -> None:
    built = builder.build()
    assert built.image.read_text() == "a\nb\n"
    assert built.release == "7.2.0-vmabench"
    assert "left out, as Linux 7.2 does not have them: CONFIG_PROCESS_VM_MMAP" in builder.said
    assert builder.build() == built
    assert not builder.said
    (builder.tree / "mm/b.c").write_text("changed\n")
    assert builder.build().image.read_text() == "a\nchanged\n"
    assert builder.compiled == {"b.o"}


def test_the_sources_stay_as_they_are(builder: Builder) -> None:
    before = {path: path.stat().st_mtime_ns for path in builder.tree.rglob("*")}
    builder.build()
    assert before == {path: path.stat().st_mtime_ns for path in builder.tree.rglob("*")}


@needs("git")
def test_two_commits_share_objects(builder: Builder) -> None:
    commit(builder.tree, "one")
    (builder.tree / "mm/a.c").write_text("two\n")
    commit(builder.tree, "two")
    assert builder.build("linux@main~1").image.read_text() == "a\nb\n"
    assert builder.compiled == {"a.o", "b.o"}
    assert builder.build("linux@main").image.read_text() == "two\nb\n"
    assert builder.compiled == {"a.o"}
    ranged = builder.build("linux", "main~1..main")
    assert ranged.image.read_text() == "two\nb\n"
    assert not builder.compiled, "the patched base is the commit that is built already"


def test_a_patch_more_compiles_what_it_changes(builder: Builder, tmp_path: Path) -> None:
    builder.build()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/0001-a.patch").write_text(PATCH.format("a", "patched"))
    assert builder.build(wanted="mine").image.read_text() == "patched\nb\n"
    assert builder.compiled == {"a.o"}


def test_a_patch_that_does_not_apply(builder: Builder, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/0001-a.patch").write_text(PATCH.format("other", "patched"))
    with pytest.raises(
        KernelBuildError, match=r"Linux 7\.2: 0001-a\.patch does not apply: mm/a\.c: Hunk #1 FAILED"
    ):
        builder.build(wanted="mine")


def test_a_tree_that_does_not_compile(builder: Builder) -> None:
    (builder.tree / "mm/b.c").write_text("mm/b.c:1:2: error: no such thing\n")
    with pytest.raises(KernelBuildError) as failed:
        builder.build()
    found = re.search(r"mm/b\.c:1:2: error: no such thing \(see (.*)\)$", str(failed.value))
    assert found
    assert "CC      mm/b.o" in Path(found[1]).read_text()
    (builder.tree / "mm/b.c").write_text("good\n")
    assert builder.build().image.read_text() == "a\ngood\n"


@pytest.mark.parametrize("lacking", ["NET_9P_VIRTIO", "KSM"])
def test_a_version_without_an_option(builder: Builder, lacking: str) -> None:
    text = (builder.tree / "Kconfig").read_text()
    (builder.tree / "Kconfig").write_text(text.replace(f"config {lacking}\n\tbool\n", ""))
    if lacking == "KSM":
        builder.build()
        assert f"CONFIG_{lacking}" in builder.said[-1]
    else:
        with pytest.raises(KernelBuildError, match=r"cannot run as a guest: .* CONFIG_NET_9P_VIRT"):
            builder.build()


def test_an_option_that_the_build_drops(builder: Builder) -> None:
    with (builder.tree / "Makefile").open("a") as file:
        file.write("olddefconfig: drop\ndrop:\n\t@sed -i /CONFIG_KSM=y/d $(O)/.config\n")
    with pytest.raises(KernelBuildError, match=r"not in the final \.config: CONFIG_KSM=y"):
        builder.build()


def test_an_interrupted_build_leaves_no_kernel(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kbuild.build(kernel=Spec("linux"), progress=interrupt)
    assert kbuild.cached(kernel=Spec("linux")) is None
    assert builder.build().image.read_text() == "a\nb\n"


def test_a_full_disk_is_said_before_the_build(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("U", (), {"free": 10**8})())
    with pytest.raises(MachineError, match=r"a bench kernel needs 2\.2 GB"):
        builder.build()
    assert not list(cache.root().glob("tree-*"))


def test_the_selftests_need_a_kernel_with_the_call(builder: Builder) -> None:
    with pytest.raises(KernelBuildError, match="it lacks CONFIG_PROCESS_VM_MMAP"):
        kselftest.run(builder.build())


TESTS_PATCH = """\
--- /dev/null
+++ b/{name}
@@ -0,0 +1 @@
+{text}
"""


@needs("git")
def test_the_selftests_are_those_of_the_series(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call of another version takes other arguments, and its series has tests for them."""
    directory = "tools/testing/selftests/process_vm_mmap"
    added = {
        "init/Kconfig": "config PROCESS_VM_MMAP",
        "include/uapi/linux/process_vm_mmap.h": "/* of the series */",
        f"{directory}/Makefile": "all:",
        f"{directory}/process_vm_mmap.c": "/* a test */",
    }
    (tmp_path / "mine").mkdir()
    for number, (name, text) in enumerate(added.items(), 1):
        patch = tmp_path / f"mine/{number:04}-add.patch"
        patch.write_text(TESTS_PATCH.format(name=name, text=text))
    compiled: dict[str, str] = {}

    def compile_all(source: Path, names: object, directory: Path, version: str) -> dict[str, Path]:
        for path in (*source.glob("*"), *source.parent.glob("uapi/*")):
            compiled[path.name] = path.read_text().strip()
        compiled["version"] = version
        return {}

    monkeypatch.setattr(programs, "compile_all", compile_all)
    said = boot.Outcome(0, "", "", "", "tcg", 1.0, ())
    monkeypatch.setattr(boot, "run", lambda *_, **__: said)
    kselftest.run(builder.build(wanted="mine"), built_from=Spec("linux", "mine"))
    assert compiled == {
        "Makefile": "all:",
        "process_vm_mmap.c": "/* a test */",
        "process_vm_mmap.h": "/* of the series */",
        "version": "7.2",
    }
