# SPDX-License-Identifier: GPL-2.0-only
"""The one door to the C core: mechanisms, the pair of processes, and a case in it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vmabench.errors import NativeError
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.native._core import ffi, lib

#: The program of the source process. The variable is for packagers, and for tests that
#: need a source that belongs to somebody else.
SOURCE_PROGRAM = Path(
    os.environ.get("VMABENCH_SOURCE", Path(__file__).parent / "native" / "vmabench-source")
)

#: a C object of cffi, which has no types of its own
CData = Any

_WAITS = {
    "none": lib.VMB_WAIT_CHANNEL,
    "channel": lib.VMB_WAIT_CHANNEL,
    "futex": lib.VMB_WAIT_FUTEX,
    "eventfd": lib.VMB_WAIT_EVENTFD,
    "busy": lib.VMB_WAIT_BUSY,
}
_TOUCHES = {"none": lib.VMB_TOUCH_NONE, "read": lib.VMB_TOUCH_READ, "write": lib.VMB_TOUCH_WRITE}
_BUFFERS = {
    "fresh": lib.VMB_BUFFER_FRESH,
    "reused": lib.VMB_BUFFER_REUSED,
    "populated": lib.VMB_BUFFER_POPULATED,
}
MEMORIES = {
    "anon": lib.VMB_ANON,
    "memfd": lib.VMB_MEMFD,
    "shm": lib.VMB_SHM,
    "sysv": lib.VMB_SYSV,
    "sealed": lib.VMB_SEALED,
}
_MEMORY_NAMES = {number: name for name, number in MEMORIES.items()}

#: No machine is slower than this at what the source does on a command.
SLOWEST_BYTES_PER_S = 20e6
FIRST_PATIENCE_S = 4.0

#: enough to see each remainder of a step of the clock
CLOCK_READINGS = 20_000

#: what paging out, or a server that thrashes, may take beside that
ONCE_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A row of the table in mech_table.c.

    ``memory`` is the kind of memory that its source needs, a key of ``MEMORIES``.
    ``source_acts``: the timed call is made by the source. ``both_act``: the source sends while the
    receiver takes. ``in_place``: the receiver uses the source's pages, nothing is copied.
    ``proxy``: stands in for clone or move. ``local``: within one process. ``fresh_only``: there
    is no scenario ``transfer`` of it. ``pins``: it pins pages of the source. ``scatters``: there is
    a scenario ``scatter`` of it. ``talks``: it carries messages both ways. ``shares``: each side
    sees the other's writes. ``moves_nothing``: as null. ``snapshots``: of a source that goes on
    writing, and nothing else. ``cut_only``: it has a part in ``scatter`` alone.
    """

    name: str
    description: str
    memory: str
    source_acts: bool
    both_act: bool
    in_place: bool
    proxy: bool
    local: bool
    fresh_only: bool
    pins: bool
    scatters: bool
    talks: bool
    shares: bool
    moves_nothing: bool
    snapshots: bool
    cut_only: bool

    @property
    def traits(self) -> frozenset[str]:
        """The names of what is true of it."""
        return frozenset(one.name for one in fields(self) if getattr(self, one.name) is True)


#: the names of enum vmb_counter, in its order
COUNTERS = tuple(
    ffi.string(lib.vmb_counter_name(index)).decode() for index in range(lib.VMB_NR_COUNTERS)
)

#: the names of enum vmb_phase, in its order
PHASE_NAMES = tuple(
    ffi.string(lib.vmb_phase_name(index)).decode() for index in range(lib.VMB_NR_PHASES)
)


def _read_table() -> dict[str, Mechanism]:
    rows = [lib.vmb_mech_at(index) for index in range(lib.vmb_mech_count())]
    table = [
        Mechanism(
            name=ffi.string(row.name).decode(),
            description=ffi.string(row.description).decode(),
            memory=_MEMORY_NAMES[row.memory],
            source_acts=bool(row.flags & lib.VMB_SOURCE_ACTS),
            both_act=bool(row.flags & lib.VMB_BOTH_ACT),
            in_place=bool(row.flags & lib.VMB_IN_PLACE),
            proxy=bool(row.flags & lib.VMB_PROXY),
            local=bool(row.flags & lib.VMB_LOCAL),
            fresh_only=bool(row.flags & lib.VMB_FRESH_ONLY),
            pins=bool(row.flags & lib.VMB_PINS),
            scatters=row.scatter != ffi.NULL,
            talks=bool(row.flags & lib.VMB_TALKS),
            shares=row.isolation == lib.VMB_SHARES,
            moves_nothing=row.isolation == lib.VMB_MOVES_NOTHING,
            snapshots=bool(row.flags & lib.VMB_SNAPSHOTS),
            cut_only=bool(row.flags & lib.VMB_CUT_ONLY),
        )
        for row in rows
    ]
    return {mechanism.name: mechanism for mechanism in table}


