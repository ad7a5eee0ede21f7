# SPDX-License-Identifier: GPL-2.0-only
"""Search a kernel's log for what it complains of. A clean log is one in which all is looked for.

A complaint that is part of a test's purpose would need an exception here, with the reason beside
it. There is one, of a limit that a scenario sets to see what happens.
"""

import re
from dataclasses import dataclass

_COMPLAINTS = (
    r"\bBUG:",
    r"\bkernel BUG at\b",
    r"\bWARNING: ",
    r"(?-i:\bKASAN: )",  # "kasan: KernelAddressSanitizer initialized" is no complaint
    r"\bUBSAN: ",
    r"\bOops\b",
    r"\bgeneral protection fault\b",
    r"\bunable to handle\b",
    r"\bKernel panic\b",
    r"\bBad page (?:state|map)\b",
    r"\bbad page\b",
    r"\bBad rss-counter state\b",
    r"\bpossible circular locking dependency\b",
    r"\bpossible recursive locking detected\b",
    r"\binconsistent lock state\b",
    r"\bsuspicious RCU usage\b",
    r"\binvalid wait context\b",
    r"\bheld lock freed\b",
    r"\block held when returning to user space\b",
    r"\bblocked for more than \d+ seconds\b",
    r"\bsoft lockup\b",
    r"\bhard LOCKUP\b",
    r"\brcu(?:_\w+)?: INFO: .* (?:stall|detected)",
    r"\bscheduling while atomic\b",
    r"\bsleeping function called from invalid context\b",
    r"\bnon-zero pgtables_bytes on freeing mm\b",
    r"\bpage_table_check\b.*\bBUG\b",
    r"\blist_(?:add|del) corruption\b",
    r"(?-i:\b(?:WARN|BUG) at \w+:\d+ \()",  # CONFIG_DEBUG_MAPLE_TREE: no more than an "info"
    r"\brefcount_t: ",
    # not below the limit of a cgroup: a case of pageserver may end so, is failed, and says why
    r"(?<!Memory cgroup )\bOut of memory: Killed process\b",
)
_ANY = re.compile("|".join(f"(?:{text})" for text in _COMPLAINTS), re.IGNORECASE)
# what the kernel echoes of its command line says nothing of its state
_ECHO = re.compile(r"\bCommand line: |\bKernel command line: ", re.IGNORECASE)


@dataclass(frozen=True)
class Splat:
    """A line of the log that the kernel complains in, and some of what follows it."""

    line: int
    text: str
    context: str


def find(log: str, context_lines: int = 30) -> list[Splat]:
    """Every complaint of a log, in order; a report of many lines counts once."""
    lines = log.splitlines()
    found: list[Splat] = []
    quiet_until = 0
    for index, line in enumerate(lines):
        if index < quiet_until or _ECHO.search(line) or not _ANY.search(line):
            continue
        context = "\n".join(lines[index : index + context_lines])
        found.append(Splat(index + 1, line.strip(), context))
        quiet_until = index + context_lines
    return found
