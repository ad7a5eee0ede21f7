# SPDX-License-Identifier: GPL-2.0-only
"""One colour, marker and dash for each mechanism, the same in every figure and legend.

Colours by Okabe and Ito (2008) and Tol (2021), told apart with each kind of colour blindness, and
visible on white and on black. Never the colour alone: of one family no two have the same marker,
and relatives that share a colour have another dash. Markers are filled ones, since a hollow one
means that the case is unstable.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Look:
    """``dash`` is a line style of matplotlib."""

    colour: str
    marker: str
    dash: Literal["-", "--", "-.", ":"] = "-"


#: family -> mechanism -> look, in the order of legends
FAMILIES: dict[str, dict[str, Look]] = {
    "page tables copied": {
        "clone": Look("#D55E00", "*"),
        "fork": Look("#E69F00", "D"),
    },
    "copied by a call": {
        "readv": Look("#0072B2", "o"),
        "writev": Look("#56B4E9", "s"),
        "procmem-read": Look("#0072B2", "<", "--"),
        "procmem-write": Look("#56B4E9", ">", "--"),
        "readv-holes": Look("#0072B2", "v", ":"),
        "uffd-copy": Look("#6A5ACD", "h", "-."),
        "uffd-wp": Look("#6A5ACD", "p", "--"),
        "pagemap-scan": Look("#6A5ACD", "X", ":"),
    },
    "through a buffer": {
        "pipe": Look("#999933", "o"),
        "vmsplice": Look("#999933", "P", "--"),
        "vmsplice-gift": Look("#999933", "d", ":"),
        "socket": Look("#A0522D", "s"),
        "socket-seqpacket": Look("#A0522D", "v", "--"),
    },
    "shared, copied out": {
        "memfd": Look("#009E73", "^"),
        "shm": Look("#AA3377", "P"),
        "sysv": Look("#AA3377", "X", "--"),
    },
    "shared, used in place": {
        "memfd-inplace": Look("#CC79A7", "v"),
        "memfd-private": Look("#44AA99", "p", "--"),
        "memfd-getfd": Look("#CC79A7", "8", ":"),
        "uffd-minor": Look("#CC79A7", "H", "-."),
        "xpmem": Look("#9955BB", "*", "-."),
    },
    "within one process": {
        "memcpy": Look("#777777", "X", "--"),
        "rep-movsb": Look("#777777", "o"),
        "avx": Look("#777777", "^", ":"),
        "nontemporal": Look("#777777", "v", "-."),
        "mremap": Look("#AA7733", "s"),
        "mremap-dup": Look("#AA7733", "D", "--"),
        "uffd-move": Look("#AA7733", "h", ":"),
    },
}

LOOKS = {name: one for family in FAMILIES.values() for name, one in family.items()}

#: of mechanisms that a later version added
STRANGERS = "others"
_STRANGE_LOOKS = (
    Look("#6A5ACD", "H"),
    Look("#999933", "H"),
    Look("#CC6677", "H"),
    Look("#9955BB", "H"),
)


def look(mechanism: str) -> Look:
    """The look of a mechanism; one that is not known here gets the same one each time."""
    return LOOKS.get(mechanism) or _STRANGE_LOOKS[sum(mechanism.encode()) % len(_STRANGE_LOOKS)]


def by_family(mechanisms: Iterable[str]) -> dict[str, list[str]]:
    """Family -> those of ``mechanisms`` that belong to it, both in the order of legends."""
    present = set(mechanisms)
    found = {
        family: [name for name in members if name in present]
        for family, members in FAMILIES.items()
    }
    found[STRANGERS] = sorted(present - set(LOOKS))
    return {family: names for family, names in found.items() if names}
