// SPDX-License-Identifier: GPL-2.0-only
/*
 * A3: who pays for what? The source is in one cgroup, the receiver in another;
 * what is charged to either is looked at after the clone, after COW on either
 * side, after the exit of either, and held against the same steps with fork() in
 * place of the clone. Limits of the receiver bite, and nothing stays charged.
 */
#include "audit.h"

#define SRC	"audit-memcg-src"
#define DST	"audit-memcg-dst"
#define LEN	(16 * MB)
/* memory.stat is flushed lazily: up to a batch of 64 pages a CPU is missing */
#define SLACK	((long)(1 * MB))

#define EXPECT_NEAR(want, got) EXPECT_LE(labs((long)(got) - (long)(want)), SLACK)

FIXTURE(memcg) {
	struct peer src, dst;
	unsigned long addr, at;
	bool by_fork;
};

FIXTURE_VARIANT(memcg) {
	bool by_fork;
};

FIXTURE_VARIANT_ADD(memcg, clone) { .by_fork = false };
FIXTURE_VARIANT_ADD(memcg, fork) { .by_fork = true };

FIXTURE_SETUP(memcg)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	if (!cgroup_make(SRC) || !cgroup_make(DST))
		SKIP(return, "no memory controller");
	ASSERT_EQ(0, peer_start(&self->src));
	ASSERT_EQ(0, cgroup_enter(SRC, self->src.pid));
	if (!variant->by_fork) {
		ASSERT_EQ(0, peer_start(&self->dst));
		ASSERT_EQ(0, cgroup_enter(DST, self->dst.pid));
	}
	self->addr = peer_call(&self->src, map_kind, BASE, LEN, 7, 0);
	ASSERT_GT((long)self->addr, 0);
}

FIXTURE_TEARDOWN(memcg)
{
	peer_stop(&self->src);
	if (self->dst.pid)
		kill(self->dst.pid, SIGKILL);
	peer_stop(&self->dst);
	cgroup_remove(SRC);
	cgroup_remove(DST);
}

static long do_nothing(unsigned long a, unsigned long b, long c, long d)
{
	return 0;
}

/*
 * The receiver gets the memory. A child that is forked by the source starts in the
 * source's cgroup, and what it makes from then on is charged where it is moved.
 * It serves on the receiver's pipes, which the source has as it was forked by us.
 */
struct pipes {
	int in, out;
};

static struct pipes *pipes;

static long fork_server(unsigned long a, unsigned long b, long c, long d)
{
	pid_t pid = fork();

	if (!pid)
		peer_serve(pipes->in, pipes->out);
	return pid;
}

static long give(struct __test_metadata *_metadata, FIXTURE_DATA(memcg) *self,
		 bool by_fork)
{
	int to[2], from[2];
	struct peer_order order = { fork_server, 0, 0, 0, 0 };
	long pid;

	if (!by_fork) {
		self->at = peer_call(&self->dst, clone_order, self->src.pid,
				     self->addr, LEN, 0);
		return self->at;
	}
	/* another source, which knows the pipes */
	peer_stop(&self->src);
	pipes = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, pipe(to) | pipe(from));
	pipes->in = to[0];
	pipes->out = from[1];
	ASSERT_EQ(0, peer_start(&self->src));
	ASSERT_EQ(0, cgroup_enter(SRC, self->src.pid));
	self->addr = peer_call(&self->src, map_kind, BASE, LEN, 7, 0);
	pid = peer_call(&self->src, order.fn, 0, 0, 0, 0);
	ASSERT_GT(pid, 0);
	self->dst = (struct peer){ .pid = pid, .to = to[1], .from = from[0] };
	ASSERT_EQ(0, cgroup_enter(DST, pid));
	self->at = self->addr;
	return peer_call(&self->dst, do_nothing, 0, 0, 0, 0) ?: (long)self->at;
}

static long anon(const char *cgroup)
{
	return cgroup_stat(cgroup, "anon");
}

/* The charge of a page stays where it was: the clone costs page tables alone. */
AUDIT_TEST(memcg, stays_with_the_source)
{
	ASSERT_GT(give(_metadata, self, variant->by_fork), 0);
	EXPECT_NEAR(LEN, anon(SRC));
	EXPECT_NEAR(0, anon(DST));
	/* to read it all changes nothing */
	EXPECT_EQ(0, peer_call(&self->dst, check, self->at, LEN, 7, 0));
	EXPECT_NEAR(LEN, anon(SRC));
	EXPECT_NEAR(0, anon(DST));
}

