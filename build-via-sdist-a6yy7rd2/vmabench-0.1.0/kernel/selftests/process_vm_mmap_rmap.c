// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does rmap find a page wherever a clone has put it?  Migration has to find all
 * mappings of a page or it fails, so it is asked to move pages that are mapped at
 * several addresses, also those that KSM has merged; reclaim of a cgroup too.
 */
#include "pvm.h"
#include "../kselftest_harness.h"

#include <dirent.h>
#include <sys/stat.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

#define KSM "/sys/kernel/mm/ksm/"

FIXTURE(rmap) {
	struct peer peer, third;
	struct thp_state thp;
	unsigned long len;
	long src, dst, low, mid, last;
};

FIXTURE_VARIANT(rmap) {
	enum kind kind;
	unsigned long len;
};

FIXTURE_VARIANT_ADD(rmap, base) { .kind = BASE, .len = 64 * KB };
FIXTURE_VARIANT_ADD(rmap, mthp) { .kind = MTHP, .len = 256 * KB };
FIXTURE_VARIANT_ADD(rmap, thp) { .kind = THP, .len = PMD };
FIXTURE_VARIANT_ADD(rmap, file) { .kind = PRIVATE_FILE, .len = 64 * KB };

/*
 * One page mapped five times: a source, two clones here, a clone elsewhere, and
 * ours of that.
 */
FIXTURE_SETUP(rmap)
{
	self->len = variant->len;
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
	if (!thp_borrow(&self->thp, variant->kind)) {
		thp_restore(&self->thp);
		SKIP(return, "the sizes of huge pages can't be set");
	}
	ASSERT_EQ(0, peer_start(&self->peer));
	ASSERT_EQ(0, peer_start(&self->third));
	self->src = peer_call(&self->peer, map_kind, variant->kind, self->len, 7, 0);
	ASSERT_GT(self->src, 0);
	self->dst = clone_map(self->peer.pid, self->src, self->len, 0, 0);
	ASSERT_GT(self->dst, 0);
	self->low = reserve(self->len + PMD) + page_size();
	ASSERT_EQ(self->low, clone_map(self->peer.pid, self->src, self->len,
				       self->low, PVMMAP_FIXED));
	self->mid = peer_call(&self->third, clone_order, self->peer.pid, self->src,
			      self->len, 0);
	ASSERT_GT(self->mid, 0);
	self->last = clone_map(self->third.pid, self->mid, self->len, 0, 0);
	ASSERT_GT(self->last, 0);
}

FIXTURE_TEARDOWN(rmap)
{
	peer_stop(&self->peer);
	peer_stop(&self->third);
	thp_restore(&self->thp);
}

static void same_everywhere(struct __test_metadata *_metadata,
			    FIXTURE_DATA(rmap) *self, unsigned long off)
{
	uint64_t one = frame(getpid(), self->dst + off);

	EXPECT_NE(0, one);
	EXPECT_EQ(one, frame(self->peer.pid, self->src + off));
	EXPECT_EQ(one, frame(getpid(), self->low + off));
	EXPECT_EQ(one, frame(self->third.pid, self->mid + off));
	EXPECT_EQ(one, frame(getpid(), self->last + off));
}

TEST_F_TIMEOUT(rmap, migrate, 300)
{
	unsigned long step = variant->kind == THP ? PMD : page_size();
	uint64_t was = frame(getpid(), self->dst);
	int node;

	if (!has_two_nodes() || !was)
		SKIP(return, "one node, or no privilege");
	for (unsigned long off = 0; off < self->len; off += step) {
		node = !node_of(0, self->dst + off);
		was = frame(getpid(), self->dst + off);
		EXPECT_EQ(0, move_to(0, self->dst + off, node));
		EXPECT_NE(was, frame(getpid(), self->dst + off));
		same_everywhere(_metadata, self, off);
		/* asked for by another mapping of it */
		EXPECT_EQ(0, move_to(0, self->last + off, !node));
		same_everywhere(_metadata, self, off);
	}
	EXPECT_EQ(0, check(self->low, self->len, 7, 0));
	EXPECT_EQ(0, check(self->last, self->len, 7, 0));
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 7, 0));
}

/* The same after the one that made the page is gone. */
TEST_F_TIMEOUT(rmap, migrate_orphan, 300)
{
	if (!has_two_nodes() || !frame(getpid(), self->dst))
		SKIP(return, "one node, or no privilege");
	peer_stop(&self->peer);
	EXPECT_EQ(0, move_to(0, self->dst, !node_of(0, self->dst)));
	EXPECT_EQ(frame(getpid(), self->dst), frame(getpid(), self->low));
	EXPECT_EQ(frame(getpid(), self->dst), frame(self->third.pid, self->mid));
	EXPECT_EQ(frame(getpid(), self->dst), frame(getpid(), self->last));
}

