# SPDX-License-Identifier: GPL-2.0-only
"""The stored form of a run: what the files of a result directory hold.

A result directory holds ``plan.toml`` (the plan as run), ``machine.json`` (facts and doctor's
findings), ``samples.jsonl.gz`` (everything measured), ``suite.json.gz`` (the same in pyperf's
format) and ``report/`` (derived, regenerable). Where single operations were timed there is
``histograms/latency.jsonl.gz`` beside it, and where the instructions of functions were counted
``functions.jsonl.gz``.

``samples.jsonl.gz`` is the truth. It consists of gzip members, one for each finished round, so
a run that was cut off can be read up to there. Each line is one JSON object with a ``kind``:

``header``
    ``format`` (the version below), ``run`` (since format 5: 32 random hexadecimal digits that tell
    this run from any other), ``vmabench`` (version of the program), ``kernel``, ``virt``
    (``none``, the hypervisor's name or ``vm``, or ``emulated``), ``thp`` (the THP setting),
    ``clock`` (``raw``; or ``instructions``: every ``time_ns`` and ``op_ns`` of the file is then a
    count of instructions, as such a machine executes one a nanosecond),
    ``plan`` (its name), ``seed``, ``started`` (UTC, ISO 8601), ``source_cpu``,
    ``receiver_cpu``; ``injected`` only where a delay was put into a mechanism on purpose (text):
    such a run tests this tool, and nothing is reported of it.
``skipped``
    ``case``, ``reason``: a case that can't run here, or not on this memory.
``calibration``
    ``case``, ``op_ns`` (one operation, roughly), ``between_ns`` (the untimed part between two
    operations, since format 5), ``overhead_ns`` (the untimed part around all of them).
``case``
    One case in one round: ``round`` (from 1; 0 for a case that failed when it was calibrated and
    was left out of the rounds), ``order`` (position in the round), ``case``,
    ``outcome`` (``ok``, ``skipped`` or ``failed``), ``reason`` (of an outcome that is not ok),
    ``lock_wait`` (of ``contention``, where tracing is permitted: ``acquires``, ``wait_ns`` and
    ``longest_ns`` of all receivers for the mmap_lock, in one more operation that is traced and not
    timed),
    ``loops`` (operations a value), ``values``: a list with one object for each value, in the
    order in which they were taken: ``time_ns`` (an object phase -> nanoseconds of all loops
    together, phases as in matrix.case), ``at_ns`` (CLOCK_MONOTONIC_RAW at its start), and the
    counters that the machine has, over all loops: ``minor_faults``, ``major_faults``,
    ``context_switches``, ``preemptions`` (of both processes), ``cycles``, ``tlb_misses`` (of the
    CPUs that the case is pinned to), ``rewrite_faults`` (minor ones of the source in the phase
    ``source-rewrite``, which ``minor_faults`` has too), ``tlb_shootdowns`` (interrupts, of the
    machine), ``swap_in_bytes``,
    ``swap_out_bytes``, ``steal_ns`` (of the machine); ``swap_device_read_bytes``,
    ``swap_device_written_bytes`` (of the block device below the suite's own swap, if one is on),
    ``call_swap_in_bytes`` and ``use_swap_in_bytes`` with their ``_out_`` (of scenarios that look
    between the phases), ``peak_bytes`` and ``peak_how`` (``cgroup-v1``, ``cgroup-v2`` or
    ``sampled-pss``); in ``contention`` ``receiver_ns`` (a list:
    the time of each receiver, while the total is until the last one is done); in ``snapshot`` and
    ``vmbranch`` what the writing source did beside the receivers: ``writes``, ``write_ns`` (in
    them),
    ``writer_faults`` (minor ones), ``plain_writes`` and ``plain_write_ns`` (of it, just before),
    ``stall_ns`` (the longest time between the ends of two writes), ``stopped_ns`` (in its own part
    of the taking), ``checked_pages`` and ``torn_pages`` (of the receivers; torn: not of one
    moment); and ``proof``:
    ``moved_bytes`` (what arrived at all receivers and was compared whole, since format 3),
    ``src_backed_pct``, ``dst_backed_pct`` (share of the bytes that huge pages map; 0 is right
    for base pages), ``page_table_bytes`` (of all processes of the case),
    ``rss_bytes``, ``pss_bytes``, ``anon_huge_bytes`` (of all, the interpreter included, while the
    data is delivered), ``peak_bytes`` and ``peak_how`` (where no value has them), absent where
    not measured; in ``vmbranch`` ``child_read_bytes`` and ``child_written_bytes`` (PSS that each
    child adds: after it has read everything, and after the source has written each page),
    ``child_private_bytes``, ``source_huge_bytes`` and ``child_huge_bytes`` (then).
``round``
    Ends a round: ``round``, ``complete`` (false for one that was cut off), ``wall_ns``,
    ``timed_ns``, ``ready_ns`` (from the start of the worker until it began its first case),
    ``workers`` (how many it took: more than 1 after a crash).
``boot``
    Ends a boot, in a result of several (since format 4): ``boot`` (its number, from 1, among all
    boots of both kernels that were run alternately), ``status`` (``done``, ``interrupted`` or
    ``lost``), ``rounds`` (those of it that are kept; none of a lost one), ``reason`` (of a lost
    one). ``case``, ``calibration`` and ``round`` records before it have its number as ``boot``,
    and the numbers of their rounds go on from boot to boot. Without such records the whole file
    is of one boot.
``end``
    Ends a run that was not killed: ``status`` (``done``, ``interrupted`` or ``failed``),
    ``rounds`` (the finished ones), ``wall_ns``, ``timed_ns``, ``peak_rss_bytes`` (the parent).

``histograms/latency.jsonl.gz`` is written as the samples are, a member a round. Its lines are of
one kind:

``latency``
    The single operations of one case in one round, all values together: the deliveries of
    ``deliver``, ``touch``, ``swapped`` and ``handoff``, the operations of ``transfer`` and
    ``scatter`` from 1M on (those of smaller sizes are timed in batches), the round trips of
    ``pingpong``; of ``snapshot`` the times between the ends of two writes of the source; of
    ``vmbranch`` these writes. ``round``,
    ``case``, ``count``, ``sum_ns``, ``max_ns`` (exact), ``buckets``: an object index -> count.
    Below 2^LATENCY_BITS the index is the time in ns; above, index ``i`` holds the times from
    ``(i - k * 2^LATENCY_BITS) << k`` on, with ``k = i // 2^LATENCY_BITS - 1``, up to where the next
    bucket begins: a bucket is 2^-LATENCY_BITS as wide as its times, at most, so a percentile is
    known to 0.8 %. ``stride``, ``chart_max_ns``, ``chart_mean_ns``: the run chart, a point for each
    ``stride`` operations in the order in which they were done, the longest and the mean of them;
    the last point may have fewer. The chart is empty but in ``pingpong``, ``snapshot`` and
    ``vmbranch``.

``functions.jsonl.gz`` is there where an emulator counted them. Its lines are of one kind:

``functions``
    ``boot``, ``round``, ``case``, ``phase``, and ``counts``: an object function -> instructions of
    one operation, the median over the values of the round; a function that most values don't enter
    is absent. What is outside of the kernel is ``[user]``. ``boot`` is absent in a result of one.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Newest first. A change that makes old results incomparable stands in CHANGELOG too.
#: 5: a run id in the header; an older result gets one from the bytes of its samples.
#:    Names of cases with the axes ``source`` and ``buffer`` and phases of the source; a case of an
#:    older result is one of an idle source and a fresh buffer.
#: 4: several boots in one result, which must not be taken for independent processes.
#: 3: counters of swap, context switches and steal time; names of cases with more axes;
#:    histograms of single operations.
#: 2: the header's clock may be ``instructions``.
#: 1: the first.
FORMAT_VERSION = 5

Record = dict[str, Any]

SAMPLES = "samples.jsonl.gz"
PLAN = "plan.toml"
MACHINE = "machine.json"
SUITE = "suite.json.gz"
REPORT = "report"
LATENCY = "histograms/latency.jsonl.gz"

FUNCTIONS = "functions.jsonl.gz"

#: a bucket of a histogram is 2^-LATENCY_BITS as wide as its times
LATENCY_BITS = 7
#: kinds of records that do not lie in SAMPLES
ELSEWHERE = {"latency": LATENCY, "functions": FUNCTIONS}


@dataclass(frozen=True, slots=True)
class Result:
    """A result directory that was read.

    ``complete`` is false for a run that was cut off: its last line is no ``end`` record, or one
    that says so. ``records`` are in the order of the file; a damaged tail is left out and
    ``damage`` says where. ``latencies`` are the records of LATENCY, ``functions`` of FUNCTIONS.
    """

    directory: str
    machine: dict[str, Any]
    plan: dict[str, Any]
    header: Record
    records: list[Record] = field(repr=False)
    complete: bool
    damage: str | None = None
    latencies: list[Record] = field(default_factory=list, repr=False)
    functions: list[Record] = field(default_factory=list, repr=False)

    @property
    def run(self) -> str:
        """The id that tells the run from any other."""
        return str(self.header["run"])

    @property
    def name(self) -> str:
        """The directory's own name, without where it lies."""
        return Path(self.directory).name

    def of_kind(self, kind: str) -> list[Record]:
        return [record for record in self.records if record["kind"] == kind]
