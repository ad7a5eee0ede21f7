# SPDX-License-Identifier: GPL-2.0-only
"""One case under ``pyperf.Runner``: ``python -m vmabench.pyperf --mechanism readv ...``.

All of pyperf's own options work. pyperf's workers run this program again and pick their
benchmark by position, so there is exactly one, whose name follows from the arguments that
are handed on to them.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyperf

from vmabench.errors import NativeError, UsageError, VmabenchError
from vmabench.machine.facts import MachineFacts, read_facts
from vmabench.machine.pages import (
    BorrowedPages,
    Page,
    is_advised,
    settings_under,
    thp_settings,
    why_not_under,
)
from vmabench.matrix.axes import AXES
from vmabench.matrix.case import PHASES, SCENARIOS, Case
from vmabench.matrix.plans import Vocabulary, unknown
from vmabench.matrix.rules import pool_bytes
from vmabench.mechanisms import MECHANISMS, SLOWEST_BYTES_PER_S, OpenCase, Pair
from vmabench.runner.rounds import choose_cpus
from vmabench.runner.worker import WrongMemoryError, check_backing
from vmabench.units import parse_size

_OPTIONS = ("mechanism", "scenario", "page", "size", "touch", "phase")


def main() -> int:
    runner = pyperf.Runner(program_args=("-m", "vmabench.pyperf"), add_cmdline_args=_hand_on)
    _add_options(runner.argparser)
    try:
        args = runner.parse_args()
        case = _case(args)
        if not args.worker:
            _try(case)
        with ExitStack() as stack:
            timer = _Timer(case, args.phase, stack)
            name = str(case) if args.phase == "total" else f"{case}/phase:{args.phase}"
            runner.metadata.update(_metadata(case, args.phase))
            runner.bench_time_func(name, timer)
    except VmabenchError as error:
        sys.stderr.write(f"vmabench: {error}\n")
        return 1
    return 0


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("vmabench")
    group.add_argument("--mechanism", required=True)
    group.add_argument("--scenario", default="transfer")
    group.add_argument("--page", default="base")
    group.add_argument("--size", default="1M")
    for name, axis in AXES.items():
        group.add_argument(f"--{name}", help=f"where the scenario has it: {axis.help}")
    group.add_argument("--phase", default="total", help="where it has several: the one reported")


def _hand_on(command: list[str], args: argparse.Namespace) -> None:
    for option in _OPTIONS:
        value = getattr(args, option)
        if value is not None:
            command += [f"--{option}", value]


def _case(args: argparse.Namespace) -> Case:
    pages = read_facts().all_pages
    aliases = Vocabulary(tuple(MECHANISMS), pages).page_aliases
    page = next(iter(aliases.get(args.page, ())), args.page)
    for kind, name, valid in (
        ("mechanism", args.mechanism, tuple(MECHANISMS)),
        ("scenario", args.scenario, tuple(SCENARIOS)),
        ("page", page, pages),
        ("phase", args.phase, PHASES),
    ):
        if name not in valid:
            raise UsageError(unknown(kind, name, valid))
    case = Case(args.mechanism, args.scenario, page, parse_size(args.size), **_options(args))
    if args.phase not in case.phases:
        raise UsageError(f"{args.scenario} has no phase {args.phase}: it times one thing alone")
    if case.region_bytes % case.page_bytes:
        raise UsageError(f"size {args.size} is no multiple of the page size {page}")
    return case


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of the axes that the scenario has, as given or as the first of its default."""
    fields: dict[str, Any] = {}
    axes = SCENARIOS[args.scenario].axes
    for name, axis in AXES.items():
        given = getattr(args, name)
        if given and name not in axes:
            raise UsageError(f"{args.scenario} has no --{name}")
        if name in axes:
            fields |= axis.parse(given or axes[name][0])
    return fields


def _try(case: Case) -> None:
    """Verifies the case once, so that what is blocked here is told before workers are started."""
    with ExitStack() as stack:
        _Timer(case, "total", stack).open()


def _metadata(case: Case, phase: str) -> dict[str, str | int]:
    return {
        "case_mechanism": case.mechanism,
        "case_scenario": case.scenario,
        "case_page": case.page,
        "case_size_bytes": case.size_bytes,
        "case_touch": case.touch,
        "case_phase": phase,
    }


def _settings(case: Case, memory: str, facts: MachineFacts) -> list[tuple[Path, str]]:
    page = Page(case.page)
    if case.thp:
        if why_not := why_not_under(case.thp, page, facts):
            raise VmabenchError(f"{case}: {why_not}")
        return settings_under(case.thp, page, facts)
    return [] if page.hugetlb else thp_settings(page, memory, facts)


class _Timer:
    """What pyperf calls: seconds of ``loops`` operations. The pair starts on the first call."""

    def __init__(self, case: Case, phase: str, stack: ExitStack) -> None:
        self._case = case
        self._phase = phase
        self._stack = stack
        self._opened: OpenCase | None = None
        self._op_s = case.size_bytes / SLOWEST_BYTES_PER_S

    def __call__(self, loops: int) -> float:
        opened = self._opened or self.open()
        try:
            sample = opened.run(loops, loops * self._op_s)
        except NativeError as error:
            raise VmabenchError(f"{self._case}: {error.detail}") from error
        self._op_s = sample.time_ns["total"] / loops / 1e9
        seconds = sample.time_ns[self._phase] / 1e9
        if seconds <= 0:
            raise VmabenchError(f"{self._case}: nothing happens in the phase {self._phase}")
        return seconds

    def open(self) -> OpenCase:
        """Sets the case up and verifies it; raises VmabenchError."""
        case = self._case
        try:
            facts, page = read_facts(), Page(case.page)
            memory = MECHANISMS[case.mechanism].memory
            borrowed = self._stack.enter_context(BorrowedPages())
            borrowed.switch(_settings(case, memory, facts))
            if page.hugetlb:
                borrowed.raise_pool(page, pool_bytes(case))
            pair = self._stack.enter_context(Pair(*choose_cpus(facts.cpus)))
            pair.make_source(
                memory,
                page.size_bytes,
                case.region_bytes,
                hugetlb=page.hugetlb,
                advised=is_advised(case.thp, page, facts),
            )
            self._opened = self._stack.enter_context(pair.open(case, seed=1))
            check_backing(case, self._opened.verify(generation=1))
        except NativeError as error:
            raise VmabenchError(f"{case}: {error.detail}") from error
        except WrongMemoryError as error:
            raise VmabenchError(f"{case}: {error}") from error
        return self._opened


if __name__ == "__main__":
    sys.exit(main())
