# SPDX-License-Identifier: GPL-2.0-only
"""The messages between the runner and its worker: one job in, one JSON object a line out.

The first message of a worker is ``hello`` with the ``identity`` of its code.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import vmabench
from vmabench.mechanisms import SOURCE_PROGRAM
from vmabench.native import _core

Message = dict[str, Any]

#: ``loops`` of a case that is calibrated
CALIBRATE = 0


def identity() -> dict[str, str]:
    """Return the version of this code and the files that it was loaded from."""
    return {
        "version": vmabench.__version__,
        "package": os.path.realpath(vmabench.__file__),
        "core": os.path.realpath(_core.__file__),
        "source": os.path.realpath(SOURCE_PROGRAM),
    }


@dataclass(frozen=True, slots=True)
class CaseJob:
    """A case and how often it is measured: ``values`` values of ``loops`` operations each.

    ``op_ns`` is what one operation takes, roughly (0: not known yet). Without values the case
    is only verified.
    """

    case: str
    values: int
    loops: int = CALIBRATE
    op_ns: float = 0.0


@dataclass(frozen=True, slots=True)
class Block:
    """Cases that share one source: the same kind of memory, page, size and setting of THP.

    The rivals of one comparison run next to each other, on the same pages. ``apart`` is the
    scenario, where its cases share nothing with others; ``swap`` the device that is on meanwhile;
    ``placement`` the one that its cases name, empty for the CPUs of the run.
    """

    memory: str
    page: str
    size_bytes: int
    cases: tuple[CaseJob, ...]
    thp: str = ""
    apart: str = ""
    swap: str = ""
    placement: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """The work of one worker: one round.

    ``group`` is the memory cgroup of the run, empty where there is none, of ``group_version``.
    Without ``counters`` none is read beside the values.
    ``delays_ns``: a case and what is injected into each of its operations, to test the tool.
    ``killed`` are the system calls that a seccomp filter kills their caller for.
    ``placements`` are the CPUs of source and receiver of each placement that a block names.
    ``tries`` are system calls that the worker tries before its blocks, see ``runner.calls``.
    """

    parent: int
    seed: int
    generation: int
    source_cpu: int
    receiver_cpu: int
    blocks: tuple[Block, ...]
    delays_ns: tuple[tuple[str, int], ...] = ()
    group: str = ""
    group_version: int = 0
    counters: bool = True
    killed: tuple[str, ...] = ()
    tries: tuple[str, ...] = ()
    placements: dict[str, tuple[int, int]] = field(default_factory=dict)

    def cpus_of(self, block: Block) -> tuple[int, int]:
        """Return the CPUs of source and receiver."""
        return self.placements.get(block.placement, (self.source_cpu, self.receiver_cpu))

    def delay_ns(self, case: str) -> int:
        return dict(self.delays_ns).get(case, 0)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        data = json.loads(text)
        blocks = [
            Block(**{**block, "cases": tuple(CaseJob(**case) for case in block["cases"])})
            for block in data.pop("blocks")
        ]
        delays = tuple((case, ns) for case, ns in data.pop("delays_ns"))
        killed, tries = tuple(data.pop("killed")), tuple(data.pop("tries"))
        placements = {name: (cpus[0], cpus[1]) for name, cpus in data.pop("placements").items()}
        return cls(
            **data, blocks=tuple(blocks), delays_ns=delays, killed=killed, tries=tries,
            placements=placements,
        )  # fmt: skip
