# SPDX-License-Identifier: GPL-2.0-only
"""The Performance section of a cover letter, and its short form for a commit message."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from vmabench.report.findings import headline, main_crossovers
from vmabench.report.letter import sections
from vmabench.report.letter.checklist import missing
from vmabench.report.letter.code_size import code_size
from vmabench.report.letter.plain import clean, enumeration, filled, labelled
from vmabench.report.letter.side import Side
from vmabench.report.letter.theory import theory
from vmabench.report.verdicts import void_reason
from vmabench.report.words import approximate_size
from vmabench.store.boots import order_of
from vmabench.store.format import SAMPLES, Result

_TITLE = "Performance\n==========="


#: the values of --format that give one
LETTERS = ("cover-letter", "commit-message")


@dataclass(frozen=True, slots=True)
class Extras:
    """What a letter has on request.

    ``appendix``: every case, in the layout of the kernel test robot. ``images``: the vmlinux of A
    and of B, whose sizes are compared. ``paths``: results of A and of B by the instruction clock,
    which give theories for what got slower.
    """

    appendix: bool = False
    images: tuple[str, str] | None = None
    paths: tuple[Result, Result] | None = None


def letter(
    form: str,
    sides: Sequence[Side],
    compared: pd.DataFrame | None = None,
    forced: Sequence[str] = (),
    extras: Extras = Extras(),
) -> str:
    """The text of ``form``, one of LETTERS; see the two functions below."""
    if form == "commit-message":
        return commit_message(sides, forced)
    return cover_letter(sides, compared, forced, extras)


def cover_letter(
    sides: Sequence[Side],
    compared: pd.DataFrame | None = None,
    forced: Sequence[str] = (),
    extras: Extras = Extras(),
) -> str:
    """The section: of one result, or of two (without and with the series) and their comparison.

    The measurements are those of the last side; ``forced`` is why the two are not comparable, where
    that was overruled: the text is then a draft. ``extras`` is what was asked for besides. ASCII,
    no tab, no line over 72 columns.
    """
    side = sides[-1]
    if compared is not None and (void := void_reason(compared)):
        forced = (*forced, void)
    cells = sections.hand_over(side)
    candidates: list[Callable[[int], str]] = [
        partial(sections.first_table, side, cells),
        partial(sections.where_time_goes, cells),
        partial(sections.side_effects, side, cells),
        partial(sections.swapped, side),
        partial(sections.slower, side),
    ]
    if compared is not None:
        candidates.append(partial(sections.changes, compared))
    if extras.images:
        candidates.append(partial(code_size, *extras.images))
    if extras.paths:
        candidates.append(partial(theory, extras.paths))
    tables: list[str] = []
    for section in candidates:
        tables += [text for text in [section(len(tables) + 1)] if text]
    if not tables:
        tables = ["Nothing was measured."]
    parts = [_TITLE, _draft(sides, forced), _preamble(sides), *tables, _end(side)]
    if extras.appendix and compared is not None:
        parts.append(sections.every_case(compared))
    return _joined(parts)


def commit_message(sides: Sequence[Side], forced: Sequence[str] = ()) -> str:
    """The first table, and two lines: what it shows, and on which machine."""
    side = sides[-1]
    found = main_crossovers(side.frame)
    return _joined(
        [
            _draft(sides, forced),
            filled(f"{headline(found)}."),
            sections.first_table(side, sections.hand_over(side)) or "Nothing was measured.",
            filled(
                f"Measured by vmabench on {side.facts.get('cpu_model', 'an unknown processor')},"
                f" kernel {side.kernel}; +- is one stddev over {_samples(side)}."
            ),
        ]
    )


def _draft(sides: Sequence[Side], forced: Sequence[str]) -> str:
    lost = missing(sides, forced)
    if not lost:
        return ""
    head = "DRAFT, not to be sent. It misses:"
    if sides[-1].emulated:
        head = "DRAFT of EMULATED numbers, not to be sent. It misses:"
    return "\n".join([head, *(filled(text, "  - ", "    ") for text in lost)])


def _preamble(sides: Sequence[Side]) -> str:
    side = sides[-1]
    return "\n".join(
        [
            labelled("Machine", _machine(side)),
            labelled("Kernels", _kernels(sides)),
            labelled("THP", _thp(side)),
            labelled("Method", _method(sides)),
        ]
    )


def _machine(side: Side) -> str:
    facts, conditions = side.facts, side.conditions
    cpus = facts.get("cpus")
    cpu_count = len(cpus) if isinstance(cpus, list | tuple) else "?"
    swap = conditions.get("swap")
    memory = facts.get("memory_bytes")
    virt = side.result.header.get("virt", "unknown")
    known = isinstance(memory, int) and memory > 0
    return ", ".join(
        clean(part)
        for part in (
            facts.get("cpu_model") or "unknown processor",
            f"{conditions.get('sockets') or '?'} sockets, {conditions.get('cores') or '?'} cores",
            f"{cpu_count} CPUs used",
            f"SMT {facts.get('smt', '?')}",
            f"turbo {conditions.get('turbo') or '?'}",
            f"governor {conditions.get('governor') or '?'}",
            f"{facts.get('numa_nodes', '?')} NUMA node(s)",
            f"{approximate_size(memory) if known and isinstance(memory, int) else '?'} RAM",
            f"swap: {'?' if swap is None else enumeration(swap) or 'none'}",
            f"zswap {conditions.get('zswap') or '?'}",
            "bare metal" if virt == "none" else f"virtualisation: {virt}",
        )
    )


def _kernels(sides: Sequence[Side]) -> str:
    named = [f"{one.kernel} ({one.commit[:12] if one.commit else 'commit?'})" for one in sides]
    words = f"{named[0]}; "
    if len(named) > 1:
        words = f"A = {named[0]}, B = A + this series = {named[1]}; "
    facts = sides[-1].facts
    digest = str(facts.get("kernel_config_sha256") or "?")[:8]
    debug = enumeration(facts.get("kernel_debug") or []) or "none"
    return f"{words}.config sha256 {digest}, {sides[-1].compiler or 'compiler ?'}, debug: {debug}"


def _thp(side: Side) -> str:
    facts, conditions = side.facts, side.conditions
    return (
        f"enabled={facts.get('thp', '?')} defrag={conditions.get('thp_defrag') or '?'}"
        f" shmem={facts.get('thp_shmem', '?')};"
        f" sizes not at default: {enumeration(conditions.get('mthp') or {}) or 'none'};"
        f" khugepaged defrag={conditions.get('khugepaged') or '?'};"
        f" hugetlb pools: {enumeration(conditions.get('hugetlb_pools') or {}) or 'none'};"
        ' backing verified in each cell (column "huge")'
    )


def _method(sides: Sequence[Side]) -> str:
    side = sides[-1]
    header = side.result.header
    valued = side.frame[side.frame["time_ns"].notna() & (side.frame["phase"] == "total")]
    each = valued.groupby(["case_id", "process"], observed=True).size()
    values = f"{each.min()} to {each.max()}" if len(each) else "0"
    return (
        f"vmabench {header.get('vmabench', '?')}, {_runs(sides)} x {values} values;"
        f" {_boot_order(sides)}cases shuffled in each process, a calibrating process dropped;"
        f" source on CPU {header.get('source_cpu', '?')}, receiver on CPU"
        f" {header.get('receiver_cpu', '?')}; ASLR {side.conditions.get('aslr') or '?'}. Medians;"
        f' +- is one stddev over {"boots" if side.boots else "processes"}; "~": the 95 % interval'
        " holds no change, or none was shown."
    )


def _runs(sides: Sequence[Side]) -> str:
    """``1 boot x 5 and 6 processes``, ``5 boots x 2 processes``; of all sides where they differ."""
    boots = dict.fromkeys(len(one.boots) or 1 for one in sides)
    processes = dict.fromkeys(text for one in sides for text in [_span(one.boots or [one.rounds])])
    word = "boot" if list(boots) == [1] else "boots"
    return f"{' and '.join(map(str, boots))} {word} x {' and '.join(processes)} processes"


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _boot_order(sides: Sequence[Side]) -> str:
    if len(sides) < 2:
        return ""
    order = order_of([one.result for one in sides])
    lost = sum(one.lost_boots for one in sides)
    named = f" ({lost} lost and left out)" if lost else ""
    return f"boots in the order {order}{named}; " if order else "A, then B; "


def _samples(side: Side) -> str:
    """What a deviation is over: ``5 boots`` or ``8 processes``."""
    return f"{len(side.boots)} boots" if side.boots else f"{side.rounds} processes"


def _end(side: Side) -> str:
    lost = list(sections.unsupported(side)) or ["nothing that was tried"]
    return "\n".join(
        [
            *_list("Not supported", lost),
            labelled("Not measured", sections.unmeasured(side), 14),
            labelled(
                "Verified",
                "every byte of a delivery compared at the receiver, in each process and case;"
                " isolation checked by writes of both sides; backing before and after",
                14,
            ),
            labelled("Reproduce", f"{_command(side)}; samples sha256 {_digest(side)}", 14),
        ]
    )


def _list(name: str, items: Iterable[str]) -> list[str]:
    return [
        labelled(name if number == 0 else "", item, 14) for number, item in enumerate(items)
    ]  # fmt: skip


def _command(side: Side) -> str:
    """The plan as it was run lies beside the samples, whatever was asked for on a command line."""
    header = side.result.header
    seed = f" --seed {clean(header['seed'])}" if "seed" in header else ""
    plan = clean(header.get("plan", "unnamed"))
    return f"vmabench run plan.toml{seed}, plan.toml being {plan}, as stored beside the samples"


def _digest(side: Side) -> str:
    try:
        contents = (Path(side.result.directory) / SAMPLES).read_bytes()
    except OSError:
        return "?"
    return hashlib.sha256(contents).hexdigest()[:16]


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
