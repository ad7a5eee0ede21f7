# SPDX-License-Identifier: GPL-2.0-only
"""List what a cover letter must carry and this one lacks: it is a draft until the list is empty."""

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from vmabench.analysis.compare import FEWEST_BOOTS
from vmabench.analysis.costs import COUNTERS
from vmabench.report.letter.plain import enumeration
from vmabench.report.letter.side import Side

_COUNTERS = ("peak_bytes", "page_table_bytes", "minor_faults", "swap_in_bytes", "swap_out_bytes")

#: what clone has to be set against; one of each
_ALTERNATIVES = (("readv", "writev"), ("memfd", "shm"), ("fork",))

_MACHINE = {"cpu_model": "the processor", "smt": "SMT", "numa_nodes": "the NUMA nodes",
            "memory_bytes": "the memory"}  # fmt: skip
_CONDITIONS = {
    "governor": "the CPU frequency governor",
    "turbo": "turbo",
    "swap": "the swap devices",
    "thp_defrag": "THP's defrag setting",
    "khugepaged": "khugepaged's state",
}


def missing(sides: Sequence[Side], forced: Sequence[str] = ()) -> list[str]:
    """Return sentences; ``sides`` is the kernel with the series, or the one without it before that.

    ``forced`` is why the two are not comparable, where that was overruled or shows in the results.
    """
    found = [f"comparable results: {difference}" for difference in forced]
    found += [text for side in sides for text in _of_side(side, _whose(side, sides))]
    if len(sides) < 2:
        found.append(
            "the kernel without the series: what got slower, and that nothing else changed"
            " (vmabench compare BASE PATCHED --format cover-letter)"
        )
    else:
        found += _between(*sides)
    return list(dict.fromkeys(found))


def _whose(side: Side, sides: Sequence[Side]) -> str:
    if len(sides) < 2:
        return "the measured kernel"
    return "the base (A)" if side is sides[0] else "the series (B)"


def _of_side(side: Side, whose: str) -> Iterator[str]:
    if side.emulated:
        yield "numbers of hardware: these are EMULATED, and no absolute time holds"
    if not side.result.complete:
        yield f"a run of {whose} that was not cut off"
    if side.commit is None:
        option = "--patched" if "B" in whose else "--base"
        yield f"the commit of {whose} ({option} with 12 hex digits or more)"
    yield from (
        what for name, what in _MACHINE.items() if side.facts.get(name) in (None, "", "unknown", 0)
    )
    yield from (what for name, what in _CONDITIONS.items() if side.conditions.get(name) is None)
    if side.compiler is None:
        yield f"the compiler of {whose}"
    if not side.facts.get("kernel_config_sha256"):
        yield f"the configuration's hash of {whose}"
    if side.facts.get("kernel_debug"):
        options = enumeration(side.facts["kernel_debug"])
        yield f"figures without debug options: {whose} has {options}"
    yield from _of_data(side)


def _of_data(side: Side) -> Iterator[str]:
    measured = side.summary[side.summary["median_ns"].notna()]
    if measured.empty:
        yield "a measurement: there is not one number"
        return
    valued = _told(side)
    if any(math.isnan(side.deviation[str(case)]) for case in valued["case_id"].unique()):
        yield "a deviation for every cell: some have one round only"
    if valued["dst_backed_pct"].isna().any():
        yield "the proof of the backing by huge pages in every cell"
    lost = [name for name in _COUNTERS if not (side.costs["counter"] == name).any()]
    if lost:
        yield f"costs that were not measured: {', '.join(COUNTERS[name] for name in lost)}"
    names = set(measured["mechanism"].astype(str))
    lost = [" or ".join(some) for some in _ALTERNATIVES if not names & set(some)]
    if lost:
        yield f"alternatives that were not measured: {', '.join(lost)}"


def _told(side: Side) -> pd.DataFrame:
    """The values of cells that a letter may show.

    null has no memory, and nobody looks into the processes of a page server, of which the letter
    has no table.
    """
    frame = side.frame[side.frame["time_ns"].notna() & (side.frame["phase"] == "total")]
    return frame[(frame["mechanism"] != "null") & (frame["scenario"] != "pageserver")]


def _between(a: Side, b: Side) -> Iterator[str]:
    few = [name for name, one in (("A", a), ("B", b)) if len(one.boots) < FEWEST_BOOTS]
    if few:
        yield (
            f"{FEWEST_BOOTS} boots or more of {' and '.join(few)}, A and B in turns: with fewer, a"
            " difference may be one of the boots (vmabench run PLAN --guest --against KERNEL)"
        )
    for name, one in (("A", a), ("B", b)):
        if one.lost_boots:
            yield f"all boots of {name}: {one.lost_boots} were lost"
    pairs = {
        "configuration": [one.facts.get("kernel_config_sha256") for one in (a, b)],
        "compiler": [one.compiler for one in (a, b)],
        "command line": [one.conditions.get("cmdline_sha256") for one in (a, b)],
    }
    differ = [what for what, (here, there) in pairs.items() if here != there]
    if differ:
        yield f"proof that only the series differs: A and B have another {', '.join(differ)}"
    if a.kernel == b.kernel and a.commit == b.commit:
        yield "two kernels: A and B have the same name"
