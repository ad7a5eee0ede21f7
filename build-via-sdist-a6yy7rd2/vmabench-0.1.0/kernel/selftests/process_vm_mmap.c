// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a clone is: the same contents, copy-on-write both ways, for each kind of
 * memory, at any address, however often; with huge pages, swap and limits as
 * they were, and nothing left behind.
 */
#include "pvm.h"
#include "../kselftest_harness.h"

#include <linux/io_uring.h>

#define PVM_TEST(fixture, name) TEST_F_TIMEOUT(fixture, name, 300)

FIXTURE(clone) {
	struct peer peer;
	struct thp_state thp;
	unsigned long len;
	long src;		/* in the peer */
};

FIXTURE_VARIANT(clone) {
	enum kind kind;
	unsigned long len;
};

FIXTURE_VARIANT_ADD(clone, base) { .kind = BASE, .len = 1 * MB };
FIXTURE_VARIANT_ADD(clone, mthp) { .kind = MTHP, .len = 1 * MB };
FIXTURE_VARIANT_ADD(clone, thp) { .kind = THP, .len = 2 * PMD };
FIXTURE_VARIANT_ADD(clone, shmem) { .kind = SHMEM, .len = 1 * MB };
FIXTURE_VARIANT_ADD(clone, file) { .kind = PRIVATE_FILE, .len = 1 * MB };

FIXTURE_SETUP(clone)
{
	self->len = variant->len;
	if (!thp_borrow(&self->thp, variant->kind)) {
		thp_restore(&self->thp);
		SKIP(return, "the sizes of huge pages can't be set");
	}
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, map_kind, variant->kind, self->len, 7, 0);
	ASSERT_GT(self->src, 0);
	if (variant->kind == THP &&
	    smaps(self->peer.pid, self->src, self->len, "AnonHugePages") !=
	    (long)(self->len / KB))
		SKIP(return, "got no huge pages");
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
}

FIXTURE_TEARDOWN(clone)
{
	peer_stop(&self->peer);
	thp_restore(&self->thp);
}

static long clone_peer(struct peer *peer, unsigned long src, unsigned long len,
		       unsigned long dst, unsigned long flags)
{
	return clone_map(peer->pid, src, len, dst, flags);
}

PVM_TEST(clone, contents)
{
	long dst = clone_peer(&self->peer, self->src, self->len, 0, 0);

	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 7, 0));
	EXPECT_EQ(1, smaps(getpid(), dst, self->len, NULL));
}

/* The pages are shared, not copied. */
PVM_TEST(clone, same_frames)
{
	long dst = clone_peer(&self->peer, self->src, self->len, 0, 0);
	unsigned long off;

	ASSERT_GT(dst, 0);
	ASSERT_EQ(0, check(dst, self->len, 7, 0));
	if (!frame(getpid(), dst))
		SKIP(return, "page frames can't be seen");
	for (off = 0; off < self->len; off += page_size())
		ASSERT_EQ(frame(self->peer.pid, self->src + off),
			  frame(getpid(), dst + off));
}

PVM_TEST(clone, write_by_clone)
{
	long dst = clone_peer(&self->peer, self->src, self->len, 0, 0);

	ASSERT_GT(dst, 0);
	fill(dst, self->len, 8, 0);
	EXPECT_EQ(0, check(dst, self->len, 8, 0));
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len,
			       is_shared(variant->kind) ? 8 : 7, 0));
}

PVM_TEST(clone, write_by_source)
{
	long dst = clone_peer(&self->peer, self->src, self->len, 0, 0);

	ASSERT_GT(dst, 0);
	peer_call(&self->peer, fill, self->src, self->len, 9, 0);
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 9, 0));
	EXPECT_EQ(0, check(dst, self->len, is_shared(variant->kind) ? 9 : 7, 0));
}

/* The source is gone, the clone stays. */
PVM_TEST(clone, source_exits)
{
	long dst = clone_peer(&self->peer, self->src, self->len, 0, 0);

	ASSERT_GT(dst, 0);
	peer_stop(&self->peer);
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
	fill(dst, self->len, 8, 0);
	EXPECT_EQ(0, check(dst, self->len, 8, 0));
}