/* Pages that a neighbour's anon_vma holds, as two clones have merged. */
TEST_F_TIMEOUT(rmap, migrate_merged, 300)
{
	unsigned long half = self->len / 2 & ~(page_size() - 1), at;

	if (!has_two_nodes() || !frame(getpid(), self->dst))
		SKIP(return, "one node, or no privilege");
	at = reserve(self->len);
	ASSERT_EQ(at, clone_map(self->peer.pid, self->src, half, at, PVMMAP_FIXED));
	/* the source has written since */
	peer_call(&self->peer, fill, self->src, page_size(), 7, 0);
	ASSERT_EQ(at + half, clone_map(self->peer.pid, self->src + half,
				       self->len - half, at + half, PVMMAP_FIXED));
	EXPECT_EQ(1, smaps(getpid(), at, self->len, NULL));
	EXPECT_EQ(0, move_to(0, at + half, !node_of(0, at + half)));
	EXPECT_EQ(frame(getpid(), at + half), frame(self->peer.pid, self->src + half));
	EXPECT_EQ(0, check(at, self->len, 7, 0));
}

static long reserve_order(unsigned long len, unsigned long b, long c, long d)
{
	return reserve(len);
}

/*
 * Two pieces that would fit together, but come from a process and its child, and
 * the second has pages that only the child's anon_vma knows. If they merge they
 * do it in a way that lets rmap find these pages.
 */
TEST_F_TIMEOUT(rmap, merge_of_strangers, 300)
{
	unsigned long half = self->len / 2 & ~(page_size() - 1), src;
	struct peer child;
	uint64_t was;
	long at;

	if (!has_two_nodes() || !frame(getpid(), self->dst))
		SKIP(return, "one node, or no privilege");
	src = map_kind(variant->kind, self->len, 7, 0);
	ASSERT_EQ(0, peer_start(&child));
	peer_call(&child, fill, src, self->len, 7, 0);
	at = peer_call(&self->third, reserve_order, self->len, 0, 0, 0);
	ASSERT_EQ(at, peer_call(&self->third, clone_order, getpid(), src, half, at));
	ASSERT_EQ(at + half, peer_call(&self->third, clone_order, child.pid,
				       src + half, half, at + half));
	was = frame(child.pid, src + half);
	ASSERT_EQ(was, frame(self->third.pid, at + half));
	EXPECT_EQ(0, move_to(child.pid, src + half, !node_of(child.pid, src + half)));
	EXPECT_NE(was, frame(child.pid, src + half));
	EXPECT_EQ(frame(child.pid, src + half), frame(self->third.pid, at + half));
	EXPECT_EQ(0, peer_call(&self->third, check, at, half, 7, 0));
	peer_stop(&child);
}

