# SPDX-License-Identifier: GPL-2.0-only
"""The kinds of pages of this machine, and the settings that memory of each kind takes.

Settings are borrowed: what THP may do is set for a block of cases, hugetlb pools are raised for a
run, and all of it goes back at its end, or at the beginning of the next run after a kill -9.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmabench.machine.facts import THP, MachineFacts
from vmabench.machine.ledger import STATE, Undoing
from vmabench.machine.settings import Settings, value_of
from vmabench.units import format_size, parse_size

HUGETLB = "hugetlb-"

_HUGETLB_DIR = "sys/kernel/mm/hugepages"


@dataclass(frozen=True, slots=True)
class Page:
    """A kind of page by its name: ``4K``, ``64K``, ``2M``, ``hugetlb-1G``."""

    name: str

    @property
    def hugetlb(self) -> bool:
        return self.name.startswith(HUGETLB)

    @property
    def size_bytes(self) -> int:
        return parse_size(self.name.removeprefix(HUGETLB))

    def transparent(self, facts: MachineFacts) -> bool:
        """Larger than the base page and of no pool."""
        return not self.hugetlb and self.size_bytes > facts.base_page_bytes

    def multi_size(self, facts: MachineFacts) -> bool:
        """Mapped by entries of base pages: a folio between base page and PMD."""
        return self.transparent(facts) and self.name != facts.pages[1]


#: what shared memory calls the settings of THP, in sysfs and as an option of a mount
SHARED_WORDS = {"always": "always", "madvise": "advise", "never": "never"}


def settings_under(thp: str, page: Page, facts: MachineFacts) -> list[tuple[Path, str]]:
    """What has to be set for THP to be ``always``, ``madvise`` or ``never``, for all memory.

    It is the setting of the size that the page has, and of the PMD-sized ones for base pages; all
    other sizes are off, or the kernel would take those.
    """
    pmd_bytes = facts.thp_bytes or 0
    own_bytes = page.size_bytes if page.multi_size(facts) else pmd_bytes
    settings = []
    for size in (*facts.mthp_bytes, pmd_bytes):
        word = thp if size == own_bytes else "never"
        settings.append((_size_file(size, "enabled"), word))
        settings.append((_size_file(size, "shmem_enabled"), SHARED_WORDS[word]))
    everywhere = "never" if page.multi_size(facts) else thp
    settings.append((_thp("shmem_enabled"), SHARED_WORDS[everywhere]))
    settings.append((_thp("enabled"), everywhere))
    return settings


def is_advised(thp: str, page: Page, facts: MachineFacts) -> bool:
    """Whether memory has to be advised to get such pages, where THP is set so.

    Without a setting of its own each case is advised, to be what its name says on any machine.
    """
    if not thp or page.hugetlb:
        return True
    return (thp == "always") != page.transparent(facts)


def why_not_under(thp: str, page: Page, facts: MachineFacts) -> str:
    """Why there are no such pages where THP is set so; empty if there are."""
    if facts.thp_bytes is None:
        return "the kernel has no THP, whose setting could be changed"
    if page.hugetlb:
        return "THP's setting says nothing about pages of a pool"
    if page.transparent(facts) and thp == "never":
        return f"THP set to never: nobody gets pages of {page.name}, whoever asks"
    return ""


def thp_settings(page: Page, memory: str, facts: MachineFacts) -> list[tuple[Path, str]]:
    """What has to be set for memory of that kind to get such pages, where it is not so anyway.

    Larger sizes are switched off, since the kernel takes the largest that it may. POSIX shared
    memory goes by the mount /dev/shm as long as the object has a name, and without one, as that of
    the suite, by the setting of its size, where the kernel has one for shared memory.
    """
    if not page.transparent(facts):
        return []
    anon = memory == "anon"
    file, word = ("enabled", "madvise") if anon else ("shmem_enabled", "advise")
    if not page.multi_size(facts):
        if memory == "shm":
            return [(_size_file(page.size_bytes, "shmem_enabled"), "advise")]
        return [] if anon else [(_thp("shmem_enabled"), "advise")]
    larger = [size for size in (*facts.mthp_bytes, facts.thp_bytes or 0) if size > page.size_bytes]
    settings = [(_size_file(page.size_bytes, file), word)]
    settings += [(_size_file(size, file), "never") for size in larger]
    # with no use for PMD-sized ones khugepaged ends, which would collapse these; sizes that have a
    # setting of their own do not ask the global one
    settings.append((_thp("enabled"), "never"))
    # the receiver's own memory is anonymous whatever the source's is
    return settings if anon else settings[:-1] + thp_settings(page, "anon", facts)


def _thp(name: str) -> Path:
    return Path("/") / THP / name


def _size_file(size_bytes: int, name: str) -> Path:
    return _thp(f"hugepages-{size_bytes >> 10}kB") / name


def thp_state(page: Page, facts: MachineFacts, thp: str = "") -> dict[Path, str]:
    """What decides now whether such a page is got; empty for those that nobody can switch.

    Where THP is to be ``thp``, all that was set for it.
    """
    if thp:
        files = [path for path, _ in settings_under(thp, page, facts)]
        return {path: value_of(path) for path in files if path.exists()}
    if not page.transparent(facts):
        return {}
    names = ("enabled", "shmem_enabled")
    files = [_thp(name) for name in names] + [_size_file(page.size_bytes, name) for name in names]
    return {path: value_of(path) for path in files if path.exists()}


def changes(before: Mapping[Path, str]) -> list[str]:
    """What somebody has changed since ``thp_state``, in words."""
    now = {path: value_of(path) for path in before}
    return [
        f"{path} was switched from {before[path]} to {now[path]}"
        for path in before
        if now[path] != before[path]
    ]


def pool_file(page: Page) -> Path:
    return Path("/") / _HUGETLB_DIR / f"hugepages-{page.size_bytes >> 10}kB" / "nr_hugepages"


def free_in_pool(page: Page) -> int:
    """Bytes that nobody has taken or reserved; 0 where there is no such pool."""
    try:
        free, reserved = (
            int(pool_file(page).with_name(f"{name}_hugepages").read_text())
            for name in ("free", "resv")
        )
    except OSError:
        return 0
    return max(0, free - reserved) * page.size_bytes


def pool_state(page: Page) -> dict[Path, str]:
    """The pool that such a page comes from; empty for pages of none."""
    if not page.hugetlb or not pool_file(page).exists():
        return {}
    return {pool_file(page): value_of(pool_file(page))}


class BorrowedPages(Undoing):
    """What is borrowed for pages; a context manager that gives all of it back.

    Workers use ``switch`` of an object of their own and leave the giving back to their parent.
    """

    def __init__(self, state: Path = STATE) -> None:
        self._thp = Settings(state / "thp.json")
        self._pools = Settings(state / "pools.json")

    def restore(self) -> list[str]:
        """Give everything back; a line for each setting that was borrowed."""
        borrowed = [one for one in (self._thp, self._pools) if one.any()]
        returned = [one for settings in borrowed for one in settings.restore()]
        return [f"{one.loan.path}: {one.outcome}" for one in returned]

    def switch(self, wanted: Sequence[tuple[Path, str]]) -> None:
        """Set these in place of what was switched before; MachineError if that is forbidden."""
        there = {path: value for path, value in wanted if path.exists()}
        if there or self._thp.any():
            self._thp.switch(there)

    def raise_pool(self, page: Page, wanted_bytes: int) -> int:
        """Let the pool have room for so much more; returns for how much it has. MachineError."""
        missing = wanted_bytes - free_in_pool(page)
        if missing > 0:
            path = pool_file(page)
            pages = int(path.read_text()) + -(-missing // page.size_bytes)
            self._pools.borrow(path, str(pages), or_less=True)
        return free_in_pool(page)


def why_pool_is_small(page: Page, wanted_bytes: int, got_bytes: int) -> str:
    free = format_size(got_bytes) if got_bytes else "nothing"
    return (
        f"the pool of {page.name} has {free} free of the {format_size(wanted_bytes)} that are "
        "needed: memory is too full or too fragmented, or somebody else takes from the pool "
        f"(hugepages={wanted_bytes // page.size_bytes} on the kernel's command line)"
    )
