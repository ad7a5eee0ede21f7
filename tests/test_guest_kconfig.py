# SPDX-License-Identifier: GPL-2.0-only
from pathlib import Path

import pytest

from vmabench.errors import KernelBuildError
from vmabench.guest import kbuild, kconfig

FINAL = """\
CONFIG_SMP=y
CONFIG_HZ=250
# CONFIG_KASAN is not set
CONFIG_LSM="yama"
"""


def test_what_was_asked_for_is_there() -> None:
    wanted = '# a comment\nCONFIG_SMP=y\nCONFIG_HZ=250\nCONFIG_LSM="yama"\n'
    assert kconfig.missing(wanted, FINAL) == []


@pytest.mark.parametrize(
    ("wanted", "lost"),
    [
        ("CONFIG_KSM=y", "CONFIG_KSM=y"),
        ("CONFIG_KASAN=y", "CONFIG_KASAN=y"),
        ("CONFIG_HZ=1000", "CONFIG_HZ=1000"),
        ("# CONFIG_SMP is not set", "# CONFIG_SMP is not set"),
    ],
)
def test_a_lost_option_is_an_error_that_names_it(wanted: str, lost: str) -> None:
    assert kconfig.missing(wanted, FINAL) == [lost]
    with pytest.raises(KernelBuildError, match=lost.replace("=", "=")):
        kconfig.check(wanted, FINAL)


def test_off_and_absent_are_the_same() -> None:
    assert kconfig.missing("# CONFIG_NO_SUCH is not set\n# CONFIG_KASAN is not set", FINAL) == []


def test_a_later_line_wins() -> None:
    assert kconfig.missing("CONFIG_KASAN=y\n# CONFIG_KASAN is not set\n", FINAL) == []


def test_unknown_flavour_names_the_known_ones() -> None:
    with pytest.raises(KernelBuildError, match="bench, debug"):
        kconfig.fragments(kbuild.project_kernel() / "config", "fast")


@pytest.mark.parametrize("flavour", ["bench", "debug"])
def test_fragments_say_nothing_twice(flavour: str) -> None:
    seen: list[str] = []
    for path in kconfig.fragments(kbuild.project_kernel() / "config", flavour):
        assert Path(path).read_text().startswith("# SPDX-License-Identifier: GPL-2.0-only\n")
        seen += kconfig.parse(path.read_text())
    assert len(seen) == len(set(seen))


def test_an_option_that_a_version_does_not_have_is_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "mm").mkdir()
    (tmp_path / "Kconfig").write_text("config SMP\n\tbool\n\nmenuconfig KSM\n\tbool\n")
    (tmp_path / "mm/Kconfig.debug").write_text("if X\n  config HZ\n    int\nendif\n")
    symbols = kconfig.symbols(tmp_path)
    assert symbols == {"CONFIG_SMP", "CONFIG_KSM", "CONFIG_HZ"}
    wanted = "# why\nCONFIG_SMP=y\nCONFIG_MEMCG_V1=y\n# CONFIG_SLUB_TINY is not set\n"
    assert kconfig.known(wanted, symbols) == ("# why\nCONFIG_SMP=y\n", ["CONFIG_MEMCG_V1"])
    kconfig.check_required("CONFIG_SMP=y\n", ["CONFIG_MEMCG_V1"], "6.1")
    with pytest.raises(KernelBuildError, match=r"Linux 6\.1 cannot run as a guest: .*_MEMCG_V1"):
        kconfig.check_required("CONFIG_MEMCG_V1=y\n", ["CONFIG_MEMCG_V1"], "6.1")


def test_an_option_that_exists_and_is_not_honoured_is_an_error() -> None:
    wanted, unknown = kconfig.known("CONFIG_KSM=y\n", {"CONFIG_KSM"})
    assert not unknown
    with pytest.raises(KernelBuildError, match="CONFIG_KSM=y"):
        kconfig.check(wanted, FINAL)


def test_later_versions_have_fragments_of_their_own() -> None:
    directory = kbuild.project_kernel() / "config"
    names = {
        version: [path.name for path in kconfig.fragments(directory, "bench", version)]
        for version in ("6.1", "6.12", "7.0", "7.3", "10.1")
    }
    common = ["base.config", "bench.config"]
    assert names["6.1"] == names["6.12"] == common
    assert names["7.0"] == names["7.3"] == names["10.1"] == [*common, "from-7.0.config"]


def test_what_every_guest_requires_is_in_the_fragments() -> None:
    directory = kbuild.project_kernel() / "config"
    asked = kconfig.parse((directory / "base.config").read_text())
    required = kconfig.parse(kconfig.required(directory))
    assert required
    assert required.items() <= asked.items()


def test_the_fragments_of_versions_are_no_flavours() -> None:
    for name in ("required", "base", "from-7.0"):
        with pytest.raises(KernelBuildError, match=r"there are bench, debug$"):
            kconfig.fragments(kbuild.project_kernel() / "config", name)


def test_two_configurations_name_what_differs() -> None:
    other = FINAL.replace("HZ=250", "HZ=1000").replace("CONFIG_SMP=y\n", "") + "CONFIG_NEW=y\n"
    assert kconfig.differences(FINAL, other, {"CONFIG_NEW"}) == [
        "CONFIG_HZ is 250 and 1000",
        "CONFIG_SMP is y and n",
    ]
    assert kconfig.differences(FINAL, FINAL + "# CONFIG_NEW is not set\n") == []
