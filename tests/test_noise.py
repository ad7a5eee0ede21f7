# SPDX-License-Identifier: GPL-2.0-only
"""Noise with its weight, and metrics that are there, degraded or blocked."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import error_line, vmabench
from tests.needs import needs
from vmabench.machine import noise
from vmabench.machine.cgroup import Hierarchy, MemoryGroups
from vmabench.machine.facts import read_facts
from vmabench.machine.metrics import metrics
from vmabench.machine.tuning import ADVICE

FACTS = replace(read_facts(), virt="none", smt="off")


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text + "\n")


def test_the_width_is_that_of_the_middle_four_fifths() -> None:
    assert noise.width_pct([100] * 50) == 0
    assert noise.width_pct(list(range(100, 200))) == pytest.approx(100 * 80 / 150, rel=0.05)
    assert noise.width_pct([100] * 99 + [10_000]) == 0  # one wild one is no scatter


def test_work_that_scatters_weighs_more() -> None:
    calls = iter(range(10**9))
    uneven = noise.scatter_pct(lambda: time.sleep(0.002 if next(calls) % 2 else 0.0005), 0.1)
    assert uneven > 30


def test_a_measurement_gives_the_cpus_back() -> None:
    before = os.sched_getaffinity(0)
    found = {one.name: one for one in noise.measured(min(before), seconds=0.05)}
    assert os.sched_getaffinity(0) == before
    for name in ("spin", "memcpy"):
        weight = found[name].weight_pct
        assert weight is not None
        assert found[name].state == ("noisy" if weight > noise.QUIET_PCT else "ok")


def test_each_setting_that_disturbs_is_named_with_its_fix(tmp_path: Path) -> None:
    assert list(noise.from_settings(FACTS, tmp_path)) == []
    for advice in ADVICE:
        put(tmp_path, advice.file, f"not-{advice.value}")
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave")
    put(tmp_path, "sys/devices/system/cpu/intel_pstate/no_turbo", "0")
    put(tmp_path, "sys/kernel/mm/damon/admin/kdamonds/0/state", "on")
    put(tmp_path, "sys/kernel/mm/damon/admin/kdamonds/1/state", "off")
    noisy = replace(FACTS, virt="kvm", smt="on")
    found = {one.name: one for one in noise.from_settings(noisy, tmp_path)}
    tuned = {advice.name for advice in ADVICE}
    assert set(found) == tuned | {"governor", "turbo", "smt", "damon", "virtualisation"}
    assert found["damon"].what.startswith("1 thread of DAMON")
    assert {found[name].fix for name in tuned} == {"vmabench tune --apply"}
    assert found["governor"].fix == found["turbo"].fix == "python -m pyperf system tune"
    put(tmp_path, ADVICE[0].file, ADVICE[0].value)
    assert ADVICE[0].name not in {one.name for one in noise.from_settings(noisy, tmp_path)}


CLOCK = "sys/devices/system/clocksource/clocksource0"


@pytest.mark.parametrize(
    ("now", "available", "fix"),
    [
        ("acpi_pm", "tsc hpet acpi_pm", "echo tsc > "),
        ("hpet", "hpet acpi_pm", "look for 'clocksource' in dmesg"),
        ("tsc", "tsc hpet", None),
        ("kvm-clock", "kvm-clock tsc", None),
        ("arch_sys_counter", "arch_sys_counter", None),
    ],
)
def test_a_slow_clocksource_is_loud(
    tmp_path: Path, now: str, available: str, fix: str | None
) -> None:
    put(tmp_path, f"{CLOCK}/current_clocksource", now)
    put(tmp_path, f"{CLOCK}/available_clocksource", available)
    found = [one for one in noise.from_settings(FACTS, tmp_path) if one.name == "clocksource"]
    if fix is None:
        assert found == []
    else:
        (one,) = found
        assert one.state == "noisy"
        assert one.what.startswith(now)
        assert one.fix.startswith(fix)


def test_a_machine_without_anything_blocks_or_degrades_each_metric(tmp_path: Path) -> None:
    none = MemoryGroups(Hierarchy(1, tmp_path / "none"), tmp_path / "state")
    found = {metric.name: metric for metric in metrics(none, tmp_path)}
    assert {name: metric.state for name, metric in found.items()} == {
        "folio sizes": "degraded",
        "swap": "blocked",
        "peak memory": "degraded",
        "stolen time": "blocked",
    }
    assert all(metric.blocked_by for metric in found.values())
    put(tmp_path, "proc/swaps", "Filename Type\n/dev/zram0 partition")
    put(tmp_path, "proc/stat", "cpu 1 2 3 4 5 6 7 8 9 10")
    states = {metric.name: metric.state for metric in metrics(none, tmp_path)}
    assert (states["swap"], states["stolen time"]) == ("ok", "ok")


@needs("root")
def test_root_sees_page_frames(tmp_path: Path) -> None:
    found = metrics(MemoryGroups(state=tmp_path))
    assert {m.name: m.state for m in found}["folio sizes"] == "ok"


def test_a_plan_that_is_blocked_has_status_2() -> None:
    """No released kernel has clone, and the plan names it."""
    Path("ok.toml").write_text(PLAN.format(name="memcpy"))
    Path("bad.toml").write_text(PLAN.format(name="xpmem"))
    good = vmabench("doctor", "ok.toml", "--no-noise", "--json")
    assert good.returncode == 0, good.stderr
    data = json.loads(good.stdout)
    assert [finding["mechanism"] for finding in data["findings"]] == ["worker", "memcpy"]
    assert {"folio sizes", "swap"} <= {metric["name"] for metric in data["metrics"]}
    assert "spin" not in {one["name"] for one in data["noise"]}
    if not Path("/dev/xpmem").exists():
        bad = vmabench("doctor", "bad.toml", "--no-noise")
        assert bad.returncode == 2
        assert "modprobe xpmem" in bad.stdout
    assert "gone" in error_line(vmabench("doctor", "gone"))


PLAN = """\
name = "one"
budget = "2s"
[[sweep]]
mechanism = ["{name}"]
scenario = ["deliver"]
page = ["base"]
size = ["4K"]
"""
