# SPDX-License-Identifier: GPL-2.0-only
"""vmabench.run from Python: results, interrupts, bad arguments, and progress in a notebook."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import vmabench as vb
from tests.command import HEEDING, children, read_raw, wait_until
from vmabench.errors import UsageError
from vmabench.machine.facts import read_facts
from vmabench.store.reader import read

BASE = read_facts().pages[0]


@pytest.mark.machine
def test_two_runs_are_two_results(capfd: pytest.CaptureFixture[str]) -> None:
    first, second = (
        vb.run("smoke", mechanism=["readv"], page=BASE, size="4K,64K", budget="1s", progress=shown)
        for shown in (True, False)
    )
    frame = vb.load(first, second)
    assert frame["run"].nunique() == 2
    assert set(frame.query("outcome == 'ok'")["size_bytes"]) == {4096, 65536}
    assert (first.path / "report" / "report.txt").exists()
    assert Path("results/latest").resolve() == second.path.resolve()
    assert "<pre>" in second._repr_html_()
    assert "readv" in second.report()
    said = capfd.readouterr()
    assert said.out.count("cases to measure") == 1
    assert said.err


@pytest.mark.machine
def test_an_interrupt_ends_the_workers_and_keeps_what_was_measured() -> None:
    axes = f'mechanism=["readv"], page="{BASE}", size=["4K", "4M"]'
    program = f'import vmabench as vb\nvb.run("quick", {axes}, budget="8s", output="out")'
    command = [*HEEDING, sys.executable, "-c", program]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    samples = Path("out/samples.jsonl.gz")
    wait_until(lambda: samples.exists() and b'"complete":true' in read_raw(samples))
    wait_until(lambda: children(run.pid))
    worker = children(run.pid)[0]
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert "KeyboardInterrupt: interrupted: what was measured is in out" in errors
    assert not Path(f"/proc/{worker}").exists()
    result = read("out")
    assert result.of_kind("end")[-1]["status"] == "interrupted"
    assert (vb.load("out")["outcome"] == "ok").any()
    assert Path("out/report/report.txt").exists()


@pytest.mark.machine
def test_a_notebook_shows_progress_in_one_line_and_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "jupyter"))
    run = f'vb.run("smoke", mechanism=["readv"], page="{BASE}", size="4K", budget="1s")'
    cell: Any = nbformat.v4.new_code_cell(f"import vmabench as vb\n{run}")  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=[cell])  # type: ignore[no-untyped-call]
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()
    outputs = notebook.cells[0].outputs
    shown = [one["data"]["text/plain"] for one in outputs if one.output_type == "display_data"]
    assert len(shown) == 1
    assert shown[0].startswith("measured for ")
    assert "<pre>" in outputs[-1]["data"]["text/html"]
    assert not [one for one in outputs if one.get("name") == "stderr"]


def test_a_bad_argument_is_an_error_before_anything_is_measured() -> None:
    with pytest.raises(UsageError, match="colour is no axis of a plan: there are mechanism, "):
        vb.run("smoke", colour="red")
    with pytest.raises(UsageError, match="smoke"):
        vb.run("moke")
    with pytest.raises(UsageError, match="a guest has 1 to 16"):
        vb.Guest(cpus=17).machine()
    assert not Path("results").exists()
