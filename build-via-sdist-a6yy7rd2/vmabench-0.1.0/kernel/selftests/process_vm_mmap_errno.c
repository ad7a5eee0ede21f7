// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every errno of process_vm_mmap(), in the order in which they are checked; but
 * for EINTR, which nobody lives to see: only a fatal signal ends the wait for a
 * lock.
 */
#include "pvm.h"
#include "../kselftest_harness.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#ifndef __NR_mseal
#define __NR_mseal 462
#endif
#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

FIXTURE(err) {
	struct peer peer;
	unsigned long page, len;
	unsigned long dst;	/* room for a clone */
	long src;
};

FIXTURE_SETUP(err)
{
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
	self->page = page_size();
	self->len = 8 * self->page;
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, map_kind, BASE, self->len, 7, 0);
	ASSERT_GT(self->src, 0);
	self->dst = reserve(self->len);
}

FIXTURE_TEARDOWN(err)
{
	peer_stop(&self->peer);
}

#define CLONE(src, len, dst, flags) \
	clone_map(self->peer.pid, src, len, dst, flags)

static unsigned long task_size(void)
{
	unsigned long size = 1UL << 56;

	/* the largest power of two up to which something can be mapped */
	while (size > 1UL << 46) {
		void *at = (void *)(size - 2 * page_size());

		if (mmap(at, page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_FIXED_NOREPLACE, -1, 0) == at) {
			munmap(at, page_size());
			return size - page_size();
		}
		size >>= 1;
	}
	return size - page_size();
}

TEST_F(err, flags_before_all_else)
{
	EXPECT_EQ(-EINVAL, clone_map(-1, 1, 0, 1, ~3UL));
	EXPECT_EQ(-EINVAL, CLONE(self->src, self->len, 0, 0x10));
	EXPECT_EQ(-EINVAL, CLONE(self->src, self->len, 0, 1UL << 63));
	EXPECT_EQ(-EINVAL, CLONE(self->src, self->len, 0, PVMMAP_MOVE));
	EXPECT_EQ(-EINVAL, CLONE(self->src, self->len, self->dst,
				 PVMMAP_PUSH | PVMMAP_FIXED));
}

TEST_F(err, arguments)
{
	unsigned long top = task_size();

	EXPECT_EQ(-EINVAL, CLONE(self->src, 0, 0, 0));
	EXPECT_EQ(-EINVAL, CLONE(self->src, -1UL, 0, 0));
	EXPECT_EQ(-EINVAL, CLONE(self->src, -self->page, 0, 0));
	EXPECT_EQ(-EINVAL, CLONE(self->src, top + self->page, 0, 0));
	EXPECT_EQ(-EINVAL, CLONE(self->src + 1, self->len, 0, 0));
	EXPECT_EQ(-EINVAL, CLONE(-self->page, self->page, 0, 0));
	EXPECT_EQ(-EINVAL, CLONE(top, self->page, 0, 0));
	EXPECT_EQ(-EINVAL, CLONE(self->src, self->len, self->dst + 1, PVMMAP_FIXED));
	EXPECT_EQ(-EINVAL, CLONE(self->src, self->len, self->dst + 1,
				 PVMMAP_FIXED_NOREPLACE));
	EXPECT_EQ(-EINVAL, CLONE(self->src, self->len, top, PVMMAP_FIXED));
	/* the arguments are looked at before the process */
	EXPECT_EQ(-EINVAL, clone_map(-1, self->src + 1, self->len, 0, 0));
}

TEST_F(err, rounding)
{
	long dst = CLONE(self->src, self->page + 1, self->dst + 1, 0);

	EXPECT_EQ(self->dst, dst);
	EXPECT_EQ(0, check(dst, 2 * self->page, 7, 0));
	EXPECT_EQ(0, munmap((void *)dst, 2 * self->page));
	/* an impossible hint is ignored */
	dst = CLONE(self->src, self->len, task_size(), 0);
	EXPECT_GT(dst, 0);
	/* NOREPLACE does not need FIXED, and may be given with it */
	EXPECT_EQ(self->dst, CLONE(self->src, self->page, self->dst,
				   PVMMAP_FIXED_NOREPLACE));
	EXPECT_EQ(self->dst + self->page,
		  CLONE(self->src, self->page, self->dst + self->page,
			PVMMAP_FIXED_NOREPLACE | PVMMAP_FIXED));
}

static long report_tid(unsigned long a, unsigned long b, long c, long d)
{
	return syscall(SYS_gettid);
}

