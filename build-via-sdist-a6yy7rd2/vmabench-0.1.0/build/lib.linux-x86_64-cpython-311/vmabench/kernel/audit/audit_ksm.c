// SPDX-License-Identifier: GPL-2.0-only
/*
 * A2: does KSM survive a clone? The three cases of the thread of 2019 - the page
 * is in the stable tree, in the unstable tree, in neither - and one side that may
 * be merged while the other may not. Each is provoked by letting ksmd go round a
 * counted number of times, and judged by page frames, their flags, KSM's own
 * counters, and the contents; then come COW, reclaim, unmerging and exit.
 */
#include "audit.h"

#define PAGES	16
#define CGROUP	"audit-ksm"
#define WORD	0x55aaUL

/* Pages that are all equal, or all different if @each. */
static long map_words(unsigned long word, unsigned long each, long advice, long u)
{
	unsigned long len = PAGES * page_size(), addr = reserve(len);

	if (mmap((void *)addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -errno;
	madvise((void *)addr, len, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < len / sizeof(word); i++)
		((unsigned long *)addr)[i] =
			word + each * (i / (page_size() / sizeof(word)));
	if (advice && madvise((void *)addr, len, advice))
		return -errno;
	return addr;
}

static long wrong_words(unsigned long addr, unsigned long word, long each, long u)
{
	unsigned long n = page_size() / sizeof(word);
	long wrong = 0;

	for (unsigned long i = 0; i < PAGES * n; i++)
		wrong += ((volatile unsigned long *)addr)[i] != word + each * (i / n);
	return wrong;
}

FIXTURE(ksm) {
	struct ksm_state was;
	struct peer a, b;
	unsigned long len;
	long src, dst;		/* of clone_stable() */
};

FIXTURE_SETUP(ksm)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	if (!ksm_borrow(&self->was))
		SKIP(return, "no KSM");
	if (!cgroup_make(CGROUP))
		SKIP(return, "no memory controller");
	self->len = PAGES * page_size();
	/* nothing that an earlier test has left, be it dead or alive */
	write_file(KSM "run", "2");
	ASSERT_EQ(0, read_long(KSM "pages_shared"));
	ASSERT_EQ(0, cgroup_enter(CGROUP, getpid()));
	ASSERT_EQ(0, peer_start(&self->a));
	ASSERT_EQ(0, peer_start(&self->b));
}

FIXTURE_TEARDOWN(ksm)
{
	peer_stop(&self->a);
	peer_stop(&self->b);
	ksm_restore(&self->was);
	write_file(CGROUPS "cgroup.procs", "0");
	cgroup_remove(CGROUP);
}

/*
 * How many pages of a range are KSM's, none unless they are all the same one if
 * @one. By smaps: the flag of kpageflags is set for each anonymous page in 6.12.
 */
static int merged(pid_t pid, unsigned long addr, bool one)
{
	uint64_t first = frame(pid, addr);

	for (int i = 0; i < PAGES && one; i++)
		if (frame(pid, addr + i * page_size()) != first)
			return 0;
	return smaps(pid, addr, PAGES * page_size(), "KSM") * KB / page_size();
}

/* ksmd frees what belonged to the dead when it gets there. */
static bool all_gone(void)
{
	write_file(KSM "run", "1");
	for (int i = 0; i < 500 && read_long(KSM "pages_shared"); i++)
		usleep(10000);
	write_file(KSM "run", "0");
	return !read_long(KSM "pages_shared") && !read_long(KSM "pages_sharing");
}

/* How many pages of two ranges are the same. */
static int shared(pid_t one, unsigned long a, pid_t two, unsigned long b)
{
	int count = 0;

	for (unsigned long off = 0; off < PAGES * page_size(); off += page_size()) {
		uint64_t pfn = frame(one, a + off);

		count += pfn && pfn == frame(two, b + off);
	}
	return count;
}

/* A write to either side is its own, and KSM is left with nothing in the end. */
#define EXPECT_PRIVATE_AND_GONE(src, dst, each) do {			\
	peer_call(&self->a, fill, src, self->len, 3, 0);		\
	EXPECT_EQ(0, wrong_words(dst, WORD, each, 0));			\
	fill(dst, self->len, 4, 0);					\
	EXPECT_EQ(0, check(dst, self->len, 4, 0));			\
	EXPECT_EQ(0, peer_call(&self->a, check, src, self->len, 3, 0));	\
	munmap((void *)dst, self->len);					\
	peer_stop(&self->a);						\
	peer_stop(&self->b);						\
	EXPECT_TRUE(all_gone());					\
} while (0)