#: by name, in the order of lists and legends
MECHANISMS = _read_table()


@dataclass(frozen=True, slots=True)
class Scene:
    """A row of the table in scene_table.c: what the core does for a scenario.

    ``index`` is its place in the table. ``phases`` are those that it times, in the order of
    ``PHASE_NAMES``, ``axes`` the names of its optional axes. ``written``: the source writes to its
    memory during the timed part, and the core describes these writes in ``Sample.writer``.
    ``extras``: the names of ``Evidence.extras``.
    """

    index: int
    phases: tuple[str, ...]
    axes: tuple[str, ...]
    written: bool
    extras: tuple[str, ...]


def _read_scenes() -> dict[str, Scene]:
    rows = [lib.vmb_scene_at(index) for index in range(lib.vmb_scene_count())]
    return {
        ffi.string(row.name).decode(): Scene(
            index=index,
            phases=tuple(name for bit, name in enumerate(PHASE_NAMES) if row.phases >> bit & 1),
            axes=tuple(ffi.string(row.axes).decode().split()),
            written=bool(row.flags & lib.VMB_WRITTEN),
            extras=tuple(ffi.string(row.extras).decode().split() if row.extras else ()),
        )
        for index, row in enumerate(rows)
    }


#: by name, in the order of lists and legends
SCENES = _read_scenes()


@dataclass(frozen=True, slots=True)
class Proof:
    """How a range is backed.

    ``huge_pct``: the percentage of its bytes that the kernel reports as huge: those that a PMD or
    larger entry maps, and those in a hugetlb pool, whatever the size of its pages.
    ``folio_bytes``: size of a folio -> bytes in whole folios of it, by the definitions of the
    kernel's tools/mm/thpmaps; None without the right to see page frames. ``partial_bytes`` are in
    folios that are mapped in part, ``aligned_bytes`` in folios at multiples of their size.
    ``node_bytes``: NUMA node -> bytes that lie there; None where move_pages(2) is refused.
    """

    size_bytes: int
    present_bytes: int
    huge_bytes: int
    vmas: int = 1
    folio_bytes: dict[int, int] | None = None
    partial_bytes: int = 0
    aligned_bytes: int = 0
    node_bytes: dict[int, int] | None = None

    @property
    def huge_pct(self) -> float:
        return 100.0 * self.huge_bytes / self.size_bytes

    def folio_pct(self, size_bytes: int) -> float | None:
        """The share of the range in whole folios of that size; None where it is not known."""
        if self.folio_bytes is None:
            return None
        return 100.0 * self.folio_bytes.get(size_bytes, 0) / self.size_bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the check before the timed part found; the proofs are None where there are none.

    ``null`` has none of all this; the memory of a page server may be in swap, and has no proofs.
    ``page_table_bytes``: of all processes while the data is delivered. ``moved_bytes``: what
    arrived and was compared whole. ``channel_bytes``: the buffer of a pipe or socket, as the kernel
    gave it. ``use``: name -> bytes of RSS, PSS and AnonHugePages of all processes while the data is
    delivered; empty where they could not be read. ``extras``: what the scenario's own check found,
    name -> bytes.
    """

    src: Proof | None
    dst: Proof | None
    page_table_bytes: int | None
    moved_bytes: int | None = None
    channel_bytes: int = 0
    use: Mapping[str, int] = field(default_factory=dict)
    extras: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value, over all loops: nanoseconds of each phase, and what was counted beside them.

    ``counts`` has the counters of ``COUNTERS`` that this machine knows. ``receiver_ns`` are the
    times of the receivers of ``contention``, ``writer`` is what the source of ``snapshot`` did and
    suffered, by the names of ``WRITER``. ``peak_bytes`` is that of the cgroup that ``watch_peak``
    names, or where ``peak_sampled`` the most PSS that was seen; None where neither is known.
    """

    loops: int
    time_ns: dict[str, int]
    counts: dict[str, int]
    receiver_ns: tuple[int, ...] = ()
    writer: dict[str, int] = field(default_factory=dict)
    peak_bytes: int | None = None
    peak_sampled: bool = False


