# SPDX-License-Identifier: GPL-2.0-only
"""CPUs that a guest lacks, or loses during a run: --pin is refused, and cases fail by name."""

import json
import sys

import pytest

from tests.test_guest_selftests import kernel as patched_kernel
from vmabench import guest

kernel = patched_kernel

#: Of three CPUs, a pair takes 0 and 2. CPU 2 is taken out of a cpuset, then put offline.
_PROGRAM = """
import gzip, json, os, subprocess, sys, tempfile, time
from pathlib import Path
from vmabench.store.reader import read

PLAN = '''name = "cpus"
budget = "40s"
rounds = 8

[[sweep]]
mechanism = ["readv", "fork"]
scenario = ["transfer"]
page = ["4K"]
size = ["64K"]
'''
os.chdir(tempfile.mkdtemp())
Path("cpus.toml").write_text(PLAN)
RUN = [sys.executable, "-m", "vmabench", "run", "cpus.toml", "--samples-only"]
ONLINE = Path("/sys/devices/system/cpu/cpu2/online")
GROUP = Path("/sys/fs/cgroup/cpus")

def line(*options, prefix=()):
    done = subprocess.run([*prefix, *RUN, *options], capture_output=True, text=True)
    return done.returncode, done.stderr.splitlines()[-1]

def has_round(samples):
    return samples.exists() and b'"complete":true' in gzip.decompress(samples.read_bytes())

def losing(out, take, prefix=()):
    command = [*prefix, *RUN, "--pin", "2,0", "-o", out]
    run = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not has_round(Path(out, "samples.jsonl.gz")):
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.05)
    take()
    errors = run.communicate()[1]
    result = read(Path(out))
    cases = result.of_kind("case")
    reasons = {record["reason"] for record in cases if record["outcome"] == "failed"}
    return result.complete, sorted(reasons), "Traceback" in errors

Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+cpuset")
GROUP.mkdir()
def allow(cpus):
    (GROUP / "cpuset.cpus").write_text(cpus)
allow("0-1")
within = ("sh", "-c", f'echo $$ >{GROUP}/cgroup.procs && exec "$@"', "sh")
found = {
    "gone": line("--pin", "0,7"),
    "outside": line("--pin", "0,2", prefix=within),
    "equal": line("--pin", "1,1"),
    "far": line("--placement", "far"),
}
allow("0-2")
found["cpuset"] = losing("cpuset", lambda: allow("0-1"), within)
found["hotplug"] = losing("hotplug", lambda: ONLINE.write_text("0"))
found["offline"] = line("--pin", "0,2")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(kernel: guest.Kernel) -> dict[str, list[object]]:
    machine = guest.Machine(cpus=3)
    outcome = guest.run([sys.executable, "-c", _PROGRAM], kernel, machine=machine, accel="tcg")
    assert outcome.status == 0, outcome.stderr
    assert outcome.splats == ()
    parsed: dict[str, list[object]] = json.loads(outcome.stdout)
    return parsed


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("gone", "--pin 0,7: there is no CPU 7 that is online"),
        ("offline", "--pin 0,2: there is no CPU 2 that is online"),
        ("outside", "--pin 0,2: CPU 2 is not in the cpuset of this process"),
        ("equal", "--pin 1,1: one CPU for both is asked for by --placement one-cpu"),
        ("far", "nothing was measured: no two of the 3 CPUs are placed far: there is one-cpu, "),
    ],
)
def test_cpus_that_cannot_be_pinned_are_refused(
    found: dict[str, list[object]], why: str, words: str
) -> None:
    status, line = found[why]
    assert status in (1, 3)
    assert words in str(line)


@pytest.mark.parametrize("how", ["cpuset", "hotplug"])
def test_a_cpu_that_is_taken_away_during_a_run_fails_the_cases_by_name(
    found: dict[str, list[object]], how: str
) -> None:
    complete, reasons, traceback = found[how]
    assert complete
    assert not traceback
    assert isinstance(reasons, list)
    assert reasons
    for reason in reasons:
        moved = "was moved off CPU 2 during the run" in reason
        assert moved or "CPU 2 is offline or outside of the cpuset" in reason
