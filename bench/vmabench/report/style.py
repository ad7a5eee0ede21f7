# SPDX-License-Identifier: GPL-2.0-only
"""One colour, marker and line for each mechanism, the same in every figure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    colour: str
    marker: str
    dashed: bool = False


#: Colours by Okabe and Ito (2008) and Tol (2021), told apart with each kind of colour blindness;
#: never the colour alone: each has a marker of its own. Relatives share a colour.
LOOKS = {
    "clone": Look("#D55E00", "*"),
    "fork": Look("#E69F00", "D"),
    "readv": Look("#0072B2", "o"),
    "writev": Look("#56B4E9", "s"),
    "procmem-read": Look("#0072B2", "1", dashed=True),
    "procmem-write": Look("#56B4E9", "2", dashed=True),
    "uffd-copy": Look("#332288", "8"),
    "pipe": Look("#999933", "<"),
    "vmsplice": Look("#999933", ">", dashed=True),
    "vmsplice-gift": Look("#999933", "h", dashed=True),
    "socket": Look("#000000", "H"),
    "socket-seqpacket": Look("#000000", "d", dashed=True),
    "memfd": Look("#009E73", "^"),
    "memfd-inplace": Look("#CC79A7", "v"),
    "memfd-private": Look("#CC79A7", "p", dashed=True),
    "memfd-getfd": Look("#CC79A7", "3", dashed=True),
    "shm": Look("#882255", "P"),
    "sysv": Look("#882255", "X", dashed=True),
    "xpmem": Look("#AA4499", "4"),
    "mremap": Look("#E69F00", "|", dashed=True),
    "mremap-dup": Look("#E69F00", "+", dashed=True),
    "uffd-move": Look("#332288", "_", dashed=True),
    "memcpy": Look("#555555", "x", dashed=True),
}

_STRANGERS = (
    Look("#332288", "h"),
    Look("#999933", "<"),
    Look("#44AA99", ">"),
    Look("#000000", "p"),
    Look("#AA4499", "X"),
)


def look(mechanism: str) -> Look:
    """The look of a mechanism; one that is not known here gets the same one each time."""
    return LOOKS.get(mechanism) or _STRANGERS[sum(mechanism.encode()) % len(_STRANGERS)]
