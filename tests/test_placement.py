# SPDX-License-Identifier: GPL-2.0-only
"""Which CPUs a run takes, on made-up machines, and what a user may ask for."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests import synthetic
from tests.command import error_line, vmabench
from vmabench.analysis.frame import tidy
from vmabench.api.comparable import differences
from vmabench.errors import UsageError
from vmabench.machine.conditions import pinned_cpus
from vmabench.machine.facts import read_facts
from vmabench.machine.placement import (
    PLACEMENTS,
    choose_cpus,
    memory_nodes,
    node_of,
    pairs_of,
    parse_pin,
    placement_of,
    why_not_placed,
)
from vmabench.matrix import axes
from vmabench.matrix.case import Case
from vmabench.matrix.rules import why_not
from vmabench.mechanisms import MECHANISMS, Pair, Proof
from vmabench.report.text import header
from vmabench.runner import worker
from vmabench.runner.nodes import allowed_nodes
from vmabench.runner.protocol import CaseJob, Job
from vmabench.runner.rounds import blocks_of
from vmabench.runner.worker import WrongMemoryError
from vmabench.store.format import Result

CASE = Case("readv", "transfer", "4K", 1 << 20)


def machine(root: Path, sockets: int, caches: int, cores: int, threads: int) -> tuple[int, ...]:
    """Make a sysfs: threads of a core, cores of a cache and caches of a socket are neighbours."""
    count = sockets * caches * cores * threads
    for cpu in range(count):
        base = root / f"sys/devices/system/cpu/cpu{cpu}"
        files = {
            "topology/thread_siblings_list": threads,
            "cache/index3/shared_cpu_list": cores * threads,
            "topology/core_siblings_list": caches * cores * threads,
        }
        for name, width in files.items():
            first = cpu // width * width
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_text(f"{first}-{first + width - 1}\n")
        (base / "cache/index3/level").write_text("3\n")
        (base / "cache/index0").mkdir(parents=True)
        (base / "cache/index0/level").write_text("1\n")
        (base / "cache/index0/shared_cpu_list").write_text(f"{cpu}\n")
    return tuple(range(count))


@pytest.mark.parametrize(
    ("shape", "chosen"),
    [
        ((2, 2, 2, 2), (1, 2)),  # CPUs 0 and 1 are siblings, 0 to 3 share a cache
        ((1, 1, 4, 1), (1, 2)),
        ((1, 1, 2, 1), (0, 1)),  # there are no others
        ((1, 1, 1, 2), (0, 1)),  # siblings alone: better than one CPU
        ((1, 2, 1, 1), (0, 1)),
        ((2, 1, 1, 1), (0, 1)),
        ((1, 1, 1, 1), (0, 0)),
    ],
)
def test_a_run_takes_two_cores_of_one_cache_without_cpu_0(
    tmp_path: Path, shape: tuple[int, int, int, int], chosen: tuple[int, int]
) -> None:
    assert choose_cpus(machine(tmp_path, *shape), tmp_path) == chosen


def test_each_placement_has_a_pair_that_lies_so(tmp_path: Path) -> None:
    cpus = machine(tmp_path, 2, 2, 2, 2)
    found = pairs_of(cpus, tmp_path)
    assert set(found) == set(PLACEMENTS) == set(axes.PLACEMENTS)
    for name, pair in found.items():
        assert placement_of(*pair, tmp_path) == name
        assert 0 not in pair


def with_nodes(root: Path, *lists: str) -> None:
    """Link the CPUs of a made-up machine to its NUMA nodes, as sysfs does."""
    for node, text in enumerate(lists):
        made = root / f"sys/devices/system/node/node{node}"
        made.mkdir(parents=True)
        (made / "cpulist").write_text(f"{text}\n")
        first, last = map(int, text.split("-"))
        for cpu in range(first, last + 1):
            (root / f"sys/devices/system/cpu/cpu{cpu}/node{node}").symlink_to(made)


def test_cpus_of_two_nodes_are_far_in_one_socket(tmp_path: Path) -> None:
    cpus = machine(tmp_path, 1, 2, 2, 1)
    assert placement_of(0, 3, tmp_path) == "socket"
    with_nodes(tmp_path, "0-1", "2-3")
    assert [node_of(cpu, tmp_path) for cpu in cpus] == [0, 0, 1, 1]
    assert placement_of(0, 3, tmp_path) == "far"
    assert placement_of(2, 3, tmp_path) == "llc"
    pinned = pinned_cpus(0, 3, tmp_path)
    assert (pinned["source_node"], pinned["receiver_node"]) == (0, 1)
    assert node_of(9, tmp_path) is None


@pytest.mark.parametrize(
    ("having", "cpus", "nodes"),
    [
        ("0-1", (3, 0), (0, 1)),
        ("0-1", (3, 3), (1,)),
        ("0", (3, 0), ()),  # all memory is on one
        ("0,2", (3, 0), ()),  # node 1 has no memory: its CPUs take the nearest
        ("0-1", (9, 0), ()),
        (None, (3, 0), ()),
    ],
)
def test_the_nodes_of_the_memory_of_both_sides(
    tmp_path: Path, having: str | None, cpus: tuple[int, int], nodes: tuple[int, ...]
) -> None:
    machine(tmp_path, 1, 2, 2, 1)
    with_nodes(tmp_path, "0-1", "2-3")
    if having:
        (tmp_path / "sys/devices/system/node/has_memory").write_text(f"{having}\n")
    assert memory_nodes(cpus, tmp_path) == nodes


def test_a_cpuset_is_respected_and_what_it_lacks_is_named(tmp_path: Path) -> None:
    machine(tmp_path, 2, 1, 2, 2)
    assert choose_cpus((1, 5), tmp_path) == (1, 5)  # of two sockets
    assert why_not_placed("far", (1, 5), tmp_path) == ""
    reason = why_not_placed("llc", (1, 5), tmp_path)
    assert reason == "no two of the 2 CPUs are placed llc: there is one-cpu, far"


def test_a_machine_that_hides_its_topology_gives_the_first_two(tmp_path: Path) -> None:
    assert choose_cpus((3, 4, 5), tmp_path) == (3, 4)
    assert placement_of(3, 4, tmp_path) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,9", "there is no CPU 9 that is online .the nearest is 3"),
        ("7,1", "CPU 7 is not in the cpuset of this process .the nearest is 3"),
        ("2,2", "one CPU for both is asked for by --placement one-cpu"),
        ("1", "write it as SRC,DST, for example 1,2"),
        ("1,-2", "write it as SRC,DST"),
        ("1,2,3", "write it as SRC,DST"),
    ],
)
def test_a_wrong_pin_is_refused_with_the_nearest_right_one(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"--pin .*{words}"):
        parse_pin(text, (1, 2, 3), {0, 1, 2, 3, 7})


@pytest.mark.parametrize("text", ["0,1", "1,1", "4,4", "x"])
def test_with_one_cpu_there_is_no_pair_to_pin(text: str) -> None:
    """The nearest right pair would be 4,4, which is refused."""
    with pytest.raises(UsageError, match="this process may use CPU 4 alone: leave --pin out"):
        parse_pin(text, (4,), {0, 1, 4})


def test_a_right_pin_keeps_its_order() -> None:
    assert parse_pin("3,1", (1, 2, 3), {1, 2, 3}) == (3, 1)


def test_the_command_line_refuses_a_pin() -> None:
    done = vmabench("run", "smoke", "--pin", "0,99999")
    assert done.returncode == 1
    assert "there is no CPU 99999 that is online" in error_line(done)
    done = vmabench("run", "smoke", "--guest", "--pin", "0,1")
    assert "--pin goes without --guest" in error_line(done)


def test_cases_of_a_placement_have_a_pair_of_their_own() -> None:
    cases = [CASE, replace(CASE, placement="smt"), replace(CASE, mechanism="writev")]
    jobs = [CaseJob(str(case), 1) for case in cases]
    blocks = blocks_of(jobs, {"readv": "anon", "writev": "anon"}, random.Random(1))
    job = Job(1, 1, 1, 4, 5, tuple(blocks), placements={"smt": (2, 3)})
    found = {block.placement: job.cpus_of(block) for block in blocks}
    assert found == {"": (4, 5), "smt": (2, 3)}
    assert Job.from_json(job.to_json()) == job


def test_a_placement_that_the_machine_lacks_is_skipped_with_its_reason() -> None:
    case = replace(CASE, placement="far")
    assert str(case).endswith("/placement:far")
    reason = why_not(case, read_facts(), {}, lacking={"far": "no two sockets"})
    assert reason == "no two sockets"
    assert why_not(CASE, read_facts(), {}, lacking={"far": "no two sockets"}) is None


def placed(placement: str | None) -> Result:
    made = synthetic.result(synthetic.records([CASE, replace(CASE, placement="smt")], rounds=1))
    cpus = {"source": 1, "receiver": 2, "placement": placement}
    conditions = {"cpus": cpus, "clocksource": {"now": "tsc"}}
    return replace(made, machine=dict(made.machine) | {"conditions": conditions})


def test_each_row_says_where_it_was_measured() -> None:
    frame = tidy(placed("llc"))
    assert set(frame["placement"]) == {"llc", "smt"}
    assert set(frame["clocksource"]) == {"tsc"}
    assert set(frame["cpu_model"]) == {synthetic.FACTS["cpu_model"]}
    assert set(tidy(placed(None))["placement"]) == {"unknown", "smt"}


def on_nodes(source: int | None, receiver: int | None) -> Result:
    made = placed("far")
    cpus = made.machine["conditions"]["cpus"]
    cpus |= {"source_node": source, "receiver_node": receiver}
    return made


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ((0, 1), "(far, nodes 0 and 1)"),
        ((1, 1), "(far, node 1)"),
        ((None, None), "(far)"),
    ],
)
def test_the_head_of_a_report_names_the_nodes(nodes: tuple[int, int], words: str) -> None:
    assert f"receiver on CPU 1 {words}" in " ".join(header(on_nodes(*nodes)).split())


def test_results_of_other_nodes_are_not_compared() -> None:
    found = list(differences(on_nodes(0, 0), on_nodes(0, 1)))
    assert "NUMA nodes 0 and 0, and 0 and 1" in found
    for other in (on_nodes(0, 0), on_nodes(None, None), placed("far")):
        assert not [text for text in differences(on_nodes(0, 0), other) if "NUMA" in text]


@pytest.mark.parametrize(
    ("mechanism", "scenario", "source", "destination"),
    [
        ("readv", "deliver", {0}, {1}),
        ("pipe", "deliver", {0}, {1}),
        ("writev", "deliver", {0}, {0, 1}),
        ("fork", "deliver", {0}, {0}),
        ("memfd-inplace", "deliver", {0}, {0}),
        ("memcpy", "deliver", {1}, {1}),
        ("readv", "snapshot", {0, 1}, {0, 1}),
    ],
)
def test_each_side_has_its_pages_on_its_own_node(
    mechanism: str, scenario: str, source: set[int], destination: set[int]
) -> None:
    case = replace(CASE, mechanism=mechanism, scenario=scenario)
    assert allowed_nodes(case, 0, 1) == (source, destination)


def test_a_page_on_another_node_fails_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "node_of", lambda cpu: cpu)
    own, other = (
        Proof(8192, 8192, 0, node_bytes=nodes) for nodes in ({1: 8192}, {1: 4096, 0: 4096})
    )
    unknown = Proof(8192, 8192, 0)
    for src, dst in ((own, None), (unknown, unknown), (None, None)):
        worker.check_nodes(CASE, (1, 0), src, dst)
    with pytest.raises(
        WrongMemoryError, match=r"source has 50.0 % of its pages on NUMA node 0, not"
    ):
        worker.check_nodes(CASE, (1, 0), other, None)
    with pytest.raises(
        WrongMemoryError, match=r"destination has 100.0 % of its pages on NUMA node 1"
    ):
        worker.check_nodes(CASE, (1, 0), own, own)
    assert worker.describe_proof(other)["nodes_pct"] == {"1": 50.0, "0": 50.0}
    assert "nodes_pct" not in worker.describe_proof(unknown)


@pytest.mark.machine
@pytest.mark.parametrize("mechanism", ["readv", "fork", "memfd", "sysv"])
def test_the_kernel_tells_where_the_pages_lie(mechanism: str) -> None:
    source, receiver = choose_cpus(read_facts().cpus)
    case = Case(mechanism, "deliver", read_facts().pages[0], 1 << 20, "read", 100)
    with Pair(source, receiver) as pair:
        pair.make_source(MECHANISMS[mechanism].memory, case.page_bytes, case.size_bytes)
        with pair.open(case, seed=1) as opened:
            evidence = opened.verify(1)
    assert evidence.src and evidence.dst
    if node_of(source) == node_of(receiver):
        assert evidence.src.node_bytes == evidence.dst.node_bytes == {node_of(source): 1 << 20}
    worker.check_nodes(case, (source, receiver), evidence.src, evidence.dst)


def test_results_of_other_placements_are_not_compared() -> None:
    for one, other in itertools.product(("llc", "far", None), repeat=2):
        found = [text for text in differences(placed(one), placed(other)) if "placed" in text]
        apart = one and other and one != other
        assert found == ([f"CPUs placed {one} and {other}"] if apart else [])
