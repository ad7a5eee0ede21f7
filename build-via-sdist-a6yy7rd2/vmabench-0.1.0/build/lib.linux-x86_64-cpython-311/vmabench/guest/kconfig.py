# SPDX-License-Identifier: GPL-2.0-only
"""A .config from tinyconfig and fragments. What was asked for and is not there is an error."""

import re
from collections.abc import Collection
from pathlib import Path

from vmabench.errors import KernelBuildError

_SET = re.compile(r"(CONFIG_\w+)=(.*)")
_UNSET = re.compile(r"# (CONFIG_\w+) is not set")


def parse(text: str) -> dict[str, str]:
    """Option -> value, ``n`` for one that is off; a later line wins, as in a merge."""
    options: dict[str, str] = {}
    for line in text.splitlines():
        if match := _SET.fullmatch(line.strip()):
            options[match[1]] = match[2]
        elif match := _UNSET.fullmatch(line.strip()):
            options[match[1]] = "n"
    return options


def fragments(directory: Path, flavour: str) -> list[Path]:
    """The fragments of a flavour, in the order in which they are merged."""
    paths = [directory / "base.config", directory / f"{flavour}.config"]
    for path in paths:
        if not path.is_file():
            known = sorted(p.stem for p in directory.glob("*.config") if p.stem != "base")
            raise KernelBuildError(f"no configuration {flavour!r}: there are {', '.join(known)}")
    return paths


def missing(wanted: str, final: str, without: Collection[str] = ()) -> list[str]:
    """The lines of the fragments that the final .config does not honour, but for ``without``."""
    have = parse(final)
    lost = []
    for option, value in parse(wanted).items():
        # an option that is off may also be absent, as what it depends on is off
        if option not in without and have.get(option, "n") != value:
            lost.append(f"{option}={value}" if value != "n" else f"# {option} is not set")
    return lost


def check(wanted: str, final: str, without: Collection[str] = ()) -> None:
    """Raise KernelBuildError that names each lost option, but for those of ``without``."""
    lost = missing(wanted, final, without)
    if lost:
        raise KernelBuildError(
            f"{len(lost)} option(s) asked for are not in the final .config: {', '.join(lost)}"
        )


def differences(a: str, b: str, without: Collection[str] = ()) -> list[str]:
    """``OPTION is y and n`` for each option that two configurations do not agree on."""
    left, right = parse(a), parse(b)
    return [
        f"{option} is {left.get(option, 'n')} and {right.get(option, 'n')}"
        for option in sorted(left.keys() | right.keys())
        if option not in without and left.get(option, "n") != right.get(option, "n")
    ]
