# SPDX-License-Identifier: GPL-2.0-only
"""On which NUMA nodes the pages of a case may lie: that of the side which faults them in."""

from collections.abc import Iterator

from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, SCENES, Proof


def why_elsewhere(
    case: Case, source: int | None, receiver: int | None, src: Proof | None, dst: Proof | None
) -> str:
    """Return which side has pages on a node that is not its own; empty if none has.

    ``source`` and ``receiver`` are the nodes of their CPUs; nothing is known where sysfs or
    move_pages(2) does not tell.
    """
    if source is None or receiver is None:
        return ""
    sides = zip(("source", "destination"), allowed_nodes(case, source, receiver), (src, dst),
                strict=True)  # fmt: skip
    for side, allowed, proof in sides:
        for share in _shares(proof, allowed):
            wanted = " or ".join(map(str, sorted(allowed)))
            return f"the {side} has {share}, not on node {wanted}"
    return ""


def allowed_nodes(case: Case, source: int, receiver: int) -> tuple[set[int], set[int]]:
    """Return the nodes for the source's memory and for the destination.

    What the source writes into fresh memory of the receiver is on the source's node. In swap, and
    beside a source that goes on writing, either side may be the one that faults a page in.
    """
    mechanism = MECHANISMS[case.mechanism]
    if case.swap_device or SCENES[case.scenario].written:
        return {source, receiver}, {source, receiver}
    if mechanism.local:
        return {receiver}, {receiver}
    if mechanism.in_place:
        return {source}, {source}
    return {source}, {source, receiver} if mechanism.source_acts else {receiver}


def _shares(proof: Proof | None, allowed: set[int]) -> Iterator[str]:
    nodes = (proof.node_bytes if proof else None) or {}
    for node, size_bytes in nodes.items():
        if proof and node not in allowed:
            yield f"{100 * size_bytes / proof.size_bytes:.1f} % of its pages on NUMA node {node}"