/* A part from the middle, at an address that fits no huge page. */
PVM_TEST(clone, part_incongruent)
{
	unsigned long off = 3 * page_size(), len = self->len - 8 * page_size();
	unsigned long dst = reserve(self->len + PMD) + 5 * page_size();
	unsigned long i;

	ASSERT_EQ(dst, clone_peer(&self->peer, self->src + off, len, dst,
				  PVMMAP_FIXED));
	for (i = 0; i < len; i += page_size())
		ASSERT_EQ(7UL * 1000003 + off + i, *(unsigned long *)(dst + i));
	if (is_shared(variant->kind))
		return;
	fill(dst, len, 8, 0);
	EXPECT_EQ(0, check(dst, len, 8, 0));
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 7, 0));
}

PVM_TEST(clone, fixed_replaces)
{
	unsigned long dst = reserve(self->len);

	ASSERT_EQ(dst, (unsigned long)mmap((void *)dst, self->len,
			PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	fill(dst, self->len, 1, 0);
	ASSERT_EQ(dst, clone_peer(&self->peer, self->src, self->len, dst,
				  PVMMAP_FIXED));
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
}

/* The clone of a clone, then the one in between goes. */
PVM_TEST(clone, clone_of_clone)
{
	struct peer third;
	long dst, last;

	ASSERT_EQ(0, peer_start(&third));
	dst = peer_call(&third, clone_order, self->peer.pid, self->src, self->len, 0);
	ASSERT_GT(dst, 0);
	peer_call(&third, fill, dst, page_size(), 5, 0);
	last = clone_map(third.pid, dst, self->len, 0, 0);
	ASSERT_GT(last, 0);
	peer_stop(&third);
	EXPECT_EQ(0, check(last, page_size(), 5, 0));
	fill(last, page_size(), 7, 0);
	EXPECT_EQ(0, check(last, self->len, 7, 0));
	if (!is_shared(variant->kind))
		EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 7, 0));
}

PVM_TEST(clone, twice)
{
	long one = clone_peer(&self->peer, self->src, self->len, 0, 0);
	long two = clone_peer(&self->peer, self->src, self->len, 0, 0);

	ASSERT_GT(one, 0);
	ASSERT_GT(two, 0);
	ASSERT_NE(one, two);
	if (!is_shared(variant->kind))
		fill(one, self->len, 8, 0);
	EXPECT_EQ(0, check(two, self->len, 7, 0));
	munmap((void *)one, self->len);
	EXPECT_EQ(0, check(two, self->len, 7, 0));
}

/* Source and clone in one mm, even in one page table. */
PVM_TEST(clone, within_one_mm)
{
	unsigned long len = self->len / 2 - 2 * page_size();
	unsigned long src = map_kind(variant->kind, len, 3, 0);
	unsigned long near = src + len + page_size(), far;

	ASSERT_GT((long)src, 0);
	ASSERT_EQ(near, clone_map(getpid(), src, len, near, PVMMAP_FIXED));
	far = clone_map(getpid(), src, len, 0, 0);
	ASSERT_GT((long)far, 0);
	EXPECT_EQ(0, check(near, len, 3, 0));
	EXPECT_EQ(0, check(far, len, 3, 0));
	if (is_shared(variant->kind))
		return;
	fill(near, len, 4, 0);
	EXPECT_EQ(0, check(src, len, 3, 0));
	fill(src, len, 5, 0);
	EXPECT_EQ(0, check(near, len, 4, 0));
	EXPECT_EQ(0, check(far, len, 3, 0));
}

/* A child hands the page of its parent, and one of its own, back to the parent. */
PVM_TEST(clone, fork_then_back)
{
	unsigned long src = map_kind(variant->kind, self->len, 3, 0);
	struct peer child;
	long back;

	ASSERT_EQ(0, peer_start(&child));
	peer_call(&child, fill, src, page_size(), 4, 0);
	back = clone_map(child.pid, src, self->len, 0, 0);
	ASSERT_GT(back, 0);
	EXPECT_EQ(0, check(back, page_size(), 4, 0));
	peer_stop(&child);
	EXPECT_EQ(0, check(back, page_size(), 4, 0));
	if (is_shared(variant->kind))
		return;
	EXPECT_EQ(0, check(src, self->len, 3, 0));
	fill(src, self->len, 6, 0);
	EXPECT_EQ(0, check(back, page_size(), 4, 0));
}

static unsigned long committed_kb(void)
{
	return read_field("/proc/meminfo", "Committed_AS");
}

