# SPDX-License-Identifier: GPL-2.0-only
"""A result directory that may be shown to strangers: without host name, user, path, command line.

What vmabench stores has none of them on purpose, but the reason of an error may name a file, and
what other programs add to a file, as pyperf does, has several. Names that are not known to be
harmless are replaced; everything else stays as it is, number by number.
"""

import contextlib
import getpass
import gzip
import json
import math
import operator
import os
import re
import socket
import tomllib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vmabench.errors import FormatError, UsageError
from vmabench.matrix.claims import published_claims
from vmabench.store.format import (
    FUNCTIONS,
    LATENCY,
    MACHINE,
    PLAN,
    REPORT,
    SAMPLES,
    SUITE,
    Record,
    Result,
)
from vmabench.store.places import CHECKS
from vmabench.store.reader import read, refuse_injected
from vmabench.store.writer import Writer

#: what may lie in a published result; the suite may, but is not made: `export --format pyperf` does
FILES = (PLAN, MACHINE, SAMPLES, SUITE, LATENCY, FUNCTIONS)
#: as many points has a run chart here at most; they are most of the bytes of a result
CHART_POINTS = 128
_DERIVED = {".txt", ".png", ".svg", ".html"}

#: keys whose values tell who and where, in whatever file; pyperf's among them
_TELLTALE = re.compile(
    r"(host_?name|node_?name|host|user(_?name)?|login|home|cwd|directory|path|command(_line)?"
    r"|cmd_?line|argv|python_(executable|cflags|config_args)|environ(ment)?|boot_time|uptime"
    r"|machine_id|serial|uuid|mac|ip)",
    re.IGNORECASE,
)

#: an absolute path, unless it is one that every Linux has
_PATH = re.compile(r"(?<![\w.:/<)])~?/(?!(?:proc|sys|dev)\b)[\w.+@-]+(?:/[\w.+@:-]+)*/?")
_ADDRESS = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\b")

#: too common to be anybody's
_NOBODY = {"root", "user", "users", "admin", "localhost", "test", "home", "linux", "debian"}

Scrub = Callable[[str], str]


def publish(source: Path | str, target: Path | str) -> Path:
    """Copy a result directory in its form for strangers; ``target`` must not exist.

    Run charts get fewer points, of more operations each: the longest of all stays, and histograms
    are as they were. Neither the report nor what is for pyperf is made here. Raises UsageError,
    MachineError, or FormatError for a result that is damaged: what could not be read could not be
    looked through.
    """
    result = read(source)
    refuse_injected(result)
    if result.damage:
        raise FormatError(f"{source} is not whole and can't be published: {result.damage}")
    scrub = scrubber()
    writer = Writer(Path(target), clean(result.plan, scrub), clean(result.machine, scrub))
    for records in _by_round(result):
        writer.append([clean(record, scrub) for record in records])
    writer.append([clean(record, scrub) for record in result.functions])
    return writer.directory


def _by_round(result: Result) -> Iterator[list[Record]]:
    """The records as the run wrote them: those of a round together, single operations with them."""
    latencies: dict[int, list[Record]] = {}
    for record in result.latencies:
        latencies.setdefault(record["round"], []).append(_with_fewer_points(record))
    pending: list[Record] = []
    for record in result.records:
        pending.append(record)
        if record["kind"] in ("round", "end"):
            yield pending + latencies.pop(record.get("round", 0), [])
            pending = []
    yield [*pending, *(record for left in latencies.values() for record in left)]


def _with_fewer_points(record: Record) -> Record:
    """Neighbours of a run chart made one until there are at most CHART_POINTS of them."""
    longest, means = record["chart_max_ns"], record["chart_mean_ns"]
    together = math.ceil(len(longest) / CHART_POINTS)
    if together <= 1:
        return record
    stride = record["stride"]
    # the last point may stand for fewer operations
    operations = [stride] * (len(longest) - 1) + [record["count"] - stride * (len(longest) - 1)]
    parts = [slice(at, at + together) for at in range(0, len(longest), together)]
    return record | {
        "stride": stride * together,
        "chart_max_ns": [max(longest[part]) for part in parts],
        "chart_mean_ns": [
            round(sum(map(operator.mul, means[part], operations[part])) / sum(operations[part]), 1)
            for part in parts
        ],
    }


