# SPDX-License-Identifier: GPL-2.0-only
"""What Python says of each mechanism, once: the order of lists and legends, its way, its needs.

Results of other machines and other versions are read without the C core, so these rows can't ask
it. A test holds them against the table in C; a name that is not here is a stranger and comes last.
"""

from dataclasses import dataclass
from typing import Literal

#: ``clone`` copies page-table entries, ``copy`` moves bytes from one process to another, ``share``
#: uses the source's pages where they are, ``own`` is what a process can do with mappings of its
#: own, ``baseline`` is no way from one process to another
Way = Literal["clone", "copy", "share", "own", "baseline"]


@dataclass(frozen=True, slots=True)
class Row:
    """``buffers`` of the case's size exist at once, the source's own included, before a write.

    ``pool_buffers`` of it are taken from a pool at once, where what no case needs is given back:
    those of the pair's source and destination, and one more of who works within the receiver.
    ``unrenewed``: there is no source whose memory could be made anew in its place, or paged out.
    ``in_object``: its data is in a shared object, which is dirty again when it is looked at.
    ``swings``: where the receiver's memory is not fresh it moves the same memory there and back.
    ``unkept`` and ``unpopulated`` are why there is no ``buffer:reused`` or ``buffer:populated`` of
    it; empty where there is one.
    ``unscattered`` is why there is no scenario ``scatter`` of it; empty where there is one.
    ``only``: the scenarios that it has a part in, where these are not all that permit it.
    """

    name: str
    way: Way
    buffers: int
    proxy: bool = False
    pool_buffers: int = 2
    unrenewed: bool = False
    in_object: bool = False
    swings: bool = False
    unkept: str = ""
    unpopulated: str = ""
    unscattered: str = ""
    only: tuple[str, ...] = ()


_SNAPSHOTS = "it takes snapshots of a running writer, nothing else"


#: reasons for which a buffer can't be kept, or populated
_IS_MAPPING = "what it delivers is the mapping itself: it has no buffer of the receiver's own"
_IS_MOVED = "what it delivers is the memory of the source, which moves: it has no buffer of its own"
_IS_MISSING = "UFFDIO_COPY fills missing pages alone: a buffer has none"
_IS_ENTERED = "UFFDIO_CONTINUE enters missing entries alone: a mapping that is kept has none"
_IS_OLD = "new data is a new object, and a mapping that is kept shows the old one"
_BY_FAULTS = "the module enters its pages by faults alone: MADV_POPULATE_READ does not take them"

ROWS = (
    Row("clone", "clone", 1, unkept=_IS_MAPPING, unpopulated=_IS_MAPPING),
    Row(
        "fork", "clone", 1, proxy=True, unkept=_IS_MAPPING, unpopulated=_IS_MAPPING,
        unscattered="fork() takes all mappings there are",
    ),
    Row("readv", "copy", 2),
    Row("writev", "copy", 2),
    Row("readv-holes", "copy", 2, only=("scatter",)),
    Row("procmem-read", "copy", 2),
    Row("procmem-write", "copy", 2),
    Row(
        "uffd-copy", "copy", 2, unkept=_IS_MISSING, unpopulated=_IS_MISSING,
        unscattered="UFFDIO_COPY fills fresh memory alone, and scatter reuses its own",
    ),
    # beside source and destination, the source has room for the old pages
    Row("uffd-wp", "copy", 3, only=("snapshot", "vmbranch"), unscattered=_SNAPSHOTS),
    Row("pagemap-scan", "copy", 2, only=("snapshot",), unscattered=_SNAPSHOTS),
    Row("pipe", "copy", 2),
    Row("vmsplice", "copy", 2),
    Row("vmsplice-gift", "copy", 2),
    Row("socket", "copy", 2),
    Row("socket-seqpacket", "copy", 2),
    Row("memfd", "copy", 2, in_object=True),
    Row("memfd-inplace", "share", 1, in_object=True),
    # while new data is made, the object before it is still used
    Row("memfd-private", "share", 2, pool_buffers=3, unrenewed=True, unkept=_IS_OLD),
    Row(
        "memfd-getfd", "share", 1, in_object=True,
        unscattered="once the file is taken its mappings are those of memfd-inplace",
    ),
    Row(
        "uffd-minor", "share", 1, in_object=True, unkept=_IS_ENTERED, unpopulated=_IS_ENTERED,
        unscattered="its mappings are those of memfd-inplace",
    ),
    Row("shm", "copy", 2, in_object=True),
    Row("sysv", "copy", 2, unrenewed=True),
    Row("xpmem", "share", 1, unrenewed=True, unpopulated=_BY_FAULTS),
    Row(
        "mremap", "own", 2, proxy=True, pool_buffers=3, unrenewed=True, swings=True,
        unkept=_IS_MOVED, unpopulated=_IS_MOVED,
    ),
    Row("mremap-dup", "own", 1, proxy=True, unrenewed=True, in_object=True),
    Row(
        "uffd-move", "own", 2, proxy=True, pool_buffers=3, unrenewed=True, swings=True,
        unkept=_IS_MOVED, unpopulated=_IS_MOVED,
    ),
    Row("memcpy", "baseline", 3, pool_buffers=3, unrenewed=True),
    Row("rep-movsb", "baseline", 3, pool_buffers=3, unrenewed=True),
    Row("avx", "baseline", 3, pool_buffers=3, unrenewed=True),
    Row("nontemporal", "baseline", 3, pool_buffers=3, unrenewed=True),
    Row("null", "baseline", 1, unkept="it has no buffer", unpopulated="it has no buffer"),
)  # fmt: skip

TABLE = {row.name: row for row in ROWS}


def names_of(way: Way) -> tuple[str, ...]:
    return tuple(row.name for row in ROWS if row.way == way)