/* Who writes pays for the copy. */
AUDIT_TEST(memcg, cow_by_the_receiver)
{
	ASSERT_GT(give(_metadata, self, variant->by_fork), 0);
	peer_call(&self->dst, fill, self->at, LEN, 8, 0);
	EXPECT_NEAR(LEN, anon(SRC));
	EXPECT_NEAR(LEN, anon(DST));
	EXPECT_EQ(0, peer_call(&self->src, check, self->addr, LEN, 7, 0));
}

AUDIT_TEST(memcg, cow_by_the_source)
{
	ASSERT_GT(give(_metadata, self, variant->by_fork), 0);
	peer_call(&self->src, fill, self->addr, LEN, 8, 0);
	EXPECT_NEAR(2 * LEN, anon(SRC));
	EXPECT_NEAR(0, anon(DST));
	/* the old ones go with the last who maps them */
	kill(self->dst.pid, SIGKILL);
	if (!variant->by_fork)
		peer_stop(&self->dst);
	for (int i = 0; i < 500 && anon(SRC) > (long)LEN + SLACK; i++)
		usleep(10000);
	EXPECT_NEAR(LEN, anon(SRC));
}

/* The source is gone, its charge remains as long as the receiver has the pages. */
AUDIT_TEST(memcg, exits)
{
	ASSERT_GT(give(_metadata, self, variant->by_fork), 0);
	if (variant->by_fork) {
		/* or PDEATHSIG would be the end of the child as well */
		EXPECT_EQ(0, peer_call(&self->src, unmap, self->addr, LEN, 0, 0));
	} else {
		peer_stop(&self->src);
	}
	EXPECT_NEAR(LEN, anon(SRC));
	EXPECT_EQ(0, peer_call(&self->dst, check, self->at, LEN, 7, 0));
	EXPECT_EQ(0, peer_call(&self->dst, unmap, self->at, LEN, 0, 0));
	EXPECT_NEAR(0, anon(SRC));
	EXPECT_NEAR(0, anon(DST));
	if (variant->by_fork)
		return;
	peer_stop(&self->dst);
	/* nothing holds the cgroups, and nothing is left in them */
	EXPECT_EQ(0, cgroup_remove(SRC));
	EXPECT_EQ(0, cgroup_remove(DST));
}

/*
 * A limit of the receiver that is far below the memory: the clone fits, to read it
 * fits, and what is written beyond goes to swap, at the receiver's expense alone.
 */
AUDIT_TEST(memcg, limit_of_the_receiver)
{
	long max = 6 * MB;

	if (!has_swap())
		SKIP(return, "no swap");
	ASSERT_GT(give(_metadata, self, variant->by_fork), 0);
	ASSERT_EQ(0, cgroup_write(DST, "memory.max", "6M"));
	EXPECT_EQ(0, peer_call(&self->dst, check, self->at, LEN, 7, 0));
	EXPECT_NEAR(LEN, anon(SRC));
	peer_call(&self->dst, fill, self->at, LEN, 8, 0);
	EXPECT_LE(cgroup_read(DST, "memory.current"), max);
	EXPECT_GE(cgroup_read(DST, "memory.swap.current"), (long)LEN - max - SLACK);
	EXPECT_EQ(0, cgroup_read(SRC, "memory.swap.current"));
	EXPECT_EQ(0, peer_call(&self->dst, check, self->at, LEN, 8, 0));
	EXPECT_EQ(0, peer_call(&self->src, check, self->addr, LEN, 7, 0));
}

FIXTURE(charge) {
	struct peer src, dst;
};

FIXTURE_SETUP(charge)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	if (!cgroup_make(SRC) || !cgroup_make(DST))
		SKIP(return, "no memory controller");
	ASSERT_EQ(0, peer_start(&self->src));
	ASSERT_EQ(0, peer_start(&self->dst));
	ASSERT_EQ(0, cgroup_enter(SRC, self->src.pid));
	ASSERT_EQ(0, cgroup_enter(DST, self->dst.pid));
}

FIXTURE_TEARDOWN(charge)
{
	peer_stop(&self->src);
	peer_stop(&self->dst);
	cgroup_remove(SRC);
	cgroup_remove(DST);
}

