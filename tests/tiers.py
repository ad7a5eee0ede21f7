# SPDX-License-Identifier: GPL-2.0-only
"""The tiers of the tests: which tests run together, which run alone, and which are left out.

A test gets its marker here, from what it needs, the fixtures it uses or its module. A test can
also carry the marker itself: ``@pytest.mark.machine``.

machine  starts measuring processes or changes settings of the machine: one test at a time
guest    boots a kernel in QEMU, or reads the tree that one is built from; also a machine test
browser  drives Chromium
faults   makes the system refuse or lose something: a limit, a full disk, a killed process
slow     takes longer than 10 s for the reason that its docstring gives

Tests without a marker are pure and run in parallel. ``make test`` leaves out guest, browser,
faults and slow; ``make test-all`` runs everything.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial

import pytest

from tests import machine

OPTIONAL = ("guest", "browser", "faults", "slow")

_MACHINE_NEEDS = frozenset({"root", "thp", "swap", "zram", "memory-cgroup", "tracefs"})
_GUEST_NEEDS = frozenset({"kernel-source", "thpmaps"})
_MACHINE_FIXTURES = frozenset({"thp_never", "shmem_advise", "dev_shm_advise", "full_disk", "user"})
_MACHINE_MODULES = frozenset(
    f"test_{name}"
    for name in (
        "clone", "contention", "cpu_counters", "doctor", "injection", "large", "lock", "memory",
        "memory_luck", "native", "noise", "pages", "peak", "pingpong", "provoked", "pyperf_runner",
        "run", "run_luck", "scatter", "scenarios", "settings", "snapshot", "tracing", "vmbranch",
        "worker", "xpmem",
    )
)  # fmt: skip
FAULT_MODULES = frozenset(
    f"test_{name}"
    for name in ("injection", "memory_luck", "provoked", "refused", "report_luck", "run_luck")
)

_ALONE = pytest.StashKey[ExitStack]()
_LEFT_OUT = pytest.StashKey[Counter[str]]()


def mark(items: Iterable[pytest.Item]) -> None:
    """Add the marker of its tier to each test, and the name of the group that it runs in.

    Tests that need the machine for themselves are one group, that is, one worker runs them. The
    others are a group per module, so that a module's fixtures are made once.
    """
    for item in items:
        for name in _tiers(item):
            item.add_marker(name)
        alone = item.get_closest_marker("machine") is not None
        item.add_marker(pytest.mark.xdist_group("machine" if alone else _module(item)))


def _tiers(item: pytest.Item) -> set[str]:
    needs = {name for marker in item.iter_markers("needs") for name in marker.args}
    fixtures = set(getattr(item, "fixturenames", ()))
    found = set()
    if needs & _MACHINE_NEEDS or fixtures & _MACHINE_FIXTURES or _module(item) in _MACHINE_MODULES:
        found.add("machine")
    if "kernel" in fixtures or needs & _GUEST_NEEDS:
        found |= {"guest", "machine"}
    if "chromium" in needs:
        found.add("browser")
    if _module(item) in FAULT_MODULES:
        found.add("faults")
    return found


def _module(item: pytest.Item) -> str:
    return item.path.stem


def hold_machine(item: pytest.Item) -> None:
    """Keep other test sessions from this machine; wait while another one does."""
    if _ALONE not in item.config.stash:
        stack = ExitStack()
        stack.enter_context(machine.alone(partial(_say, item.config)))
        item.config.stash[_ALONE] = stack


def release_machine(item: pytest.Item, next_item: pytest.Item | None) -> None:
    """Let other sessions in after the last of consecutive tests that need the machine."""
    if _ALONE in item.config.stash and not (next_item and next_item.get_closest_marker("machine")):
        item.config.stash[_ALONE].close()
        del item.config.stash[_ALONE]


def _say(config: pytest.Config, line: str) -> None:
    """Write to the terminal past the capture; a worker of xdist shares stderr with it."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{line}", file=sys.stderr, flush=True)  # noqa: T201


def count_left_out(items: Iterable[pytest.Item], config: pytest.Config) -> None:
    left_out = config.stash.setdefault(_LEFT_OUT, Counter())
    for item in items:
        name = next((name for name in OPTIONAL if item.get_closest_marker(name)), None)
        if name:
            left_out[name] += 1


def left_out(config: pytest.Config) -> Counter[str]:
    return config.stash.setdefault(_LEFT_OUT, Counter())


def left_out_line(counted: Counter[str]) -> str:
    """Return what a session says about the tiers that it did not run."""
    each = ", ".join(f"{counted[name]} {name}" for name in OPTIONAL if counted[name])
    return f"left out: {each} (make test-all runs them)" if each else ""
