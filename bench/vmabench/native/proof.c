// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memory really is: how much of a range is populated, and how much of it the
 * kernel reports as huge. These are pages that a PMD or larger entry maps, and all
 * pages of a hugetlb pool, which may be smaller than that (64K on arm64).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core.h"
#include "pagemap.h"

static void add_ranges(const struct vmb_scan_range *ranges, int count, struct vmb_proof *proof)
{
	for (int i = 0; i < count; i++) {
		proof->present_bytes += ranges[i].end - ranges[i].start;
		if (ranges[i].categories & VMB_SCAN_HUGE)
			proof->huge_bytes += ranges[i].end - ranges[i].start;
	}
}

int vmb_prove_by_scan(const char *addr, size_t size, struct vmb_proof *ret)
{
	struct vmb_scan_range ranges[64];
	struct vmb_scan request = {
		.size = sizeof(request),
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + size,
		.vec = (uintptr_t)ranges,
		.vec_len = 64,
		.category_mask = VMB_SCAN_PRESENT,
		.return_mask = VMB_SCAN_PRESENT | VMB_SCAN_HUGE,
	};
	struct vmb_proof proof = { .size_bytes = size };
	int fd, count, err = 0;

	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return vmb_fail(-errno, "open /proc/self/pagemap");
	while (request.start < request.end) {
		count = ioctl(fd, VMB_SCAN, &request);
		if (count < 0) {
			err = vmb_fail(-errno, "ioctl(PAGEMAP_SCAN)");
			break;
		}
		add_ranges(ranges, count, &proof);
		if (request.walk_end <= request.start)
			break;
		request.start = request.walk_end;
	}
	close(fd);
	if (!err)
		*ret = proof;
	return err;
}

/* Adds one "Name:  123 kB" line to the proof. */
static void add_smaps_line(const char *line, struct vmb_proof *proof)
{
	static const char *const huge[] = { "AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:",
					    "Private_Hugetlb:", "Shared_Hugetlb:" };
	uint64_t kib;

	/* Rss leaves out what belongs to a hugetlb pool. */
	if (sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1 ||
	    sscanf(line, "Private_Hugetlb: %" SCNu64 " kB", &kib) == 1 ||
	    sscanf(line, "Shared_Hugetlb: %" SCNu64 " kB", &kib) == 1)
		proof->present_bytes += kib << 10;
	for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++)
		if (!strncmp(line, huge[i], strlen(huge[i])) &&
		    sscanf(line + strlen(huge[i]), "%" SCNu64, &kib) == 1)
			proof->huge_bytes += kib << 10;
}

/* For kernels without the ioctl: slower, since it walks the whole process. */
int vmb_prove_by_smaps(const char *addr, size_t size, struct vmb_proof *ret)
{
	uintptr_t from = (uintptr_t)addr, to = from + size, start, end;
	struct vmb_proof proof = { .size_bytes = size };
	int err = 0, inside = 0;
	char line[512];
	FILE *file;

	file = fopen("/proc/self/smaps", "re");
	if (!file)
		return vmb_fail(-errno, "open /proc/self/smaps");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2) {
			inside = start < to && end > from;
			/* A VMA that reaches beyond the range would count foreign pages. */
			if (inside && (start < from || end > to)) {
				err = vmb_fail(-EINVAL, "the range is part of a larger VMA");
				break;
			}
		} else if (inside) {
			add_smaps_line(line, &proof);
		}
	}
	fclose(file);
	if (!err)
		*ret = proof;
	return err;
}

/* /proc/kpageflags, by the numbers of linux/kernel-page-flags.h. */
#define FLAG_HEAD     (1ull << 15)
#define FLAG_TAIL     (1ull << 16)
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_FRAME   ((1ull << 55) - 1)
#define CHUNK	      512

/* Base pages of one folio, one behind the other, that a walk over a range is amid. */
struct folio_run {
	uint64_t frame, pages;
	uintptr_t addr;
	int from_head;
};

struct folio_walk {
	int pagemap, flags;
	struct folio_run run;
	struct vmb_proof proof;
};

static int read_flags(const struct folio_walk *walk, uint64_t frame, uint64_t count, uint64_t *ret)
{
	size_t size = count * sizeof(*ret);

	if (pread(walk->flags, ret, size, (off_t)(frame * sizeof(*ret))) != (ssize_t)size)
		return vmb_fail(-errno, "read /proc/kpageflags");
	return 0;
}

/* Is the run a whole folio, or does the folio go on where the mapping does not? */
static int end_run(struct folio_walk *walk)
{
	struct folio_run *run = &walk->run;
	uint64_t bytes = run->pages * vmb_base_page(), next = 0;
	int order = run->pages ? 63 - __builtin_clzll(run->pages) : 0, err;

	if (!run->pages)
		return 0;
	err = read_flags(walk, run->frame + run->pages, 1, &next);
	if (err)
		next = 0; /* the last frame of the memory */
	if (!run->from_head || next & FLAG_TAIL || run->pages != 1ull << order ||
	    order >= VMB_NR_ORDERS) {
		walk->proof.partial_bytes += bytes;
	} else {
		walk->proof.folio_bytes[order] += bytes;
		if (order && !(run->addr % bytes))
			walk->proof.aligned_bytes += bytes;
	}
	run->pages = 0;
	return 0;
}