#: what is stored of the writing source -> the field of struct vmb_writer
WRITER = {
    "writes": "writes",
    "write_ns": "write_ns",
    "writer_faults": "faults",
    "plain_writes": "plain_writes",
    "plain_write_ns": "plain_ns",
    "stall_ns": "longest_ns",
    "stopped_ns": "stopped_ns",
    "checked_pages": "checked_pages",
    "torn_pages": "torn_pages",
}


@dataclass(frozen=True, slots=True)
class Latency:
    """Single operations: how many of them took how long, and their run chart.

    ``buckets``: index -> count, ``bounds_ns`` of ``bucket_bounds_ns`` say what goes into one. A
    point of the chart stands for ``stride`` operations in a row; the last one may have fewer.
    """

    count: int
    sum_ns: int
    max_ns: int
    buckets: dict[int, int]
    stride: int
    chart_max_ns: tuple[int, ...]
    chart_mean_ns: tuple[float, ...]


def check(result: int) -> None:
    """Raise NativeError with the core's own sentence for -errno of the core."""
    if result:
        raise NativeError(-result, ffi.string(lib.vmb_detail()).decode(errors="replace"))


def self_readv_errno() -> int:
    """The error number of process_vm_readv() of the caller itself, 0 if it works."""
    return -int(lib.vmb_readv_self())


def _call_names() -> Iterator[str]:
    index = 0
    while (name := lib.vmb_call_name(index)) != ffi.NULL:
        yield ffi.string(name).decode()
        index += 1


#: the system calls that ``try_call`` knows
CALLS = tuple(_call_names())


def try_call(name: str) -> int:
    """Make a system call of ``CALLS`` with invalid arguments; return its error number.

    A seccomp filter may kill the process instead.
    """
    return -int(lib.vmb_call_try(name.encode()))


def forbid_nodes() -> None:
    """Bind no memory and ask for no nodes, here and in sources: a seccomp filter would kill."""
    lib.vmb_nodes_forbid(1)


def forbid_cpu_counters() -> None:
    """Never call perf_event_open() in this process, because a seccomp filter would kill it."""
    lib.vmb_perf_forbid()


def base_page_bytes() -> int:
    return int(lib.vmb_base_page())


def follow_parent(pid: int) -> None:
    """Lets the kernel kill this process when its parent ``pid`` ends."""
    check(lib.vmb_follow_parent(pid))


def open_tracefs() -> int:
    """A descriptor of the root of tracefs, mounted for this process alone; raises NativeError."""
    root = int(lib.vmb_tracefs_open())
    check(min(root, 0))
    return root


def read_counters(on: bool) -> None:
    """Whether counters are read beside each value of this process; they are at first."""
    lib.vmb_counters_enable(on)


def watch_swap_device(stat: Path | None) -> None:
    """The file below /sys with the counters of the device that swap goes to."""
    lib.vmb_swap_device_set(bytes(stat) if stat else b"")


def why_no_cpu_counters(cpu: int) -> str:
    """What is in the way of counting cycles and misses of the TLB there; empty if nothing is."""
    error = lib.vmb_perf_watch(ffi.new("int[]", [cpu]), 1)
    lib.vmb_perf_forget()
    return ffi.string(lib.vmb_detail()).decode(errors="replace") if error else ""


def watch_peak(file: Path | None) -> None:
    """The file with the peak of the cgroup that this process is in; NativeError."""
    check(lib.vmb_peak_watch(bytes(file) if file else b""))


def now_ns() -> int:
    """The clock of the core."""
    return int(lib.vmb_now())


def step_ns(readings: Sequence[int]) -> int:
    """Return the step of the clock that was read, in whole ns; 1 where it is finer than that.

    Times between readings of a coarse clock are multiples of its step, each rounded to one of two
    neighbouring numbers. Three numbers in a row show a clock of nanoseconds.
    """
    times = sorted({after - before for before, after in pairwise(readings)})
    if any(last - first == 2 for first, _, last in zip(times, times[1:], times[2:], strict=False)):
        return 1
    return min((b - a for a, b in pairwise([0, *times]) if b - a > 1), default=1)


