// SPDX-License-Identifier: GPL-2.0-only
/*
 * A6: swap. Cloning what is in swap moves no data, by the counters of the system
 * and by those of the device; the copy is of entries, as often as one likes, also
 * when the count of an entry overflows into a page of its own; and swapoff finds
 * every one of them.
 */
#include "audit.h"

#include <sys/swap.h>

#define CGROUP	"audit-swap"
#define LEN	(1 * MB)

/* The first swap device, and how much its own statistics say it has done. */
static bool swap_device(char *device, size_t size)
{
	FILE *file = fopen("/proc/swaps", "r");
	char line[256], name[128] = "";

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "/dev/%127s", name) == 1)
			break;
	if (file)
		fclose(file);
	snprintf(device, size, "%s", name);
	return name[0];
}

static long device_io(const char *device)
{
	unsigned long read, merged, sectors, ms, written;
	char path[160];
	FILE *file;
	long sum = -1;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", device);
	file = fopen(path, "r");
	if (file && fscanf(file, "%lu %lu %lu %lu %lu", &read, &merged, &sectors,
			   &ms, &written) == 5)
		sum = read + written;
	if (file)
		fclose(file);
	return sum;
}

static long system_io(void)
{
	return read_field("/proc/vmstat", "pswpin") +
	       read_field("/proc/vmstat", "pswpout");
}

FIXTURE(swap) {
	struct peer src, dst;
	char device[128];
	long at;
};

FIXTURE_SETUP(swap)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	if (!swap_device(self->device, sizeof(self->device)))
		SKIP(return, "no swap device");
	if (!cgroup_make(CGROUP))
		SKIP(return, "no memory controller");
	ASSERT_EQ(0, peer_start(&self->src));
	ASSERT_EQ(0, peer_start(&self->dst));
	ASSERT_EQ(0, cgroup_enter(CGROUP, self->src.pid));
	self->at = peer_call(&self->src, map_kind, BASE, LEN, 7, 0);
	ASSERT_GT(self->at, 0);
}

FIXTURE_TEARDOWN(swap)
{
	peer_stop(&self->src);
	peer_stop(&self->dst);
	cgroup_remove(CGROUP);
}

static long swapped_kb(pid_t pid, unsigned long addr)
{
	return smaps(pid, addr, LEN, "Swap");
}

static bool swap_out(struct peer *peer, unsigned long addr)
{
	for (int i = 0; i < 20 && swapped_kb(peer->pid, addr) < (long)(LEN / KB); i++) {
		forget_references(peer->pid);
		cgroup_write(CGROUP, "memory.reclaim", "32M");
	}
	return swapped_kb(peer->pid, addr) == (long)(LEN / KB);
}

/* The same place in swap for each page of both. */
static long same_places(struct peer *a, unsigned long at, struct peer *b,
			unsigned long bt)
{
	long same = 0;

	for (unsigned long off = 0; off < LEN; off += page_size()) {
		uint64_t one = pagemap(a->pid, at + off);

		same += (one & PM_SWAPPED) &&
			(one & PM_ENTRY) == (pagemap(b->pid, bt + off) & PM_ENTRY);
	}
	return same;
}

AUDIT_TEST(swap, no_io)
{
	long system, device, dst;

	ASSERT_TRUE(swap_out(&self->src, self->at));
	/* what was on its way has arrived */
	sync();
	system = system_io();
	device = device_io(self->device);
	dst = peer_call(&self->dst, clone_order, self->src.pid, self->at, LEN, 0);
	EXPECT_EQ(system, system_io());
	EXPECT_EQ(device, device_io(self->device));
	ASSERT_GT(dst, 0);
	EXPECT_EQ(LEN / KB, swapped_kb(self->dst.pid, dst));
	EXPECT_EQ(LEN / page_size(), same_places(&self->src, self->at, &self->dst, dst));
	EXPECT_EQ(system, system_io());
	/* it is read when it is used, and not before */
	EXPECT_EQ(0, peer_call(&self->dst, check, dst, LEN, 7, 0));
	EXPECT_LT(system, system_io());
	peer_call(&self->dst, fill, dst, LEN, 8, 0);
	EXPECT_EQ(0, peer_call(&self->src, check, self->at, LEN, 7, 0));
	EXPECT_EQ(0, peer_call(&self->dst, check, dst, LEN, 8, 0));
}

/* Some pages in swap, some in memory, some nowhere. */
AUDIT_TEST(swap, mixed)
{
	unsigned long part = LEN / 4;
	long dst, system;

	ASSERT_TRUE(swap_out(&self->src, self->at));
	EXPECT_EQ(0, peer_call(&self->src, check, self->at, part, 7, 0));
	EXPECT_EQ(0, peer_call(&self->src, advise, self->at + 3 * part, part,
			       MADV_DONTNEED, 0));
	system = system_io();
	dst = peer_call(&self->dst, clone_order, self->src.pid, self->at, LEN, 0);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(system, system_io());
	EXPECT_EQ(swapped_kb(self->src.pid, self->at), swapped_kb(self->dst.pid, dst));
	EXPECT_EQ(0, peer_call(&self->dst, check, dst, 3 * part, 7, 0));
	EXPECT_EQ(1, peer_call(&self->dst, check, dst + 3 * part, part, 7, 0));
	EXPECT_EQ(0, peer_call(&self->src, check, self->at, 3 * part, 7, 0));
}