/* Pages that are all one page of KSM, and a clone of them that it has not seen yet. */
static void clone_stable(struct __test_metadata *_metadata, FIXTURE_DATA(ksm) *self)
{
	self->src = peer_call(&self->a, map_words, WORD, 0, MADV_MERGEABLE, 0);
	ASSERT_GT(self->src, 0);
	ASSERT_TRUE(ksm_scan(3));
	ASSERT_EQ(PAGES, merged(self->a.pid, self->src, true));
	ASSERT_EQ(1, read_long(KSM "pages_shared"));
	ASSERT_EQ(PAGES - 1, read_long(KSM "pages_sharing"));
	self->dst = clone_map(self->a.pid, self->src, self->len, 0, 0);
	ASSERT_GT(self->dst, 0);
}

/* Case 1: KSM's page already, when it is cloned. */
AUDIT_TEST(ksm, stable)
{
	clone_stable(_metadata, self);
	/* it is shared as it is; KSM knows of each owner once it has seen it */
	EXPECT_EQ(PAGES, merged(getpid(), self->dst, true));
	EXPECT_EQ(PAGES, shared(self->a.pid, self->src, getpid(), self->dst));
	EXPECT_EQ(2 * PAGES, map_count(frame(getpid(), self->dst)));
	ASSERT_TRUE(ksm_scan(3));
	EXPECT_EQ(1, read_long(KSM "pages_shared"));
	EXPECT_EQ(2 * PAGES - 1, read_long(KSM "pages_sharing"));
	EXPECT_EQ(PAGES, shared(self->a.pid, self->src, getpid(), self->dst));
	EXPECT_EQ(0, wrong_words(self->dst, WORD, 0, 0));
	EXPECT_PRIVATE_AND_GONE(self->src, self->dst, 0);
}

/* Case 2: seen by KSM and waiting for an equal one, when it is cloned. */
AUDIT_TEST(ksm, unstable)
{
	long src = peer_call(&self->a, map_words, WORD, 7, MADV_MERGEABLE, 0);
	long dst, other;

	ASSERT_GT(src, 0);
	/* the third time that it sees the same checksum it is in the tree */
	ASSERT_TRUE(ksm_scan(4));
	ASSERT_EQ(0, read_long(KSM "pages_shared"));
	ASSERT_GE(read_long(KSM "pages_unshared"), PAGES);
	dst = clone_map(self->a.pid, src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, merged(getpid(), dst, false));
	other = peer_call(&self->b, map_words, WORD, 7, MADV_MERGEABLE, 0);
	ASSERT_GT(other, 0);
	ASSERT_TRUE(ksm_scan(4));
	EXPECT_EQ(PAGES, merged(getpid(), dst, false));
	EXPECT_EQ(PAGES, shared(self->a.pid, src, getpid(), dst));
	EXPECT_EQ(PAGES, shared(self->b.pid, other, getpid(), dst));
	EXPECT_EQ(PAGES, read_long(KSM "pages_shared"));
	EXPECT_EQ(2 * PAGES, read_long(KSM "pages_sharing"));
	EXPECT_EQ(0, wrong_words(dst, WORD, 7, 0));
	EXPECT_PRIVATE_AND_GONE(src, dst, 7);
}

/* Case 3: KSM has not come by yet, when it is cloned. */
AUDIT_TEST(ksm, neither)
{
	long src = peer_call(&self->a, map_words, WORD, 0, MADV_MERGEABLE, 0), dst;

	ASSERT_GT(src, 0);
	dst = clone_map(self->a.pid, src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, merged(getpid(), dst, false));
	ASSERT_TRUE(ksm_scan(4));
	EXPECT_EQ(PAGES, merged(getpid(), dst, true));
	EXPECT_EQ(PAGES, shared(self->a.pid, src, getpid(), dst));
	EXPECT_EQ(1, read_long(KSM "pages_shared"));
	EXPECT_EQ(2 * PAGES - 1, read_long(KSM "pages_sharing"));
	EXPECT_EQ(0, wrong_words(dst, WORD, 0, 0));
	EXPECT_PRIVATE_AND_GONE(src, dst, 0);
}

/* One side may be merged, the other may not, and the other way round. */
AUDIT_TEST(ksm, clone_is_not_mergeable)
{
	clone_stable(_metadata, self);
	ASSERT_EQ(0, madvise((void *)self->dst, self->len, MADV_UNMERGEABLE));
	/* the clone has got pages of its own, the source kept KSM's */
	EXPECT_EQ(0, merged(getpid(), self->dst, false));
	EXPECT_EQ(PAGES, merged(self->a.pid, self->src, true));
	ASSERT_TRUE(ksm_scan(3));
	EXPECT_EQ(0, merged(getpid(), self->dst, false));
	EXPECT_EQ(PAGES - 1, read_long(KSM "pages_sharing"));
	EXPECT_EQ(0, wrong_words(self->dst, WORD, 0, 0));
	EXPECT_PRIVATE_AND_GONE(self->src, self->dst, 0);
}

