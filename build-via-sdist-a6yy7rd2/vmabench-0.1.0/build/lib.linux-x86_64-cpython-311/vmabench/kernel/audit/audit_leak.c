// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does anything stay behind? Clones of every kind of memory come and go, some of
 * them over others, some refused half way, and their processes end; then kmemleak
 * looks for memory that nobody knows any more.
 */
#include "audit.h"

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

static void come_and_go(enum kind kind, unsigned long len)
{
	unsigned long room = reserve(4 * len);
	struct peer peer, third;
	long src;

	if (peer_start(&peer) || peer_start(&third))
		return;
	src = peer_call(&peer, map_kind, kind, len, 7, 0);
	for (int i = 0; i < 200; i++) {
		unsigned long off = i % 5 * page_size();

		clone_map(peer.pid, src, len / 2, room + off, PVMMAP_FIXED);
		peer_call(&third, clone_order, getpid(), room + off, len / 4, 0);
		peer_call(&peer, clone_order, third.pid, room, len / 4, 0);
		/* refused when the old mapping is known, and before */
		clone_map(peer.pid, src, len, room, PVMMAP_FIXED_NOREPLACE);
		clone_map(peer.pid, src, 2 * len, room, PVMMAP_FIXED);
		if (i % 3 == 0)
			munmap((void *)room, 4 * len);
		if (i % 7 == 0)
			peer_call(&peer, fill, src, len, 7, 0);
	}
	peer_stop(&peer);
	peer_stop(&third);
	munmap((void *)room, 4 * len);
}

/* Lines of a report that has the call in its backtrace. */
static int reports_of_the_call(void)
{
	FILE *file = fopen(KMEMLEAK, "r");
	bool inside = false;
	char line[512];
	int count = 0;

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "unreferenced object", 19))
			inside = true;
		if (inside && (strstr(line, "process_vm_mmap") || strstr(line, "pvm_"))) {
			count++;
			inside = false;
		}
	}
	if (file)
		fclose(file);
	return count;
}

FIXTURE(leak) {
	struct thp_state thp;
};

FIXTURE_SETUP(leak)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	if (access(KMEMLEAK, W_OK))
		SKIP(return, "no kmemleak");
	if (write_file(KMEMLEAK, "clear"))
		SKIP(return, "kmemleak has stopped");
	if (!thp_borrow(&self->thp, THP)) {
		thp_restore(&self->thp);
		SKIP(return, "the sizes of huge pages can't be set");
	}
}

FIXTURE_TEARDOWN(leak)
{
	thp_restore(&self->thp);
}

AUDIT_TEST(leak, nothing_stays_behind)
{
	come_and_go(BASE, 64 * KB);
	come_and_go(PRIVATE_FILE, 64 * KB);
	come_and_go(SHMEM, 64 * KB);
	come_and_go(THP, 2 * PMD);
	/* an object has to be five seconds old, and to be missed twice */
	for (int i = 0; i < 2; i++) {
		usleep(5500000);
		ASSERT_EQ(0, write_file(KMEMLEAK, "scan"));
	}
	EXPECT_EQ(0, reports_of_the_call());
}

TEST_HARNESS_MAIN
