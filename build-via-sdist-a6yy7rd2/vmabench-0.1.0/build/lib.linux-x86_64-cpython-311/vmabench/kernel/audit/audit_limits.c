// SPDX-License-Identifier: GPL-2.0-only
/*
 * A4: sizes, overcommit, limits. What the kernel keeps as counters is held against
 * what can be added up from smaps, after each of many random steps; a failed call
 * must leave every counter where it was, and so must a clone that is unmapped.
 */
#include "audit.h"

#include <sys/resource.h>

FIXTURE(limits) {
	struct peer peer;
	unsigned long len;
	long src;
};

FIXTURE_SETUP(limits)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	self->len = 4 * MB;
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, map_kind, BASE, self->len, 7, 0);
	ASSERT_GT(self->src, 0);
}

FIXTURE_TEARDOWN(limits)
{
	peer_stop(&self->peer);
}

static long committed_kb(void)
{
	return read_field("/proc/meminfo", "Committed_AS");
}

/* What the mappings of a process add up to by smaps, [vsyscall] apart. */
static long mapped_kb(pid_t pid)
{
	return smaps(pid, 0, 1UL << 63, "Size");
}

/* Committed_AS is summed over the CPUs, exactly, if nobody else maps anything. */
#define EXPECT_COMMITTED(before, more_kb) \
	EXPECT_LE(labs(committed_kb() - (before) - (long)(more_kb)), 256)

AUDIT_TEST(limits, committed)
{
	long before, dst, len_kb = self->len / KB;
	unsigned long at = reserve(self->len);

	before = committed_kb();
	dst = clone_map(self->peer.pid, self->src, self->len, at, PVMMAP_FIXED);
	ASSERT_EQ((long)at, dst);
	EXPECT_COMMITTED(before, len_kb);
	/* over itself: what is replaced is given back */
	ASSERT_EQ(dst, clone_map(self->peer.pid, self->src, self->len, at,
				 PVMMAP_FIXED));
	EXPECT_COMMITTED(before, len_kb);
	/* over half of it */
	ASSERT_EQ(dst, clone_map(self->peer.pid, self->src, self->len / 2, at,
				 PVMMAP_FIXED));
	EXPECT_COMMITTED(before, len_kb);
	/* refused */
	EXPECT_EQ(-EFAULT, clone_map(self->peer.pid, self->src, 2 * self->len, at,
				     PVMMAP_FIXED));
	EXPECT_EQ(-EEXIST, clone_map(self->peer.pid, self->src, self->len, at,
				     PVMMAP_FIXED_NOREPLACE));
	EXPECT_COMMITTED(before, len_kb);
	munmap((void *)at, self->len);
	EXPECT_COMMITTED(before, 0);
}

static long map_flags(unsigned long len, unsigned long flags, long prot, long u)
{
	void *map = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	return map == MAP_FAILED ? -errno : (long)map;
}

/* What is not charged at the source is not charged at the clone. */
AUDIT_TEST(limits, not_accounted)
{
	long src = peer_call(&self->peer, map_flags, self->len, MAP_NORESERVE,
			     PROT_READ | PROT_WRITE, 0);
	long fixed = peer_call(&self->peer, map_flags, self->len, 0, PROT_READ, 0);
	long before = committed_kb(), one, two;

	ASSERT_GT(src, 0);
	ASSERT_GT(fixed, 0);
	one = clone_map(self->peer.pid, src, self->len, 0, 0);
	two = clone_map(self->peer.pid, fixed, self->len, 0, 0);
	ASSERT_GT(one, 0);
	ASSERT_GT(two, 0);
	EXPECT_COMMITTED(before, 0);
	/* it is, once it can be written */
	EXPECT_EQ(0, mprotect((void *)two, self->len, PROT_READ | PROT_WRITE));
	EXPECT_COMMITTED(before, self->len / KB);
	munmap((void *)one, self->len);
	munmap((void *)two, self->len);
	EXPECT_COMMITTED(before, 0);
}

