# SPDX-License-Identifier: GPL-2.0-only
"""Find what speaks against comparing two results: conditions other than the kernel's sources."""

from collections.abc import Iterator

from vmabench.matrix.axes import AXES, OF_SOURCE_AND_BUFFER
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.store.boots import boots_of
from vmabench.store.format import Result
from vmabench.store.reader import machine_facts, nodes_of, placement_of

#: facts that two machines must have in common -> the words for them
_SAME_MACHINE = {
    "cpu_model": "processor",
    "memory_bytes": "memory",
    "cpus": "CPUs",
    "arch": "architecture",
    "base_page_bytes": "base page",
}
_SAME_HEADER = {
    "thp": "THP setting",
    "source_cpu": "source CPU",
    "receiver_cpu": "receiver CPU",
    # CHANGELOG.md says what each version times differently.
    "format": "result format",
    "vmabench": "version of vmabench",
}
#: flavours of guest kernels; one that was imported as an image is of none
BUILT = ("bench", "debug")


def differences(a: Result, b: Result) -> Iterator[str]:
    """Yield each condition, other than the kernel's sources, in which two results differ."""
    virts = [str(result.header.get("virt", "unknown")) for result in (a, b)]
    if virts[0] != virts[1]:
        kinds = ["emulated" if virt == "emulated" else f"real ({virt})" for virt in virts]
        yield f"A is {kinds[0]}, B is {kinds[1]}"
    facts = [machine_facts(result) for result in (a, b)]
    for name, what in _SAME_MACHINE.items():
        here, there = (_shown(name, fact.get(name)) for fact in facts)
        if here != there:
            yield f"another machine: {what} {here} and {there}"
    for name, what in _SAME_HEADER.items():
        if a.header.get(name) != b.header.get(name):
            yield f"{what} {a.header.get(name)} and {b.header.get(name)}"
    placements = [placement_of(result) for result in (a, b)]
    if all(placements) and placements[0] != placements[1]:
        yield f"CPUs placed {placements[0]} and {placements[1]}"
    nodes = [nodes_of(result) for result in (a, b)]
    if all(nodes) and nodes[0] != nodes[1]:
        here, there = ("{} and {}".format(*pair) for pair in nodes)
        yield f"NUMA nodes {here}, and {there}"
    yield from _unlike_latencies(a, b)
    debug = [fact.get("kernel_debug") or [] for fact in facts]
    if bool(debug[0]) != bool(debug[1]):
        which, options = ("A", debug[0]) if debug[0] else ("B", debug[1])
        yield f"{which} is a debug kernel ({', '.join(options)})"
    hashes = [str(fact.get("kernel_config_sha256") or "unknown")[:8] for fact in facts]
    if hashes[0] != hashes[1] and not _built_alike(a, b):
        yield f"kernel configurations {hashes[0]} and {hashes[1]}"
    yield from _unlike_axes(a, b)
    yield from _unlike_emulators(a, b)
    yield from _unlike_runs(a, b)


def _built_alike(a: Result, b: Result) -> bool:
    """Return whether both are kernels of guests, of one flavour and of two versions.

    They are configured by the same fragments, and no two versions have the same options.
    """
    flavours = [(machine_facts(one).get("guest") or {}).get("flavour") for one in (a, b)]
    versions = [str(one.header.get("kernel")).split(".")[:2] for one in (a, b)]
    return flavours[0] in BUILT and flavours[0] == flavours[1] and versions[0] != versions[1]


def _unlike_latencies(a: Result, b: Result) -> Iterator[str]:
    """Yield which result kept its CPUs out of idle states; older ones do not tell."""
    asked = []
    for result in (a, b):
        conditions = result.machine.get("conditions")
        if not isinstance(conditions, dict) or "cpu_dma_latency_us" not in conditions:
            return
        asked.append(conditions["cpu_dma_latency_us"] is not None)
    if asked[0] != asked[1]:
        yield f"/dev/cpu_dma_latency held at 0 in {'A' if asked[0] else 'B'} alone"


def _unlike_axes(a: Result, b: Result) -> Iterator[str]:
    """Yield the axes of source and buffer of which the two results have no text in common."""
    for name in OF_SOURCE_AND_BUFFER:
        here, there = (_texts(result, name) for result in (a, b))
        if here and there and not here & there:
            yield f"{name} {', '.join(sorted(here))} in A and {', '.join(sorted(there))} in B"


def _texts(result: Result, name: str) -> set[str]:
    """Return the texts of an axis in the names of the measured cases."""
    cases = {Case.parse(record["case"]) for record in result.of_kind("case")}
    return {AXES[name].write(case) for case in cases if name in SCENARIOS[case.scenario].axes}


def _unlike_emulators(a: Result, b: Result) -> Iterator[str]:
    """Yield the differences of two emulators: counts depend on the CPU that is emulated."""
    if any(result.header.get("virt") != "emulated" for result in (a, b)):
        return
    guests = [machine_facts(result).get("guest") or {} for result in (a, b)]
    for name, what in (("qemu", "QEMU"), ("cpu", "emulated CPU")):
        here, there = (str(guest.get(name, "unknown")) for guest in guests)
        if here != there:
            yield f"{what} {here} and {there}"


def _unlike_runs(a: Result, b: Result) -> Iterator[str]:
    boots = [len(boots_of(result)) for result in (a, b)]
    if bool(boots[0]) != bool(boots[1]):
        several, one = ("A", "B") if boots[0] else ("B", "A")
        yield f"{several} is of {max(boots)} boots and {one} of one, whose processes are no boots"
    for name, result in (("A", a), ("B", b)):
        if result.header.get("injected"):
            yield f"in {name} a delay was injected on purpose ({result.header['injected']})"


def _shown(name: str, value: object) -> object:
    """Return a value as it is compared: firmware and kernel keep a varying part of the memory."""
    if name == "memory_bytes" and isinstance(value, int):
        return f"{round(value / (1 << 30))}G"
    if name == "cpus" and isinstance(value, list):
        return len(value)
    return value