/* All of a cgroup to swap, and back. */
TEST_F_TIMEOUT(rmap, reclaim, 300)
{
	const char *dir = "/sys/fs/cgroup/pvm-test";
	struct peer peer;
	long src, dst, swapped = 0;

	mkdir(dir, 0755);
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (access("/sys/fs/cgroup/pvm-test/memory.reclaim", W_OK))
		SKIP(return, "no memory controller");
	ASSERT_EQ(0, peer_start(&peer));
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", peer.pid);
	ASSERT_EQ(0, write_file("/sys/fs/cgroup/pvm-test/cgroup.procs", pid));
	src = peer_call(&peer, map_kind, variant->kind, self->len, 7, 0);
	dst = clone_map(peer.pid, src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	for (int i = 0; i < 10 && !swapped; i++) {
		forget_references(peer.pid);
		forget_references(getpid());
		write_file("/sys/fs/cgroup/pvm-test/memory.reclaim", "16M");
		swapped = smaps(getpid(), dst, self->len, "Swap");
	}
	if (read_field("/proc/meminfo", "SwapTotal") <= 0)
		SKIP(return, "no swap");
	EXPECT_GT(swapped, 0);
	EXPECT_EQ(swapped, smaps(peer.pid, src, self->len, "Swap"));
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
	EXPECT_EQ(0, peer_call(&peer, check, src, self->len, 7, 0));
	peer_stop(&peer);
	rmdir(dir);
}

FIXTURE(ksm) {
	struct peer peer;
	unsigned long len;
	long src, run, sleep, pages, zero;
};

static long map_equal(unsigned long len, unsigned long word, long c, long d)
{
	unsigned long addr = reserve(len);

	if (mmap((void *)addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -errno;
	madvise((void *)addr, len, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < len / sizeof(word); i++)
		((unsigned long *)addr)[i] = word;
	return madvise((void *)addr, len, MADV_MERGEABLE) ? -errno :
	       (long)addr;
}

static bool ksm_scan(void)
{
	long scans = read_long(KSM "full_scans"), now;

	for (int i = 0; i < 2000; i++) {
		now = read_long(KSM "full_scans");
		if (now > scans + 2)
			return true;
		usleep(10000);
	}
	return false;
}

FIXTURE_SETUP(ksm)
{
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
	self->len = 16 * page_size();
	self->run = read_long(KSM "run");
	self->sleep = read_long(KSM "sleep_millisecs");
	self->pages = read_long(KSM "pages_to_scan");
	self->zero = read_long(KSM "use_zero_pages");
	write_long(KSM "sleep_millisecs", 1);
	write_long(KSM "pages_to_scan", 10000);
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, map_equal, self->len, 0x55, 0, 0);
	if (self->src < 0 || write_file(KSM "run", "1"))
		SKIP(return, "no KSM");
}

FIXTURE_TEARDOWN(ksm)
{
	peer_stop(&self->peer);
	write_long(KSM "run", self->run);
	write_long(KSM "sleep_millisecs", self->sleep);
	write_long(KSM "pages_to_scan", self->pages);
	write_long(KSM "use_zero_pages", self->zero);
}

static bool all_equal(unsigned long addr, unsigned long len, unsigned long word)
{
	for (unsigned long i = 0; i < len / sizeof(word); i++)
		if (((volatile unsigned long *)addr)[i] != word)
			return false;
	return true;
}

/* A page of the stable tree at another address: it can still be migrated. */
TEST_F_TIMEOUT(ksm, migrate, 300)
{
	long dst;

	if (!has_two_nodes() || !frame(getpid(), (unsigned long)&dst))
		SKIP(return, "one node, or no privilege");
	ASSERT_TRUE(ksm_scan());
	ASSERT_EQ(frame(self->peer.pid, self->src),
		  frame(self->peer.pid, self->src + page_size()));
	/* no ksmd from here on: it would make the clone known itself */
	write_file(KSM "run", "0");
	dst = clone_map(self->peer.pid, self->src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	ASSERT_NE(self->src, dst);
	ASSERT_EQ(frame(self->peer.pid, self->src), frame(getpid(), dst));
	EXPECT_EQ(0, move_to(0, dst, !node_of(0, dst)));
	EXPECT_EQ(frame(self->peer.pid, self->src), frame(getpid(), dst));
	EXPECT_EQ(frame(getpid(), dst + page_size()), frame(getpid(), dst));
	EXPECT_TRUE(all_equal(dst, self->len, 0x55));
	fill(dst, self->len, 3, 0);
	EXPECT_EQ(0, check(dst, self->len, 3, 0));
}

/* Before any scan, then both sides are scanned, unmerged, written. */
TEST_F_TIMEOUT(ksm, not_merged_yet, 300)
{
	long dst = clone_map(self->peer.pid, self->src, self->len, 0, 0);

	ASSERT_GT(dst, 0);
	ASSERT_TRUE(ksm_scan());
	EXPECT_EQ(frame(getpid(), dst), frame(getpid(), dst + page_size()));
	write_file(KSM "run", "2");
	EXPECT_TRUE(all_equal(dst, self->len, 0x55));
	fill(dst, self->len, 3, 0);
	EXPECT_EQ(0, check(dst, self->len, 3, 0));
}

static long zero_pages(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ksm_stat", pid);
	return read_field(path, "ksm_zero_pages");
}

static long fork_wait(unsigned long a, unsigned long b, long c, long d)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return waitpid(pid, NULL, 0) == pid ? 0 : -ECHILD;
}

/* Zero pages that KSM has placed are counted as they come and go. */
TEST_F_TIMEOUT(ksm, zero_pages, 300)
{
	long src, dst, all, pages = self->len / page_size();

	if (write_file(KSM "use_zero_pages", "1"))
		SKIP(return, "no use_zero_pages");
	src = peer_call(&self->peer, map_equal, self->len, 0, 0, 0);
	ASSERT_GT(src, 0);
	ASSERT_TRUE(ksm_scan());
	ASSERT_EQ(pages, zero_pages(self->peer.pid));
	write_file(KSM "run", "0");
	all = read_long(KSM "ksm_zero_pages");
	dst = clone_map(self->peer.pid, src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(pages, zero_pages(getpid()));
	EXPECT_EQ(all + pages, read_long(KSM "ksm_zero_pages"));
	munmap((void *)dst, self->len);
	EXPECT_EQ(0, zero_pages(getpid()));
	EXPECT_EQ(all, read_long(KSM "ksm_zero_pages"));
	/* and by fork() as they were */
	ASSERT_EQ(0, peer_call(&self->peer, fork_wait, 0, 0, 0, 0));
	EXPECT_EQ(all, read_long(KSM "ksm_zero_pages"));
}

TEST_HARNESS_MAIN
