// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mistake of the base, no part of the audit: MADV_FREE of a page of KSM loses the page
 * for whoever is merged with it later. It needs neither a clone nor a fork:
 *
 *  1. two equal pages are merged, and one of them is unmapped;
 *  2. MADV_FREE of the other one clears the dirty bit of KSM's page, as it is mapped
 *     once, and hands it to reclaim;
 *  3. a third equal page, of which nobody has said that it may go, is merged with it;
 *  4. reclaim drops the page: the third one reads as zeros.
 *
 * Fails where the base has the mistake; madvise-free.patch fixes it. The same without
 * step 2 must pass anywhere.
 */
#include "audit.h"

#define PAGES	16
#define CGROUP	"ksm-lazyfree"
#define WORD	0x1234567UL

static unsigned long *map_mergeable(void)
{
	unsigned long len = PAGES * page_size(), n = page_size() / sizeof(long);
	unsigned long *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
				  MAP_ANONYMOUS, -1, 0);

	madvise(map, len, MADV_NOHUGEPAGE);
	/* each page is like its twin of another mapping, and like no other one */
	for (unsigned long i = 0; i < PAGES * n; i++)
		map[i] = WORD + i / n;
	madvise(map, len, MADV_MERGEABLE);
	return map;
}

static long count_wrong(const volatile unsigned long *map)
{
	unsigned long n = page_size() / sizeof(long);
	long wrong = 0;

	for (unsigned long i = 0; i < PAGES; i++)
		wrong += map[i * n] != WORD + i;
	return wrong;
}

FIXTURE(ksm) {
	struct ksm_state was;
};

FIXTURE_VARIANT(ksm) {
	bool lazy;
};

FIXTURE_VARIANT_ADD(ksm, kept) { .lazy = false };
FIXTURE_VARIANT_ADD(ksm, lazyfree) { .lazy = true };

FIXTURE_SETUP(ksm)
{
	if (!ksm_borrow(&self->was))
		SKIP(return, "no KSM");
	if (!cgroup_make(CGROUP))
		SKIP(return, "no memory controller");
	write_file(KSM "run", "2");
	ASSERT_EQ(0, cgroup_enter(CGROUP, getpid()));
}

FIXTURE_TEARDOWN(ksm)
{
	ksm_restore(&self->was);
	write_file(CGROUPS "cgroup.procs", "0");
	cgroup_remove(CGROUP);
}

AUDIT_TEST(ksm, third_page)
{
	unsigned long len = PAGES * page_size(), *one, *two, *three;

	one = map_mergeable();
	two = map_mergeable();
	ASSERT_TRUE(ksm_scan(4));
	ASSERT_EQ(frame(getpid(), (unsigned long)one), frame(getpid(), (unsigned long)two));
	munmap(two, len);
	if (variant->lazy)
		ASSERT_EQ(0, madvise(one, len, MADV_FREE));
	three = map_mergeable();
	ASSERT_TRUE(ksm_scan(4));
	ASSERT_EQ(frame(getpid(), (unsigned long)one), frame(getpid(), (unsigned long)three));
	for (int i = 0; i < 10; i++) {
		forget_references(getpid());
		cgroup_write(CGROUP, "memory.reclaim", "16M");
	}
	EXPECT_EQ(0, count_wrong(three));
}

TEST_HARNESS_MAIN
