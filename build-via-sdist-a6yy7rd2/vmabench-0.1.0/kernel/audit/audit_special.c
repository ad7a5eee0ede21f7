// SPDX-License-Identifier: GPL-2.0-only
/*
 * A9: mappings that are unlike others, beside those that the selftest of the
 * errnos tries: each is refused with the errno of the manual, or cloned and then
 * like any other; and what the source has of locks, seals and handlers stays there.
 */
#include "audit.h"

#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/shm.h>

#ifndef __NR_mseal
#define __NR_mseal 462
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

#define LEN (8 * page_size())

FIXTURE(special) {
	struct peer peer;
	struct peer_order order;
	long src;
};

FIXTURE_SETUP(special)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	ASSERT_EQ(0, peer_start(&self->peer));
}

FIXTURE_TEARDOWN(special)
{
	peer_stop(&self->peer);
}

static long clone_here(struct peer *peer, long src, unsigned long len)
{
	return clone_map(peer->pid, src, len, 0, 0);
}

/* [vsyscall] is in no mm: nothing can be asked of it. */
AUDIT_TEST(special, gate_area)
{
	EXPECT_EQ(-EINVAL, clone_here(&self->peer, 0xffffffffff600000, page_size()));
}

static long map_perf(unsigned long a, unsigned long b, long c, long d)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
		.config = PERF_COUNT_SW_TASK_CLOCK, .disabled = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	void *map;

	if (fd < 0)
		return -errno;
	map = mmap(NULL, 3 * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return map == MAP_FAILED ? -errno : (long)map;
}

/* A driver counts who maps its buffer, and wants to be asked: VM_DONTCOPY. */
AUDIT_TEST(special, perf_buffer)
{
	long src = peer_call(&self->peer, map_perf, 0, 0, 0, 0);

	if (src < 0)
		SKIP(return, "no perf events: %s", strerror(-src));
	EXPECT_EQ(-EINVAL, clone_here(&self->peer, src, page_size()));
}

static long map_ring(unsigned long a, unsigned long b, long c, long d)
{
	struct io_uring_params params = {};
	int fd = syscall(__NR_io_uring_setup, 8, &params);
	void *map;

	if (fd < 0)
		return -errno;
	map = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   IORING_OFF_SQ_RING);
	return map == MAP_FAILED ? -errno : (long)map;
}

AUDIT_TEST(special, io_uring_ring)
{
	long src = peer_call(&self->peer, map_ring, 0, 0, 0, 0);

	if (src < 0)
		SKIP(return, "no io_uring: %s", strerror(-src));
	EXPECT_EQ(-EINVAL, clone_here(&self->peer, src, page_size()));
}

static long find_mapping(unsigned long name, unsigned long b, long c, long d)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned long start = 0, end = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, (char *)name) &&
		    sscanf(line, "%lx-%lx", &start, &end) == 2)
			break;
	if (file)
		fclose(file);
	/* its last page: that of a stack is in use */
	return start ? (long)(end - page_size()) : -ENOENT;
}

/* "VmFlags" of the mapping at an address has this flag. */
static bool has_flag(pid_t pid, unsigned long addr, const char *flag)
{
	char path[64], line[512], word[8];
	bool inside = false, found = false;
	FILE *file;

	snprintf(word, sizeof(word), " %s", flag);
	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start <= addr && addr < end;
		else if (inside && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, word);
	}
	if (file)
		fclose(file);
	return found;
}

/* The clone of a stack is no stack: it does not grow. */
AUDIT_TEST(special, stack)
{
	long src = peer_call(&self->peer, find_mapping, (unsigned long)"[stack]", 0, 0, 0);
	long dst;

	ASSERT_GT(src, 0);
	dst = clone_here(&self->peer, src, page_size());
	ASSERT_GT(dst, 0);
	EXPECT_TRUE(has_flag(self->peer.pid, src, "gd"));
	EXPECT_FALSE(has_flag(getpid(), dst, "gd"));
}

static long use_heap(unsigned long a, unsigned long b, long c, long d)
{
	char *at = sbrk(LEN);

	memset(at, 0x5a, LEN);
	return 0;
}

AUDIT_TEST(special, heap)
{
	long src, dst;

	peer_call(&self->peer, use_heap, 0, 0, 0, 0);
	src = peer_call(&self->peer, find_mapping, (unsigned long)"[heap]", 0, 0, 0);
	ASSERT_GT(src, 0);
	dst = clone_here(&self->peer, src, page_size());
	ASSERT_GT(dst, 0);
	*(char *)dst = 1;
}

static long find_text(unsigned long a, unsigned long b, long c, long d)
{
	return (long)find_text & ~(page_size() - 1);
}

/* Code, as it is mapped from a file: a clone can be executed, and not written. */
AUDIT_TEST(special, text)
{
	long src = peer_call(&self->peer, find_text, 0, 0, 0, 0);
	long dst = clone_here(&self->peer, src, page_size());
	int fd = open("/dev/zero", O_RDONLY);

	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, memcmp((void *)dst, (void *)src, page_size()));
	EXPECT_TRUE(has_flag(getpid(), dst, "ex"));
	EXPECT_EQ(-1, read(fd, (void *)dst, 1));
	close(fd);
}