static int add_page(struct folio_walk *walk, uintptr_t addr, uint64_t frame, uint64_t flags)
{
	struct folio_run *run = &walk->run;
	int err;

	if (run->pages && flags & FLAG_TAIL && frame == run->frame + run->pages) {
		run->pages++;
		return 0;
	}
	err = end_run(walk);
	if (flags & (FLAG_HEAD | FLAG_TAIL))
		*run = (struct folio_run){ frame, 1, addr, !!(flags & FLAG_HEAD) };
	else
		walk->proof.folio_bytes[0] += vmb_base_page();
	return err;
}

/* The flags of the pages of one chunk, with one read for each stretch of frames. */
static int chunk_flags(const struct folio_walk *walk, const uint64_t *entries, size_t count,
		       uint64_t *ret)
{
	for (size_t i = 0, n; i < count; i += n) {
		uint64_t frame = entries[i] & ENTRY_FRAME;
		int err;

		n = 1;
		if (!(entries[i] & ENTRY_PRESENT))
			continue;
		if (!frame)
			return vmb_fail(-EPERM, "page frames are hidden");
		while (i + n < count && entries[i + n] & ENTRY_PRESENT &&
		       (entries[i + n] & ENTRY_FRAME) == frame + n)
			n++;
		err = read_flags(walk, frame, n, ret + i);
		if (err)
			return err;
	}
	return 0;
}

static int walk_chunk(struct folio_walk *walk, uintptr_t addr, size_t count)
{
	uint64_t entries[CHUNK], flags[CHUNK];
	size_t size = count * sizeof(entries[0]);
	off_t at = (off_t)(addr / vmb_base_page() * sizeof(entries[0]));
	int err;

	if (pread(walk->pagemap, entries, size, at) != (ssize_t)size)
		return vmb_fail(-EIO, "read /proc/self/pagemap");
	err = chunk_flags(walk, entries, count, flags);
	for (size_t i = 0; i < count && !err; i++)
		err = entries[i] & ENTRY_PRESENT ? add_page(walk, addr + i * vmb_base_page(),
							    entries[i] & ENTRY_FRAME, flags[i])
						 : end_run(walk);
	return err;
}

/*
 * The sizes of the folios, by the definitions of the kernel's tools/mm/thpmaps:
 * a folio counts where all of its pages are mapped, in order, one after the
 * other. Fills only these fields. -EPERM without CAP_SYS_ADMIN.
 */
int vmb_prove_folios(const char *addr, size_t size, struct vmb_proof *ret)
{
	struct folio_walk walk = { .proof = *ret };
	size_t pages = size / vmb_base_page();
	int err = 0;

	walk.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	walk.flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (walk.pagemap < 0 || walk.flags < 0)
		err = vmb_fail(-EPERM, "open /proc/kpageflags");
	for (size_t i = 0; i < pages && !err; i += CHUNK)
		err = walk_chunk(&walk, (uintptr_t)addr + i * vmb_base_page(),
				 pages - i < CHUNK ? pages - i : CHUNK);
	if (!err)
		err = end_run(&walk);
	if (walk.pagemap >= 0)
		close(walk.pagemap);
	if (walk.flags >= 0)
		close(walk.flags);
	if (err)
		return err;
	*ret = walk.proof;
	ret->folios_known = 1;
	return 0;
}

static int count_vmas(const char *addr, size_t size, uint32_t *ret)
{
	uintptr_t from = (uintptr_t)addr, to = from + size, start, end;
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];

	if (!file)
		return vmb_fail(-errno, "open /proc/self/maps");
	*ret = 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
			*ret += start < to && end > from;
	fclose(file);
	return 0;
}

int vmb_prove(const char *addr, size_t size, struct vmb_proof *ret)
{
	int err = vmb_prove_by_scan(addr, size, ret);

	if (err == -ENOTTY || err == -EINVAL)
		err = vmb_prove_by_smaps(addr, size, ret);
	if (!err)
		err = count_vmas(addr, size, &ret->vmas);
	if (err)
		return err;
	err = vmb_prove_nodes(addr, size, ret);
	if (err)
		return err;
	err = vmb_prove_folios(addr, size, ret);
	return err == -EPERM ? 0 : err;
}

static int read_proc(pid_t pid, const char *name, char *buffer, size_t size)
{
	char path[64];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return vmb_fail(-errno, "open %s", path);
	got = read(fd, buffer, size - 1);
	close(fd);
	if (got <= 0)
		return vmb_fail(got ? -EIO : -ESRCH, "read %s", path);
	buffer[got] = 0;
	return 0;
}

/* VmPTE: the tables of all levels that the process owns. */
int vmb_page_table_bytes(pid_t pid, uint64_t *ret)
{
	char buffer[4096];
	const char *line;
	uint64_t kib;
	int err;

	err = read_proc(pid, "status", buffer, sizeof(buffer));
	if (err)
		return err;
	line = strstr(buffer, "\nVmPTE:");
	if (!line || sscanf(line, "\nVmPTE: %" SCNu64, &kib) != 1)
		return vmb_fail(-ENODATA, "no VmPTE of process %d", (int)pid);
	*ret = kib << 10;
	return 0;
}