def clock_step_ns() -> int:
    """Return the step of the clock of the core: 1 with a TSC, 41 with a counter of 24 MHz."""
    return step_ns([now_ns() for _ in range(CLOCK_READINGS)])


def mark_value(number: int) -> None:
    """Tells an emulator that looks on which value begins; 0: it has ended. Else it is nothing."""
    lib.vmb_mark_value(number)


class Pair:
    """The caller as the receiver, and a source process; a context manager.

    Entering pins both: the source to ``source_cpu``, the caller to ``receiver_cpu``.
    """

    def __init__(self, source_cpu: int, receiver_cpu: int) -> None:
        self.cpus = source_cpu, receiver_cpu
        self._pair = ffi.NULL

    def __enter__(self) -> Self:
        self._pair = lib.vmb_pair_open(bytes(SOURCE_PROGRAM), *self.cpus)
        if not self._pair:
            check(-ffi.errno)
        lib.vmb_pair_watch_cpus(self._pair)  # what can't be counted is not known, and no error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the source process, whatever state it is in; may be called twice."""
        lib.vmb_perf_forget()
        lib.vmb_pair_close(self._pair)
        self._pair = ffi.NULL

    @property
    def source_pid(self) -> int:
        return int(lib.vmb_pair_pid(self._pair))

    @property
    def alive(self) -> bool:
        return bool(self._pair) and lib.vmb_pair_check(self._pair) == 0

    def be_patient(self, seconds: float) -> None:
        """A command that takes longer than this, and the usual 4 s, means a hung source."""
        lib.vmb_pair_set_patience(self._pair, int((FIRST_PATIENCE_S + seconds) * 1000))

    def make_source(
        self,
        memory: str,
        page_bytes: int,
        size_bytes: int,
        *,
        hugetlb: bool = False,
        advised: bool = True,
    ) -> Proof:
        """Makes and populates the memory that the cases of this pair transfer.

        Without ``advised`` nobody tells the kernel what pages the memory is to have.
        """
        self.be_patient(size_bytes / SLOWEST_BYTES_PER_S)
        proof = ffi.new("struct vmb_proof *")
        wanted = {
            "memory": MEMORIES[memory],
            "page": page_bytes,
            "hugetlb": hugetlb,
            "unadvised": not advised,
            "size": size_bytes,
        }
        check(lib.vmb_pair_source_make(self._pair, ffi.new("struct vmb_region *", wanted), proof))
        return _proof(proof)

    @contextmanager
    def open(
        self, case: Case, seed: int, delay_ns: int = 0, call_bytes: int = 0
    ) -> Iterator["OpenCase"]:
        """Set the case up in both processes; raises NativeError.

        For tests: ``delay_ns`` is added to each operation, and ``call_bytes`` lowers what one call
        is asked to move, so that a small case takes several calls as one of gigabytes does.
        """
        params = ffi.new(
            "struct vmb_params *",
            {
                "scenario": SCENES[case.scenario].index,
                "touch": _TOUCHES[case.touch_mode],
                "touch_pct": case.touch_pct,
                "segments": case.segments,
                "touch_random": case.touch_order == "random",
                "seed": seed & 0xFFFFFFFF,
                "delay_ns": delay_ns,
                "wait": _WAITS[case.wait],
                "receivers": case.receivers,
                "pairs": case.pairs,
                "rate": int(case.rate) if case.rate.isdigit() else 0,
                "swapped_pct": case.swapped_pct,
                "rewritten": case.source == "rewritten",
                "buffer": _BUFFERS[case.buffer],
                "source_threads": case.source_threads,
                "incongruent": case.congruent == "no",
                "size_bytes": case.size_bytes,
                "call_bytes": call_bytes,
            },
        )
        context = ffi.new("struct vmb_ctx **")
        row = lib.vmb_mech_find(case.mechanism.encode())
        check(lib.vmb_case_open(self._pair, row, params, context))
        try:
            yield OpenCase(self, case, context[0])
        finally:
            lib.vmb_case_close(context[0])


