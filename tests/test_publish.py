# SPDX-License-Identifier: GPL-2.0-only
"""What strangers may see: nothing that tells who measured it or where, and every number."""

import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests import synthetic
from tests.command import call, error_line
from tests.needs import needs
from vmabench.analysis.latency import run_chart
from vmabench.errors import FormatError
from vmabench.matrix.claims import published_claims
from vmabench.report.build import Report
from vmabench.store.format import LATENCY
from vmabench.store.publish import clean, complaints, publish, scrubber
from vmabench.store.reader import read

REPOSITORY = Path(__file__).parent.parent
CASES = synthetic.cases(("fork", "readv"), scenarios=("transfer",))
SECRETS = ("jane", "/home/jane/kernel", "secret-host", "jane@secret-host.example.org", "--token=9")


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "secret-host.example.org")
    monkeypatch.setenv("LOGNAME", "jane")
    monkeypatch.setenv("USER", "jane")


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A result into which everything has found its way."""
    records = synthetic.records(CASES, rounds=2)
    records[0] = records[0] | {"command": "vmabench run --token=9"}
    records[1] = records[1] | {
        "reason": "open /home/jane/kernel/vmlinux on secret-host: EACCES, see /proc/self/maps"
    }
    directory = synthetic.write(tmp_path / "run", records)
    facts = synthetic.FACTS | {
        "hostname": "secret-host",
        "built_by": "jane@secret-host.example.org",
    }
    machine = {"facts": facts, "argv": ["--token=9"], "doctor": [{"reason": "jane may not"}]}
    (directory / "machine.json").write_text(json.dumps(machine))
    (directory / "plan.toml").write_text('name = "/home/jane/kernel/plan.toml"\n')
    suite = {"metadata": {"hostname": "secret-host", "command": "x --token=9"}}
    (directory / "suite.json.gz").write_bytes(gzip.compress(json.dumps(suite).encode()))
    return directory


def contents(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def test_no_file_tells_who_and_where(told: Path, tmp_path: Path) -> None:
    made = publish(told, tmp_path / "out")
    Report(read(made)).write(made / "report")
    files = [path for path in made.rglob("*") if path.is_file()]
    assert len(files) >= 6
    for path in files:
        for secret in SECRETS:
            assert secret.encode() not in contents(path), (path, secret)
    assert list(complaints(made)) == []
    reason = read(made).records[1]["reason"]
    assert reason == "open <path> on <name>: EACCES, see /proc/self/maps"


def test_every_number_is_as_it_was(told: Path, tmp_path: Path) -> None:
    before, after = read(told), read(publish(told, tmp_path / "out"))
    assert len(before.records) == len(after.records)
    for old, new in zip(before.records[2:], after.records[2:], strict=True):
        assert old == new
    assert after.machine["facts"]["memory_bytes"] == synthetic.FACTS["memory_bytes"]
    assert after.machine["facts"]["cpu_model"] == synthetic.FACTS["cpu_model"]  # "CPU @ 3 GHz"
    assert Report(before).text().splitlines()[5:9] == Report(after).text().splitlines()[5:9]


def test_publishing_twice_changes_nothing(told: Path, tmp_path: Path) -> None:
    once = publish(told, tmp_path / "once")
    twice = publish(once, tmp_path / "twice")
    for path in sorted(once.iterdir()):
        assert path.read_bytes() == (twice / path.name).read_bytes()


def test_single_operations_go_along(told: Path, tmp_path: Path) -> None:
    latencies: list[dict[str, object]] = [
        {
            "kind": "latency", "round": number, "case": str(CASES[0]), "count": 3, "sum_ns": 30,
            "max_ns": 12, "buckets": {"9": 2, "12": 1}, "stride": 1, "chart_max_ns": [9, 9, 12],
            "chart_mean_ns": [9, 9, 12], "note": "/home/jane/kernel",
        }
        for number in (1, 2)
    ]  # fmt: skip
    (told / LATENCY).parent.mkdir()
    (told / LATENCY).write_bytes(gzip.compress("".join(map(line, latencies)).encode()))
    made = publish(told, tmp_path / "out")
    expected = [record | {"note": "<path>"} for record in latencies]
    assert read(made).latencies == expected
    assert list(complaints(made)) == []
    shutil.copy(told / LATENCY, made / LATENCY)
    (fault,) = complaints(made)
    assert fault.startswith(f"{LATENCY}: ")


def test_a_long_run_chart_gets_fewer_points_and_says_the_same(told: Path, tmp_path: Path) -> None:
    longest = [100 + point for point in range(300)]
    latency = {
        "kind": "latency", "round": 1, "case": str(CASES[0]), "count": 599, "sum_ns": 30,
        "max_ns": 399, "buckets": {"9": 599}, "stride": 2, "chart_max_ns": longest,
        "chart_mean_ns": [float(point) for point in range(300)],
    }  # fmt: skip
    (told / LATENCY).parent.mkdir()
    (told / LATENCY).write_bytes(gzip.compress(line(latency).encode()))
    made = read(publish(told, tmp_path / "out"))
    full, short = (run_chart(result, str(CASES[0])) for result in (read(told), made))
    assert len(short) == 100
    assert short["max_ns"].tolist() == longest[2::3]
    assert short["operation"].tolist() == list(range(0, 599, 6))
    assert short["operations"].tolist() == [6] * 99 + [5]
    assert short["mean_ns"].iloc[0] == 1.0
    assert short["mean_ns"].iloc[-1] == pytest.approx((297 * 2 + 298 * 2 + 299) / 5, abs=0.05)
    assert np.average(short["mean_ns"], weights=short["operations"]) == pytest.approx(
        np.average(full["mean_ns"], weights=full["operations"]), abs=0.05
    )
    assert made.latencies[0]["buckets"] == latency["buckets"]


def line(record: Mapping[str, object]) -> str:
    return json.dumps(record) + "\n"


def test_a_report_of_several_results_and_the_outcome_of_a_check_may_be_shown(
    told: Path, tmp_path: Path
) -> None:
    top = tmp_path / "results"
    publish(told, top / "published" / "one")
    for name in ("published/report/report.txt", "checks/aa.json"):
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text("{}")
    assert list(complaints(top)) == []
    report = top / "published/report/report.txt"
    report.write_text(f"as published in\n{published_claims()[0].source}\n")
    assert list(complaints(top)) == []
    report.write_text("as told by <jane.doe@elsewhere.example.org>\n")
    assert len(list(complaints(top))) == 1
    report.unlink()
    (top / "checks/aa.json").write_text('{"machine": "secret-host"}')
    for name in ("checks/notes.txt", "published/notes.txt"):
        (top / name).write_text("")
    first, stray, second = complaints(top)
    assert stray == "checks/notes.txt: belongs to no result directory"
    assert first.startswith("checks/aa.json: ")
    assert second == "published/notes.txt: belongs to no result directory"


def test_each_place_is_looked_at(told: Path, tmp_path: Path) -> None:
    good = publish(told, tmp_path / "good")
    assert list(complaints(good)) == []
    for name in ("machine.json", "plan.toml", "samples.jsonl.gz", "suite.json.gz"):
        bad = tmp_path / f"bad-{name}"
        shutil.copytree(good, bad)
        shutil.copy(told / name, bad / name)
        (fault,) = complaints(bad)
        assert fault.startswith(f"{name}: ")
    (good / "notes.txt").write_text("")
    assert list(complaints(good)) == ["notes.txt: belongs to no result directory"]


def test_what_is_damaged_is_not_published(told: Path, tmp_path: Path) -> None:
    samples = told / "samples.jsonl.gz"
    samples.write_bytes(samples.read_bytes()[:-20])
    with pytest.raises(FormatError, match="not whole"):
        publish(told, tmp_path / "out")


@pytest.mark.parametrize(
    "text",
    [
        "needs /dev/xpmem", "echo 1 > /proc/sys/vm/compact_memory", "8.2 GB/s and/or 4K/64K",
        "Example CPU @ 3.00GHz", "readv/scenario:transfer/page:4K/size:4K", "must run as root",
        "/sys/kernel/mm/transparent_hugepage/enabled", "https://www.kernel.org/doc",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert clean({"reason": text}, scrubber()) == {"reason": text}


def test_the_commands(tmp_path: Path) -> None:
    run = synthetic.write(tmp_path / "run", synthetic.records(CASES, rounds=2))
    (run / "stray").write_text("")
    done = call("publish", str(run))
    assert done.returncode == 0, done.stderr
    assert "stray is not published" in done.stderr
    made = tmp_path / "run-published"
    assert (made / "report" / "report.txt").exists()
    assert call("publish", str(made), "--check").returncode == 0
    assert "exists already" in error_line(call("publish", str(run)))
    assert call("publish", str(tmp_path), "--check").returncode == 1


@needs("git")
def test_the_hook_refuses_what_is_staged(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    subprocess.run(["git", "init", "-q", tree], check=True)
    environment = os.environ | {"VMABENCH_PYTHON": sys.executable}

    def hook() -> int:
        subprocess.run(["git", "-C", tree, "add", "-A"], check=True)
        return subprocess.run(
            [REPOSITORY / "bench/pre-commit.sh"], cwd=tree, env=environment, check=False,
            capture_output=True,
        ).returncode  # fmt: skip

    (tree / "file").write_text("")
    assert hook() == 0
    stray = synthetic.write(tree / "results/one", synthetic.records(CASES[:3], rounds=1))
    assert hook() == 1  # not in its place
    shutil.rmtree(stray)
    run = synthetic.write(tree / "results/published/one", synthetic.records(CASES[:3], rounds=1))
    assert hook() == 0
    machine = {"facts": synthetic.FACTS | {"hostname": "secret-host"}}
    (run / "machine.json").write_text(json.dumps(machine))
    assert hook() == 1


@needs("git")
def test_committed_results_are_published_ones() -> None:
    done = subprocess.run(
        [REPOSITORY / "bench/pre-commit.sh"], capture_output=True, text=True, check=False,
        cwd=REPOSITORY, env=os.environ | {"VMABENCH_PYTHON": sys.executable},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@needs("git")
def test_committed_results_are_small() -> None:
    listed = subprocess.run(
        ["git", "-C", REPOSITORY, "ls-files", "results"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "results/README.md" in listed
    assert sum((REPOSITORY / name).stat().st_size for name in listed) < 5_000_000
