# SPDX-License-Identifier: GPL-2.0-only
"""The suite is what was measured, and pyperf's own commands read it."""

import re
import subprocess
import sys
from pathlib import Path

import pyperf
import pytest

from tests import synthetic
from vmabench.errors import MachineError, UsageError
from vmabench.matrix.case import Case
from vmabench.store.format import Record
from vmabench.store.suite import build_suite, mechanisms_with_values, write_suite

CASES = [
    Case(name, *rest)
    for name in ("readv", "memfd-inplace")
    for rest in (
        ("transfer", "4K", 4096),
        ("transfer", "4K", 16384),
        ("deliver", "4K", 1 << 20, "read", 100),
    )
]
TOTAL = "deliver/page:4K/size:1M/touch:read-100"


def records(rounds: int = 3) -> list[Record]:
    return synthetic.records(CASES, rounds=rounds)


def names(made: list[Record], by_mechanism: str | None = None) -> list[str]:
    suite = build_suite(synthetic.result(made), by_mechanism=by_mechanism)
    return list(suite.get_benchmark_names())


def run_pyperf(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "pyperf", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_a_benchmark_for_each_phase_that_takes_time() -> None:
    deliver = f"memfd-inplace/scenario:{TOTAL}"
    phases = ("attach", "touch", "release")  # and no transfer: it takes no time
    transfer = "memfd-inplace/scenario:transfer/page:4K/size"
    got = [name for name in names(records()) if name.startswith("memfd-inplace")]
    parts = {f"{deliver}/phase:{phase}" for phase in phases}
    assert set(got) == parts | {deliver, f"{transfer}:4K", f"{transfer}:16K"}


def test_sizes_are_in_their_order() -> None:
    got = [name for name in names(records()) if "readv/scenario:transfer" in name]
    assert [name.rsplit(":", 1)[1] for name in got] == ["4K", "16K"]


def test_values_are_seconds_of_one_operation_and_rounds_are_runs() -> None:
    made = records()
    benchmark = build_suite(synthetic.result(made)).get_benchmark(str(CASES[0]))
    mine = [record for record in made if record.get("case") == str(CASES[0])]
    assert benchmark.get_nrun() == 3
    for run, record in zip(benchmark.get_runs(), mine, strict=True):
        assert run.get_loops() == record["loops"] > 1
        raw_ns = [value["time_ns"]["total"] for value in record["values"]]
        assert run.values == pytest.approx([ns / record["loops"] / 1e9 for ns in raw_ns])


def test_metadata_are_scalars_and_name_nobody() -> None:
    result = synthetic.result(records())
    result.machine.update(host="a-host", hostname="a-host", user="somebody", path="/home/somebody")
    result.header.update(host="a-host", argv="/home/somebody/vmabench run")
    for benchmark in build_suite(result):
        for run in benchmark.get_runs():
            metadata = run.get_metadata()
            assert all(isinstance(value, str | int | float) for value in metadata.values())
            assert not re.search(r"a-host|somebody|/home", str(metadata))
            assert not {"hostname", "python_executable", "command"} & metadata.keys()
            assert metadata["unit"] == "second"
            assert metadata["kernel"] == "6.12.0-test"
    metadata = build_suite(result).get_benchmark(str(CASES[2])).get_metadata()
    assert metadata["case_size_bytes"] == 1 << 20
    assert metadata["mm_minor_faults"] == 256
    assert metadata["mm_src_backed_pct"] == 0


def test_what_was_not_counted_is_absent_and_not_zero() -> None:
    made = records()
    for record in made:
        record.pop("proof", None)
        for value in record.get("values", ()):
            del value["minor_faults"]
    metadata = build_suite(synthetic.result(made)).get_benchmark(str(CASES[0])).get_metadata()
    assert not {"mm_minor_faults", "mm_src_backed_pct"} & metadata.keys()
    assert metadata["mm_major_faults"] == 0


def test_a_case_that_failed_once_keeps_its_other_rounds() -> None:
    made = records()
    failed = next(record for record in made if record.get("case") == str(CASES[0]))
    failed |= {"outcome": "failed", "reason": "the source died"}
    assert build_suite(synthetic.result(made)).get_benchmark(str(CASES[0])).get_nrun() == 2


def test_one_value_of_zero_leaves_the_phase_out_and_nothing_else() -> None:
    made = records()
    before = names(made)
    first = next(record for record in made if record.get("case") == str(CASES[0]))
    first["values"][1]["time_ns"]["total"] = 0
    assert set(before) - set(names(made)) == {str(CASES[0])}


def test_by_mechanism_names_are_the_same_for_every_mechanism() -> None:
    inplace, readv = (set(names(records(), name)) for name in ("memfd-inplace", "readv"))
    assert inplace < readv
    assert readv - inplace == {f"scenario:{TOTAL}/phase:transfer"}
    assert mechanisms_with_values(synthetic.result(records())) == ["memfd-inplace", "readv"]


def test_without_values_there_is_one_line() -> None:
    with pytest.raises(UsageError, match="no values of clone"):
        names(records(), "clone")
    with pytest.raises(UsageError, match="no values: "):
        names(records(rounds=0))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("suites")
    made = synthetic.result(records(rounds=5))
    paths = {name: base / f"{name}.json.gz" for name in ("readv", "memfd-inplace")}
    for name, path in paths.items():
        write_suite(build_suite(made, by_mechanism=name), path)
    write_suite(build_suite(made), base / "suite.json.gz")
    return paths | {"suite": base / "suite.json.gz"}


@pytest.mark.parametrize("command", ["stats", "hist", "check", "dump", "show", "metadata"])
def test_pyperf_reads_it(files: dict[str, Path], command: str) -> None:
    assert str(CASES[0]) in run_pyperf(command, files["suite"]) or command == "check"


def test_pyperf_shows_the_right_numbers(files: dict[str, Path]) -> None:
    cost_us = synthetic.cost_ns(CASES[2])["total"] / 1e3
    shown = run_pyperf("stats", "-b", str(CASES[2]), files["suite"])
    median = re.search(r"Median \+- MAD: +([\d.]+) us", shown)
    assert median
    assert float(median[1]) == pytest.approx(cost_us, rel=0.1)
    assert "Total number of values: 15" in shown
    assert "Number of run with values: 5" in shown


def test_pyperf_sets_mechanisms_against_each_other(files: dict[str, Path]) -> None:
    shown = run_pyperf("compare_to", "--table", files["readv"], files["memfd-inplace"])
    whole, base = (synthetic.cost_ns(CASES[index])["total"] for index in (1, 4))
    row = next(line for line in shown.splitlines() if "transfer/page:4K/size:16K" in line)
    faster = re.search(r"([\d.]+)x faster", row)
    assert faster
    assert float(faster[1]) == pytest.approx(whole / base, rel=0.1)


def test_the_same_suite_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.json.gz" for number in (1, 2)]
    for path in paths:
        write_suite(build_suite(synthetic.result(records())), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths
    assert pyperf.BenchmarkSuite.load(str(paths[0]))


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "suite.json.gz"
    path.write_text("as it was")

    def full(file: Path, data: bytes) -> None:
        with file.open("wb") as unfinished:
            unfinished.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MachineError, match="No space left"):
        write_suite(build_suite(synthetic.result(records())), path)
    assert path.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [path]