/* Everything that a clone adds goes with it. */
PVM_TEST(clone, accounting)
{
	long len_kb = self->len / KB, vm, anon, data, committed, ptes, dst;

	/* once to begin with, so that page tables of upper levels are there */
	dst = clone_peer(&self->peer, self->src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	munmap((void *)dst, self->len);

	vm = status_kb(getpid(), "VmSize");
	data = status_kb(getpid(), "VmData");
	anon = smaps(getpid(), 0, -1UL, "Anonymous");
	ptes = status_kb(getpid(), "VmPTE");
	committed = committed_kb();
	dst = clone_peer(&self->peer, self->src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(vm + len_kb, status_kb(getpid(), "VmSize"));
	if (!is_shared(variant->kind)) {
		EXPECT_EQ(data + len_kb, status_kb(getpid(), "VmData"));
		EXPECT_EQ(len_kb, smaps(getpid(), dst, self->len, "Anonymous"));
		EXPECT_LE(labs((long)committed_kb() - committed - len_kb), 256);
	}
	EXPECT_EQ(0, munmap((void *)dst, self->len));
	EXPECT_EQ(vm, status_kb(getpid(), "VmSize"));
	EXPECT_EQ(data, status_kb(getpid(), "VmData"));
	EXPECT_EQ(ptes, status_kb(getpid(), "VmPTE"));
	EXPECT_LE(labs((long)committed_kb() - committed), 256);
	EXPECT_EQ(anon, smaps(getpid(), 0, -1UL, "Anonymous"));
}

/*
 * The RSS counters are per CPU and approximate, but only by so much: many clones
 * show whether each one is counted, and uncounted.
 */
PVM_TEST(clone, rss)
{
	const int nr = 16;
	long before, slack = 4096, dst[16], want = nr * self->len / KB;
	int i;

	if (is_shared(variant->kind))
		SKIP(return, "a shared mapping is filled by faults");
	before = status_kb(getpid(), "RssAnon");
	for (i = 0; i < nr; i++) {
		dst[i] = clone_peer(&self->peer, self->src, self->len, 0, 0);
		ASSERT_GT(dst[i], 0);
	}
	EXPECT_LE(labs(status_kb(getpid(), "RssAnon") - before - want), slack);
	for (i = 0; i < nr; i++)
		munmap((void *)dst[i], self->len);
	EXPECT_LE(labs(status_kb(getpid(), "RssAnon") - before), slack);
}

static void lay_pieces(struct __test_metadata *_metadata, struct peer *peer,
		       unsigned long src, unsigned long dst, unsigned long piece,
		       const int *order)
{
	for (int i = 0; i < 4; i++) {
		unsigned long off = order[i] * piece;

		ASSERT_EQ(dst + off, clone_peer(peer, src + off, piece, dst + off,
						PVMMAP_FIXED_NOREPLACE));
	}
}

/* Clones that lie side by side are one VMA, laid from either end. */
PVM_TEST(clone, merge)
{
	const int up[] = { 0, 1, 2, 3 }, down[] = { 3, 2, 1, 0 };
	unsigned long one = reserve(self->len), two;

	lay_pieces(_metadata, &self->peer, self->src, one, self->len / 4, up);
	EXPECT_EQ(1, smaps(getpid(), one, self->len, NULL));
	two = reserve(self->len);
	lay_pieces(_metadata, &self->peer, self->src, two, self->len / 4, down);
	EXPECT_EQ(1, smaps(getpid(), two, self->len, NULL));
	EXPECT_EQ(0, check(one, self->len, 7, 0));
	EXPECT_EQ(0, check(two, self->len, 7, 0));
	if (is_shared(variant->kind))
		return;
	fill(one, self->len, 8, 0);
	EXPECT_EQ(0, check(two, self->len, 7, 0));
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 7, 0));
}

static long fork_and_check(unsigned long addr, unsigned long len, long seed, long u)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(!!check(addr, len, seed, 0));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	return status;
}

PVM_TEST(clone, then_fork)
{
	long dst = clone_peer(&self->peer, self->src, self->len, 0, 0);

	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, fork_and_check(dst, self->len, 7, 0));
	fill(dst, self->len, 7, 0);
	EXPECT_EQ(0, fork_and_check(dst, self->len, 7, 0));
	EXPECT_EQ(0, peer_call(&self->peer, fork_and_check, self->src, self->len, 7, 0));
}

/* A page that is pinned for I/O stays the source's: the clone gets a copy. */
static long pin(unsigned long addr, unsigned long len, long u, long v)
{
	struct io_uring_params params = {};
	struct { void *base; size_t len; } iov = { (void *)addr, len };
	int fd = syscall(__NR_io_uring_setup, 4, &params);

	if (fd < 0)
		return -errno;
	if (syscall(__NR_io_uring_register, fd, IORING_REGISTER_BUFFERS, &iov, 1))
		return -errno;
	return 0;
}

