// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memory really is: how much of a range is populated, and how much of it
 * huge pages map. A case whose memory is not what its name says is no case.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core.h"

/*
 * Linux kernel commit 52526ca7fdb9 ("fs/proc/task_mmu: implement IOCTL to get
 * and optionally clear info about PTEs") (in v6.7). Declared here because the
 * headers of Debian 12 are older than that.
 */
struct scan_range {
	uint64_t start, end, categories;
};

struct scan_request {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN	     _IOWR('f', 16, struct scan_request)
#define SCAN_PRESENT (1u << 3)
#define SCAN_HUGE    (1u << 6)

static void add_ranges(const struct scan_range *ranges, int count, struct vmb_proof *proof)
{
	for (int i = 0; i < count; i++) {
		proof->present_bytes += ranges[i].end - ranges[i].start;
		if (ranges[i].categories & SCAN_HUGE)
			proof->huge_bytes += ranges[i].end - ranges[i].start;
	}
}

int vmb_prove_by_scan(const char *addr, size_t size, struct vmb_proof *ret)
{
	struct scan_range ranges[64];
	struct scan_request request = {
		.size = sizeof(request),
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + size,
		.vec = (uintptr_t)ranges,
		.vec_len = 64,
		.category_mask = SCAN_PRESENT,
		.return_mask = SCAN_PRESENT | SCAN_HUGE,
	};
	struct vmb_proof proof = { .size_bytes = size };
	int fd, count, err = 0;

	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return vmb_fail(-errno, "open /proc/self/pagemap");
	while (request.start < request.end) {
		count = ioctl(fd, SCAN, &request);
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
	static const char *const huge[] = { "AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:" };
	uint64_t kib;

	if (sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1)
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

int vmb_prove(const char *addr, size_t size, struct vmb_proof *ret)
{
	int err = vmb_prove_by_scan(addr, size, ret);

	return err == -ENOTTY || err == -EINVAL ? vmb_prove_by_smaps(addr, size, ret) : err;
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

/*
 * Faults of a process and of its children that were waited for. Read from
 * outside, so that the source is not woken for it.
 */
int vmb_faults(pid_t pid, uint64_t *minor, uint64_t *major)
{
	uint64_t own_minor, child_minor, own_major, child_major;
	const char *after_name;
	char buffer[1024];
	int err;

	err = read_proc(pid, "stat", buffer, sizeof(buffer));
	if (err)
		return err;
	after_name = strrchr(buffer, ')'); /* the name may hold blanks and brackets */
	if (!after_name ||
	    sscanf(after_name + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
		   &own_minor, &child_minor, &own_major, &child_major) != 4)
		return vmb_fail(-EIO, "/proc/%d/stat has an unknown form", (int)pid);
	*minor = own_minor + child_minor;
	*major = own_major + child_major;
	return 0;
}