/* One page in each of many page tables. */
static long map_sparse(unsigned long len, unsigned long b, long c, long d)
{
	unsigned long addr = reserve(len);

	if (mmap((void *)addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return -errno;
	madvise((void *)addr, len, MADV_NOHUGEPAGE);
	for (unsigned long off = 0; off < len; off += PMD)
		*(unsigned long *)(addr + off) = off + 1;
	return addr;
}

static long check_sparse(unsigned long addr, unsigned long len, long c, long d)
{
	for (unsigned long off = 0; off < len; off += PMD)
		if (*(volatile unsigned long *)(addr + off) != off + 1)
			return 1;
	return 0;
}

static long spare_me(unsigned long a, unsigned long b, long c, long d)
{
	return write_file("/proc/self/oom_score_adj", "-1000");
}

/*
 * Page tables are charged to the receiver, and its limit is the end of the call:
 * ENOMEM, nothing left of it, and with more room it works.
 */
AUDIT_TEST(charge, page_tables)
{
	unsigned long len = 2048 * MB;
	long src = peer_call(&self->src, map_sparse, len, 0, 0, 0), dst, before;
	char text[32];

	ASSERT_GT(src, 0);
	/* nobody to be killed in there: the allocation has to fail */
	ASSERT_EQ(0, peer_call(&self->dst, spare_me, 0, 0, 0, 0));
	before = cgroup_read(DST, "memory.current");
	snprintf(text, sizeof(text), "%ld", before + (long)MB);
	ASSERT_EQ(0, cgroup_write(DST, "memory.max", text));
	cgroup_write(DST, "memory.swap.max", "0");
	EXPECT_EQ(-ENOMEM, peer_call(&self->dst, clone_order, self->src.pid, src,
				     len, 0));
	EXPECT_LE(status_kb(self->dst.pid, "VmPTE"), 256);
	EXPECT_NEAR(before, cgroup_read(DST, "memory.current"));
	ASSERT_EQ(0, cgroup_write(DST, "memory.max", "max"));
	dst = peer_call(&self->dst, clone_order, self->src.pid, src, len, 0);
	ASSERT_GT(dst, 0);
	EXPECT_GE(cgroup_stat(DST, "pagetables"), (long)(4 * MB) - SLACK);
	EXPECT_EQ(0, peer_call(&self->dst, check_sparse, dst, len, 0, 0));
	EXPECT_EQ(0, peer_call(&self->src, check_sparse, src, len, 0, 0));
	EXPECT_EQ(0, peer_call(&self->dst, unmap, dst, len, 0, 0));
	EXPECT_NEAR(before, cgroup_read(DST, "memory.current"));
}

/* Swapped pages stay in swap, and at the expense of who had them swapped out. */
AUDIT_TEST(charge, swap)
{
	long src = peer_call(&self->src, map_kind, BASE, LEN, 7, 0), dst;

	if (!has_swap())
		SKIP(return, "no swap");
	ASSERT_GT(src, 0);
	for (int i = 0; i < 20 && cgroup_read(SRC, "memory.swap.current") <
	     (long)LEN; i++)
		cgroup_write(SRC, "memory.reclaim", "32M");
	EXPECT_GE(cgroup_read(SRC, "memory.swap.current"), (long)LEN);
	dst = peer_call(&self->dst, clone_order, self->src.pid, src, LEN, 0);
	ASSERT_GT(dst, 0);
	EXPECT_GE(cgroup_read(SRC, "memory.swap.current"), (long)LEN);
	EXPECT_EQ(0, cgroup_read(DST, "memory.swap.current"));
	peer_stop(&self->src);
	EXPECT_GE(cgroup_read(SRC, "memory.swap.current"), (long)LEN);
	EXPECT_EQ(0, peer_call(&self->dst, check, dst, LEN, 7, 0));
	peer_call(&self->dst, fill, dst, LEN, 8, 0);
	EXPECT_EQ(0, peer_call(&self->dst, check, dst, LEN, 8, 0));
	peer_stop(&self->dst);
	EXPECT_NEAR(0, cgroup_read(SRC, "memory.swap.current"));
	EXPECT_EQ(0, cgroup_remove(SRC));
	EXPECT_EQ(0, cgroup_remove(DST));
}

TEST_HARNESS_MAIN