AUDIT_TEST(ksm, source_is_not_mergeable)
{
	long src = peer_call(&self->a, map_words, WORD, 0, 0, 0), dst;

	ASSERT_GT(src, 0);
	dst = clone_map(self->a.pid, src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	ASSERT_EQ(0, madvise((void *)dst, self->len, MADV_MERGEABLE));
	ASSERT_TRUE(ksm_scan(4));
	EXPECT_EQ(PAGES, merged(getpid(), dst, true));
	/*
	 * the source's pages are as they were, but for one: KSM makes a page its
	 * own where it lies, and the source maps it too
	 */
	EXPECT_LE(merged(self->a.pid, src, false), 1);
	EXPECT_EQ(1, read_long(KSM "pages_shared"));
	EXPECT_EQ(PAGES - 1, read_long(KSM "pages_sharing"));
	EXPECT_EQ(0, peer_call(&self->a, wrong_words, src, WORD, 0, 0));
	EXPECT_EQ(0, wrong_words(dst, WORD, 0, 0));
	EXPECT_PRIVATE_AND_GONE(src, dst, 0);
}

/* KSM's pages are found at the address of the clone: to swap and back, and moved. */
AUDIT_TEST(ksm, reclaim_and_migrate)
{
	long swapped = 0, all = self->len / KB;

	clone_stable(_metadata, self);
	ASSERT_NE(self->src, self->dst);
	if (has_two_nodes()) {
		EXPECT_EQ(0, move_to(0, self->dst, !node_of(0, self->dst)));
		EXPECT_EQ(PAGES, shared(self->a.pid, self->src, getpid(), self->dst));
		EXPECT_EQ(2 * PAGES, map_count(frame(getpid(), self->dst)));
	}
	if (!has_swap())
		SKIP(return, "no swap");
	for (int i = 0; i < 20 && swapped < all; i++) {
		forget_references(getpid());
		forget_references(self->a.pid);
		cgroup_write(CGROUP, "memory.reclaim", "16M");
		swapped = smaps(getpid(), self->dst, self->len, "Swap");
	}
	EXPECT_EQ(all, swapped);
	EXPECT_EQ(all, smaps(self->a.pid, self->src, self->len, "Swap"));
	EXPECT_EQ(0, wrong_words(self->dst, WORD, 0, 0));
	EXPECT_EQ(0, peer_call(&self->a, wrong_words, self->src, WORD, 0, 0));
	EXPECT_PRIVATE_AND_GONE(self->src, self->dst, 0);
}

/* All of KSM is told to let go: each side has its pages, and nobody has the other's. */
AUDIT_TEST(ksm, unmerge)
{
	clone_stable(_metadata, self);
	ASSERT_TRUE(ksm_scan(3));
	ASSERT_EQ(0, write_file(KSM "run", "2"));
	EXPECT_EQ(0, merged(getpid(), self->dst, false));
	EXPECT_EQ(0, merged(self->a.pid, self->src, false));
	EXPECT_EQ(0, shared(self->a.pid, self->src, getpid(), self->dst));
	EXPECT_EQ(0, read_long(KSM "pages_shared"));
	EXPECT_EQ(0, wrong_words(self->dst, WORD, 0, 0));
	EXPECT_PRIVATE_AND_GONE(self->src, self->dst, 0);
}

/* Unmerged before KSM has ever seen the clone. */
AUDIT_TEST(ksm, unmerge_unseen)
{
	clone_stable(_metadata, self);
	ASSERT_EQ(0, write_file(KSM "run", "2"));
	EXPECT_EQ(0, merged(self->a.pid, self->src, false));
	EXPECT_EQ(0, merged(getpid(), self->dst, false));
	EXPECT_EQ(0, wrong_words(self->dst, WORD, 0, 0));
	EXPECT_PRIVATE_AND_GONE(self->src, self->dst, 0);
}

/* The source is gone: the clone alone keeps KSM's page, and gives it back. */
AUDIT_TEST(ksm, source_exits)
{
	clone_stable(_metadata, self);
	peer_stop(&self->a);
	EXPECT_EQ(0, wrong_words(self->dst, WORD, 0, 0));
	ASSERT_TRUE(ksm_scan(3));
	EXPECT_EQ(PAGES, merged(getpid(), self->dst, true));
	EXPECT_EQ(PAGES, map_count(frame(getpid(), self->dst)));
	EXPECT_EQ(PAGES - 1, read_long(KSM "pages_sharing"));
	munmap((void *)self->dst, self->len);
	EXPECT_TRUE(all_gone());
}

TEST_HARNESS_MAIN
