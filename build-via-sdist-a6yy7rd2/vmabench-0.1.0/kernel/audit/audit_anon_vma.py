#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A1, by a debugger on the live kernel: the anon_vma of a page reaches all that map it.

audit_rmap builds a scene and says who maps which version of which page. For each page the
interval tree of its folio's anon_vma is walked here, as rmap does: the VMAs that the tree gives
for the offset of the page must be all that map it, each of them once, at the address where it is
mapped. A VMA of the tree that does not map the page (it has a copy since) is allowed; rmap looks
at its page table and passes on.

Types come from types.o beside this file, an object of the kernel with debug information; the
memory is /proc/kcore.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

try:
    import drgn
    from drgn import Object
    from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms
except ImportError:
    drgn = None

HERE = Path(__file__).resolve().parent
SCENES = [(shape, count) for shape in ("star", "chain", "one_mm", "fork_back") for count in (2, 16)]
STEPS = ("", "w", "u", "x")  # as built; every second mapping writes; one goes; a process exits
PAGE = 4096
ANON = 1  # PAGE_MAPPING_ANON


def attach():
    prog = drgn.Program()
    prog.set_enabled_debug_info_finders([])
    prog.set_kernel()
    prog.main_module("kernel", create=True).try_file(HERE / "types.o", force=True)
    prog.register_symbol_finder("kallsyms", load_vmlinux_kallsyms(prog), enable_index=0)
    return prog


class Kernel:
    """What of the kernel's memory is looked at."""

    def __init__(self, prog):
        self.prog = prog
        self.vmemmap = self.variable("vmemmap_base", "unsigned long").value_()
        self.page_size = prog.type("struct page").size

    def variable(self, name, type_name):
        return Object(self.prog, type_name, address=self.prog.symbol(name).address)

    def folio(self, frame):
        page = Object(self.prog, "struct page", address=self.vmemmap + frame * self.page_size)
        head = page.compound_head.value_()
        address = head - 1 if head & 1 else page.address_
        return Object(self.prog, "struct folio", address=address)

    def vmas_of(self, folio, pgoff):
        """(mm, address) of each VMA in which rmap looks for a page, in the order of the tree."""
        mapping = folio.mapping.value_()
        if mapping & 3 != ANON:
            raise ValueError(f"a folio with the mapping {mapping:#x}")
        anon_vma = Object(self.prog, "struct anon_vma", address=mapping - ANON)
        stack, found = [anon_vma.rb_root.rb_root.rb_node], []
        while stack:
            node = stack.pop()
            if not node:
                continue
            chain = drgn.container_of(node, "struct anon_vma_chain", "rb")
            vma = chain.vma
            start, first = vma.vm_start.value_(), vma.vm_pgoff.value_()
            address = start + (pgoff - first) * PAGE
            if start <= address < vma.vm_end.value_():
                found.append((vma.vm_mm.value_(), address))
            stack += [node.rb_left, node.rb_right]
        return found


def mms(prog):
    """Maps pid to mm, by walking the list of all tasks."""
    init = Object(prog, "struct task_struct", address=prog.symbol("init_task").address)
    found, task = {}, init
    while True:
        task = drgn.container_of(task.tasks.next, "struct task_struct", "tasks")[0]
        found[task.pid.value_()] = task.mm.value_()
        if task.address_ == init.address_:
            return found


def frame_of(pid, address):
    with Path(f"/proc/{pid}/pagemap").open("rb") as file:
        file.seek(address // PAGE * 8)
        entry = int.from_bytes(file.read(8), "little")
    return entry & ((1 << 55) - 1) if entry >> 63 else 0


def read_scene(output):
    """[(pid, address, version)] up to the line that ends it."""
    lines = []
    for line in output:
        if line == "end\n":
            return lines
        pid, address, version = line.split()
        lines.append((int(pid), int(address, 16), int(version)))
    raise EOFError("audit_rmap ended")


def check(prog, kernel, scene):
    """What is wrong with the pages of a scene, a line each."""
    mappers, mm_of = {}, mms(prog)
    for pid, address, _ in scene:
        mappers.setdefault(frame_of(pid, address), []).append((mm_of[pid], address))
    wrong = [f"{len(mappers[0])} pages are not present"] if 0 in mappers else []
    versions = len({version for _, _, version in scene})
    if len(mappers) != versions:
        wrong.append(f"{len(mappers)} frames for {versions} versions of pages")
    for frame, places in mappers.items():
        folio = kernel.folio(frame)
        found = Counter(kernel.vmas_of(folio, folio.index.value_()))
        missed = [place for place in places if not found[place]]
        double = [place for place, count in found.items() if count > 1]
        mapped = folio._mapcount.counter.value_() + 1
        if missed:
            wrong.append(f"frame {frame:#x}: {len(missed)} of {len(places)} VMAs are not found")
        if double:
            wrong.append(f"frame {frame:#x}: {len(double)} VMAs are found twice")
        if mapped != len(places):
            wrong.append(f"frame {frame:#x}: mapcount {mapped}, mapped {len(places)} times")
    return wrong


def run(prog, kernel, shape, count):
    """All steps of one scene: what was wrong, and how many mappings were looked at."""
    wrong, looked_at = [], 0
    command = [str(HERE / "audit_rmap"), "--scene", shape, str(count)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as scene:
        for step in STEPS:
            if step:
                print(step, file=scene.stdin, flush=True)
            found = read_scene(scene.stdout)
            looked_at += len(found)
            wrong += [f"{step or 'built'}: {line}" for line in check(prog, kernel, found)]
        scene.stdin.close()
    return wrong, looked_at


def main():
    print(f"TAP version 13\n1..{len(SCENES)}")
    reason = "no drgn" if drgn is None else ""
    reason = reason or ("" if (HERE / "types.o").exists() else "no types of this kernel")
    prog = kernel = None
    if not reason:
        prog = attach()
        kernel = Kernel(prog)
    failed = False
    for number, (shape, count) in enumerate(SCENES, 1):
        if reason:
            print(f"ok {number} - anon_vma.{shape}_{count} # SKIP {reason}")
            continue
        wrong, looked_at = run(prog, kernel, shape, count)
        for line in wrong[:10]:
            print(f"# audit: {shape} of {count}: {line}")
        good = not wrong and looked_at
        failed |= not good
        print(f"{'ok' if good else 'not ok'} {number} - anon_vma.{shape}_{count}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
