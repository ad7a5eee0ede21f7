// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each allocation of a call fails in turn: the n-th, for each n until the call does
 * without. It says ENOMEM or succeeds, the range is as before or unmapped, the
 * source is untouched, and all accounting is at its baseline.
 *
 * Needs a kernel with fault injection.
 */
#include "pvm.h"
#include "../kselftest_harness.h"

#define LEN		(3 * PMD)	/* some page tables are filled when one fails */
#define MOST		4000

enum around {
	ALONE,
	NEIGHBOURS,	/* clones of what lies before and after, to merge with */
	OCCUPIED,	/* many mappings to replace, the outer ones in part */
};

enum past {
	FRESH,
	CLONED,		/* the source is a clone itself, of memory of ours */
	FORKED,		/* and there is a child that shares it */
	SWAPPED,
	READ_ONLY_TOUCHED, /* nothing but zero pages */
};

FIXTURE(depth) {
	struct peer peer;
	struct thp_state thp;
	unsigned long dst, len;
	long src;
	int nth;
};

FIXTURE_VARIANT(depth) {
	enum kind kind;
	enum around around;
	enum past past;
	unsigned long part;	/* of LEN, if not all of it */
	unsigned long offset;	/* of the destination, from a multiple of PMD */
	bool anywhere;		/* the kernel chooses the place */
	bool locked;		/* MCL_FUTURE */
};

FIXTURE_VARIANT_ADD(depth, base) { .kind = BASE };
FIXTURE_VARIANT_ADD(depth, base_anywhere) { .kind = BASE, .anywhere = true };
FIXTURE_VARIANT_ADD(depth, base_locked) { .kind = BASE, .locked = true,
	/* each of its pages is made writable, so each is an allocation */
	.part = 16 * 4096 };
FIXTURE_VARIANT_ADD(depth, base_merge) { .kind = BASE, .around = NEIGHBOURS };
FIXTURE_VARIANT_ADD(depth, base_replace) { .kind = BASE, .around = OCCUPIED };
FIXTURE_VARIANT_ADD(depth, base_of_clone) { .kind = BASE, .past = CLONED };
FIXTURE_VARIANT_ADD(depth, base_of_fork) { .kind = BASE, .past = FORKED };
FIXTURE_VARIANT_ADD(depth, base_swapped) { .kind = BASE, .past = SWAPPED };
FIXTURE_VARIANT_ADD(depth, base_zero) { .kind = BASE, .past = READ_ONLY_TOUCHED };
FIXTURE_VARIANT_ADD(depth, mthp) { .kind = MTHP };
FIXTURE_VARIANT_ADD(depth, mthp_merge) { .kind = MTHP, .around = NEIGHBOURS };
FIXTURE_VARIANT_ADD(depth, thp) { .kind = THP };
FIXTURE_VARIANT_ADD(depth, thp_incongruent) { .kind = THP, .offset = 5 * 4096 };
FIXTURE_VARIANT_ADD(depth, thp_replace) { .kind = THP, .around = OCCUPIED };
FIXTURE_VARIANT_ADD(depth, thp_of_clone) { .kind = THP, .past = CLONED };
FIXTURE_VARIANT_ADD(depth, shmem) { .kind = SHMEM };
FIXTURE_VARIANT_ADD(depth, shmem_merge) { .kind = SHMEM, .around = NEIGHBOURS };
FIXTURE_VARIANT_ADD(depth, file) { .kind = PRIVATE_FILE };
FIXTURE_VARIANT_ADD(depth, file_replace) { .kind = PRIVATE_FILE, .around = OCCUPIED };

/* In the peer: memory that is a clone of @pid's, or that a child shares. */
static long clone_of(unsigned long pid, unsigned long src, long len, long u)
{
	return clone_map(pid, src, len, 0, 0);
}

static long read_only(unsigned long addr, unsigned long len, long u, long v)
{
	advise(addr, len, MADV_DONTNEED, 0);
	for (unsigned long off = 0; off < len; off += page_size())
		*(volatile char *)(addr + off);
	return 0;
}

static long fork_sleeper(unsigned long u, unsigned long v, long w, long x)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
	}
	return pid;
}

/* LEN and a page before and after it, for the neighbours: the address of LEN. */
static long make_source(struct peer *peer, enum kind kind, enum past past)
{
	unsigned long len = LEN + 2 * PMD;
	long addr;

	if (past == CLONED) {
		addr = map_kind(kind, len, 7, 0);
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		addr = peer_call(peer, clone_of, getpid(), addr, len, 0);
	} else {
		addr = peer_call(peer, map_kind, kind, len, 7, 0);
	}
	if (addr < 0)
		return addr;
	if (past == FORKED)
		peer_call(peer, fork_sleeper, 0, 0, 0, 0);
	if (past == SWAPPED)
		peer_call(peer, advise, addr, len, MADV_PAGEOUT, 0);
	if (past == READ_ONLY_TOUCHED)
		peer_call(peer, read_only, addr, len, 0, 0);
	return addr + PMD;
}

/* What fill() wrote: 0, or 1 + the index of the first page that is something else. */
static long holds(unsigned long addr, unsigned long len, long past, long u)
{
	for (unsigned long off = 0; off < len; off += page_size()) {
		unsigned long want = past == READ_ONLY_TOUCHED ? 0 :
				     7 * 1000003 + PMD + off;

		if (*(volatile unsigned long *)(addr + off) != want)
			return 1 + off / page_size();
	}
	return 0;
}