static long map_none(unsigned long len, unsigned long b, long c, long d)
{
	long addr = map_kind(BASE, len, 7, 0);

	return mprotect((void *)addr, len, PROT_NONE) ? -errno : addr;
}

/* What nobody may touch can be cloned, and is there when it may be touched. */
AUDIT_TEST(special, prot_none)
{
	long src = peer_call(&self->peer, map_none, LEN, 0, 0, 0), dst;

	ASSERT_GT(src, 0);
	dst = clone_here(&self->peer, src, LEN);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(-1, write(STDOUT_FILENO, (void *)dst, 1));
	ASSERT_EQ(0, mprotect((void *)dst, LEN, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, check(dst, LEN, 7, 0));
	fill(dst, LEN, 8, 0);
}

static long map_sealed_file(unsigned long len, unsigned long b, long c, long d)
{
	int fd = memfd_create("audit", MFD_ALLOW_SEALING);
	void *map;

	if (fd < 0 || ftruncate(fd, len) || fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE))
		return -errno;
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	return map == MAP_FAILED ? -errno : (long)map;
}

/* A file that is sealed against writing stays so by way of a clone. */
AUDIT_TEST(special, sealed_file)
{
	long src = peer_call(&self->peer, map_sealed_file, LEN, 0, 0, 0), dst;

	ASSERT_GT(src, 0);
	dst = clone_here(&self->peer, src, LEN);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(-1, mprotect((void *)dst, LEN, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
}

static long seal(unsigned long addr, unsigned long len, long c, long d)
{
	return syscall(__NR_mseal, addr, len, 0) ? -errno : 0;
}

/* A seal is of the address range: the source keeps it, the clone has none. */
AUDIT_TEST(special, mseal)
{
	long src = peer_call(&self->peer, map_kind, BASE, LEN, 7, 0), dst;

	if (peer_call(&self->peer, seal, src, LEN, 0, 0))
		SKIP(return, "no mseal()");
	dst = clone_here(&self->peer, src, LEN);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, check(dst, LEN, 7, 0));
	EXPECT_EQ(-EPERM, peer_call(&self->peer, unmap, src, LEN, 0, 0));
	EXPECT_FALSE(has_flag(getpid(), dst, "sl"));
	EXPECT_EQ(0, munmap((void *)dst, LEN));
	/* and what is sealed here is not replaced */
	dst = clone_here(&self->peer, src, LEN);
	ASSERT_EQ(0, seal(dst, LEN, 0, 0));
	EXPECT_EQ(-EPERM, clone_map(self->peer.pid, src, LEN, dst, PVMMAP_FIXED));
}

static long lock(unsigned long addr, unsigned long len, long onfault, long d)
{
	return mlock2((void *)addr, len, onfault ? MLOCK_ONFAULT : 0) ? -errno : 0;
}

/* Locked pages can be cloned; the clone is not locked, and the source stays so. */
AUDIT_TEST(special, mlock)
{
	for (int onfault = 0; onfault < 2; onfault++) {
		long src = peer_call(&self->peer, map_kind, BASE, LEN, 7, 0);
		long locked = status_kb(self->peer.pid, "VmLck"), dst;

		ASSERT_EQ(0, peer_call(&self->peer, lock, src, LEN, onfault, 0));
		dst = clone_here(&self->peer, src, LEN);
		ASSERT_GT(dst, 0);
		EXPECT_EQ(0, status_kb(getpid(), "VmLck"));
		EXPECT_EQ(locked + (long)(LEN / KB), status_kb(self->peer.pid, "VmLck"));
		EXPECT_FALSE(has_flag(getpid(), dst, "lo"));
		EXPECT_EQ(0, check(dst, LEN, 7, 0));
		EXPECT_EQ(0, munmap((void *)dst, LEN));
		EXPECT_EQ(locked + (long)(LEN / KB), status_kb(self->peer.pid, "VmLck"));
	}
}

/* A locked range as the destination is given back when it is replaced. */
AUDIT_TEST(special, over_mlock)
{
	long src = peer_call(&self->peer, map_kind, BASE, LEN, 7, 0);
	long mine = map_kind(BASE, LEN, 1, 0);

	ASSERT_EQ(0, mlock((void *)mine, LEN));
	EXPECT_EQ(LEN / KB, status_kb(getpid(), "VmLck"));
	ASSERT_EQ(mine, clone_map(self->peer.pid, src, LEN, mine, PVMMAP_FIXED));
	EXPECT_EQ(0, status_kb(getpid(), "VmLck"));
	EXPECT_EQ(0, check(mine, LEN, 7, 0));
}

static long watch(unsigned long addr, unsigned long len, long mode, long features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .range = { addr, len }, .mode = mode };
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return fd;
}