class OpenCase:
    """A case that is set up. ``verify`` comes before ``run``."""

    def __init__(self, pair: Pair, case: Case, context: CData) -> None:
        self._pair = pair
        self._case = case
        self._context = context

    def verify(self, generation: int) -> Evidence:
        """Delivers new data once, compares it whole and tests the isolation of the two sides."""
        self._pair.be_patient(self._case.size_bytes / SLOWEST_BYTES_PER_S + self._untimed_s)
        evidence = ffi.new("struct vmb_evidence *")
        check(lib.vmb_case_verify(self._context, generation, evidence))
        proved = evidence.src.size_bytes > 0
        return Evidence(
            _proof(evidence.src) if proved else None,
            _proof(evidence.dst) if proved else None,
            evidence.page_table_bytes or None,
            evidence.moved_bytes or evidence.dst.size_bytes or None,
            evidence.channel_bytes,
            _use(evidence.use),
            {
                name: evidence.extra[index]
                for index, name in enumerate(SCENES[self._case.scenario].extras)
                if evidence.extra_known >> index & 1
            },
        )

    @property
    def _untimed_s(self) -> float:
        return ONCE_PATIENCE_S if SCENARIOS[self._case.scenario].once else 0.0

    def prove(self) -> tuple[Proof | None, Proof | None]:
        """The source, and the destination where it lasts, as they are now."""
        evidence = ffi.new("struct vmb_evidence *")
        check(lib.vmb_case_prove(self._context, evidence))
        src, dst = evidence.src, evidence.dst
        return (
            _proof(src) if src.size_bytes else None,
            _proof(dst) if dst.size_bytes else None,
        )

    def run(self, loops: int, expected_s: float) -> Sample:
        """One value of ``loops`` operations, which should take ``expected_s`` seconds."""
        self._pair.be_patient(10 * expected_s + self._untimed_s)
        sample = ffi.new("struct vmb_sample *")
        check(lib.vmb_case_run(self._context, loops, sample))
        times = zip(PHASE_NAMES, sample.time_ns, strict=True)
        phases = self._case.phases
        return Sample(
            loops=sample.loops,
            time_ns={phase: time_ns for phase, time_ns in times if phase in phases},
            counts={
                name: sample.counts.count[index]
                for index, name in enumerate(COUNTERS)
                if sample.counts.known >> index & 1
            },
            receiver_ns=tuple(sample.receiver_ns[0 : sample.receivers]),
            writer={name: getattr(sample.writer, field) for name, field in WRITER.items()}
            if SCENES[self._case.scenario].written
            else {},
            peak_bytes=sample.peak_bytes if sample.peak_how else None,
            peak_sampled=sample.peak_how == lib.VMB_PEAK_SAMPLED,
        )

    @property
    def source_pid(self) -> int:
        return self._pair.source_pid

    @property
    def cpus(self) -> tuple[int, int]:
        """The CPUs of source and receiver."""
        return self._pair.cpus

    def forget_latency(self) -> None:
        """What was kept of single operations up to now, in the check and the calibration."""
        lib.vmb_latency_reset(lib.vmb_case_latency(self._context))

    def latency(self) -> Latency | None:
        """The single operations since then; None where they are not timed for themselves."""
        return read_latency(lib.vmb_case_latency(self._context))


def read_latency(kept: CData) -> Latency | None:
    """A Latency of a ``struct vmb_latency *``."""
    if not kept.count:
        return None
    points = kept.points + (kept.started > 0)
    in_point = [kept.stride] * kept.points + [kept.started]
    counts = enumerate(ffi.unpack(kept.bucket, lib.VMB_LATENCY_BUCKETS))
    return Latency(
        count=kept.count,
        sum_ns=kept.sum_ns,
        max_ns=kept.max_ns,
        buckets={index: count for index, count in counts if count},
        stride=kept.stride,
        chart_max_ns=tuple(kept.point_max_ns[0:points]),
        chart_mean_ns=tuple(
            total / operations
            for total, operations in zip(kept.point_sum_ns[0:points], in_point, strict=False)
        ),
    )


def _use(use: CData) -> dict[str, int]:
    names = ("rss_bytes", "pss_bytes", "anon_huge_bytes")
    whole = use.known and not use.missing
    return {name: getattr(use, name) for name in names} if whole else {}


def _proof(proof: CData) -> Proof:
    folios = None
    if proof.folios_known:
        base = base_page_bytes()
        folios = {base << order: size for order, size in enumerate(proof.folio_bytes) if size}
    nodes = {node: size for node, size in enumerate(proof.node_bytes) if size}
    return Proof(
        proof.size_bytes,
        proof.present_bytes,
        proof.huge_bytes,
        proof.vmas,
        folios,
        proof.partial_bytes,
        proof.aligned_bytes,
        nodes if proof.nodes_known else None,
    )
