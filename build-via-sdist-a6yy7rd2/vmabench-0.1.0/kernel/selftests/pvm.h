/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of process_vm_mmap() share: the call itself, a second process
 * that does what it is told, memory of each kind, and a look at what /proc says.
 */
#ifndef PVM_H
#define PVM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/process_vm_mmap.h>

#ifndef MPOL_MF_MOVE_ALL
#define MPOL_MF_MOVE_ALL	(1 << 2)
#endif

#define KB	1024UL
#define MB	(1024UL * KB)
#define PMD	(2 * MB)

static inline long clone_map(pid_t pid, unsigned long src, unsigned long len,
			     unsigned long dst, unsigned long flags)
{
	long ret = syscall(__NR_process_vm_mmap, pid, src, len, dst, flags);

	return ret == -1 ? -errno : ret;
}

static inline unsigned long page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* The memory that a test is about. */
enum kind { BASE, MTHP, THP, SHMEM, PRIVATE_FILE, NR_KINDS };

static inline bool is_shared(enum kind kind)
{
	return kind == SHMEM;
}

/* Files of sysfs and procfs: borrowed by a test, and given back. */
static inline int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static inline long read_long(const char *path)
{
	FILE *file = fopen(path, "r");
	long value = -1;

	if (file) {
		if (fscanf(file, "%ld", &value) != 1)
			value = -1;
		fclose(file);
	}
	return value;
}

static inline void write_long(const char *path, long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", value);
	write_file(path, text);
}

/* "name value" or "name: value kB" of a file like /proc/PID/status; -1 if none */
static inline long read_field(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	size_t len = strlen(name);
	long value = -1;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, len) ||
		    (line[len] != ':' && line[len] != ' '))
			continue;
		value = strtol(line + len + 1, NULL, 10);
		break;
	}
	if (file)
		fclose(file);
	return value;
}

static inline long status_kb(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return read_field(path, name);
}

/*
 * The sum over the VMAs that overlap a range of a field of smaps, in kB; or the
 * number of these VMAs if @name is NULL.
 */
static inline long smaps(pid_t pid, unsigned long addr, unsigned long len,
			 const char *name)
{
	char path[64], line[512];
	bool inside = false;
	long sum = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	file = fopen(path, "r");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2 &&
		    strchr(line, '-') < strchr(line, ' ')) {
			inside = start < addr + len && end > addr;
			sum += inside && !name;
		} else if (inside && name && !strncmp(line, name, strlen(name)) &&
			   line[strlen(name)] == ':') {
			sum += strtol(line + strlen(name) + 1, NULL, 10);
		}
	}
	fclose(file);
	return sum;
}

/* The entry of /proc/PID/pagemap; the page frame is 0 without privilege. */
static inline uint64_t pagemap(pid_t pid, unsigned long addr)
{
	uint64_t entry = 0;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), addr / page_size() * sizeof(entry)) !=
	    sizeof(entry))
		entry = 0;
	close(fd);
	return entry;
}