PVM_TEST(clone, pinned)
{
	uint64_t was;
	long ret, dst;

	if (is_shared(variant->kind))
		SKIP(return, "nothing is copied on write");
	ret = peer_call(&self->peer, pin, self->src, 4 * page_size(), 0, 0);
	if (ret == -ENOSYS)
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, ret);
	was = frame(self->peer.pid, self->src);
	dst = clone_peer(&self->peer, self->src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
	if (!was)
		SKIP(return, "page frames can't be seen");
	EXPECT_NE(was, frame(getpid(), dst));
	peer_call(&self->peer, fill, self->src, self->len, 8, 0);
	EXPECT_EQ(was, frame(self->peer.pid, self->src));
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
}

/*
 * A thread of the source that never leaves user mode writes on while it is
 * cloned, with whatever its TLB remembers. What the clone has seen once it must
 * see for ever.
 */
static volatile int *spin_stop;

static long spin(unsigned long addr, unsigned long len, long u, long v)
{
	volatile unsigned long *first = (unsigned long *)addr;
	volatile unsigned long *last = (unsigned long *)(addr + len - page_size());
	unsigned long n = 1;

	while (!*spin_stop) {
		*first = *last = n++;
		for (int i = 0; i < 64; i++)
			(*last)++;
	}
	return 0;
}

PVM_TEST(clone, stale_tlb)
{
	unsigned long *first, *last, a, b;
	struct peer_order order = { spin, self->src, self->len, 0, 0 };
	bool moved = false;
	long dst;

	if (is_shared(variant->kind))
		SKIP(return, "a shared mapping shows every write");
	spin_stop = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* the peer has to know spin_stop too, so it is another one */
	peer_stop(&self->peer);
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, map_kind, variant->kind, self->len, 7, 0);
	order.a = self->src;
	ASSERT_EQ(sizeof(order), write(self->peer.to, &order, sizeof(order)));

	for (int round = 0; round < 50; round++) {
		usleep(2000);
		dst = clone_peer(&self->peer, self->src, self->len, 0, 0);
		ASSERT_GT(dst, 0);
		first = (unsigned long *)dst;
		last = (unsigned long *)(dst + self->len - page_size());
		a = *(volatile unsigned long *)first;
		b = *(volatile unsigned long *)last;
		for (int i = 0; i < 2000 && !moved; i++)
			moved = a != *(volatile unsigned long *)first ||
				b != *(volatile unsigned long *)last;
		munmap((void *)dst, self->len);
		if (moved)
			break;
	}
	*spin_stop = 1;
	EXPECT_FALSE(moved);
}

FIXTURE(huge) {
	struct peer peer;
	struct thp_state thp;
	unsigned long len;
	long src;
};

FIXTURE_SETUP(huge)
{
	self->len = 2 * PMD;
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
	if (!thp_borrow(&self->thp, THP)) {
		thp_restore(&self->thp);
		SKIP(return, "the sizes of huge pages can't be set");
	}
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, map_kind, THP, self->len, 7, 0);
	ASSERT_GT(self->src, 0);
	if (smaps(self->peer.pid, self->src, self->len, "AnonHugePages") !=
	    (long)(self->len / KB))
		SKIP(return, "got no huge pages");
}

FIXTURE_TEARDOWN(huge)
{
	peer_stop(&self->peer);
	thp_restore(&self->thp);
}

#define HUGE_KB(pid, addr) smaps(pid, addr, self->len, "AnonHugePages")

/* Congruent, as it is without a wish: one entry a huge page on both sides. */
PVM_TEST(huge, congruent)
{
	long dst = clone_peer(&self->peer, self->src, self->len, 0, 0);

	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, (dst ^ self->src) & (PMD - 1));
	EXPECT_EQ(self->len / KB, HUGE_KB(getpid(), dst));
	EXPECT_EQ(self->len / KB, HUGE_KB(self->peer.pid, self->src));
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
}

/* Congruent, although neither address nor length is a multiple of the size. */
PVM_TEST(huge, congruent_part)
{
	unsigned long off = 16 * page_size(), len = self->len - off;
	long dst = clone_peer(&self->peer, self->src + off, len, 0, 0);

	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, (dst ^ (self->src + off)) & (PMD - 1));
	EXPECT_EQ(PMD / KB, smaps(getpid(), dst, len, "AnonHugePages"));
	EXPECT_EQ(self->len / KB, HUGE_KB(self->peer.pid, self->src));
	fill(dst, len, 8, 0);
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 7, 0));
	peer_call(&self->peer, fill, self->src, self->len, 9, 0);
	EXPECT_EQ(0, check(dst, len, 8, 0));
}

