// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page out a range and verify that every page left memory. MADV_PAGEOUT starts the
 * writing; a page whose writing ends after the call stays in the swap cache, and a
 * fault would find it there without any input. So the pages that are still in
 * memory are mapped again, clean by now, and paged out again, until mincore() and
 * pagemap find none of them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "core.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define PATIENCE_NS   20000000000ull
#define ENTRY_PRESENT (1ull << 63)
#define CHUNK	      512

/* Maps and counts the pages that are in memory, in the swap cache too. */
static int use_resident(char *addr, size_t pages, size_t *ret)
{
	size_t base_page = vmb_base_page();
	unsigned char resident[CHUNK];

	*ret = 0;
	for (size_t i = 0; i < pages; i += CHUNK) {
		size_t count = pages - i < CHUNK ? pages - i : CHUNK;

		if (mincore(addr + i * base_page, count * base_page, resident))
			return vmb_fail(-errno, "mincore");
		for (size_t j = 0; j < count; j++) {
			if (!(resident[j] & 1))
				continue;
			(void)*(volatile uint64_t *)vmb_word(addr, i + j, base_page, 0);
			++*ret;
		}
	}
	return 0;
}

static int count_present(const char *addr, size_t pages, size_t *ret)
{
	uint64_t entries[CHUNK];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return vmb_fail(-errno, "open /proc/self/pagemap");
	*ret = 0;
	for (size_t i = 0; i < pages && !err; i += CHUNK) {
		size_t count = pages - i < CHUNK ? pages - i : CHUNK;
		off_t at = (off_t)(((uintptr_t)addr / vmb_base_page() + i) * sizeof(entries[0]));
		ssize_t size = (ssize_t)(count * sizeof(entries[0]));

		if (pread(fd, entries, (size_t)size, at) != size)
			err = vmb_fail(-EIO, "read /proc/self/pagemap");
		for (size_t j = 0; j < count && !err; j++)
			*ret += !!(entries[j] & ENTRY_PRESENT);
	}
	close(fd);
	return err;
}

/* Whether nothing more can be written out. */
static int no_room(void)
{
	struct sysinfo info;

	return !sysinfo(&info) && info.freeswap * info.mem_unit < vmb_base_page();
}

/*
 * A page that the receiver has just read is held by the LRU batch of that CPU.
 * madvise() drains the batches of the CPU that it runs on.
 */
static int page_out_here(char *addr, size_t size)
{
	return madvise(addr, size, MADV_PAGEOUT) ? vmb_fail(-errno, "madvise(MADV_PAGEOUT)") : 0;
}

/* The first pct percent of the range out of memory, the rest of it in. */
int vmb_page_out(char *addr, size_t size, uint32_t pct)
{
	size_t base_page = vmb_base_page(), pages = size / base_page;
	size_t wanted = pages * pct / 100, resident, before = SIZE_MAX, present, present_rest;
	uint64_t give_up_ns = vmb_now_ns() + PATIENCE_NS;
	int err = 0;

	for (size_t i = wanted; i < pages; i++)
		(void)*(volatile uint64_t *)vmb_word(addr, i, base_page, 0);
	if (!wanted)
		return 0;
	for (;;) {
		err = use_resident(addr, wanted, &resident);
		if (err || !resident)
			break;
		if (resident >= before && no_room())
			return vmb_fail(-ENOSPC,
					"%zu of %zu pages stay in memory: no swap, or it is full",
					resident, wanted);
		if (vmb_now_ns() > give_up_ns)
			return vmb_fail(-EBUSY, "%zu of %zu pages stay in memory", resident,
					wanted);
		before = resident;
		err = vmb_on_each_cpu(page_out_here, addr, wanted * base_page);
		if (err)
			break;
	}
	if (!err)
		err = count_present(addr, wanted, &present);
	if (!err)
		err = count_present(addr + wanted * base_page, pages - wanted, &present_rest);
	if (!err && (present || present_rest != pages - wanted))
		err = vmb_fail(-EBUSY, "%zu of %zu pages are mapped, not %zu",
			       present + present_rest, pages, pages - wanted);
	return err;
}
