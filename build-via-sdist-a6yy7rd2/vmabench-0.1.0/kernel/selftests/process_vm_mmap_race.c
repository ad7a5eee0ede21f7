// SPDX-License-Identifier: GPL-2.0-only
/*
 * While the call runs: the source exits, execs, unmaps and forks; two processes
 * clone from each other; and allocations fail at every depth.  What is looked
 * for is a hang, a report of the kernel, wrong contents, or something left over.
 */
#include "pvm.h"
#include "../kselftest_harness.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define SECONDS	2

static bool time_is_up(time_t start)
{
	return time(NULL) - start > SECONDS;
}

FIXTURE(race) {
	unsigned long len;
	unsigned long *shared;	/* [0] where the source is, [1] stop */
	unsigned long dst;
};

FIXTURE_SETUP(race)
{
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
	self->len = 64 * page_size();
	self->shared = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	self->dst = reserve(self->len);
}

FIXTURE_TEARDOWN(race)
{
}

/*
 * Clone from @pid until it has no such mapping any more, or is gone: how often it
 * worked, or -1.
 */
static long clone_until(struct __test_metadata *_metadata, pid_t pid,
			unsigned long src, unsigned long len, unsigned long dst)
{
	long good = 0, ret;

	for (;;) {
		ret = clone_map(pid, src, len, dst, PVMMAP_FIXED);
		if (ret == -ESRCH || ret == -EFAULT)
			return good;
		EXPECT_EQ((long)dst, ret) {
			return -1;
		}
		EXPECT_EQ(0, check(dst, len, 7, 0)) {
			return -1;
		}
		good++;
	}
}

/* A source that lives for a moment, and then exits or becomes another program. */
static pid_t start_mortal(FIXTURE_DATA(race) *self, bool execs)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	self->shared[0] = map_kind(BASE, self->len, 7, 0);
	usleep(rand() % 3000);
	if (execs)
		execl("/proc/self/exe", "pvm-sleeper", "--sleep", NULL);
	_exit(0);
}

static void clone_from_mortals(struct __test_metadata *_metadata,
			       FIXTURE_DATA(race) *self, bool execs)
{
	time_t start = time(NULL);
	long good = 0, n;

	while (!time_is_up(start)) {
		pid_t pid = start_mortal(self, execs);

		while (!*(volatile unsigned long *)self->shared)
			usleep(50);
		n = clone_until(_metadata, pid, self->shared[0], self->len,
				self->dst);
		self->shared[0] = 0;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		ASSERT_GE(n, 0);
		good += n;
		srand(good + n);
	}
	EXPECT_GT(good, 0);
}

TEST_F_TIMEOUT(race, source_exits, 120)
{
	clone_from_mortals(_metadata, self, false);
}

TEST_F_TIMEOUT(race, source_execs, 120)
{
	clone_from_mortals(_metadata, self, true);
}

TEST_F_TIMEOUT(race, source_unmaps, 120)
{
	time_t start = time(NULL);
	long good = 0, ret;
	pid_t pid = fork();

	if (!pid) {
		self->shared[0] = map_kind(BASE, self->len, 7, 0);
		while (!((volatile unsigned long *)self->shared)[1]) {
			munmap((void *)self->shared[0], self->len);
			mmap((void *)self->shared[0], self->len,
			     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
			     MAP_FIXED, -1, 0);
			fill(self->shared[0], self->len, 7, 0);
		}
		_exit(0);
	}
	while (!*(volatile unsigned long *)self->shared)
		usleep(50);
	while (!time_is_up(start)) {
		ret = clone_map(pid, self->shared[0], self->len, self->dst,
				PVMMAP_FIXED);
		if (ret == -EFAULT)
			continue;
		ASSERT_EQ((long)self->dst, ret);
		/* each page is as filled, or not filled yet */
		for (unsigned long off = 0; off < self->len; off += page_size()) {
			unsigned long got = *(unsigned long *)(self->dst + off);

			ASSERT_TRUE(!got || got == 7UL * 1000003 + off);
		}
		good++;
	}
	self->shared[1] = 1;
	waitpid(pid, NULL, 0);
	EXPECT_GT(good, 0);
}

