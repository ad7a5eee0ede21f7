# SPDX-License-Identifier: GPL-2.0-only
"""Several boots of one kernel as one result, written boot by boot."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from vmabench.store.format import Record, Result
from vmabench.store.writer import Writer

#: the most boots of each kernel in a comparison
MOST_BOOTS = 99

#: kinds of records that belong to a round
_OF_ROUND = ("case", "round", "latency", "functions")


class Boots:
    """A result directory that grows by a boot at a time.

    It appears with the first boot that has a result. What a boot has measured is on the disk when
    ``add`` comes back, and a later one that is lost does not touch it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._writer: Writer | None = None
        self._lost: list[Record] = []
        self._skipped: set[str] = set()
        self._rounds = 0
        self._spent = {"wall_ns": 0, "timed_ns": 0}
        self._peak_rss_bytes = 0

    @property
    def empty(self) -> bool:
        """Whether no boot has left a result."""
        return self._writer is None

    def add(
        self, number: int, result: Result, functions: Iterable[Record] = (), status: str = "done"
    ) -> None:
        """The whole rounds of a boot; ``functions`` are of the rounds as ``result`` counts them."""
        new = self._header(result)
        whole = {record["round"] for record in result.of_kind("round") if record["complete"]}
        for record in [*result.records, *result.latencies, *functions]:
            if record["kind"] == "calibration" or record.get("round") == 0:
                new.append(record | {"boot": number})
            elif record["kind"] in _OF_ROUND and record["round"] in whole:
                moved = record["round"] + self._rounds
                new.append(record | {"round": moved, "boot": number})
            elif record["kind"] == "end":
                self._add_up(record)
        new.append({"kind": "boot", "boot": number, "status": status, "rounds": len(whole)})
        assert self._writer
        self._writer.append(new)
        self._rounds += max(whole, default=0)

    def lose(self, number: int, reason: str) -> None:
        """A boot whose guest was lost: neither passed nor failed, so nothing of it is kept."""
        lost = {"kind": "boot", "boot": number, "status": "lost", "rounds": 0, "reason": reason}
        if self._writer:
            self._writer.append([lost])
        else:
            self._lost.append(lost)

    def close(self, status: str) -> None:
        """Ends the result with ``done`` or ``interrupted``, if there is one."""
        if self._writer:
            end = {"kind": "end", "status": status, "rounds": self._rounds} | self._spent
            self._writer.append([end | {"peak_rss_bytes": self._peak_rss_bytes}])

    def _header(self, result: Result) -> list[Record]:
        """What comes before the rounds: of the first boot all, of later ones what they add."""
        new: list[Record] = []
        if self._writer is None:
            self._writer = Writer(self.directory, result.plan, result.machine)
            new += [result.header, *self._lost]
        for record in result.of_kind("skipped"):
            if record["case"] not in self._skipped:
                self._skipped.add(record["case"])
                new.append(record)
        return new

    def _add_up(self, end: Record) -> None:
        for name in self._spent:
            self._spent[name] += end.get(name, 0)
        self._peak_rss_bytes = max(self._peak_rss_bytes, end.get("peak_rss_bytes", 0))


def boots_of(result: Result) -> list[Record]:
    """The ``boot`` records of a result; none where all of it is of one."""
    return result.of_kind("boot")


def order_of(results: Sequence[Result]) -> str:
    """``A B B A``: which result each boot belongs to, as they were run."""
    boots = {
        record["boot"]: name
        for name, result in zip("AB", results, strict=False)
        for record in boots_of(result)
    }
    return " ".join(boots[number] for number in sorted(boots))
