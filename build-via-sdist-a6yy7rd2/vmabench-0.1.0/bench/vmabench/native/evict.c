// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paging out, so that it is true. MADV_PAGEOUT writes; what it wrote to a disk
 * stays in the swap cache when the writing ends after the call, and would be
 * found there without any input. So what is still in memory is mapped again,
 * clean by now, and given up again, until mincore() finds none of it and pagemap
 * says the same.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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

/* Maps what is in memory, in the swap cache too; what is not is left out. Counts it. */
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
 * A page that the receiver has just read waits in a list of its CPU to be marked as
 * used, and is held by that list. madvise() empties the lists of the CPU that it runs on.
 */
static int page_out_everywhere(char *addr, size_t size)
{
	int err = 0, count = get_nprocs_conf();
	cpu_set_t own, other;

	if (sched_getaffinity(0, sizeof(own), &own))
		return vmb_fail(-errno, "sched_getaffinity");
	for (int cpu = 0; cpu < count && !err; cpu++) {
		CPU_ZERO(&other);
		CPU_SET((size_t)cpu, &other);
		if (sched_setaffinity(0, sizeof(other), &other))
			continue; /* offline, or not ours */
		if (madvise(addr, size, MADV_PAGEOUT))
			err = vmb_fail(-errno, "madvise(MADV_PAGEOUT)");
	}
	if (sched_setaffinity(0, sizeof(own), &own) && !err)
		err = vmb_fail(-errno, "sched_setaffinity");
	return err;
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
		err = page_out_everywhere(addr, wanted * base_page);
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
