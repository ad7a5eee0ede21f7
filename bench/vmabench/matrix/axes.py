# SPDX-License-Identifier: GPL-2.0-only
"""The axes that only some scenarios have: how a plan and the name of a case write them.

Each stands once here, and everything that reads or writes names, plans and options asks this table.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from vmabench.errors import UsageError
from vmabench.units import format_size, parse_size

#: what every case has, and every sweep of a plan names
SWEEP_AXES = ("mechanism", "scenario", "page", "size")

TOUCH_MODES = ("none", "read", "write")
TOUCH_ORDERS = ("sequential", "random")
THP_SETTINGS = ("always", "madvise", "never")
SWAP_DEVICES = ("zram", "file")
#: of one case: VMB_MOST_RECEIVERS of the core, whose samples have a time for each
MOST_RECEIVERS = 64

#: of a source: VMB_MOST_THREADS of the core
MOST_THREADS = 64

#: no kernel has more (NR_CPUS)
MOST_CPUS = 8192

#: what the source does between two operations
SOURCES = ("idle", "rewritten")

#: the memory of the receiver: made by each delivery; made and used before; made and populated
BUFFERS = ("fresh", "reused", "populated")

#: where the CPUs of source and receiver lie: as in machine.placement
PLACEMENTS = ("one-cpu", "smt", "llc", "socket", "far")
#: the text of a case on the CPUs that the run has chosen
CHOSEN = "chosen"

#: the axes that say who pays, also the names of their fields and columns: cases and results that
#: differ in one of them answer different questions
OF_SOURCE_AND_BUFFER = ("source", "source_threads", "buffer", "placement", "congruent")

#: what one call takes: IOV_MAX
MOST_SEGMENTS = 1024
#: how a side learns that a message is there; ``channel``: the pipe or socket itself tells
WAITS = ("channel", "futex", "eventfd", "busy")
MOST_PAGES_PER_S = 10_000_000

#: the text of an axis that is left as the machine has it
CURRENT = "current"

_SWAPPED = re.compile(r"(\d+)-([a-z]+)")
_TOUCH = re.compile(r"(read|write)-(\d+)(-random)?")

Fields = Mapping[str, Any]


class Axis(NamedTuple):
    """``parse`` turns a text into fields of a case, or raises UsageError; ``write`` is its inverse.

    ``neutral`` is the text of a case that does not have the axis; names leave it out. ``spread``
    makes texts of one that stands for as much as a number of CPUs allows.
    """

    help: str
    neutral: str
    parse: Callable[[str], Fields]
    write: Callable[[Any], str]
    spread: Callable[[str, int], Sequence[str]] = lambda text, _cpus: (text,)


def parse_touch(text: str) -> Fields:
    """Mode, share and order of ``none``, ``read-100`` or ``write-10-random``."""
    if text == "none":
        return {"touch_mode": "none", "touch_pct": 0, "touch_order": "sequential"}
    match = _TOUCH.fullmatch(text)
    if not match or not 0 <= int(match[2]) <= 100:
        raise UsageError(f"{text!r} is no touch: write none, read-100 or write-10-random")
    order = "random" if match[3] else "sequential"
    return {"touch_mode": match[1], "touch_pct": int(match[2]), "touch_order": order}


def write_touch(case: Any) -> str:
    if case.touch_mode == "none":
        return "none"
    suffix = "-random" if case.touch_order == "random" else ""
    return f"{case.touch_mode}-{case.touch_pct}{suffix}"


def _parse_thp(text: str) -> Fields:
    if text not in (CURRENT, *THP_SETTINGS):
        names = ", ".join(THP_SETTINGS)
        raise UsageError(f"{text!r} is no setting of THP: write {names}, or {CURRENT}")
    return {"thp": "" if text == CURRENT else text}


def _parse_wait(text: str) -> Fields:
    if text not in ("none", *WAITS):
        raise UsageError(f"{text!r} is no way to wait: write {', '.join(WAITS)}")
    return {"wait": text}


def _parse_crowd(text: str) -> Fields:
    kind, _, count = text.rpartition("-")
    if text == "alone":
        return {"receivers": 1, "pairs": 1}
    if kind not in ("receivers", "pairs") or count == "1":
        raise UsageError(f"{text!r} is no crowd: write alone, receivers-4 or pairs-4")
    return {"receivers": 1, "pairs": 1} | {kind: parse_count(count, kind, MOST_CPUS)}


def _spread_crowd(text: str, cpus: int) -> Sequence[str]:
    """Of ``receivers`` or ``pairs``: 2, 4, 8 ... of them, and as many as there are CPUs.

    A number that the core can't measure is a case with a reason, see ``matrix.scenarios``.
    """
    if text not in ("receivers", "pairs"):
        return (text,)
    counts = {1 << power for power in range(1, cpus.bit_length())} | {cpus}
    return [f"{text}-{count}" for count in sorted(counts) if 1 < count <= cpus]


def _write_crowd(case: Any) -> str:
    for kind in ("receivers", "pairs"):
        if getattr(case, kind) > 1:
            return f"{kind}-{getattr(case, kind)}"
    return "alone"


def _parse_rate(text: str) -> Fields:
    if text not in ("none", "max"):
        parse_count(text, "pages a second", MOST_PAGES_PER_S)
    return {"rate": text}


def _parse_swapped(text: str) -> Fields:
    """Share of the source and device of ``90-zram``."""
    if text == "none":
        return {"swapped_pct": 0, "swap_device": ""}
    match = _SWAPPED.fullmatch(text)
    if not match or int(match[1]) > 100 or match[2] not in SWAP_DEVICES:
        raise UsageError(f"{text!r} is no share of swapped memory: write 0-zram or 90-file")
    return {"swapped_pct": int(match[1]), "swap_device": match[2]}


def _parse_source(text: str) -> Fields:
    if text not in SOURCES:
        raise UsageError(f"{text!r} is no source: write {' or '.join(SOURCES)}")
    return {"source": text}


def _parse_congruent(text: str) -> Fields:
    if text not in ("yes", "no"):
        raise UsageError(f"{text!r} is no answer: write yes or no")
    return {"congruent": text}


def _parse_placement(text: str) -> Fields:
    if text not in (CHOSEN, *PLACEMENTS):
        names = ", ".join(PLACEMENTS)
        raise UsageError(f"{text!r} is no placement: write {names}, or {CHOSEN}")
    return {"placement": "" if text == CHOSEN else text}


def _parse_buffer(text: str) -> Fields:
    if text not in BUFFERS:
        raise UsageError(f"{text!r} is no buffer: write {', '.join(BUFFERS)}")
    return {"buffer": text}


def _parse_receivers(text: str) -> Fields:
    return {"receivers": parse_count(text, "receivers", MOST_RECEIVERS)}


def _parse_limit(text: str) -> Fields:
    return {"limit_bytes": 0 if text == "none" else parse_size(text)}


#: name, which is the key in plans and in names of cases -> axis, in the order of names
AXES: dict[str, Axis] = {
    "touch": Axis(
        "what the receiver uses of each delivery: none, read-10, write-100-random",
        "none",
        parse_touch,
        write_touch,
    ),
    "segments": Axis(
        "into how many segments the data is cut, which change places on the way: 1 to 1024",
        "1",
        lambda text: {"segments": parse_count(text, "segments", MOST_SEGMENTS)},
        lambda case: str(case.segments),
    ),
    "thp": Axis(
        "the setting of transparent huge pages: always, madvise, never; current leaves it",
        CURRENT,
        _parse_thp,
        lambda case: case.thp or CURRENT,
    ),
    "wait": Axis(
        "how a side learns that a message is there: channel (of a pipe or socket), futex, eventfd,"
        " busy",
        "none",
        _parse_wait,
        lambda case: case.wait,
    ),
    "crowd": Axis(
        "receivers at once: alone, receivers-4 of one source, pairs-4 side by side; receivers,"
        " pairs: 2, 4, 8 ... up to all CPUs",
        "alone",
        _parse_crowd,
        _write_crowd,
        _spread_crowd,
    ),
    "rate": Axis(
        "pages a second that the source writes while it is snapshot: 10000, or max",
        "none",
        _parse_rate,
        lambda case: case.rate,
    ),
    "swapped": Axis(
        "how much of the source is paged out before, and where to: 0-zram, 90-zram, 100-file",
        "none",
        _parse_swapped,
        lambda case: f"{case.swapped_pct}-{case.swap_device}" if case.swap_device else "none",
    ),
    "receivers": Axis(
        "how many processes receive",
        "1",
        _parse_receivers,
        lambda case: str(case.receivers),
    ),
    "limit": Axis(
        "of the memory of all processes of the case: 64M, or none",
        "none",
        _parse_limit,
        lambda case: format_size(case.limit_bytes) if case.limit_bytes else "none",
    ),
    "source": Axis(
        "what the source does between two operations: rewritten, it writes to each of its pages;"
        " idle, nothing",
        "idle",
        _parse_source,
        lambda case: case.source,
    ),
    "source_threads": Axis(
        "how many threads of the source run, each on a CPU of its own, while its memory is handed"
        " over: 0, 1, 2",
        "0",
        lambda text: {
            "source_threads": 0 if text == "0" else parse_count(text, "threads", MOST_THREADS)
        },
        lambda case: str(case.source_threads),
    ),
    "buffer": Axis(
        "the memory, or the mapping, of the receiver: fresh, made by each delivery; reused, made"
        " and used before; populated, made and populated at once",
        "fresh",
        _parse_buffer,
        lambda case: case.buffer,
    ),
    "placement": Axis(
        "where the CPUs of source and receiver lie: one-cpu, smt (of one core), llc (of one"
        " last-level cache), socket, far (of two sockets); chosen: by --pin, or else llc if there"
        " is such a pair",
        CHOSEN,
        _parse_placement,
        lambda case: case.placement or CHOSEN,
    ),
    "congruent": Axis(
        "whether a clone of huge pages lies in its page tables as its source does: yes; no, a base"
        " page beside",
        "yes",
        _parse_congruent,
        lambda case: case.congruent,
    ),
}


def parse_count(text: str, what: str, most: int) -> int:
    """A whole number from 1 to ``most``; raises UsageError."""
    if not re.fullmatch(r"[1-9]\d*", text) or int(text) > most:
        raise UsageError(f"{text!r} is no number of {what}: write 1 to {most}")
    return int(text)


def option_of(axis: str) -> str:
    """The option of the command line: ``--source-threads``."""
    return f"--{axis.replace('_', '-')}"
