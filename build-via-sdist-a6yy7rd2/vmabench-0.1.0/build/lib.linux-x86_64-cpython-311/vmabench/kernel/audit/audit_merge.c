// SPDX-License-Identifier: GPL-2.0-only
/*
 * A7: a clone that replaces many mappings and merges with the one before them.
 *
 * What would be stored in the tree of mappings then spans several of its leaves, and
 * the iterator that is ready for that stands in the node above them. Asked from there
 * for the mapping before, it goes to another part of the tree if the clone begins in the
 * first leaf below that node, and the node is not the first of the tree. Which mapping
 * lies in which leaf can't be seen, and what is replaced moves the borders; so the places
 * are drawn, always the same ones. Only a kernel that checks the tree says if one was wrong.
 */
#include "audit.h"

#define ROOM	400	/* mappings of a page: three levels of nodes */
#define MOST	48	/* replaced at once: less than a node has below its leaves */
#define LEAST	20	/* more than a leaf has */
#define STEPS	100

FIXTURE(merge) {
	struct peer peer;
	unsigned long room;
	long src;
};

/* Pages that do not merge with each other, and with no clone. */
static long lay_pages(unsigned long room, unsigned long first, long count, long u)
{
	for (long i = first; i < (long)first + count; i++) {
		void *at = (void *)(room + i * page_size());

		if (mmap(at, page_size(), i & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE |
			 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

FIXTURE_SETUP(merge)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, map_kind, BASE, (1 + MOST) * page_size(), 7, 0);
	ASSERT_GT(self->src, 0);
	self->room = reserve(ROOM * page_size());
	ASSERT_EQ(0, lay_pages(self->room, 0, ROOM, 0));
}

FIXTURE_TEARDOWN(merge)
{
	peer_stop(&self->peer);
	munmap((void *)self->room, ROOM * page_size());
}

/* Pages of the source, from @page on, to where they lie if page 0 is at @at. */
static bool clone_pages(FIXTURE_DATA(merge) *self, unsigned long at, int page, int count)
{
	unsigned long off = page * page_size();

	return clone_map(self->peer.pid, self->src + off, count * page_size(), at + off,
			 PVMMAP_FIXED) == (long)(at + off);
}

AUDIT_TEST(merge, over_many)
{
	unsigned long page = page_size();

	srand(1);
	for (int i = 0; i < STEPS; i++) {
		int run = LEAST + rand() % (MOST - LEAST);
		int first = rand() % (ROOM - run);
		unsigned long at = self->room + first * page;

		ASSERT_TRUE(clone_pages(self, at, 0, 1));
		ASSERT_TRUE(clone_pages(self, at, 1, run));
		for (int k = 0; k <= run; k++)
			ASSERT_EQ(7UL * 1000003 + k * page,
				  *(volatile unsigned long *)(at + k * page));
		/* now and then: it is slow among so many mappings */
		if (i % 20 == 0)
			ASSERT_EQ(1, smaps(getpid(), at, (1 + run) * page, NULL));
		ASSERT_EQ(0, lay_pages(self->room, first, 1 + run, 0));
	}
	EXPECT_EQ(ROOM, smaps(getpid(), self->room, ROOM * page, NULL));
}

TEST_HARNESS_MAIN