TEST_F(err, process)
{
	pid_t gone = fork();

	if (!gone)
		_exit(0);
	EXPECT_EQ(-ESRCH, clone_map(0, self->src, self->len, 0, 0));
	EXPECT_EQ(-ESRCH, clone_map(-self->peer.pid, self->src, self->len, 0, 0));
	EXPECT_EQ(-ESRCH, clone_map(1 << 30, self->src, self->len, 0, 0));
	/* a zombie has no mm any more */
	siginfo_t info;

	ASSERT_EQ(0, waitid(P_PID, gone, &info, WEXITED | WNOWAIT));
	EXPECT_EQ(-ESRCH, clone_map(gone, self->src, self->len, 0, 0));
	waitpid(gone, NULL, 0);
	EXPECT_EQ(-ESRCH, clone_map(gone, self->src, self->len, 0, 0));
	EXPECT_GT(clone_map(peer_call(&self->peer, report_tid, 0, 0, 0, 0),
			    self->src, self->len, 0, 0), 0);
}

TEST_F(err, kernel_thread)
{
	char comm[32] = "";
	FILE *file = fopen("/proc/2/comm", "r");

	if (!file || !fgets(comm, sizeof(comm), file) ||
	    strcmp(comm, "kthreadd\n"))
		SKIP(return, "kthreadd can't be seen from here");
	EXPECT_EQ(-EINVAL, clone_map(2, self->src, self->len, 0, 0));
}

static long go_undumpable(unsigned long dumpable, unsigned long b, long c, long d)
{
	return prctl(PR_SET_DUMPABLE, dumpable, b, c, d);
}