/* Random steps: sizes are what the mappings add up to, at any time. */
AUDIT_TEST(limits, random_steps)
{
	unsigned long room = reserve(4 * self->len), page = page_size();
	long vm = status_kb(getpid(), "VmSize"), data, anon, committed, dst;

	/* the first clone makes page tables, and is the measure of the rest */
	dst = clone_map(self->peer.pid, self->src, self->len, room, PVMMAP_FIXED);
	ASSERT_EQ((long)room, dst);
	munmap((void *)room, self->len);
	data = status_kb(getpid(), "VmData");
	anon = smaps(getpid(), 0, -1UL, "Anonymous");
	committed = committed_kb();
	srand(1);
	for (int i = 0; i < 150; i++) {
		unsigned long pages = 1 + rand() % 64;
		unsigned long off = rand() % (self->len / page - pages) * page;
		unsigned long at = room + rand() % (2 * self->len / page) * page;

		if (rand() % 3 == 0)
			dst = munmap((void *)at, pages * page) ?: (long)at;
		else
			dst = clone_map(self->peer.pid, self->src + off,
					pages * page, at, PVMMAP_FIXED);
		ASSERT_EQ((long)at, dst);
		ASSERT_EQ(mapped_kb(getpid()), status_kb(getpid(), "VmSize"));
		/* all that is in the room is private, writable and filled */
		ASSERT_EQ(smaps(getpid(), room, 4 * self->len, "Size"),
			  status_kb(getpid(), "VmData") - data);
		ASSERT_EQ(smaps(getpid(), room, 4 * self->len, "Size"),
			  smaps(getpid(), room, 4 * self->len, "Anonymous"));
	}
	EXPECT_COMMITTED(committed, smaps(getpid(), room, 4 * self->len, "Size"));
	munmap((void *)room, 4 * self->len);
	EXPECT_EQ(vm, status_kb(getpid(), "VmSize"));
	EXPECT_EQ(data, status_kb(getpid(), "VmData"));
	EXPECT_EQ(anon, smaps(getpid(), 0, -1UL, "Anonymous"));
	EXPECT_COMMITTED(committed, 0);
}

/*
 * The counter of anonymous pages says what can be seen page by page, whatever they
 * are mapped by: huge entries that fit, small ones where they do not, or some of each.
 * A batch of each CPU is missing from the counter.
 */
AUDIT_TEST(limits, rss)
{
	static const struct {
		unsigned long from, pages, shift;
	} parts[] = { { 0, 2048, 0 }, { 0, 2048, 3 }, { 5, 2000, 0 }, { 100, 1500, 7 } };
	unsigned long page = page_size(), len = 4 * PMD;
	struct thp_state thp;
	long src = -ENOMEM, before, batch_kb = 512;

	if (thp_borrow(&thp, THP))
		src = peer_call(&self->peer, map_kind, THP, len, 7, 0);
	thp_restore(&thp);
	ASSERT_GT(src, 0);
	ASSERT_EQ(len / KB, smaps(self->peer.pid, src, len, "AnonHugePages"));
	before = status_kb(getpid(), "RssAnon");
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		unsigned long at = reserve(len + PMD) + parts[i].from * page +
				   parts[i].shift * page;
		unsigned long bytes = parts[i].pages * page;
		long seen;

		ASSERT_EQ((long)at, clone_map(self->peer.pid, src + parts[i].from * page,
					      bytes, at, PVMMAP_FIXED));
		seen = smaps(getpid(), at, bytes, "Anonymous");
		EXPECT_EQ(bytes / KB, seen);
		EXPECT_LE(labs(status_kb(getpid(), "RssAnon") - before - seen), batch_kb);
		munmap((void *)at, bytes);
		EXPECT_LE(labs(status_kb(getpid(), "RssAnon") - before), batch_kb);
	}
}

