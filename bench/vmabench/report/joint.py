# SPDX-License-Identifier: GPL-2.0-only
"""Write one report of several results: a machine, a guest on it, and the guest's path lengths."""

import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from vmabench.analysis import levels
from vmabench.analysis.frame import tidy
from vmabench.analysis.ratios import BASELINE, distortion
from vmabench.atomic import replacing
from vmabench.matrix.axes import OF_SOURCE_AND_BUFFER
from vmabench.report.build import TEXT, Report, make_folder, quiet_matplotlib
from vmabench.report.claims import claims_report
from vmabench.report.layout import layout
from vmabench.report.words import condition_words, label, three_digits, wrapped
from vmabench.store.format import Result
from vmabench.units import format_size

CLAIMS, OVERVIEW = "claims.txt", "overview.svg"

_RULE = "=" * 72

_NOTES = """\
real | emulated: how long the mechanism takes as a share of readv, on the machine itself and in
the emulated guest; the figure after it is the second over the first. Where it is far from 1, the
guest shows at best the direction of the difference between that mechanism and readv."""


def joint_report(results: Sequence[Result]) -> str:
    """Return the reports one after the other, then how far emulation distorts the ratios."""
    return f"\n{_RULE}\n\n".join(joint_parts(results))


def write_joint(results: Sequence[Result], directory: Path | str) -> list[Path]:
    """Write the joint report: the text, the claims, and the overview of times.

    Returns the paths. The same results give the same bytes. Raises MachineError, and UsageError
    where no result has what the overview shows.
    """
    base = make_folder(Path(directory))
    timed = [one for one in results if one.header.get("clock") != "instructions"]
    for name, text in ((TEXT, joint_report(results)), (CLAIMS, claims_report(timed))):
        with replacing(base / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    with quiet_matplotlib():
        from vmabench.report.canvas import save  # half a second
        from vmabench.report.overview import overview_figure

        save(overview_figure(timed), base / OVERVIEW)
    return [base / name for name in (TEXT, CLAIMS, OVERVIEW)]


def joint_parts(results: Sequence[Result]) -> list[str]:
    """Return the report of each result, then the distortion table."""
    parts = [Report(result).text(brief=True) for result in results]
    timed = [result for result in results if result.header.get("clock") != "instructions"]
    real = [result for result in timed if result.header.get("virt") != "emulated"]
    emulated = [result for result in timed if result.header.get("virt") == "emulated"]
    if real and emulated:
        parts.append(distortion_text(distortion(*map(tidy, _pair(real, emulated)))))
    return parts


def _pair(real: Sequence[Result], emulated: Sequence[Result]) -> tuple[Result, Result]:
    """Return the first two results of one kernel version, or else the first of each."""
    pairs = list(product(real, emulated))
    same = [
        pair for pair in pairs if len({kernel_version(one.header["kernel"]) for one in pair}) == 1
    ]
    return (same or pairs)[0]


def distortion_text(found: pd.DataFrame) -> str:
    """Return the table of both ratios of the bare operation, and the range of their quotient."""
    bare = found[(found["scenario"] == "transfer") & (found["phase"] == "total")]
    title = "How far emulation distorts: stock mechanisms, on this machine and in the guest"
    if bare.empty:
        return f"{title}\n\nNo case was measured on both.\n"
    quotient = bare["distortion"].to_numpy(dtype=float)
    low, middle, high = np.percentile(quotient, [10, 50, 90])
    summary = (
        f"{len(bare)} ratios to {BASELINE}: the middle one is {three_digits(middle)} times the"
        f" real one, four of five lie\nbetween {three_digits(low)} and {three_digits(high)} times."
    )
    parts = [title, summary, *_kernels(bare), *_settings(bare), *_tables(bare), _NOTES]
    return "\n\n".join(parts) + "\n"


def kernel_version(release: object) -> str:
    """Return ``6.12`` of a release as 6.12.117-vmabench; stable updates change no path much."""
    found = re.match(r"\d+\.\d+", str(release))
    return found[0] if found else str(release)


def _kernels(bare: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence where the machine and the guest run kernels of two versions."""
    real, emulated = (str(bare[f"{kind}_kernel"].iloc[0]) for kind in ("real", "emulated"))
    if kernel_version(real) != kernel_version(emulated):
        yield wrapped(
            f"CONFOUNDED: the machine runs Linux {real} and the guest {emulated}, so a quotient is"
            " due to the kernels as well as to emulation. Give a result of the machine with a"
            f" {kernel_version(emulated)} kernel, or of a guest with a {kernel_version(real)} one,"
            " to tell them apart.",
            indent="",
        )


def _settings(bare: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence where the machine and the guest differ in their THP setting."""
    pairs = bare[["real_thp", "emulated_thp"]].drop_duplicates()
    for real, emulated in pairs[pairs["real_thp"] != pairs["emulated_thp"]].to_numpy():
        yield (
            f"THP is {real} on the machine and {emulated} in the guest. Cases are matched by the"
            " page size\nthat each of them proves."
        )


def _tables(bare: pd.DataFrame) -> Iterator[str]:
    for key, rows in bare.groupby(["page", *OF_SOURCE_AND_BUFFER], observed=True):
        page, *paying = cast(tuple[Any, ...], key)
        words = condition_words(dict(zip(OF_SOURCE_AND_BUFFER, paying, strict=True)))
        present = set(rows["mechanism"].astype(str))
        names = [name for name in levels.MECHANISMS if name in present]
        cells = {
            (size, str(name)): f"{three_digits(real)} | {three_digits(there)} ({quotient:.2f})"
            for size, name, real, there, quotient in zip(
                rows["size_bytes"],
                rows["mechanism"],
                rows["real"],
                rows["emulated"],
                rows["distortion"],
                strict=True,
            )
        }
        lines = [
            [format_size(int(size)), *(cells.get((size, name), "-") for name in names)]
            for size in sorted(rows["size_bytes"].unique())
        ]
        head = f"transfer, {page} pages{words}: real | emulated (quotient)"
        yield f"{head}\n{layout(['size', *map(label, names)], lines)}"
