# SPDX-License-Identifier: GPL-2.0-only
"""Format a comparison: as text, in the layout of the kernel test robot, and as data."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pandas as pd

from vmabench.analysis.compare import (
    ESTIMATORS,
    FALSE_DISCOVERIES,
    FEWEST_BOOTS,
    MIN_EFFECT,
    MIN_PATH_EFFECT,
    VERDICTS,
    bare_name,
    moved_controls,
)
from vmabench.analysis.functions import by_function
from vmabench.report.layout import layout
from vmabench.report.paths import number
from vmabench.report.words import bracketed, three_digits, wrapped
from vmabench.units import format_time

#: of a path, before the rest is one number
MOST_FUNCTIONS = 6
MOST_LISTED = 20
#: negative controls that are named
MOST_CONTROLS = 3
#: what functions may leave of a difference, which is a mean of medians as theirs are
UNEXPLAINED = 0.05

_DECIDED = ("slower", "faster")

#: of the committed results of paths, each of two boots of one kernel
TWO_BOOTS = "Of 193 paths, two boots of one kernel differ by more than that in 1."

SINGLE_BOOT = (
    "* One boot of each: the kernel is different, or this boot was. A verdict on a kernel takes"
    f" {FEWEST_BOOTS} boots of each or more (vmabench run PLAN --guest --against KERNEL)."
)


def void_reason(compared: pd.DataFrame) -> str:
    """Return why a comparison of two kernels is void; empty where it is not."""
    moved = moved_controls(compared)
    if not moved:
        return ""
    more = f" and {len(moved) - MOST_CONTROLS} more" if len(moved) > MOST_CONTROLS else ""
    names = ", ".join(map(bare_name, moved[:MOST_CONTROLS])) + more
    return (
        f"void as a comparison of kernels: negative controls moved ({names}), which no kernel"
        " changes, so the machine or the boot did"
    )


def verdict_text(compared: pd.DataFrame, head: Sequence[str], *, marked: bool = False) -> str:
    """Return counts, failures, each case with a verdict, then those without.

    ``!`` begins each line of a comparison that is void or was forced (``marked``), so that no line
    of it can be quoted without its mark.
    """
    void = void_reason(compared)
    counts = [f"{int((compared['verdict'] == name).sum())} {name}" for name in VERDICTS]
    parts = [wrapped(f"{void[0].upper()}{void[1:]}.")] if void else []
    parts += ["\n".join(head), ", ".join(counts)]
    failed = compared[compared["verdict"] == "failed"]
    if len(failed):
        parts.append(_others(failed, "failed more often in B"))
    decided = compared[compared["verdict"].isin(_DECIDED)]
    if len(decided):
        parts.append(_decided_table(decided))
    if (decided["sample"] == "process").any():
        parts.append(wrapped(SINGLE_BOOT))
    parts.append(_rule(compared))
    for verdict in ("unstable", "~", "same", "not comparable"):
        rows = compared[compared["verdict"] == verdict]
        if len(rows):
            parts.append(_others(rows, verdict))
    parts += list(_fewer_failures(compared))
    return _marked("\n\n".join(parts) + "\n", marked or bool(void))


def _fewer_failures(compared: pd.DataFrame) -> Iterator[str]:
    """Yield a paragraph on the cases that failed more often in A."""
    shares = [compared[f"{side}_failed"] / compared[f"{side}_tried"] for side in "ab"]
    rows = compared[shares[0] > shares[1]]
    if len(rows):
        lines = [
            f"- {bare_name(row['case_id'])}: in {row['a_failed']} of {row['a_tried']} rounds of A,"
            f" {row['b_failed']} of {row['b_tried']} of B"
            for row in _dicts(rows)
        ]
        yield "\n".join([f"failed less often in B ({len(rows)})", *lines])


def _marked(text: str, marked: bool) -> str:
    return re.sub(r"^(?=.)", "! ", text, flags=re.MULTILINE) if marked else text


def robot_text(compared: pd.DataFrame, names: tuple[str, str], *, marked: bool = False) -> str:
    """Return ``%stddev  %change  %stddev`` rows in ns; ``~`` where no difference was shown.

    A case that failed more often in B has ``fails`` in the place of the change, and comes first.
    """
    left, right = (name[:24] for name in names)
    void = void_reason(compared)
    lines = [f"# {void}"] if void else []
    lines += [
        f"{left:>24}  {right:>24}",
        f"{'-' * 24}  {'-' * 35}",
        f"{'%stddev':>24}  {'%change':>9}  {'%stddev':>24}",
        f"{chr(92):>24}  {'|':>9}  {chr(92):>24}",
    ]
    for row in _dicts(compared[compared["verdict"] != "not comparable"]):
        change = f"{100 * (row['ratio'] - 1):+.1f}%" if row["verdict"] in _DECIDED else "~"
        if row["verdict"] == "failed":
            change = "fails"
            a, b = (f"{row[f'{side}_failed']}/{row[f'{side}_tried']}" for side in "ab")
        else:
            a, b = (_with_deviation(row, side) for side in "ab")
        lines.append(f"{a:>24}  {change:>9}  {b:>24}  {bare_name(row['case_id'])}")
    return _marked("\n".join(lines) + "\n", marked or bool(void))


def rows_of(compared: pd.DataFrame, forced: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows for JSON, where there is no NaN: such a value is null.

    Each row of a comparison that was forced has ``forced``, with what speaks against it; each row
    of one that is void has ``void``, with the reason.
    """
    mark: dict[str, Any] = {"forced": list(forced)} if forced else {}
    if "sample" in compared and (void := void_reason(compared)):
        mark["void"] = void
    return [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
        | mark
        for row in _dicts(compared)
    ]