def complaints(top: Path | str) -> Iterator[str]:
    """Why what lies below ``top`` may not be shown: one sentence each, none if it may.

    Every file must be a README.md, the outcome of a check, or belong to a result directory in its
    published form.
    """
    base = Path(top)
    if not base.is_dir():
        raise UsageError(f"{base} is no directory")
    scrub = scrubber()
    for path in sorted(base.rglob("*")):
        if path.is_symlink():
            yield f"{path.relative_to(base)} is a link"
        elif path.is_file() and path.name != "README.md":
            yield from (f"{path.relative_to(base)}: {fault}" for fault in _faults(path, scrub))


def clean(value: Any, scrub: Scrub) -> Any:
    """JSON data without telltale keys, and with its texts scrubbed; numbers are untouched."""
    if isinstance(value, dict):
        return {
            scrub(name): clean(one, scrub)
            for name, one in value.items()
            if not _TELLTALE.fullmatch(name)
        }
    if isinstance(value, list):
        return [clean(one, scrub) for one in value]
    return scrub(value) if isinstance(value, str) else value


def scrubber() -> Scrub:
    """Replaces paths, addresses, and the names of this machine and its user."""
    names = _own_names()
    own = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names)) if names else None

    def scrub(text: str) -> str:
        text = _PATH.sub("<path>", _ADDRESS.sub("<address>", text))
        return own.sub("<name>", text) if own else text

    return scrub


def _own_names() -> list[str]:
    host = socket.gethostname()
    found = {host, host.partition(".")[0], os.environ.get("SUDO_USER", "")}
    with contextlib.suppress(KeyError, OSError):  # a user without a name
        found.add(getpass.getuser())
    known = {name for name in found if len(name) > 2 and name.lower() not in _NOBODY}
    return sorted(known, key=len, reverse=True)


def _faults(path: Path, scrub: Scrub) -> Iterator[str]:
    if not _belongs(path):
        yield "belongs to no result directory"
        return
    try:
        yield from _told(path, scrub)
    except (OSError, ValueError, EOFError, RecursionError, zlib.error) as error:
        yield f"can't be read: {error}"


def _cited_messages() -> Iterator[str]:
    """The mails that claims were published in: their ids look like addresses, and are known."""
    for claim in published_claims():
        yield from (word for word in claim.source.split() if word.startswith("<") and "@" in word)


def _belongs(path: Path) -> bool:
    """Whether it is a file of a result, of the report of one or several, or what a check found."""
    folder, above = path.parent, path.parent.parent
    if folder.name == CHECKS:
        return path.suffix == ".json"
    if folder.name == REPORT:
        results = [*above.glob(SAMPLES), *above.glob(f"*/{SAMPLES}")]
        return path.suffix in _DERIVED and bool(results)
    home = above if folder.name == Path(LATENCY).parent.name else folder
    return path.relative_to(home).as_posix() in FILES and (home / SAMPLES).is_file()


def _told(path: Path, scrub: Scrub) -> Iterator[str]:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if path.suffix in (".png", ".svg", ".html"):
        if any(name.encode() in data for name in _own_names()):
            yield "names this machine or its user"
        return
    text = data.decode()
    if path.name.endswith(".jsonl.gz"):
        values: list[Any] = [json.loads(line) for line in text.splitlines()]
    elif path.suffix == ".txt":
        for message in _cited_messages():
            text = text.replace(message, "")
        values = text.splitlines()
    else:
        values = [tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)]
    for number, value in enumerate(values, start=1):
        if clean(value, scrub) != value:
            where = f"line {number} " if len(values) > 1 else ""
            yield f"{where}has a path, an address, or a name of a machine or user"
            return
