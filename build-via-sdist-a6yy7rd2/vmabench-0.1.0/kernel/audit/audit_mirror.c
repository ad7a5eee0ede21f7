// SPDX-License-Identifier: GPL-2.0-only
/*
 * A9: a device that mirrors the page tables of the source. It knows by mmu notifiers
 * alone that an entry is write protected now: if it is not told, it goes on writing to
 * a page that the clone shares. The device is the kernel's own test of such mirrors,
 * lib/test_hmm.c.
 */
#include "audit.h"

#include <lib/test_hmm_uapi.h>
#include <sys/ioctl.h>

static int device = -1;		/* the peer's */

static long open_device(unsigned long a, unsigned long b, long c, long d)
{
	device = open("/dev/hmm_dmirror0", O_RDWR | O_CLOEXEC);
	return device < 0 ? -errno : 0;
}

/*
 * One request to the device about a range; what it reads or writes is in @buffer. How
 * many faults it had to take for that, or -errno.
 */
static long ask(unsigned long request, unsigned long addr, unsigned long len,
		unsigned long buffer)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = addr, .ptr = buffer, .npages = len / page_size(),
	};

	return ioctl(device, request, &cmd) ? -errno : (long)cmd.faults;
}

static unsigned long map_buffer(unsigned long len)
{
	return (unsigned long)mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
				   MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}

/* The device fills a range: how many faults it had to take for that. */
static long device_fill(unsigned long addr, unsigned long len, long seed, long u)
{
	unsigned long buffer = map_buffer(len);
	long ret;

	fill(buffer, len, seed, 0);
	ret = ask(HMM_DMIRROR_WRITE, addr, len, buffer);
	munmap((void *)buffer, len);
	return ret;
}

/* What the device sees is what fill() wrote: 0, or as check() */
static long device_check(unsigned long addr, unsigned long len, long seed, long u)
{
	unsigned long buffer = map_buffer(len);
	long ret = ask(HMM_DMIRROR_READ, addr, len, buffer);

	ret = ret < 0 ? ret : check(buffer, len, seed, 0);
	munmap((void *)buffer, len);
	return ret;
}

/* A source that the device can mirror, and where its clone goes. */
struct mirrored {
	struct peer peer;
	struct thp_state thp;
	unsigned long len, at;
	long src;
};

/* Why there is none, or NULL. */
static const char *mirror_start(struct mirrored *m, enum kind kind, int shift)
{
	if (!has_call())
		return "no process_vm_mmap()";
	if (!thp_borrow(&m->thp, kind))
		return "the sizes of huge pages can't be set";
	if (peer_start(&m->peer))
		return "no process";
	if (peer_call(&m->peer, open_device, 0, 0, 0, 0))
		return "no device that mirrors: CONFIG_TEST_HMM";
	m->len = kind == THP ? 2 * PMD : 64 * page_size();
	m->src = peer_call(&m->peer, map_kind, kind, m->len, 6, 0);
	m->at = reserve(m->len + PMD) + shift * page_size();
	return NULL;
}

static void mirror_stop(struct mirrored *m)
{
	peer_stop(&m->peer);
	thp_restore(&m->thp);
}

static long clone_part(struct mirrored *m, unsigned long off, unsigned long len)
{
	return clone_map(m->peer.pid, m->src + off, len, m->at + off, PVMMAP_FIXED);
}

#define MIRROR_SETUP(kind, shift) do {				\
	const char *why = mirror_start(&self->m, kind, shift);	\
	if (why)						\
		SKIP(return, "%s", why);			\
	ASSERT_GT(self->m.src, 0);				\
} while (0)

FIXTURE(mirror) {
	struct mirrored m;
};

FIXTURE_VARIANT(mirror) {
	enum kind kind;
	int shift;	/* pages from a congruent address */
};

FIXTURE_VARIANT_ADD(mirror, base) { BASE, 0 };
FIXTURE_VARIANT_ADD(mirror, mthp) { MTHP, 0 };
FIXTURE_VARIANT_ADD(mirror, thp) { THP, 0 };
FIXTURE_VARIANT_ADD(mirror, thp_shifted) { THP, 3 };
FIXTURE_VARIANT_ADD(mirror, file) { PRIVATE_FILE, 0 };

FIXTURE_SETUP(mirror)
{
	MIRROR_SETUP(variant->kind, variant->shift);
}

FIXTURE_TEARDOWN(mirror)
{
	mirror_stop(&self->m);
}

/* What the device writes after the call is the source's alone. */
AUDIT_TEST(mirror, write)
{
	struct mirrored *m = &self->m;

	ASSERT_GT(peer_call(&m->peer, device_fill, m->src, m->len, 7, 0), 0);
	/* it has all of it now, to write to */
	ASSERT_EQ(0, peer_call(&m->peer, device_fill, m->src, m->len, 7, 0));
	ASSERT_EQ((long)m->at, clone_part(m, 0, m->len));
	EXPECT_GT(peer_call(&m->peer, device_fill, m->src, m->len, 8, 0), 0);
	EXPECT_EQ(0, check(m->at, m->len, 7, 0));
	EXPECT_EQ(0, peer_call(&m->peer, check, m->src, m->len, 8, 0));
}

/* What the clone writes is not seen by the device. */
AUDIT_TEST(mirror, read)
{
	struct mirrored *m = &self->m;

	ASSERT_EQ(0, peer_call(&m->peer, device_check, m->src, m->len, 6, 0));
	ASSERT_EQ((long)m->at, clone_part(m, 0, m->len));
	fill(m->at, m->len, 8, 0);
	EXPECT_EQ(0, peer_call(&m->peer, device_check, m->src, m->len, 6, 0));
}

FIXTURE(part) {
	struct mirrored m;
};

FIXTURE_VARIANT(part) {
	int shift;
};

FIXTURE_VARIANT_ADD(part, congruent) { 0 };
FIXTURE_VARIANT_ADD(part, shifted) { 3 };

FIXTURE_SETUP(part)
{
	MIRROR_SETUP(THP, variant->shift);
}

FIXTURE_TEARDOWN(part)
{
	mirror_stop(&self->m);
}

/*
 * Of a huge page only a part is cloned, but all of its entry is write protected:
 * the device must not be left with more than the process itself may do.
 */
AUDIT_TEST(part, write)
{
	struct mirrored *m = &self->m;
	unsigned long page = page_size(), part = 5 * page;

	ASSERT_GT(peer_call(&m->peer, device_fill, m->src, m->len, 7, 0), 0);
	ASSERT_EQ(0, peer_call(&m->peer, device_fill, m->src, m->len, 7, 0));
	ASSERT_EQ((long)(m->at + page), clone_part(m, page, part));
	EXPECT_GT(peer_call(&m->peer, device_fill, m->src + 64 * page, page, 9, 0), 0);
	/* the next one was not touched, but for a page that the device forgets too many */
	EXPECT_EQ(0, peer_call(&m->peer, device_fill, m->src + PMD + page, page, 9, 0));
	for (unsigned long off = page; off < page + part; off += page)
		EXPECT_EQ(7UL * 1000003 + off, *(volatile unsigned long *)(m->at + off));
}

TEST_HARNESS_MAIN