/* The limit is met to the page: what fits just fits, one page more does not. */
AUDIT_TEST(limits, rlimit_as)
{
	unsigned long page = page_size(), at = reserve(2 * self->len);
	struct rlimit limit = { 0, RLIM_INFINITY };

	limit.rlim_cur = mapped_kb(getpid()) * KB + self->len - page;
	/* the stack of a later call must not grow into the measure */
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	EXPECT_EQ(-ENOMEM, clone_map(self->peer.pid, self->src, self->len, at,
				     PVMMAP_FIXED));
	EXPECT_EQ(0, smaps(getpid(), at, self->len, NULL));
	EXPECT_EQ((long)at, clone_map(self->peer.pid, self->src, self->len - page,
				      at, PVMMAP_FIXED));
	/* full: replacing is no more than there was, beside it is */
	EXPECT_EQ((long)at, clone_map(self->peer.pid, self->src, self->len - page,
				      at, PVMMAP_FIXED));
	EXPECT_EQ(-ENOMEM, clone_map(self->peer.pid, self->src, page,
				     at + self->len, PVMMAP_FIXED));
	EXPECT_EQ(0, check(at, self->len - page, 7, 0));
}

AUDIT_TEST(limits, rlimit_memlock)
{
	struct rlimit limit = { 3 * self->len / 2, 3 * self->len / 2 };
	unsigned long at = reserve(2 * self->len), room;
	int status;
	pid_t pid;

	ASSERT_GT((long)at, 0);
	if (geteuid())
		SKIP(return, "not root");
	/* in our own mm: another's takes a privilege, which knows no such limit */
	pid = fork();
	if (!pid) {
		unsigned long mine = map_kind(BASE, self->len, 7, 0);

		room = reserve(2 * self->len);
		if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(65534, 65534, 65534) ||
		    mlockall(MCL_FUTURE))
			_exit(99);
		/* one fits, and is locked and there; a second does not */
		if (clone_map(getpid(), mine, self->len, room, PVMMAP_FIXED) != (long)room)
			_exit(1);
		if (status_kb(getpid(), "VmLck") != (long)(self->len / KB))
			_exit(2);
		if (clone_map(getpid(), mine, self->len, room + self->len,
			      PVMMAP_FIXED) != -EAGAIN)
			_exit(3);
		if (status_kb(getpid(), "VmLck") != (long)(self->len / KB))
			_exit(4);
		munmap((void *)room, self->len);
		if (status_kb(getpid(), "VmLck"))
			_exit(5);
		_exit(check(mine, self->len, 7, 0) ? 6 : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

/* overcommit_memory=2: the limit is met, and freed memory can be had again. */
AUDIT_TEST(limits, overcommit)
{
	const char *path = "/proc/sys/vm/overcommit_memory";
	long was = read_long(path), part = 64 * MB, limit, used, ret = 0, count = 0, src;
	unsigned long room = reserve(8UL << 30);

	src = peer_call(&self->peer, map_flags, part, 0, PROT_READ | PROT_WRITE, 0);
	ASSERT_GT(src, 0);
	if (write_file(path, "2"))
		SKIP(return, "overcommit can't be set");
	limit = read_field("/proc/meminfo", "CommitLimit");
	used = committed_kb();
	for (; count < 100 && ret >= 0; count += ret >= 0)
		ret = clone_map(self->peer.pid, src, part, room + count * part,
				PVMMAP_FIXED);
	EXPECT_EQ(-ENOMEM, ret);
	EXPECT_LE(committed_kb(), limit);
	/* root's reserve, and what a process may not take, are some parts' worth */
	EXPECT_GE(count, (limit - used) * (long)KB / part - 4);
	EXPECT_LE(count, (limit - used) * (long)KB / part + 1);
	munmap((void *)room, part);
	EXPECT_EQ((long)room, clone_map(self->peer.pid, src, part, room, PVMMAP_FIXED));
	munmap((void *)room, 100 * part);
	EXPECT_COMMITTED(used, 0);
	write_long(path, was);
}

TEST_HARNESS_MAIN
