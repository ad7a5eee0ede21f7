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


def test_what_a_kernel_can_not_have_is_not_lost() -> None:
    wanted = "CONFIG_SMP=y\nCONFIG_PROCESS_VM_MMAP=y\n"
    assert kconfig.missing(wanted, FINAL) == ["CONFIG_PROCESS_VM_MMAP=y"]
    assert kconfig.missing(wanted, FINAL, {"CONFIG_PROCESS_VM_MMAP"}) == []
    assert kbuild.own_options() == {"CONFIG_PROCESS_VM_MMAP"}


def test_two_configurations_name_what_differs() -> None:
    other = FINAL.replace("HZ=250", "HZ=1000").replace("CONFIG_SMP=y\n", "") + "CONFIG_NEW=y\n"
    assert kconfig.differences(FINAL, other, {"CONFIG_NEW"}) == [
        "CONFIG_HZ is 250 and 1000",
        "CONFIG_SMP is y and n",
    ]
    assert kconfig.differences(FINAL, FINAL + "# CONFIG_NEW is not set\n") == []
