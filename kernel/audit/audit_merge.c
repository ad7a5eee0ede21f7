// SPDX-License-Identifier: GPL-2.0-only
/*
 * A clone replaces many mappings and merges with its neighbours: what is stored in
 * the tree of VMAs spans nodes then, from one that both are in to several that are
 * dropped.
 */
#include "pvm.h"
#include "../kselftest_harness.h"

#define PAGES	96UL	/* a node has 16 slots */

enum side { LEFT = 1, RIGHT = 2 };

FIXTURE(merge) {
	struct peer peer;
	unsigned long page, len, dst;
	long src;
};

FIXTURE_VARIANT(merge) {
	int sides;
};

FIXTURE_VARIANT_ADD(merge, left) { .sides = LEFT };
FIXTURE_VARIANT_ADD(merge, right) { .sides = RIGHT };
FIXTURE_VARIANT_ADD(merge, both) { .sides = LEFT | RIGHT };

FIXTURE_SETUP(merge)
{
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
	self->page = page_size();
	self->len = PAGES * self->page;
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, map_kind, BASE, self->len + 2 * self->page, 7, 0);
	ASSERT_GT(self->src, 0);
	self->dst = reserve(self->len + 2 * self->page);
}

FIXTURE_TEARDOWN(merge)
{
	peer_stop(&self->peer);
}

static long clone_pages(FIXTURE_DATA(merge) *self, unsigned long first, unsigned long pages)
{
	return clone_map(self->peer.pid, self->src + first * self->page,
			 pages * self->page, self->dst + first * self->page, PVMMAP_FIXED);
}

/* So many mappings of a page each that do not merge, from the first page on. */
static bool occupy(FIXTURE_DATA(merge) *self, unsigned long mappings)
{
	for (unsigned long i = 1; i <= mappings; i++)
		if (mmap((void *)(self->dst + i * self->page), self->page,
			 i & 1 ? PROT_NONE : PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			return false;
	return true;
}

TEST_F_TIMEOUT(merge, over_many, 120)
{
	unsigned long start, end;

	for (unsigned long mappings = 0; mappings <= PAGES; mappings++) {
		if (variant->sides & LEFT)
			ASSERT_GT(clone_pages(self, 0, 1), 0);
		if (variant->sides & RIGHT)
			ASSERT_GT(clone_pages(self, PAGES + 1, 1), 0);
		ASSERT_TRUE(occupy(self, mappings));
		ASSERT_GT(clone_pages(self, 1, PAGES), 0);
		start = self->dst + (variant->sides & LEFT ? 0 : self->page);
		end = self->dst + self->len + self->page +
		      (variant->sides & RIGHT ? self->page : 0);
		/* two clones that lie apart have two anon_vmas, so one stays apart */
		ASSERT_EQ(variant->sides == (LEFT | RIGHT) ? 2 : 1,
			  smaps(getpid(), start, end - start, NULL)) {
			TH_LOG("over %lu mappings", mappings);
		}
		for (unsigned long at = start; at < end; at += self->page)
			ASSERT_EQ(7 * 1000003 + at - self->dst, *(unsigned long *)at);
		munmap((void *)self->dst, self->len + 2 * self->page);
	}
}

TEST_HARNESS_MAIN
