# SPDX-License-Identifier: GPL-2.0-only
"""TLB shootdowns of clone and fork in a guest, whose two CPUs nobody else uses."""

import json
import sys

from tests.test_guest_selftests import kernel as patched_kernel
from vmabench import guest

kernel = patched_kernel

LOOPS = 100
_PROGRAM = f"""
import json
from vmabench.matrix.case import Case
from vmabench.mechanisms import MECHANISMS, Pair

def shootdowns(mechanism, threads):
    case = Case(mechanism, "deliver", "4K", 64 << 12, "read", 100, source="rewritten",
                source_threads=threads)
    with Pair(0, 1) as pair:
        pair.make_source(MECHANISMS[mechanism].memory, case.page_bytes, case.size_bytes)
        with pair.open(case, seed=3) as opened:
            opened.verify(1)
            return opened.run({LOOPS}, 10).counts["tlb_shootdowns"]

print(json.dumps({{m: [shootdowns(m, n) for n in (0, 1)] for m in ("clone", "fork", "readv")}}))
"""


def test_a_clone_of_a_running_source_interrupts_its_cpu_each_time(kernel: guest.Kernel) -> None:
    """A sleeping source is left alone, and a copy write-protects nothing."""
    outcome = guest.run([sys.executable, "-c", _PROGRAM], kernel, accel="tcg")
    assert outcome.status == 0, outcome.stderr
    counts = json.loads(outcome.stdout)
    for mechanism in ("clone", "fork"):
        asleep, running = counts[mechanism]
        assert asleep < LOOPS / 10, counts
        assert running >= LOOPS, counts
    assert max(counts["readv"]) < LOOPS / 10, counts
