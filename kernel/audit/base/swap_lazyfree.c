// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mistake of the base, no part of the audit: MADV_FREE of a page that has been read
 * back from swap loses it for whoever shares it. It needs fork() alone:
 *
 *  1. a page is paged out to a device that is read at once (zram, or any other of
 *     SWP_SYNCHRONOUS_IO), and read again, past the swap cache: nothing says any more
 *     that it is dirty, neither the entry nor the page;
 *  2. fork(): parent and child share it, both by a clean entry;
 *  3. MADV_FREE in the child looks at how often a page is mapped only if it is dirty
 *     or in the swap cache, and hands it to reclaim;
 *  4. reclaim drops it for both: the parent, who gave up nothing, reads zeros.
 *
 * Fails where the base has the mistake; madvise-free.patch fixes it. The same without
 * step 3 must pass anywhere, and so must it with a swap device on which each page passes
 * through the swap cache.
 */
#include "audit.h"

#include <sys/wait.h>

#define PAGES	256		/* some stay in a batch of the CPU that is not full */
#define CGROUP	"swap-lazyfree"
#define WORD	0x1234567UL

static long count_wrong(const volatile unsigned long *map)
{
	unsigned long n = page_size() / sizeof(long);
	long wrong = 0;

	for (unsigned long i = 0; i < PAGES; i++)
		wrong += map[i * n] != WORD + i;
	return wrong;
}

static int count_swapped(const void *map)
{
	uint64_t entries[PAGES];
	int swapped = 0;

	read_entries(getpid(), (unsigned long)map, page_size(), PAGES, entries);
	for (int i = 0; i < PAGES; i++)
		swapped += !!(entries[i] & PM_SWAPPED);
	return swapped;
}

FIXTURE(swap) {
	unsigned long *map;
};

FIXTURE_VARIANT(swap) {
	bool lazy;
};

FIXTURE_VARIANT_ADD(swap, kept) { .lazy = false };
FIXTURE_VARIANT_ADD(swap, lazyfree) { .lazy = true };

FIXTURE_SETUP(swap)
{
	unsigned long n = page_size() / sizeof(long);

	if (!has_swap())
		SKIP(return, "no swap");
	if (!cgroup_make(CGROUP))
		SKIP(return, "no memory controller");
	ASSERT_EQ(0, cgroup_enter(CGROUP, getpid()));
	self->map = mmap(NULL, PAGES * page_size(), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	madvise(self->map, PAGES * page_size(), MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < PAGES; i++)
		self->map[i * n] = WORD + i;
}

FIXTURE_TEARDOWN(swap)
{
	write_file(CGROUPS "cgroup.procs", "0");
	cgroup_remove(CGROUP);
}

AUDIT_TEST(swap, page_of_the_parent)
{
	unsigned long len = PAGES * page_size();
	int go[2], done[2], status;
	pid_t child;
	char byte;

	ASSERT_EQ(0, madvise(self->map, len, MADV_PAGEOUT));
	ASSERT_EQ(PAGES, count_swapped(self->map));
	ASSERT_EQ(0, count_wrong(self->map));
	ASSERT_EQ(0, count_swapped(self->map));

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(done));
	child = fork();
	if (!child) {
		close(go[1]);
		if (variant->lazy && madvise(self->map, len, MADV_FREE))
			_exit(1);
		/* shared until the parent has seen what it wants to see */
		if (write(done[1], "", 1) != 1)
			_exit(1);
		_exit(read(go[0], &byte, 1) != 0);
	}
	ASSERT_GT(child, 0);
	close(go[0]);
	close(done[1]);
	ASSERT_EQ(1, read(done[0], &byte, 1));
	for (int i = 0; i < 10; i++) {
		forget_references(getpid());
		forget_references(child);
		cgroup_write(CGROUP, "memory.reclaim", "16M");
	}
	EXPECT_EQ(0, count_wrong(self->map));
	close(go[1]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