/* Faults of the source are handled by somebody who knows nothing of the clone. */
AUDIT_TEST(special, userfaultfd)
{
	const struct { long mode; unsigned long kind; } modes[] = {
		{ UFFDIO_REGISTER_MODE_MISSING, BASE },
		{ UFFDIO_REGISTER_MODE_WP, BASE },
		{ UFFDIO_REGISTER_MODE_MISSING, SHMEM },
		{ UFFDIO_REGISTER_MODE_MINOR, SHMEM },
	};

	for (int i = 0; i < (int)ARRAY_SIZE(modes); i++) {
		long src = peer_call(&self->peer, map_kind, modes[i].kind, LEN, 7, 0);
		long fd = peer_call(&self->peer, watch, src, LEN, modes[i].mode, 0);

		if (fd == -ENOSYS)
			SKIP(return, "no userfaultfd");
		if (fd == -EINVAL)
			continue;	/* a mode that this machine has not */
		ASSERT_GE(fd, 0);
		EXPECT_EQ(-EOPNOTSUPP, clone_here(&self->peer, src, LEN));
	}
}

/* Replacing what is registered here tells the handler that it is gone. */
AUDIT_TEST(special, over_userfaultfd)
{
	long src = peer_call(&self->peer, map_kind, BASE, LEN, 7, 0);
	long mine = map_kind(BASE, LEN, 1, 0), fd;
	struct uffd_msg msg;

	fd = watch(mine, LEN, UFFDIO_REGISTER_MODE_MISSING, UFFD_FEATURE_EVENT_UNMAP);
	if (fd < 0)
		SKIP(return, "no userfaultfd: %s", strerror(-fd));
	/* the event is waited for: somebody has to read it meanwhile */
	pid_t pid = fork();

	if (!pid) {
		for (int i = 0; i < 3000; i++) {
			if (read(fd, &msg, sizeof(msg)) == sizeof(msg))
				_exit(msg.event == UFFD_EVENT_UNMAP &&
				      (long)msg.arg.remove.start == mine ? 0 : 1);
			usleep(1000);
		}
		_exit(2);
	}
	ASSERT_EQ(mine, clone_map(self->peer.pid, src, LEN, mine, PVMMAP_FIXED));
	EXPECT_EQ(0, check(mine, LEN, 7, 0));
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

static long map_sysv(unsigned long len, unsigned long b, long c, long d)
{
	int id = shmget(IPC_PRIVATE, len, 0600);
	void *map = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

	if (map == (void *)-1)
		return -errno;
	shmctl(id, IPC_RMID, NULL);
	fill((unsigned long)map, len, 7, 0);
	return (long)map;
}

/* A segment that counts who has it attached: the clone is one of them. */
AUDIT_TEST(special, sysv)
{
	long src = peer_call(&self->peer, map_sysv, LEN, 0, 0, 0), dst;

	if (src < 0)
		SKIP(return, "no System V shared memory");
	dst = clone_here(&self->peer, src, LEN);
	ASSERT_GT(dst, 0);
	fill(dst, LEN, 8, 0);
	EXPECT_EQ(0, peer_call(&self->peer, check, src, LEN, 8, 0));
	/* removed with the last, not with the one who made it */
	peer_stop(&self->peer);
	EXPECT_EQ(0, check(dst, LEN, 8, 0));
	EXPECT_EQ(0, munmap((void *)dst, LEN));
}

static long advise_all(unsigned long addr, unsigned long len, long c, long d)
{
	return madvise((void *)addr, len, MADV_DONTDUMP) ||
	       prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, addr, len, "audit") ? -errno : 0;
}

/* What belongs to the memory rather than to the place comes along. */
AUDIT_TEST(special, name_and_advice)
{
	long src = peer_call(&self->peer, map_kind, BASE, LEN, 7, 0), dst, named;

	if (peer_call(&self->peer, advise_all, src, LEN, 0, 0))
		SKIP(return, "no names");
	dst = clone_here(&self->peer, src, LEN);
	ASSERT_GT(dst, 0);
	EXPECT_TRUE(has_flag(getpid(), dst, "dd"));
	named = find_mapping((unsigned long)"[anon:audit]", 0, 0, 0);
	EXPECT_EQ(dst + (long)(LEN - page_size()), named);
}

/* MADV_FREE: either side may find its pages as they were, or zero, never else. */
AUDIT_TEST(special, lazyfree)
{
	long src = peer_call(&self->peer, map_kind, BASE, LEN, 7, 0), dst;

	ASSERT_EQ(0, peer_call(&self->peer, advise, src, LEN, MADV_FREE, 0));
	dst = clone_here(&self->peer, src, LEN);
	ASSERT_GT(dst, 0);
	for (unsigned long off = 0; off < LEN; off += page_size()) {
		unsigned long word = *(volatile unsigned long *)(dst + off);

		EXPECT_TRUE(!word || word == 7UL * 1000003 + off);
	}
	fill(dst, LEN, 8, 0);
	peer_call(&self->peer, fill, src, LEN, 9, 0);
	EXPECT_EQ(0, check(dst, LEN, 8, 0));
	EXPECT_EQ(0, peer_call(&self->peer, check, src, LEN, 9, 0));
}

TEST_HARNESS_MAIN