FIXTURE_SETUP(depth)
{
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
	self->nth = open_fail_nth();
	if (self->nth < 0)
		SKIP(return, "no fault injection");
	if (variant->past == SWAPPED && read_field("/proc/meminfo", "SwapFree") <= 0)
		SKIP(return, "no swap");
	if (!thp_borrow(&self->thp, variant->kind)) {
		thp_restore(&self->thp);
		SKIP(return, "the sizes of huge pages can't be set");
	}
	self->len = variant->part ?: LEN;
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = make_source(&self->peer, variant->kind, variant->past);
	ASSERT_GT(self->src, 0);
	self->dst = reserve(LEN + 3 * PMD) + PMD + variant->offset;
	/* from here on, so that neither the source nor the peer is locked */
	if (variant->locked)
		ASSERT_EQ(0, mlockall(MCL_FUTURE));
}

FIXTURE_TEARDOWN(depth)
{
	peer_stop(&self->peer);
	thp_restore(&self->thp);
}

/* What lies at the destination and beside it before the call. */
static long lay_out(FIXTURE_DATA(depth) *self, enum around around)
{
	unsigned long page = page_size();
	long ret = 0;

	if (around == NEIGHBOURS) {
		ret = clone_map(self->peer.pid, self->src - page, page,
				self->dst - page, PVMMAP_FIXED);
		if (ret > 0)
			ret = clone_map(self->peer.pid, self->src + self->len, page,
					self->dst + self->len, PVMMAP_FIXED);
	}
	/* alternately, so that they do not merge: some 24 of them */
	for (unsigned long at = 0; around == OCCUPIED && at < self->len + 2 * page;
	     at += 64 * page) {
		unsigned long start = self->dst - page + at;
		unsigned long end = start + 64 * page;

		if (end > self->dst + self->len + page)
			end = self->dst + self->len + page;
		if (mmap((void *)start, end - start, PROT_READ | (at & 64 * page ? PROT_WRITE : 0),
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			ret = -errno;
	}
	return ret;
}

static void clear(FIXTURE_DATA(depth) *self)
{
	munmap((void *)(self->dst - page_size()), self->len + 2 * page_size());
}

/* What must be the same before and after. */
static const char *const of_process[] = { "VmSize", "VmData", "VmPTE", "VmLck" };

struct accounts {
	long mine[ARRAY_SIZE(of_process)], peers[ARRAY_SIZE(of_process)];
	long mappings;
};

static struct accounts take_accounts(pid_t peer)
{
	struct accounts a;

	for (unsigned int i = 0; i < ARRAY_SIZE(of_process); i++) {
		a.mine[i] = status_kb(getpid(), of_process[i]);
		a.peers[i] = status_kb(peer, of_process[i]);
	}
	a.mappings = smaps(getpid(), 0, -1UL, NULL);
	return a;
}

/* The name of the first that differs, or NULL. */
static const char *differing(const struct accounts *a, const struct accounts *b)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(of_process); i++)
		if (a->mine[i] != b->mine[i] || a->peers[i] != b->peers[i])
			return of_process[i];
	return a->mappings != b->mappings ? "mappings" : NULL;
}

/* A failure: all of what was there, or nothing. Never a part. */
static bool whole_or_nothing(FIXTURE_DATA(depth) *self, long before)
{
	long after = smaps(getpid(), self->dst, self->len, NULL);

	return !after || after == before;
}

TEST_F_TIMEOUT(depth, each_allocation, 600)
{
	long place, ret, failed = 0, before_vmas, anon, committed;
	struct accounts before, after;
	bool done = false;
	const char *name;

	/* once as it should be, so that page tables of upper levels are there */
	ASSERT_GE(lay_out(self, variant->around), 0);
	ASSERT_EQ((long)self->dst, clone_map(self->peer.pid, self->src, self->len,
					     self->dst, PVMMAP_FIXED));
	clear(self);
	before = take_accounts(self->peer.pid);
	anon = status_kb(getpid(), "RssAnon");
	committed = read_field("/proc/meminfo", "Committed_AS");

	for (int nth = 1; nth < MOST && !done; nth++) {
		ASSERT_GE(lay_out(self, variant->around), 0);
		before_vmas = smaps(getpid(), self->dst, self->len, NULL);
		ret = clone_failing(self->nth, nth, &done, self->peer.pid,
				    self->src, self->len, self->dst,
				    variant->anywhere ? 0 : PVMMAP_FIXED);
		place = variant->anywhere ? ret : (long)self->dst;
		if (ret == place && ret > 0) {
			/* what is swapped out stays so, until the end */
			if (variant->past != SWAPPED || done)
				ASSERT_EQ(0, holds(place, self->len, variant->past, 0));
			munmap((void *)place, self->len);
		} else {
			ASSERT_EQ(-ENOMEM, ret);
			ASSERT_TRUE(whole_or_nothing(self, before_vmas));
			failed++;
		}
		clear(self);
		after = take_accounts(self->peer.pid);
		name = differing(&before, &after);
		ASSERT_EQ(NULL, name) {
			TH_LOG("%s, after the failure of allocation %d", name, nth);
		}
	}
	EXPECT_TRUE(done);
	/* shared memory is found again by faults: no page table is filled */
	EXPECT_GT(failed, is_shared(variant->kind) ? 1 : 3);
	TH_LOG("%ld allocations failed the call", failed);
	/* the counters of a process are kept by CPU, in batches */
	EXPECT_LE(labs(status_kb(getpid(), "RssAnon") - anon), 2048);
	EXPECT_LE(labs(read_field("/proc/meminfo", "Committed_AS") - committed), 64);
	EXPECT_EQ(0, peer_call(&self->peer, holds, self->src, self->len, variant->past, 0));
	peer_call(&self->peer, fill, self->src, self->len, 8, 0);
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 8, 0));
}

TEST_HARNESS_MAIN
