# SPDX-License-Identifier: GPL-2.0-only
"""A .config from tinyconfig and fragments.

An option that the kernel's version does not have is left out. One that it has and that the final
.config does not honour is an error.
"""

import re
from collections.abc import Collection
from pathlib import Path

from vmabench.errors import KernelBuildError

_SET = re.compile(r"(CONFIG_\w+)=(.*)")
_DEFINED = re.compile(r"^\s*(?:menu)?config\s+(\w+)", re.MULTILINE)
_FROM = "from-"
_NO_FLAVOUR = {"base", "required"}
_UNSET = re.compile(r"# (CONFIG_\w+) is not set")


def parse(text: str) -> dict[str, str]:
    """Map option to value, ``n`` for one that is off; a later line wins, as in a merge."""
    options: dict[str, str] = {}
    for line in text.splitlines():
        if match := _SET.fullmatch(line.strip()):
            options[match[1]] = match[2]
        elif match := _UNSET.fullmatch(line.strip()):
            options[match[1]] = "n"
    return options


def fragments(directory: Path, flavour: str, version: str = "") -> list[Path]:
    """Return the fragments of a flavour, in the order in which they are merged.

    ``from-X.config`` is merged for each version from X on.
    """
    flavours = {path.stem for path in directory.glob("*.config")} - _NO_FLAVOUR
    flavours = {name for name in flavours if not name.startswith(_FROM)}
    if flavour not in flavours:
        raise KernelBuildError(
            f"no configuration {flavour!r}: there are {', '.join(sorted(flavours))}"
        )
    since = {path: _numbers(path.stem) for path in directory.glob(f"{_FROM}*.config")}
    later = [path for path, first in since.items() if first <= _numbers(version)]
    return [
        directory / "base.config",
        directory / f"{flavour}.config",
        *sorted(later, key=lambda path: since[path]),
    ]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def required(directory: Path) -> str:
    """Return the fragment of the options without which no kernel can be a guest."""
    return (directory / "required.config").read_text()


def symbols(tree: Path) -> set[str]:
    """Return the options that any Kconfig file of a tree defines, as ``CONFIG_NAME``."""
    found = set()
    for path in tree.rglob("Kconfig*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            found |= {f"CONFIG_{name}" for name in _DEFINED.findall(text)}
    return found


def known(wanted: str, symbols: Collection[str]) -> tuple[str, list[str]]:
    """Return fragments without the options that a version does not have, and the names of those.

    An option that is off anyway is left out without a word.
    """
    lines, unknown = [], []
    for line in wanted.splitlines(keepends=True):
        option, value = next(iter(parse(line).items()), (None, None))
        if option is None or option in symbols:
            lines.append(line)
        elif value != "n":
            unknown.append(option)
    return "".join(lines), sorted(unknown)


def check_required(required: str, unknown: Collection[str], version: str) -> None:
    """Raise KernelBuildError that names each required option that a version does not have."""
    if lacking := sorted(parse(required).keys() & set(unknown)):
        raise KernelBuildError(
            f"Linux {version} cannot run as a guest: it does not have {', '.join(lacking)}"
        )


def missing(wanted: str, final: str) -> list[str]:
    """Return the lines of the fragments that the final .config does not honour."""
    have = parse(final)
    lost = []
    for option, value in parse(wanted).items():
        # an option that is off may also be absent, as what it depends on is off
        if have.get(option, "n") != value:
            lost.append(f"{option}={value}" if value != "n" else f"# {option} is not set")
    return lost


def check(wanted: str, final: str) -> None:
    """Raise KernelBuildError that names each option that the final .config does not honour."""
    lost = missing(wanted, final)
    if lost:
        raise KernelBuildError(
            f"{len(lost)} option(s) asked for are not in the final .config: {', '.join(lost)}"
        )


def differences(a: str, b: str, without: Collection[str] = ()) -> list[str]:
    """Return ``OPTION is y and n`` for each option in which two configurations differ."""
    left, right = parse(a), parse(b)
    return [
        f"{option} is {left.get(option, 'n')} and {right.get(option, 'n')}"
        for option in sorted(left.keys() | right.keys())
        if option not in without and left.get(option, "n") != right.get(option, "n")
    ]