/* Not congruent: small entries for the clone, the source keeps its huge ones. */
PVM_TEST(huge, incongruent)
{
	unsigned long dst = reserve(self->len + PMD) + 16 * page_size();
	long anon = status_kb(getpid(), "RssAnon"), len_kb = self->len / KB;

	ASSERT_EQ(dst, clone_peer(&self->peer, self->src, self->len, dst,
				  PVMMAP_FIXED));
	EXPECT_EQ(0, HUGE_KB(getpid(), dst));
	EXPECT_EQ(len_kb, HUGE_KB(self->peer.pid, self->src));
	/* each page counts, though no entry of its own was copied */
	EXPECT_LE(labs(status_kb(getpid(), "RssAnon") - anon - len_kb), len_kb / 2);
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
	peer_call(&self->peer, fill, self->src + PMD, PMD, 9, 0);
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
	peer_stop(&self->peer);
	fill(dst, self->len, 8, 0);
	EXPECT_EQ(0, check(dst, self->len, 8, 0));
}

static long map_huge_zero(unsigned long len, unsigned long b, long c, long d)
{
	unsigned long addr = reserve(len), sum = 0;

	if (mmap((void *)addr, len, PROT_READ | PROT_WRITE, MAP_FIXED |
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		return -errno;
	madvise((void *)addr, len, MADV_HUGEPAGE);
	for (unsigned long off = 0; off < len; off += page_size())
		sum += *(volatile char *)(addr + off);
	return sum ? -EIO : (long)addr;
}

static unsigned long nonzero(unsigned long addr, unsigned long len)
{
	unsigned long sum = 0;

	for (unsigned long off = 0; off < len; off += page_size())
		sum += !!*(volatile unsigned long *)(addr + off);
	return sum;
}

PVM_TEST(huge, zero_page)
{
	unsigned long odd = reserve(self->len + PMD) + page_size();
	long src = peer_call(&self->peer, map_huge_zero, self->len, 0, 0, 0), dst;

	ASSERT_GT(src, 0);
	dst = clone_peer(&self->peer, src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	ASSERT_EQ(odd, clone_peer(&self->peer, src, self->len, odd, PVMMAP_FIXED));
	EXPECT_EQ(0, nonzero(dst, self->len));
	EXPECT_EQ(0, nonzero(odd, self->len));
	EXPECT_EQ(0, smaps(getpid(), odd, self->len, "Rss"));
	fill(odd, self->len, 8, 0);
	fill(dst, self->len, 9, 0);
	EXPECT_EQ(0, check(odd, self->len, 8, 0));
	EXPECT_EQ(0, check(dst, self->len, 9, 0));
}

FIXTURE(swapped) {
	struct peer peer;
	unsigned long len;
	long src;
};

FIXTURE_SETUP(swapped)
{
	self->len = 1 * MB;
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, map_kind, BASE, self->len, 7, 0);
	ASSERT_GT(self->src, 0);
	peer_call(&self->peer, advise, self->src, self->len, MADV_PAGEOUT, 0);
	if (smaps(self->peer.pid, self->src, self->len, "Swap") <
	    (long)(self->len / KB * 9 / 10))
		SKIP(return, "nothing was swapped out: is there a swap device?");
}

FIXTURE_TEARDOWN(swapped)
{
	peer_stop(&self->peer);
}

static long swap_io(void)
{
	return read_field("/proc/vmstat", "pswpin") +
	       read_field("/proc/vmstat", "pswpout");
}

PVM_TEST(swapped, no_io)
{
	long io = swap_io();
	long dst = clone_peer(&self->peer, self->src, self->len, 0, 0);

	EXPECT_EQ(io, swap_io());
	ASSERT_GT(dst, 0);
	EXPECT_GE(smaps(getpid(), dst, self->len, "Swap"),
		  (long)(self->len / KB * 9 / 10));
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
	fill(dst, self->len, 8, 0);
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 7, 0));
	EXPECT_LT(io, swap_io());
}

PVM_TEST(swapped, source_exits)
{
	long dst = clone_peer(&self->peer, self->src, self->len, 0, 0);

	ASSERT_GT(dst, 0);
	peer_stop(&self->peer);
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
	munmap((void *)dst, self->len);
}

TEST_HARNESS_MAIN
