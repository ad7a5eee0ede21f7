# SPDX-License-Identifier: GPL-2.0-only
"""In a guest with two NUMA nodes, memory is bound to the node of each side's CPU, and proved."""

import json
import sys
from pathlib import Path

from tests.test_guest_selftests import kernel as patched_kernel
from vmabench import guest
from vmabench.report.text import header
from vmabench.store.reader import read

kernel = patched_kernel

#: Each side inherits a policy that spreads pages over both nodes.
_PROGRAM = """
import ctypes, json
from vmabench.machine.placement import node_of, placement_of
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, Pair, forbid_nodes
from vmabench.runner.nodes import why_elsewhere

CPUS, SIZE = (1, 0), 1 << 20

def interleave():
    mask = (ctypes.c_ulong * 1)(3)
    assert ctypes.CDLL(None).syscall(238, 3, mask, ctypes.c_ulong(64)) == 0

def proofs(mechanism, scenario, spread=False):
    touch = ("read", 100) if scenario == "deliver" else ("none", 0)
    case = Case(mechanism, scenario, "4K", SIZE, *touch)
    interleave()
    with Pair(*CPUS) as pair:
        pair.make_source(MECHANISMS[mechanism].memory, 4096, SIZE)
        if spread:
            interleave()
        with pair.open(case, seed=3) as opened:
            found = opened.verify(1)
    why = why_elsewhere(case, *map(node_of, CPUS), found.src, found.dst)
    return found.src.node_bytes, found.dst.node_bytes, why

names = ("clone", "fork", "readv", "writev", "memfd", "memfd-inplace", "sysv", "memcpy")
bound = {f"{m} {s}": proofs(m, s) for m in names for s in ("transfer", "deliver")}
spread = proofs("readv", "deliver", spread=True)
forbid_nodes()
print(json.dumps([placement_of(*CPUS), bound, spread, proofs("readv", "deliver")]))
"""
SIZE = 1 << 20

#: The pools of both sides' nodes, and one case whose three buffers all lie on the receiver's.
_POOLS = """
import json, os, subprocess, sys, tempfile
from pathlib import Path
from vmabench.machine.pages import BorrowedPages, Page, free_in_pool, pool_file
from vmabench.store.reader import read

PAGE = Page("hugetlb-2M")
def pages():
    return [int(pool_file(PAGE, node).read_text()) for node in (0, 1)]
with BorrowedPages() as borrowed:
    one = borrowed.raise_pool(PAGE, 8 << 20, (1,)), pages()
    both = borrowed.raise_pool(PAGE, 16 << 20, (0, 1)), pages()
os.chdir(tempfile.mkdtemp())
run = [sys.executable, "-m", "vmabench", "run", "smoke", "--samples-only", "--mechanism", "memcpy",
       "--scenario", "transfer", "--page", "hugetlb-2M", "--size", "8M", "-o", "out"]
done = subprocess.run(run, capture_output=True, text=True)
cases = read(Path("out")).of_kind("case") if done.returncode == 0 else [done.stderr]
print(json.dumps([one, both, cases, pages()]))
"""


def in_guest(kernel: guest.Kernel, *command: str, share: Path | None = None) -> str:
    machine = guest.Machine(nodes=2, shares=(share,) if share else ())
    outcome = guest.run([sys.executable, *command], kernel, machine=machine, accel="tcg")
    assert outcome.status == 0, outcome.stderr
    assert outcome.splats == ()
    return outcome.stdout


def test_memory_is_bound_to_the_nodes_of_the_two_sides(kernel: guest.Kernel) -> None:
    placement, bound, spread, unknown = json.loads(in_guest(kernel, "-c", _PROGRAM))
    assert placement == "far"
    source, receiver = {"1": SIZE}, {"0": SIZE}
    for case, (src, dst, why) in bound.items():
        mechanism, scenario = case.split()
        writes_there = mechanism == "writev" and scenario == "deliver"
        in_place = mechanism in ("clone", "fork", "memfd-inplace")
        local = mechanism == "memcpy"
        assert src == (receiver if local else source), case
        assert dst == (source if in_place or writes_there else receiver), case
        assert why == "", case
    assert spread[0] == source
    assert spread[1] == {"0": SIZE // 2, "1": SIZE // 2}
    assert spread[2] == "the destination has 50.0 % of its pages on NUMA node 1, not on node 0"
    assert unknown == [None, None, ""]


def test_the_report_names_the_nodes(kernel: guest.Kernel, tmp_path: Path) -> None:
    axes = ("--mechanism", "readv", "--scenario", "transfer", "--page", "4K", "--size", "64K")
    line = ("-m", "vmabench", "run", "smoke", "--samples-only", *axes, "-o", f"{tmp_path}/out")
    in_guest(kernel, *line, share=tmp_path)
    result = read(tmp_path / "out")
    head = " ".join(header(result).split())
    assert "source on CPU 0, receiver on CPU 1 (far, nodes 0 and 1)" in head
    (proof,) = [record["proof"] for record in result.of_kind("case")][:1]
    assert proof["src"]["nodes_pct"] == {"0": 100.0}
    assert proof["dst"]["nodes_pct"] == {"1": 100.0}


def test_the_hugetlb_pool_of_each_sides_node_is_raised(kernel: guest.Kernel) -> None:
    one, both, cases, after = json.loads(in_guest(kernel, "-c", _POOLS))
    assert one == [8 << 20, [0, 4]]
    assert both == [16 << 20, [8, 8]]
    assert {case["outcome"] for case in cases} == {"ok"}
    assert {tuple(case["proof"]["dst"]["nodes_pct"]) for case in cases} == {("1",)}
    assert after == [0, 0]