static inline uint64_t frame(pid_t pid, unsigned long addr)
{
	uint64_t entry = pagemap(pid, addr);

	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

static inline bool has_two_nodes(void)
{
	return !access("/sys/devices/system/node/node1", F_OK);
}

static inline int node_of(pid_t pid, unsigned long addr)
{
	void *page = (void *)addr;
	int status = -1;

	if (syscall(SYS_move_pages, pid, 1UL, &page, NULL, &status, 0))
		return -errno;
	return status;
}

/*
 * Ask for one page on a node: 0, or the error that is left after a while.  A page
 * that somebody else isolates for a moment is busy, which is no error.
 */
static inline int move_to(pid_t pid, unsigned long addr, int node)
{
	void *page = (void *)addr;
	int status = -EBUSY;

	for (int tries = 0; tries < 20 && status != node; tries++) {
		if (tries)
			usleep(20000);
		syscall(SYS_move_pages, pid, 1UL, &page, &node, &status,
			MPOL_MF_MOVE_ALL);
		if (status >= 0)
			status = node_of(pid, addr);
	}
	return status == node ? 0 : status < 0 ? status : -EBUSY;
}

/* References keep a page that is mapped more than once from being reclaimed. */
static inline void forget_references(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	write_file(path, "1");
}

/* Each page says which one it is, at both of its ends. */
static inline long fill(unsigned long addr, unsigned long len, long seed, long u)
{
	for (unsigned long off = 0; off < len; off += page_size()) {
		unsigned long *page = (unsigned long *)(addr + off);

		page[0] = page[page_size() / sizeof(long) - 1] =
			(unsigned long)seed * 1000003 + off;
	}
	return 0;
}

/* 0, or 1 + the index of the first page that is not as fill() left it */
static inline long check(unsigned long addr, unsigned long len, long seed, long u)
{
	for (unsigned long off = 0; off < len; off += page_size()) {
		volatile unsigned long *page = (unsigned long *)(addr + off);
		unsigned long want = (unsigned long)seed * 1000003 + off;

		if (page[0] != want ||
		    page[page_size() / sizeof(long) - 1] != want)
			return 1 + off / page_size();
	}
	return 0;
}

/* A range that is free and stays so but for the test itself. */
static inline unsigned long reserve(unsigned long len)
{
	unsigned long addr = (unsigned long)mmap(NULL, len + 2 * PMD, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned long start = (addr + PMD - 1) & ~(PMD - 1);

	munmap((void *)addr, len + 2 * PMD);
	return start;
}

static inline int backing_file(enum kind kind, unsigned long len)
{
	int fd = memfd_create("pvm", 0);

	if (fd < 0 || ftruncate(fd, len))
		return -1;
	return fd;
}

/* Map memory of a kind, aligned to a PMD, all of it touched: the address. */
static inline long map_kind(unsigned long kind, unsigned long len, long seed,
			    long offset)
{
	unsigned long addr = reserve(len + PMD) + offset;
	int fd = -1, flags = MAP_FIXED | MAP_PRIVATE;
	void *map;

	if (kind == SHMEM || kind == PRIVATE_FILE)
		fd = backing_file(kind, len);
	else
		flags |= MAP_ANONYMOUS;
	if (kind == SHMEM)
		flags = MAP_FIXED | MAP_SHARED;
	map = mmap((void *)addr, len, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (fd >= 0)
		close(fd);
	if (map == MAP_FAILED)
		return -errno;
	if (kind == BASE)
		madvise(map, len, MADV_NOHUGEPAGE);
	if (kind == MTHP || kind == THP)
		madvise(map, len, MADV_HUGEPAGE);
	fill(addr, len, seed, 0);
	return addr;
}

static inline long unmap(unsigned long addr, unsigned long len, long u, long v)
{
	return munmap((void *)addr, len) ? -errno : 0;
}

static inline long advise(unsigned long addr, unsigned long len, long advice, long u)
{
	return madvise((void *)addr, len, advice) ? -errno : 0;
}

static inline long clone_order(unsigned long pid, unsigned long src, long len,
			       long dst)
{
	return clone_map(pid, src, len, dst, dst ? PVMMAP_FIXED : 0);
}

/* A second process: forked from the test, so that functions have one address. */
typedef long (*peer_fn)(unsigned long a, unsigned long b, long c, long d);

struct peer {
	pid_t pid;
	int to, from;
};

struct peer_order {
	peer_fn fn;
	unsigned long a, b;
	long c, d;
};

static inline void peer_serve(int in, int out)
{
	struct peer_order order;

	while (read(in, &order, sizeof(order)) == sizeof(order)) {
		long ret = order.fn(order.a, order.b, order.c, order.d);

		if (write(out, &ret, sizeof(ret)) != sizeof(ret))
			break;
	}
	_exit(0);
}

static inline int peer_start(struct peer *peer)
{
	int to[2], from[2];

	if (pipe(to) || pipe(from))
		return -errno;
	peer->pid = fork();
	if (peer->pid < 0)
		return -errno;
	if (!peer->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(to[1]);
		close(from[0]);
		peer_serve(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	peer->to = to[1];
	peer->from = from[0];
	return 0;
}

static inline long peer_call(struct peer *peer, peer_fn fn, unsigned long a,
			     unsigned long b, long c, long d)
{
	struct peer_order order = { fn, a, b, c, d };
	long ret;

	if (write(peer->to, &order, sizeof(order)) != sizeof(order) ||
	    read(peer->from, &ret, sizeof(ret)) != sizeof(ret))
		return -EPIPE;
	return ret;
}

static inline void peer_stop(struct peer *peer)
{
	if (peer->pid <= 0)
		return;
	close(peer->to);
	close(peer->from);
	kill(peer->pid, SIGKILL);
	waitpid(peer->pid, NULL, 0);
	peer->pid = 0;
}

/*
 * Failing allocations, on a kernel that can: the file to write the number of the
 * one to fail to, or -1.
 */
static inline int open_fail_nth(void)
{
	static const char *const settings[][2] = {
		{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
		/* a trace of each to a serial console takes longer than the call */
		{ "/sys/kernel/debug/failslab/verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
	};

	for (unsigned int i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (write_file(settings[i][0], settings[i][1]))
			return -1;
	return open("/proc/thread-self/fail-nth", O_RDWR);
}

/* The call with its n-th allocation failing; *done if there is no n-th. */
static inline long clone_failing(int fd, int nth, bool *done, pid_t pid,
				 unsigned long src, unsigned long len,
				 unsigned long dst, unsigned long flags)
{
	char text[16];
	long ret;

	snprintf(text, sizeof(text), "%d", nth);
	if (write(fd, text, strlen(text)) < 0)
		return -EBADF;
	ret = clone_map(pid, src, len, dst, flags);
	memset(text, 0, sizeof(text));
	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		return -EBADF;
	*done = atoi(text) != 0;
	if (write(fd, "0", 1) < 0)
		return -EBADF;
	return ret;
}

/* The sizes of huge pages that a test wants, borrowed until thp_restore(). */
#define THP_DIR "/sys/kernel/mm/transparent_hugepage/"

struct thp_state {
	bool borrowed;
	char enabled[16], pmd[16], mthp[16];
};

static inline void thp_read(const char *path, char *word)
{
	FILE *file = fopen(path, "r");
	char text[128] = "", *open_bracket;

	word[0] = 0;
	if (!file)
		return;
	if (fgets(text, sizeof(text), file)) {
		open_bracket = strchr(text, '[');
		if (open_bracket)
			sscanf(open_bracket, "[%15[^]]", word);
	}
	fclose(file);
}

static inline bool thp_borrow(struct thp_state *state, enum kind kind)
{
	if (kind != THP && kind != MTHP)
		return true;
	thp_read(THP_DIR "enabled", state->enabled);
	thp_read(THP_DIR "hugepages-2048kB/enabled", state->pmd);
	thp_read(THP_DIR "hugepages-64kB/enabled", state->mthp);
	if (!state->enabled[0] || !state->pmd[0])
		return false;
	state->borrowed = true;
	return !write_file(THP_DIR "enabled", "madvise") &&
	       !write_file(THP_DIR "hugepages-2048kB/enabled",
			   kind == THP ? "inherit" : "never") &&
	       !write_file(THP_DIR "hugepages-64kB/enabled",
			   kind == MTHP ? "madvise" : "never");
}

static inline void thp_restore(struct thp_state *state)
{
	if (!state->borrowed)
		return;
	write_file(THP_DIR "enabled", state->enabled);
	write_file(THP_DIR "hugepages-2048kB/enabled", state->pmd);
	write_file(THP_DIR "hugepages-64kB/enabled", state->mthp);
	state->borrowed = false;
}

#endif /* PVM_H */
