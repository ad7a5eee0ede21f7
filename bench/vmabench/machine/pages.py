# SPDX-License-Identifier: GPL-2.0-only
"""The kinds of pages of this machine, and the settings that memory of each kind needs.

Settings are borrowed: THP switches for a block of cases, hugetlb pools for a run. Both are restored
at the end of the run, or by the next run after a SIGKILL.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmabench.machine.facts import THP, MachineFacts
from vmabench.machine.ledger import STATE, Undoing
from vmabench.machine.settings import Settings, value_of
from vmabench.units import format_size, parse_size

HUGETLB = "hugetlb-"

_HUGETLB_DIR = "sys/kernel/mm/hugepages"
_NODES_DIR = "sys/devices/system/node"


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
        """Return whether THP provides it: larger than the base page, and not of a pool."""
        return not self.hugetlb and self.size_bytes > facts.base_page_bytes

    def multi_size(self, facts: MachineFacts) -> bool:
        """Return whether it is a folio between base page and PMD in size."""
        return self.transparent(facts) and self.name != facts.pages[1]


#: the names of THP settings for shared memory, in sysfs and as a mount option
SHARED_WORDS = {"always": "always", "madvise": "advise", "never": "never"}


def settings_under(thp: str, page: Page, facts: MachineFacts) -> list[tuple[Path, str]]:
    """Return the settings of THP ``always``, ``madvise`` or ``never`` for all memory.

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
    """Return whether memory needs madvise() to get such pages under that setting of THP.

    Without a setting of its own each case is advised, to be what its name says on any machine.
    """
    if not thp or page.hugetlb:
        return True
    return (thp == "always") != page.transparent(facts)


def why_not_under(thp: str, page: Page, facts: MachineFacts) -> str:
    """Return why there are no such pages under that setting of THP; empty if there are."""
    if facts.thp_bytes is None:
        return "the kernel has no THP, whose setting could be changed"
    if page.hugetlb:
        return "THP's setting says nothing about pages of a pool"
    if page.transparent(facts) and thp == "never":
        return f"THP set to never: nobody gets pages of {page.name}, whoever asks"
    return ""


def thp_settings(
    page: Page, memory: str, facts: MachineFacts, never: Collection[Path] = ()
) -> list[tuple[Path, str]]:
    """Return the settings under which memory of that kind gets such pages.

    ``never`` are the switches of the PMD size that forbid it, see ``BorrowedPages.never``.
    Larger sizes are switched off, since the kernel takes the largest size that it may. POSIX shared
    memory follows the mount /dev/shm as long as the object has a name; the suite unlinks its
    objects, which then follow the switch of their size, where the kernel has one for shared memory.
    """
    if not page.transparent(facts):
        return []
    if not page.multi_size(facts):
        return _pmd_settings(page, memory, never)
    anon = memory == "anon"
    file, word = ("enabled", "madvise") if anon else ("shmem_enabled", "advise")
    larger = [size for size in (*facts.mthp_bytes, facts.thp_bytes or 0) if size > page.size_bytes]
    settings = [(_size_file(page.size_bytes, file), word)]
    settings += [(_size_file(size, file), "never") for size in larger]
    # Without PMD-sized pages khugepaged stops; it would collapse these. Sizes with a switch of
    # their own ignore the global one.
    settings.append((_thp("enabled"), "never"))
    # the receiver's own memory is anonymous whatever the source's is
    return settings if anon else settings[:-1] + thp_settings(page, "anon", facts)


def _pmd_settings(page: Page, memory: str, never: Collection[Path]) -> list[tuple[Path, str]]:
    """Return the settings of the PMD size; ``inherit``, its default, follows the global switch."""
    own, shared = pmd_switches(page)
    anonymous = [(own, "inherit")] if own in never else []
    if memory == "anon":
        return anonymous
    if memory == "shm":
        return [(shared, "advise"), *anonymous]
    inherits = [(shared, "inherit")] if shared in never else []
    return [*inherits, (_thp("shmem_enabled"), "advise"), *anonymous]


def pmd_switches(page: Page) -> tuple[Path, Path]:
    """Return the page's own switches, for anonymous and for shared memory."""
    return _size_file(page.size_bytes, "enabled"), _size_file(page.size_bytes, "shmem_enabled")


def _thp(name: str) -> Path:
    return Path("/") / THP / name


def _size_file(size_bytes: int, name: str) -> Path:
    return _thp(f"hugepages-{size_bytes >> 10}kB") / name