TEST_F_TIMEOUT(race, source_forks, 120)
{
	time_t start = time(NULL);
	long good = 0;
	pid_t pid = fork();

	if (!pid) {
		self->shared[0] = map_kind(BASE, self->len, 7, 0);
		while (!((volatile unsigned long *)self->shared)[1]) {
			pid_t child = fork();

			if (!child) {
				fill(self->shared[0], self->len, 8, 0);
				_exit(0);
			}
			fill(self->shared[0], self->len, 7, 0);
			waitpid(child, NULL, 0);
		}
		_exit(!!check(self->shared[0], self->len, 7, 0));
	}
	while (!*(volatile unsigned long *)self->shared)
		usleep(50);
	while (!time_is_up(start)) {
		ASSERT_EQ((long)self->dst,
			  clone_map(pid, self->shared[0], self->len, self->dst,
				    PVMMAP_FIXED));
		ASSERT_EQ(0, check(self->dst, self->len, 7, 0));
		fill(self->dst, self->len, 9, 0);
		good++;
	}
	self->shared[1] = 1;
	int status;

	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_GT(good, 0);
}

/*
 * Two threads of the source write to the same pages while these are cloned.  One of
 * them has them in its TLB, to write to, and goes by that until it is flushed.  The
 * other one faults as soon as the entries are write protected.  If it got its own copy
 * of a page at once, before the flush, then what the first one writes meanwhile would
 * go to the old page: lost for the source itself.  So the fault has to wait for the call.
 */
#define WRITTEN	32	/* pages */

struct writer {
	unsigned long addr;
	volatile unsigned long *stop;
	int cpu;
	long lost;
};

static int pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/* A word of its own in each page; not the first or last one, which say who it is. */
static volatile unsigned long *word_of(struct writer *writer, int page)
{
	return (unsigned long *)(writer->addr + page * page_size()) + 8 * (1 + writer->cpu);
}

static void *write_on(void *arg)
{
	struct writer *writer = arg;
	unsigned long n[WRITTEN];

	pin_to(writer->cpu);
	for (int page = 0; page < WRITTEN; page++)
		n[page] = *word_of(writer, page);
	while (!*writer->stop) {
		for (int page = 0; page < WRITTEN; page++) {
			volatile unsigned long *word = word_of(writer, page);

			if (*word != n[page])
				writer->lost++;
			*word = ++n[page];
		}
	}
	return NULL;
}

/* How many times a write was lost. */
static long write_by_two(unsigned long addr, unsigned long stop, long c, long d)
{
	struct writer one = { addr, (void *)stop, 0, 0 };
	struct writer two = { addr, (void *)stop, 1, 0 };
	pthread_t thread;

	if (pthread_create(&thread, NULL, write_on, &one))
		return -EAGAIN;
	write_on(&two);
	pthread_join(thread, NULL);
	return one.lost + two.lost;
}

TEST_F_TIMEOUT(race, source_writes, 120)
{
	unsigned long len = 32 * MB, part = len, dst = reserve(len);
	struct peer_order order = { write_by_two };
	long good = 0, lost, src;
	time_t start;
	struct peer peer;

	/* beside the second thread, which comes to its turn in the middle of a call */
	if (pin_to(1))
		SKIP(return, "one CPU");
	ASSERT_EQ(0, peer_start(&peer));
	src = peer_call(&peer, map_kind, BASE, len, 7, 0);
	ASSERT_GT(src, 0);
	order.a = src;
	order.b = (unsigned long)&self->shared[1];
	ASSERT_EQ(sizeof(order), write(peer.to, &order, sizeof(order)));
	/* longer than others: both must be at it at once, on whatever CPUs there are */
	start = time(NULL);
	while (time(NULL) - start < 4 * SECONDS) {
		/* not always as long, or the timer may always find it elsewhere */
		part = (8 + rand() % 24) * MB;
		ASSERT_EQ((long)dst, clone_map(peer.pid, src, part, dst, PVMMAP_FIXED));
		good++;
	}
	self->shared[1] = 1;
	ASSERT_EQ(sizeof(lost), read(peer.from, &lost, sizeof(lost)));
	EXPECT_EQ(0, lost);
	EXPECT_GT(good, 0);
	EXPECT_EQ(0, check(dst, part, 7, 0));
	peer_stop(&peer);
}

/* Both ends of a pair do this: the two mmap_locks are wanted in either order. */
static long clone_in_turn(unsigned long pid, unsigned long src, long len, long dst)
{
	time_t start = time(NULL);
	long good = 0;

	while (!time_is_up(start)) {
		if (clone_map(pid, src, len, dst, PVMMAP_FIXED) != dst)
			return -errno;
		if (check(dst, len, 7, 0))
			return -EIO;
		fill(dst, len, 1 + good % 5, 0);
		good++;
	}
	return good;
}