/* Another user is not let in; nor are we, as nobody, to a task of root. */
TEST_F(err, permission)
{
	pid_t pid = fork();
	int status;

	if (geteuid())
		SKIP(return, "not root");
	if (!pid) {
		if (setresuid(65534, 65534, 65534))
			_exit(99);
		/* refused before the source is looked at */
		if (CLONE(self->src, self->len, 0, 0) != -EPERM)
			_exit(1);
		if (CLONE(self->page * 16, self->len, 0, 0) != -EPERM)
			_exit(2);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

static long become_nobody(unsigned long a, unsigned long b, long c, long d)
{
	return setresuid(65534, 65534, 65534);
}

TEST_F(err, not_dumpable)
{
	long mine;

	if (geteuid())
		SKIP(return, "not root");
	ASSERT_EQ(0, peer_call(&self->peer, become_nobody, 0, 0, 0, 0));
	ASSERT_EQ(0, setresuid(65534, 65534, 0));
	ASSERT_EQ(0, seteuid(65534));
	peer_call(&self->peer, go_undumpable, 1, 0, 0, 0);
	mine = CLONE(self->src, self->len, 0, 0);
	/* yama may restrict us to our children, which the peer is */
	EXPECT_GT(mine, 0);
	peer_call(&self->peer, go_undumpable, 0, 0, 0, 0);
	EXPECT_EQ(-EPERM, CLONE(self->src, self->len, 0, 0));
	ASSERT_EQ(0, seteuid(0));
}

TEST_F(err, sealed)
{
	ASSERT_EQ(self->dst, (unsigned long)mmap((void *)self->dst, self->len,
		PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	if (syscall(__NR_mseal, self->dst + self->page, self->page, 0))
		SKIP(return, "no mseal()");
	EXPECT_EQ(-EPERM, CLONE(self->src, self->len, self->dst, PVMMAP_FIXED));
	EXPECT_EQ(-EEXIST, CLONE(self->src, self->len, self->dst,
				 PVMMAP_FIXED_NOREPLACE));
	/* before the source is looked at */
	EXPECT_EQ(-EPERM, CLONE(16 * self->page, self->len, self->dst, PVMMAP_FIXED));
	/* all is as it was, and beside it there is room */
	EXPECT_EQ(3, smaps(getpid(), self->dst, self->len, NULL));
	EXPECT_EQ(self->dst, CLONE(self->src, self->page, self->dst, PVMMAP_FIXED));
}

TEST_F(err, low_address)
{
	pid_t pid = fork();
	int status;

	if (geteuid() || read_long("/proc/sys/vm/mmap_min_addr") < 4096)
		SKIP(return, "not root, or no address is too low");
	if (!pid) {
		long ret;

		/* our own mapping: another's needs more than we have then */
		ret = map_kind(BASE, self->len, 1, 0);
		if (setresuid(65534, 65534, 65534))
			_exit(99);
		ret = clone_map(getpid(), ret, self->page, 0, PVMMAP_FIXED);
		_exit(ret == -EPERM ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

static long hole(unsigned long addr, unsigned long len, long c, long d)
{
	return munmap((void *)addr, len);
}

TEST_F(err, not_mapped)
{
	unsigned long mine = map_kind(BASE, self->len, 1, 0);

	EXPECT_EQ(-EFAULT, CLONE(16 * self->page, self->page, 0, 0));
	EXPECT_EQ(-EFAULT, CLONE(self->src, self->len + self->page, 0, 0));
	ASSERT_EQ(0, peer_call(&self->peer, hole, self->src + self->page,
			       self->page, 0, 0));
	EXPECT_EQ(-EFAULT, CLONE(self->src, self->len, 0, 0));
	EXPECT_GT(CLONE(self->src, self->page, 0, 0), 0);
	/* what could be known before leaves the old mapping */
	EXPECT_EQ(-EFAULT, CLONE(self->src, self->len, mine, PVMMAP_FIXED));
	EXPECT_EQ(0, check(mine, self->len, 1, 0));
}

static long protect(unsigned long addr, unsigned long len, long prot, long d)
{
	return mprotect((void *)addr, len, prot);
}

TEST_F(err, two_vmas)
{
	ASSERT_EQ(0, peer_call(&self->peer, protect, self->src + 4 * self->page,
			       self->page, PROT_READ, 0));
	EXPECT_EQ(-EFAULT, CLONE(self->src, self->len, 0, 0));
}

/*
 * Kinds of memory that are refused. Each is a test of its own, so that what a
 * kernel does not have is a skip that can be seen.
 */
static long find_special(const char *name)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned long start = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, name) && sscanf(line, "%lx-", &start) == 1)
			break;
	if (file)
		fclose(file);
	return start ? (long)start : -ENOENT;
}

static long find_vdso(unsigned long len, unsigned long b, long c, long d)
{
	return find_special("[vdso]");
}

static long find_vvar(unsigned long len, unsigned long b, long c, long d)
{
	return find_special("[vvar");
}

static long map_with(unsigned long len, int flags, int fd)
{
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	return map == MAP_FAILED ? -errno : (long)map;
}

static long map_hugetlb(unsigned long len, unsigned long b, long c, long d)
{
	return map_with(PMD, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			MAP_NORESERVE, -1);
}

static long map_secret(unsigned long len, unsigned long b, long c, long d)
{
	int fd = syscall(__NR_memfd_secret, 0);
	long map;

	if (fd < 0 || ftruncate(fd, len))
		return -errno;
	map = map_with(len, MAP_SHARED, fd);
	close(fd);
	return map;
}

static long map_droppable(unsigned long len, unsigned long b, long c, long d)
{
	return map_with(len, MAP_ANONYMOUS | MAP_DROPPABLE, -1);
}

/* An aio ring can't be expanded, and is like any file otherwise. */
static long map_aio(unsigned long len, unsigned long b, long c, long d)
{
	unsigned long ctx = 0;

	return syscall(__NR_io_setup, 8, &ctx) ? -errno : (long)ctx;
}

FIXTURE(refused) {
	struct peer peer;
	long src;
};

FIXTURE_VARIANT(refused) {
	peer_fn map;
	bool huge;
};

FIXTURE_VARIANT_ADD(refused, vdso) { .map = find_vdso };
FIXTURE_VARIANT_ADD(refused, vvar) { .map = find_vvar };
FIXTURE_VARIANT_ADD(refused, hugetlb) { .map = map_hugetlb, .huge = true };
FIXTURE_VARIANT_ADD(refused, secretmem) { .map = map_secret };
FIXTURE_VARIANT_ADD(refused, droppable) { .map = map_droppable };
FIXTURE_VARIANT_ADD(refused, aio) { .map = map_aio };

FIXTURE_SETUP(refused)
{
	if (clone_map(0, 0, 0, 0, -1UL) == -ENOSYS)
		SKIP(return, "no process_vm_mmap()");
	ASSERT_EQ(0, peer_start(&self->peer));
	self->src = peer_call(&self->peer, variant->map, page_size(), 0, 0, 0);
	if (self->src < 0)
		SKIP(return, "there is none: %s", strerror(-self->src));
}

FIXTURE_TEARDOWN(refused)
{
	peer_stop(&self->peer);
}

TEST_F(refused, kind)
{
	EXPECT_EQ(-EINVAL, clone_map(self->peer.pid, self->src,
				     variant->huge ? PMD : page_size(), 0, 0));
}

TEST_F(err, dontfork)
{
	ASSERT_EQ(0, peer_call(&self->peer, advise, self->src, self->len,
			       MADV_DONTFORK, 0));
	EXPECT_EQ(-EINVAL, CLONE(self->src, self->len, 0, 0));
	peer_call(&self->peer, advise, self->src, self->len, MADV_DOFORK, 0);
	peer_call(&self->peer, advise, self->src, self->len, MADV_WIPEONFORK, 0);
	EXPECT_EQ(-EINVAL, CLONE(self->src, self->len, 0, 0));
	peer_call(&self->peer, advise, self->src, self->len, MADV_KEEPONFORK, 0);
	EXPECT_GT(CLONE(self->src, self->len, 0, 0), 0);
}

TEST_F(err, overlap)
{
	unsigned long mine = map_kind(BASE, self->len, 1, 0);
	unsigned long half = 4 * self->page;

	EXPECT_EQ(-EINVAL, clone_map(getpid(), mine, self->len, mine, PVMMAP_FIXED));
	EXPECT_EQ(-EINVAL, clone_map(getpid(), mine, half + self->page, mine + half,
				     PVMMAP_FIXED));
	EXPECT_EQ(-EINVAL, clone_map(getpid(), mine, self->len, mine + half,
				     PVMMAP_FIXED_NOREPLACE));
	/* over another part of the very mapping it comes from */
	EXPECT_EQ(mine + half, clone_map(getpid(), mine, half, mine + half,
					 PVMMAP_FIXED));
	EXPECT_EQ(0, check(mine, half, 1, 0));
	EXPECT_EQ(0, check(mine + half, half, 1, 0));
}

static long arm_userfaultfd(unsigned long addr, unsigned long len, long c, long d)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { addr, len }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

TEST_F(err, userfaultfd)
{
	if (peer_call(&self->peer, arm_userfaultfd, self->src, self->len, 0, 0))
		SKIP(return, "no userfaultfd");
	EXPECT_EQ(-EOPNOTSUPP, CLONE(self->src, self->len, 0, 0));
	/* before what is at the destination */
	EXPECT_EQ(-EOPNOTSUPP, CLONE(self->src, self->len, (unsigned long)self &
				     ~(self->page - 1), PVMMAP_FIXED_NOREPLACE));
}

TEST_F(err, exists)
{
	unsigned long mine = map_kind(BASE, self->page, 1, 0);

	EXPECT_EQ(-EEXIST, CLONE(self->src, self->len, mine, PVMMAP_FIXED_NOREPLACE));
	EXPECT_EQ(-EEXIST, CLONE(self->src, self->len, mine - 7 * self->page,
				 PVMMAP_FIXED | PVMMAP_FIXED_NOREPLACE));
	EXPECT_EQ(0, check(mine, self->page, 1, 0));
	/* before the limits */
	struct rlimit none = { 0, RLIM_INFINITY };

	setrlimit(RLIMIT_AS, &none);
	EXPECT_EQ(-EEXIST, CLONE(self->src, self->len, mine, PVMMAP_FIXED_NOREPLACE));
}

TEST_F(err, limits)
{
	struct rlimit limit = { status_kb(getpid(), "VmSize") * KB, RLIM_INFINITY };
	unsigned long mine = map_kind(BASE, self->len, 1, 0);

	limit.rlim_cur += self->len + self->page;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	EXPECT_EQ(-ENOMEM, CLONE(self->src, self->len, self->dst, PVMMAP_FIXED));
	EXPECT_EQ(-ENOMEM, CLONE(self->src, self->len, 0, 0));
	/* what is replaced is taken off */
	EXPECT_EQ(mine, CLONE(self->src, self->len, mine, PVMMAP_FIXED));
	EXPECT_EQ(0, check(mine, self->len, 7, 0));
	limit.rlim_cur = RLIM_INFINITY;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));

	limit.rlim_cur = status_kb(getpid(), "VmData") * KB;
	ASSERT_EQ(0, setrlimit(RLIMIT_DATA, &limit));
	EXPECT_EQ(-ENOMEM, CLONE(self->src, self->len, 0, 0));
}

TEST_F(err, overcommit)
{
	const char *path = "/proc/sys/vm/overcommit_memory";
	long was = read_long(path), src, huge = 64 * MB;
	char text[16];

	src = peer_call(&self->peer, map_kind, BASE, huge, 1, 0);
	ASSERT_GT(src, 0);
	if (write_file(path, "2"))
		SKIP(return, "overcommit can't be set");
	long limit = read_field("/proc/meminfo", "CommitLimit");
	long used = read_field("/proc/meminfo", "Committed_AS"), ret = 0;

	for (long i = 0; i <= (limit - used) / (huge / 1024) + 1 && ret >= 0; i++)
		ret = CLONE(src, huge, 0, 0);
	snprintf(text, sizeof(text), "%ld", was);
	write_file(path, text);
	EXPECT_EQ(-ENOMEM, ret);
}

/* The limit is borrowed: a debug kernel walks all mappings after each change. */
TEST_F(err, map_count)
{
	const char *path = "/proc/sys/vm/max_map_count";
	long was = read_long(path), few = 512, ret = 0, good = 0;
	unsigned long at = reserve(4 * few * self->page);
	char text[16];

	snprintf(text, sizeof(text), "%ld", few);
	if (write_file(path, text))
		SKIP(return, "max_map_count can't be set");
	for (; good < few + 2 && ret >= 0; good += ret >= 0)
		ret = CLONE(self->src, self->page, at + 2 * good * self->page,
			    PVMMAP_FIXED);
	snprintf(text, sizeof(text), "%ld", was);
	write_file(path, text);
	EXPECT_EQ(-ENOMEM, ret);
	/* and it was this limit, not another */
	EXPECT_GT(good, few / 2);
	EXPECT_EQ(at + 2 * good * self->page,
		  CLONE(self->src, self->page, at + 2 * good * self->page,
			PVMMAP_FIXED));
}

TEST_F(err, memlock)
{
	struct rlimit limit = { 0, 0 };
	unsigned long got;

	ASSERT_EQ(0, mlockall(MCL_FUTURE));
	got = CLONE(self->src, self->len, 0, 0);
	ASSERT_GT((long)got, 0);
	EXPECT_EQ(self->len / KB, status_kb(getpid(), "VmLck"));
	EXPECT_EQ(0, check(got, self->len, 7, 0));
	EXPECT_EQ(0, munmap((void *)got, self->len));
	EXPECT_EQ(0, status_kb(getpid(), "VmLck"));
	/* nor does it matter that one lies beside the other */
	for (int i = 0; i < 8; i++)
		ASSERT_EQ(self->dst + i * self->page,
			  CLONE(self->src + i * self->page, self->page,
				self->dst + i * self->page, PVMMAP_FIXED));
	EXPECT_EQ(self->len / KB, status_kb(getpid(), "VmLck"));
	EXPECT_EQ(self->len / KB, smaps(getpid(), self->dst, self->len, "Locked"));
	EXPECT_EQ(0, check(self->dst, self->len, 7, 0));
	EXPECT_EQ(0, munmap((void *)self->dst, self->len));
	EXPECT_EQ(0, status_kb(getpid(), "VmLck"));
	if (geteuid())
		SKIP(return, "not root");
	pid_t pid = fork();
	int status;

	if (!pid) {
		unsigned long mine = map_kind(BASE, self->len, 1, 0);
		/* MCL_FUTURE is not inherited by fork() */
		if (mlockall(MCL_FUTURE) || setrlimit(RLIMIT_MEMLOCK, &limit) ||
		    setresuid(65534, 65534, 65534))
			_exit(99);
		_exit(clone_map(getpid(), mine, self->len, 0, 0) == -EAGAIN ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

static long lock_it(unsigned long addr, unsigned long len, long c, long d)
{
	return mlock((void *)addr, len);
}

/* Flags of the source that concern its own address range stay behind. */
TEST_F(err, not_inherited)
{
	long dst;

	ASSERT_EQ(0, peer_call(&self->peer, lock_it, self->src, self->len, 0, 0));
	dst = CLONE(self->src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, status_kb(getpid(), "VmLck"));
	EXPECT_EQ(self->len / KB, status_kb(self->peer.pid, "VmLck"));
	EXPECT_EQ(0, munmap((void *)dst, self->len));
}

TEST_F(err, protection_is_the_sources)
{
	long dst;

	ASSERT_EQ(0, peer_call(&self->peer, protect, self->src, self->len,
			       PROT_READ, 0));
	dst = CLONE(self->src, self->len, 0, 0);
	ASSERT_GT(dst, 0);
	EXPECT_EQ(0, check(dst, self->len, 7, 0));
	/* a read() into it must fail */
	int fd = open("/dev/zero", O_RDONLY);

	if (fd >= 0)
		EXPECT_EQ(-1, read(fd, (void *)dst, 1));
	EXPECT_EQ(0, mprotect((void *)dst, self->len, PROT_READ | PROT_WRITE));
	fill(dst, self->len, 8, 0);
	EXPECT_EQ(0, peer_call(&self->peer, check, self->src, self->len, 7, 0));
}

TEST_HARNESS_MAIN