def path_rows(
    compared: pd.DataFrame, functions: pd.DataFrame, forced: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the rows for JSON; a changed path has ``functions``, the largest difference first."""
    rows = rows_of(compared, forced)
    for row in rows:
        if row["verdict"] != "~":
            mine = functions_of(functions, row)
            row["functions"] = _dicts(mine[["function", "a_call", "b_call", "call", "steady"]])
    return rows


def path_verdict_text(
    compared: pd.DataFrame,
    head: Sequence[str],
    functions: pd.DataFrame,
    *,
    marked: bool = False,
) -> str:
    """Return differences of path lengths, of a call, an entry, a KiB, and their functions."""
    changed = compared[compared["verdict"] != "~"]
    same = len(compared) - len(changed)
    parts = ["\n".join(head), f"{len(changed)} paths changed, {same} the same"]
    if len(changed):
        lines = [
            [
                f"{row['case_id']} {row['phase']}",
                number(row["a_call"]),
                number(row["b_call"]),
                f"{100 * (row['ratio'] - 1):+.2f}%",
                _signed(row["call"]),
                _signed(row["entry"]),
                _signed(row["kib"]),
                row["verdict"],
            ]
            for row in _dicts(changed)
        ]
        header = ["case and phase", "A", "B", "change", "a call", "an entry", "a KiB", "verdict"]
        parts.append(layout(header, lines))
        parts += list(_origins(changed, functions))
    parts += list(_all_functions(functions))
    parts.append(_path_rule(compared))
    return _marked("\n\n".join(parts) + "\n", marked)


def _path_rule(compared: pd.DataFrame) -> str:
    """Return the rule of the verdicts, with the noise floor of these paths."""
    higher = compared.loc[compared["floor"] > MIN_PATH_EFFECT, "floor"]
    text = (
        f"Instructions. A path has changed where B differs from A by more than"
        f" {100 * MIN_PATH_EFFECT:g} % and by more than the processes of either side differ among"
        f" themselves, which is more in {len(higher)} of {len(compared)} paths"
    )
    most = f", at most {100 * higher.max():.1f} %" if len(higher) else ""
    return wrapped(f"{text}{most}. {TWO_BOOTS}")


def _origins(changed: pd.DataFrame, functions: pd.DataFrame) -> Iterator[str]:
    """A paragraph with the functions of each changed path."""
    if functions.empty:
        yield "The functions were not counted: vmabench run PLAN --guest --against KERNEL does it."
        return
    lines = ["Where it comes from: functions with instructions of a call, B less A"]
    for row in _dicts(changed):
        found = origin(row["call"], functions_of(functions, row))
        lines.append(wrapped(f"{bare_name(row['case_id'])} {row['phase']}: {found}", "    "))
    yield "\n".join(lines)


def _all_functions(functions: pd.DataFrame) -> Iterator[str]:
    """Also of paths that are too little longer for a verdict: exact is exact."""
    found = by_function(functions)
    if found.empty:
        return
    shown = found.iloc[:MOST_LISTED]
    lines = [
        [row["function"], str(row["cases"]), _signed(row["least"]), _signed(row["most"])]
        for row in _dicts(shown)
    ]
    head = "Functions that differ in every process, in all paths: instructions of a call, B less A"
    text = f"{head}\n{layout(['function', 'cases', 'least', 'most'], lines)}"
    yield text + (f"\nand {len(found) - len(shown)} more" if len(found) > len(shown) else "")


def origin(call: float, functions: pd.DataFrame, most: int = MOST_FUNCTIONS) -> str:
    """``+128: copy_pte_range +120, 3 others +8`` of the functions of one path, largest first.

    Named are those that differ steadily; what of ``call`` is left is unsteady: in functions whose
    share differs from process to process as much as between the two kernels.
    """
    steady = functions[functions["steady"]]
    words = [f"{row['function']} {_signed(row['call'])}" for row in _dicts(steady.iloc[:most])]
    rest = steady.iloc[most:]
    if len(rest):
        words.append(f"{len(rest)} others {_signed(float(rest['call'].sum()))}")
    left = call - float(steady["call"].sum())
    if not words or abs(left) > max(1.0, abs(call) * UNEXPLAINED):
        words.append(f"unsteady {_signed(left)}")
    return f"{_signed(call)}: {', '.join(words)}"


def functions_of(functions: pd.DataFrame, row: dict[str, Any]) -> pd.DataFrame:
    """Those of a path that differ."""
    mine = (functions["case_id"] == row["case_id"]) & (functions["phase"] == row["phase"])
    found: pd.DataFrame = functions[mine & (functions["call"] != 0)]
    return found


def _decided_table(rows: pd.DataFrame) -> str:
    lines = [
        [
            bare_name(row["case_id"]),
            format_time(row["a_ns"]).replace(" ", ""),
            format_time(row["b_ns"]).replace(" ", ""),
            f"{100 * (row['ratio'] - 1):+.1f}%",
            bracketed(three_digits(row["lo"]), three_digits(row["hi"])),
            row["verdict"] + ("*" if row["sample"] == "process" else ""),
        ]
        for row in _dicts(rows)
    ]
    return layout(["case", "A", "B", "change", "B/A", "verdict"], lines)


def _others(rows: pd.DataFrame, title: str) -> str:
    """Return the cases without a verdict: each reason once, or each with the interval of B/A."""
    reasons: dict[str, list[str]] = {}
    for row in _dicts(rows):
        reason = row["reason"] if isinstance(row["reason"], str) else ""
        reasons.setdefault(reason, []).append(f"{bare_name(row['case_id'])}{_interval(row)}")
    lines = [
        wrapped(f"- {reason}{': ' if reason else ''}{', '.join(cases)}", "    ")
        for reason, cases in reasons.items()
    ]
    return f"{title} ({len(rows)})\n" + "\n".join(lines)


def _interval(row: dict[str, Any]) -> str:
    """Return `` [0.97..1.04]``, or nothing where there is no interval."""
    if math.isnan(row["lo"]):
        return ""
    return f" {bracketed(three_digits(row['lo']), three_digits(row['hi']))}"


def _rule(compared: pd.DataFrame) -> str:
    sample = str(compared["sample"].iloc[0]) if len(compared) else "process"
    percent = f"{100 * MIN_EFFECT:g} %"
    return wrapped(
        f"Time of one operation, lower is better. Change: {ESTIMATORS[sample]}. A verdict: the"
        f" 95 % interval of B/A excludes 1, the change is at least {percent}, and by the correction"
        f" for their number at most {100 * FALSE_DISCOVERIES:g} % of all verdicts are false; the"
        f" negative controls are corrected apart. same: equivalent within {percent}. ~: no"
        " difference was shown; the interval of B/A says how large it may be. unstable: none was"
        " shown, and the samples vary too much or are too few for that to mean much."
    )


def _with_deviation(row: dict[str, Any], side: str) -> str:
    value, deviation = row[f"{side}_ns"], row[f"{side}_deviation"]
    return f"{value:.5g}" + ("" if math.isnan(deviation) else f" ± {100 * deviation:2.0f}%")


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else ("+" if value > 0 else "") + number(value)


def _dicts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], rows.to_dict("records"))
