// SPDX-License-Identifier: GPL-2.0-only
/*
 * A5: the zero page and the huge zero page, at any address: shared, counted by
 * nobody, replaced by a page of its own with the first write, and of no interest
 * to reclaim.
 */
#include "audit.h"

#define CGROUP "audit-zero"

FIXTURE(zero) {
	struct peer peer;
	struct thp_state thp;
	unsigned long len;
	long src, at;
	bool huge;
};

FIXTURE_VARIANT(zero) {
	enum kind kind;
	int shift;	/* pages from a congruent address */
};

FIXTURE_VARIANT_ADD(zero, small) { BASE, 0 };
FIXTURE_VARIANT_ADD(zero, small_shifted) { BASE, 3 };
FIXTURE_VARIANT_ADD(zero, huge) { THP, 0 };
FIXTURE_VARIANT_ADD(zero, huge_shifted) { THP, 3 };
FIXTURE_VARIANT_ADD(zero, huge_shifted_by_half) { THP, 256 };

/*
 * Read, so that zero pages are mapped, and never written; but for one page behind
 * it, or else nothing would be copied: it can all be filled again by faults.
 */
static long map_zero(unsigned long len, unsigned long kind, long c, long d)
{
	unsigned long all = len + page_size(), addr = reserve(all), sum = 0;

	if (mmap((void *)addr, all, PROT_READ | PROT_WRITE, MAP_FIXED |
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		return -errno;
	madvise((void *)addr, all, kind == THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	*(volatile char *)(addr + len) = 1;
	for (unsigned long off = 0; off < len; off += page_size())
		sum += *(volatile char *)(addr + off);
	return sum ? -EIO : (long)addr;
}

static long count_nonzero(unsigned long addr, unsigned long len, long c, long d)
{
	long count = 0;

	for (unsigned long off = 0; off < len; off += sizeof(long))
		count += !!*(volatile unsigned long *)(addr + off);
	return count;
}

/* How many pages are the zero page, small or huge; a page of 2M counts 512. */
static long zero_pages(pid_t pid, unsigned long addr, unsigned long len)
{
	static uint64_t entries[2 * PMD / 4096];
	long count = 0, pages = len / page_size();

	read_entries(pid, addr, page_size(), pages, entries);
	for (long i = 0; i < pages; i++)
		count += (entries[i] & PM_PRESENT) &&
			 frame_is(entries[i] & PM_ENTRY, KPF_ZERO_PAGE);
	return count;
}

FIXTURE_SETUP(zero)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	if (!thp_borrow(&self->thp, variant->kind)) {
		thp_restore(&self->thp);
		SKIP(return, "the sizes of huge pages can't be set");
	}
	if (!cgroup_make(CGROUP))
		SKIP(return, "no memory controller");
	ASSERT_EQ(0, cgroup_enter(CGROUP, getpid()));
	self->len = 2 * PMD;
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, map_zero, self->len, variant->kind, 0, 0);
	ASSERT_GT(self->src, 0);
	self->at = reserve(self->len + PMD) + variant->shift * page_size();
	ASSERT_EQ(self->at, clone_map(self->peer.pid, self->src, self->len, self->at,
				      PVMMAP_FIXED));
}

FIXTURE_TEARDOWN(zero)
{
	peer_stop(&self->peer);
	thp_restore(&self->thp);
	write_file(CGROUPS "cgroup.procs", "0");
	cgroup_remove(CGROUP);
}

AUDIT_TEST(zero, shared_and_not_counted)
{
	long pages = self->len / page_size();

	EXPECT_EQ(pages, zero_pages(self->peer.pid, self->src, self->len));
	EXPECT_EQ(pages, zero_pages(getpid(), self->at, self->len));
	EXPECT_EQ(0, smaps(getpid(), self->at, self->len, "Rss"));
	EXPECT_EQ(0, count_nonzero(self->at, self->len, 0, 0));
	EXPECT_EQ(0, munmap((void *)self->at, self->len));
	EXPECT_EQ(pages, zero_pages(self->peer.pid, self->src, self->len));
}

/* A write here and there gives pages of its own to the writer alone. */
AUDIT_TEST(zero, write)
{
	unsigned long page = page_size(), step = 37 * page;

	for (unsigned long off = 0; off < self->len; off += step)
		*(unsigned long *)(self->at + off) = 1 + off;
	EXPECT_EQ(0, peer_call(&self->peer, count_nonzero, self->src, self->len, 0, 0));
	EXPECT_EQ((self->len + step - 1) / step,
		  count_nonzero(self->at, self->len, 0, 0));
	peer_call(&self->peer, fill, self->src + 5 * page, page, 9, 0);
	for (unsigned long off = 0; off < self->len; off += step)
		EXPECT_EQ(1 + off, *(volatile unsigned long *)(self->at + off));
	EXPECT_EQ(0, *(volatile unsigned long *)(self->at + 5 * page));
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src + 5 * page, page, 9, 0));
	/* the zero page itself is what it was, for everybody */
	EXPECT_EQ(0, peer_call(&self->peer, count_nonzero, self->src + 8 * page,
			       self->len / 2 - 8 * page, 0, 0));
}

AUDIT_TEST(zero, reclaim)
{
	unsigned long page = page_size();
	long want = self->len / page;

	fill(self->at + self->len / 2, self->len / 2, 8, 0);
	for (int i = 0; i < 5; i++) {
		forget_references(getpid());
		cgroup_write(CGROUP, "memory.reclaim", "32M");
	}
	EXPECT_EQ(0, check(self->at + self->len / 2, self->len / 2, 8, 0));
	EXPECT_EQ(0, count_nonzero(self->at, self->len / 2, 0, 0));
	EXPECT_EQ(want, zero_pages(self->peer.pid, self->src, self->len));
}

/* A clone of the clone, of a part of it, and back into the source's mm. */
AUDIT_TEST(zero, again)
{
	unsigned long page = page_size(), len = self->len - 7 * page;
	long part = clone_map(getpid(), self->at + 3 * page, len, 0, 0), back;

	ASSERT_GT(part, 0);
	back = peer_call(&self->peer, clone_order, self->src ? self->peer.pid : 0,
			 self->src + page, len, 0);
	ASSERT_GT(back, 0);
	EXPECT_EQ(0, count_nonzero(part, len, 0, 0));
	EXPECT_EQ(len / page, zero_pages(getpid(), part, len));
	EXPECT_EQ(len / page, zero_pages(self->peer.pid, back, len));
	fill(part, len, 4, 0);
	EXPECT_EQ(0, count_nonzero(self->at, self->len, 0, 0));
	EXPECT_EQ(0, check(part, len, 4, 0));
}

TEST_HARNESS_MAIN