/*
 * Two hundred owners of one entry: a count in swap_map goes up to 62 and is
 * continued on a page of its own, which the copy has to allocate half way.
 */
AUDIT_TEST(swap, many_owners)
{
	const int owners = 200;
	long at[200], system, free_kb;

	ASSERT_TRUE(swap_out(&self->src, self->at));
	free_kb = read_field("/proc/meminfo", "SwapFree");
	system = system_io();
	for (int i = 0; i < owners; i++) {
		at[i] = peer_call(&self->dst, clone_order, self->src.pid, self->at,
				  16 * page_size(), 0);
		ASSERT_GT(at[i], 0);
	}
	EXPECT_EQ(system, system_io());
	peer_stop(&self->src);
	for (int i = 0; i < owners; i += 3)
		ASSERT_EQ(0, peer_call(&self->dst, check, at[i], 16 * page_size(), 7, 0));
	for (int i = 1; i < owners; i += 3)
		ASSERT_EQ(0, peer_call(&self->dst, unmap, at[i], 16 * page_size(), 0, 0));
	for (int i = 2; i < owners; i += 3) {
		peer_call(&self->dst, fill, at[i], 16 * page_size(), i, 0);
		ASSERT_EQ(0, peer_call(&self->dst, check, at[i], 16 * page_size(), i, 0));
	}
	peer_stop(&self->dst);
	/* every place is free again */
	EXPECT_GE(read_field("/proc/meminfo", "SwapFree"), free_kb + (long)(LEN / KB) / 2);
}

static int swap_all_off(const char *device)
{
	char path[160];

	snprintf(path, sizeof(path), "/dev/%s", device);
	return swapoff(path) ? -errno : 0;
}

static int swap_all_on(const char *device)
{
	char path[160];

	snprintf(path, sizeof(path), "/dev/%s", device);
	return swapon(path, 0) ? -errno : 0;
}

AUDIT_TEST(swap, swapoff)
{
	long dst, far;
	struct peer third;

	ASSERT_TRUE(swap_out(&self->src, self->at));
	dst = peer_call(&self->dst, clone_order, self->src.pid, self->at, LEN, 0);
	ASSERT_GT(dst, 0);
	ASSERT_EQ(0, peer_start(&third));
	far = peer_call(&third, clone_order, self->dst.pid, dst, LEN, 0);
	ASSERT_GT(far, 0);
	peer_call(&self->dst, fill, dst, LEN / 2, 8, 0);
	EXPECT_EQ(0, swap_all_off(self->device));
	EXPECT_EQ(0, swapped_kb(self->src.pid, self->at));
	EXPECT_EQ(0, swapped_kb(self->dst.pid, dst));
	EXPECT_EQ(0, swapped_kb(third.pid, far));
	/* one page for all that have not written */
	EXPECT_EQ(frame(self->src.pid, self->at), frame(third.pid, far));
	EXPECT_EQ(2, map_count(frame(third.pid, far)));
	EXPECT_EQ(3, map_count(frame(third.pid, far + LEN - page_size())));
	EXPECT_EQ(0, peer_call(&self->src, check, self->at, LEN, 7, 0));
	EXPECT_EQ(0, peer_call(&self->dst, check, dst, LEN / 2, 8, 0));
	EXPECT_EQ(0, peer_call(&third, check, far, LEN, 7, 0));
	EXPECT_EQ(0, swap_all_on(self->device));
	peer_stop(&third);
}

/* Clones come and go while swapoff walks the mms: it finds the late ones too. */
static long clone_on_and_on(unsigned long pid, unsigned long src, long until, long d)
{
	volatile int *stop = (int *)until;
	long at = 0, count = 0, last;

	while (!*stop || count < 4) {
		last = clone_map(pid, src, LEN, 0, 0);
		if (last < 0)
			return last;
		if (count % 8 == 7 && check(last, LEN, 7, 0))
			return -EIO;
		if (at)
			munmap((void *)at, LEN);
		at = last;
		count++;
	}
	if (check(at, LEN, 7, 0))
		return -EIO;
	return smaps(getpid(), at, LEN, "Swap") ? -EBUSY : count;
}

AUDIT_TEST(swap, swapoff_meanwhile)
{
	int *stop = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct peer_order order = { clone_on_and_on, self->src.pid, self->at,
				    (long)stop, 0 };
	struct peer busy;
	long count;

	ASSERT_NE(MAP_FAILED, stop);
	ASSERT_EQ(0, peer_start(&busy));
	for (int round = 0; round < 5; round++) {
		ASSERT_TRUE(swap_out(&self->src, self->at));
		*stop = 0;
		ASSERT_EQ(sizeof(order), write(busy.to, &order, sizeof(order)));
		usleep(20000);
		ASSERT_EQ(0, swap_all_off(self->device));
		*stop = 1;
		ASSERT_EQ(sizeof(count), read(busy.from, &count, sizeof(count)));
		EXPECT_GT(count, 0);
		EXPECT_EQ(0, swapped_kb(self->src.pid, self->at));
		ASSERT_EQ(0, swap_all_on(self->device));
	}
	EXPECT_EQ(0, peer_call(&self->src, check, self->at, LEN, 7, 0));
	peer_stop(&busy);
}

TEST_HARNESS_MAIN