TEST_F_TIMEOUT(race, mutual, 120)
{
	unsigned long mine = map_kind(BASE, self->len, 7, 0);
	struct peer_order order;
	struct peer peer;
	long theirs, good;

	/* forked, so the peer may clone from us under yama only if we let it */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	ASSERT_EQ(0, peer_start(&peer));
	order = (struct peer_order){ clone_in_turn, getpid(), mine, self->len,
				     self->dst };
	ASSERT_EQ(sizeof(order), write(peer.to, &order, sizeof(order)));
	good = clone_in_turn(peer.pid, mine, self->len, self->dst);
	ASSERT_EQ(sizeof(theirs), read(peer.from, &theirs, sizeof(theirs)));
	peer_stop(&peer);
	EXPECT_GT(good, 0);
	EXPECT_GT(theirs, 0);
}

/*
 * Let the n-th allocation fail, for each n until the call does without: the
 * range is unmapped then, nothing is left over, and the source is untouched.
 */
FIXTURE(unwind) {
	struct peer peer;
	struct thp_state thp;
	unsigned long len, dst;
	long src;
	int nth;
};

FIXTURE_VARIANT(unwind) {
	enum kind kind;
	bool replace;
};

FIXTURE_VARIANT_ADD(unwind, base) { .kind = BASE };
FIXTURE_VARIANT_ADD(unwind, replace) { .kind = BASE, .replace = true };
FIXTURE_VARIANT_ADD(unwind, thp) { .kind = THP };
FIXTURE_VARIANT_ADD(unwind, file) { .kind = PRIVATE_FILE };

FIXTURE_SETUP(unwind)
{
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
	self->nth = open_fail_nth();
	if (self->nth < 0)
		SKIP(return, "no fault injection");
	if (!thp_borrow(&self->thp, variant->kind)) {
		thp_restore(&self->thp);
		SKIP(return, "the sizes of huge pages can't be set");
	}
	ASSERT_EQ(0, peer_start(&self->peer));
	/* three page tables' worth, so that some are filled when one fails */
	self->len = 3 * PMD;
	self->src = peer_call(&self->peer, map_kind, variant->kind, self->len, 7, 0);
	ASSERT_GT(self->src, 0);
	self->dst = reserve(self->len + PMD) +
		    (variant->kind == THP ? page_size() : 0);
}

FIXTURE_TEARDOWN(unwind)
{
	peer_stop(&self->peer);
	thp_restore(&self->thp);
}

TEST_F_TIMEOUT(unwind, every_depth, 300)
{
	long vm, ptes, anon, committed, ret = 0, failed = 0;
	bool done = false;

	/* so that page tables of upper levels are there */
	ASSERT_EQ((long)self->dst, clone_map(self->peer.pid, self->src, self->len,
					     self->dst, PVMMAP_FIXED));
	munmap((void *)self->dst, self->len);
	vm = status_kb(getpid(), "VmSize");
	ptes = status_kb(getpid(), "VmPTE");
	anon = status_kb(getpid(), "RssAnon");
	committed = read_field("/proc/meminfo", "Committed_AS");

	for (int nth = 1; nth < 2000 && !done; nth++) {
		if (variant->replace)
			mmap((void *)self->dst, self->len, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		ret = clone_failing(self->nth, nth, &done, self->peer.pid,
				    self->src, self->len, self->dst, PVMMAP_FIXED);
		if (ret == (long)self->dst) {
			ASSERT_EQ(0, check(self->dst, self->len, 7, 0));
			munmap((void *)self->dst, self->len);
			continue;
		}
		ASSERT_EQ(-ENOMEM, ret);
		failed++;
		/* a failure known beforehand leaves the old mapping */
		if (variant->replace)
			munmap((void *)self->dst, self->len);
		ASSERT_EQ(0, smaps(getpid(), self->dst, self->len, NULL));
		ASSERT_EQ(vm, status_kb(getpid(), "VmSize"));
		ASSERT_EQ(ptes, status_kb(getpid(), "VmPTE"));
		ASSERT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 7, 0));
	}
	EXPECT_TRUE(done);
	EXPECT_GT(failed, 3);
	EXPECT_LE(labs(status_kb(getpid(), "RssAnon") - anon), 4096);
	EXPECT_LE(labs(read_field("/proc/meminfo", "Committed_AS") - committed), 1024);
	peer_call(&self->peer, fill, self->src, self->len, 8, 0);
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 8, 0));
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--sleep"))
		return pause();
	return test_harness_run(argc, argv);
}