def thp_state(page: Page, facts: MachineFacts, thp: str = "") -> dict[Path, str]:
    """Return the switches of such a page as they are now; empty for a page without a switch.

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
    """Return a sentence on each setting that changed since ``thp_state``."""
    now = {path: value_of(path) for path in before}
    return [
        f"{path} was switched from {before[path]} to {now[path]}"
        for path in before
        if now[path] != before[path]
    ]


def pool_file(page: Page, node: int | None = None, root: Path = Path("/")) -> Path:
    """Return the file with the pool's number of pages: of one NUMA node, or of all."""
    pools = _HUGETLB_DIR if node is None else f"{_NODES_DIR}/node{node}/hugepages"
    return root / pools / f"hugepages-{page.size_bytes >> 10}kB" / "nr_hugepages"


def free_in_pool(page: Page, nodes: Collection[int] = (), root: Path = Path("/")) -> int:
    """Return the bytes that are neither used nor reserved; 0 where there is no such pool.

    Of several nodes, the one with the least counts. Reservations are of no node: each may have to
    serve all of them.
    """
    reserve = pool_file(page, root=root).with_name("resv_hugepages")
    files = [pool_file(page, node, root) for node in nodes or (None,)]
    try:
        free = min(int(file.with_name("free_hugepages").read_text()) for file in files)
        return max(0, free - int(reserve.read_text())) * page.size_bytes
    except OSError:
        return 0


def pool_state(page: Page) -> dict[Path, str]:
    """Return the size of the pool of such a page; empty for pages without a pool."""
    if not page.hugetlb or not pool_file(page).exists():
        return {}
    return {pool_file(page): value_of(pool_file(page))}


@dataclass(frozen=True, slots=True)
class Pool:
    """The free bytes of a hugetlb pool, and why it could not be raised: empty if it could.

    Of the pools of several NUMA ``nodes``, it is the one with the least. No node: the machine's.
    """

    free_bytes: int
    refusal: str = ""
    nodes: tuple[int, ...] = ()


class BorrowedPages(Undoing):
    """The borrowed settings of pages; a context manager that restores all of them.

    A worker uses ``switch`` of an object of its own; its parent restores the settings.
    """

    def __init__(self, state: Path = STATE, root: Path = Path("/")) -> None:
        self._root = root  # of the pools
        self._thp = Settings(state / "thp.json")
        self._pools = Settings(state / "pools.json")

    def restore(self) -> list[str]:
        """Restore everything; return a line for each setting that was borrowed."""
        borrowed = [one for one in (self._thp, self._pools) if one.any()]
        restored = [one for settings in borrowed for one in settings.restore()]
        return [f"{one.loan.path}: {one.outcome}" for one in restored]

    def switch(self, wanted: Sequence[tuple[Path, str]]) -> None:
        """Set these and restore the other borrowed switches; MachineError if that is forbidden."""
        there = {path: value for path, value in wanted if path.exists()}
        if there or self._thp.any():
            self._thp.switch(there)

    def never(self, page: Page) -> set[Path]:
        """Return the page's own switches that were ``never`` before anything was borrowed."""
        before = {loan.path: loan.before for loan in self._thp.loans()} if self._thp.any() else {}
        there = [path for path in pmd_switches(page) if path.exists()]
        return {path for path in there if before.get(path, value_of(path)) == "never"}

    def raise_pool(self, page: Page, wanted_bytes: int, nodes: Collection[int] = ()) -> int:
        """Raise the pool to that many free bytes; return the free bytes. Raises MachineError.

        With ``nodes``, the pool of each of them: a case may have all of its pages on one. Without,
        the machine's, which the kernel spreads over its nodes.
        """
        for node in nodes or (None,):
            missing = wanted_bytes - free_in_pool(page, () if node is None else (node,), self._root)
            if missing > 0:
                path = pool_file(page, node, self._root)
                pages = int(value_of(path)) + -(-missing // page.size_bytes)
                self._pools.borrow(path, str(pages), or_less=True)
        return free_in_pool(page, nodes, self._root)


def why_pool_is_small(page: Page, wanted_bytes: int, pool: Pool) -> str:
    """Return a sentence on a pool without room: the refusal where it could not be raised."""
    free = format_size(pool.free_bytes) if pool.free_bytes else "nothing"
    where = f" on NUMA node {' or '.join(map(str, pool.nodes))}" if pool.nodes else ""
    needed = format_size(wanted_bytes)
    lacking = f"the pool of {page.name}{where} has {free} free of the {needed} needed"
    if pool.refusal:
        return f"{lacking}: {pool.refusal}"
    pages = wanted_bytes // page.size_bytes
    wanted = ",".join(f"{node}:{pages}" for node in pool.nodes) or str(pages)
    return (
        f"{lacking}: memory is too full or too fragmented, or other processes use the pool "
        f"(hugepages={wanted} on the kernel's command line)"
    )
