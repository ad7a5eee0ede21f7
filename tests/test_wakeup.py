# SPDX-License-Identifier: GPL-2.0-only
from dataclasses import replace
from pathlib import Path

import pytest

from tests import synthetic
from vmabench.api.comparable import differences
from vmabench.machine.wakeup import awake_cpus
from vmabench.store.format import Result


def test_a_latency_of_0_is_asked_for_while_the_file_is_open(tmp_path: Path) -> None:
    device = tmp_path / "dev/cpu_dma_latency"
    device.parent.mkdir()
    device.write_bytes(b"\xff" * 4)
    with awake_cpus(tmp_path) as latency_us:
        assert latency_us == 0
        assert device.read_bytes() == bytes(4)


def test_where_it_is_refused_nothing_is_claimed(tmp_path: Path) -> None:
    with awake_cpus(tmp_path) as latency_us:
        assert latency_us is None
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/cpu_dma_latency").symlink_to("/dev/full")  # a write that fails
    with awake_cpus(tmp_path) as latency_us:
        assert latency_us is None


def held(latency_us: int | None) -> Result:
    conditions = {"cpu_dma_latency_us": latency_us}
    made = synthetic.result()
    return replace(made, machine=dict(made.machine) | {"conditions": conditions})


@pytest.mark.parametrize(("a", "b"), [(0, None), (None, 0)])
def test_results_with_and_without_it_are_not_compared(a: int | None, b: int | None) -> None:
    (found,) = differences(held(a), held(b))
    assert found.startswith("/dev/cpu_dma_latency held at 0 in")
    assert not list(differences(held(a), held(a)))
    assert not list(differences(held(a), synthetic.result()))  # an older result does not tell
