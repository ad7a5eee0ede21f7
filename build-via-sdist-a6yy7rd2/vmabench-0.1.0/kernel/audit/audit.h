/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of the audit share, beside pvm.h of the selftests: a look at
 * page frames from outside the code under test, cgroups, reclaim, KSM.
 */
#ifndef AUDIT_H
#define AUDIT_H

#include "pvm.h"
#include "../kselftest_harness.h"

#include <sys/stat.h>

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

/* bits of /proc/kpageflags */
#define KPF_SWAPBACKED	14
#define KPF_HWPOISON	19
#define KPF_ZERO_PAGE	24

#define PM_SWAPPED	(1ULL << 62)
#define PM_PRESENT	(1ULL << 63)
#define PM_ENTRY	((1ULL << 55) - 1)

#define CGROUPS "/sys/fs/cgroup/"
#define KSM "/sys/kernel/mm/ksm/"

#define AUDIT_TEST(fixture, name) TEST_F_TIMEOUT(fixture, name, 600)

static inline bool has_call(void)
{
	return clone_map(0, 0, 0, 0, -1UL) != -ENOSYS;
}

/* One 64 bit word of a file that is indexed by page frame; the file stays open. */
static inline uint64_t of_frame(int *fd, const char *path, uint64_t pfn)
{
	uint64_t value;

	if (*fd < 0)
		*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pread(*fd, &value, sizeof(value), pfn * sizeof(value)) != sizeof(value))
		return -1ULL;
	return value;
}

static inline long map_count(uint64_t pfn)
{
	static int fd = -1;

	return of_frame(&fd, "/proc/kpagecount", pfn);
}

static inline bool frame_is(uint64_t pfn, int bit)
{
	static int fd = -1;
	uint64_t flags = of_frame(&fd, "/proc/kpageflags", pfn);

	return flags != -1ULL && (flags >> bit & 1);
}

/* The entries of pagemap of @count pages that lie @step bytes apart. */
static inline void read_entries(pid_t pid, unsigned long addr, unsigned long step,
				int count, uint64_t *entries)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY);
	for (int i = 0; i < count; i++, entries++, addr += step)
		if (pread(fd, entries, sizeof(*entries),
			  addr / page_size() * sizeof(*entries)) != sizeof(*entries))
			*entries = 0;
	if (fd >= 0)
		close(fd);
}

/* Cgroups: one for each name, below the root. */
static inline void cgroup_path(char *path, size_t size, const char *name,
			       const char *file)
{
	snprintf(path, size, CGROUPS "%s/%s", name, file);
}

static inline int cgroup_write(const char *name, const char *file, const char *text)
{
	char path[128];

	cgroup_path(path, sizeof(path), name, file);
	return write_file(path, text);
}

static inline long cgroup_stat(const char *name, const char *field)
{
	char path[128];

	cgroup_path(path, sizeof(path), name, "memory.stat");
	return read_field(path, field);
}

static inline long cgroup_read(const char *name, const char *file)
{
	char path[128];

	cgroup_path(path, sizeof(path), name, file);
	return read_long(path);
}

static inline bool cgroup_make(const char *name)
{
	char path[128];

	cgroup_path(path, sizeof(path), name, "");
	write_file(CGROUPS "cgroup.subtree_control", "+memory");
	mkdir(path, 0755);
	cgroup_path(path, sizeof(path), name, "memory.reclaim");
	return !access(path, W_OK);
}

static inline int cgroup_remove(const char *name)
{
	char path[128];

	cgroup_path(path, sizeof(path), name, "");
	return rmdir(path) ? -errno : 0;
}

static inline int cgroup_enter(const char *name, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	return cgroup_write(name, "cgroup.procs", text);
}

static inline bool has_swap(void)
{
	return read_field("/proc/meminfo", "SwapFree") > 0;
}

/* KSM is borrowed: as fast as it goes, and put back. */
struct ksm_state {
	long run, sleep, pages, zero, smart;
};

static inline bool ksm_borrow(struct ksm_state *state)
{
	state->run = read_long(KSM "run");
	state->sleep = read_long(KSM "sleep_millisecs");
	state->pages = read_long(KSM "pages_to_scan");
	state->zero = read_long(KSM "use_zero_pages");
	state->smart = read_long(KSM "smart_scan");
	/* or it passes over pages that it did not merge lately */
	write_long(KSM "smart_scan", 0);
	write_long(KSM "sleep_millisecs", 1);
	write_long(KSM "pages_to_scan", 4000);
	return state->run >= 0 && !write_file(KSM "run", "0");
}

static inline void ksm_restore(struct ksm_state *state)
{
	write_long(KSM "run", state->run);
	write_long(KSM "sleep_millisecs", state->sleep);
	write_long(KSM "pages_to_scan", state->pages);
	write_long(KSM "use_zero_pages", state->zero);
	write_long(KSM "smart_scan", state->smart);
}

/* Let ksmd go round: at least @rounds whole times from now on, then stop it. */
static inline bool ksm_scan(long rounds)
{
	long begun = read_long(KSM "full_scans"), now = begun;

	write_file(KSM "run", "1");
	for (int i = 0; i < 1000 && now <= begun + rounds; i++) {
		usleep(10000);
		now = read_long(KSM "full_scans");
	}
	write_file(KSM "run", "0");
	return now > begun + rounds;
}

#endif /* AUDIT_H */
