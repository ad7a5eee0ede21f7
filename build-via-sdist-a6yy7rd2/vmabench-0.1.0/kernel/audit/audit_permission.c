// SPDX-License-Identifier: GPL-2.0-only
/*
 * A10: who may do it? Exactly who may process_vm_readv(): for real second users,
 * children and strangers, tasks that are not dumpable, user namespaces and each
 * level of yama the two calls must agree, and where the answer is known it must be
 * that. A program that is setuid, and executed in a loop while somebody clones from
 * it, must never give away what it has mapped.
 */
#include "audit.h"

#include <grp.h>
#include <sched.h>
#include <sys/uio.h>
#include <time.h>

#define ALICE	1001
#define BOB	1002
#define YAMA	"/proc/sys/kernel/yama/ptrace_scope"
#define SUID	"/dev/shm/audit-setuid"
#define AT	0x700000000UL	/* where the memory of the setuid program lies */
#define PUBLIC	0x1111111111111111UL
#define SECRET	0x5ec3e75ec3e75ec3UL

/* What may be asked of a target: the page that all targets have. */
struct target {
	pid_t pid;
	unsigned long addr;
};

static long readv_errno(const struct target *t)
{
	unsigned long word;
	struct iovec local = { &word, sizeof(word) };
	struct iovec remote = { (void *)t->addr, sizeof(word) };

	return process_vm_readv(t->pid, &local, 1, &remote, 1, 0) < 0 ? -errno : 0;
}

static long clone_errno(const struct target *t)
{
	long at = clone_map(t->pid, t->addr, page_size(), 0, 0);

	if (at < 0)
		return at;
	munmap((void *)at, page_size());
	return 0;
}

/* 0 or -EPERM, and the same for both calls; anything else says what differs. */
static long ask(unsigned long pid, unsigned long addr, long c, long d)
{
	const struct target t = { pid, addr };
	long read = readv_errno(&t), cloned = clone_errno(&t);

	return read == cloned ? read : -1000 + cloned;
}

static long become(unsigned long uid, unsigned long b, long c, long d)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		return -errno;
	/* a change of user makes a task not dumpable */
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

static long set_dumpable(unsigned long dumpable, unsigned long b, long c, long d)
{
	return prctl(PR_SET_DUMPABLE, dumpable) ? -errno : 0;
}

static long set_ptracer(unsigned long pid, unsigned long b, long c, long d)
{
	return prctl(PR_SET_PTRACER, pid) ? -errno : 0;
}

static long enter_user_ns(unsigned long a, unsigned long b, long c, long d)
{
	return unshare(CLONE_NEWUSER) ? -errno : 0;
}

FIXTURE(who) {
	struct peer asker, target;
	long page;
	bool has_yama;
};

FIXTURE_SETUP(who)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	if (geteuid())
		SKIP(return, "not root");
	self->has_yama = !access(YAMA, W_OK) && read_long(YAMA) < 3;
	if (self->has_yama)
		write_long(YAMA, 0);
	ASSERT_EQ(0, peer_start(&self->asker));
	ASSERT_EQ(0, peer_start(&self->target));
	self->page = peer_call(&self->target, map_kind, BASE, page_size(), 7, 0);
	ASSERT_GT(self->page, 0);
}

FIXTURE_TEARDOWN(who)
{
	peer_stop(&self->asker);
	peer_stop(&self->target);
	if (self->has_yama && read_long(YAMA) < 3)
		write_long(YAMA, 1);
}

#define ASK() peer_call(&self->asker, ask, self->target.pid, self->page, 0, 0)
#define BECOME(who, uid) ASSERT_EQ(0, peer_call(&self->who, become, uid, 0, 0, 0))

AUDIT_TEST(who, users)
{
	/* root asks root, then alice */
	EXPECT_EQ(0, ASK());
	BECOME(target, ALICE);
	EXPECT_EQ(0, ASK());
	/* bob asks alice, and she asks herself */
	BECOME(asker, BOB);
	EXPECT_EQ(-EPERM, ASK());
	peer_stop(&self->asker);
	ASSERT_EQ(0, peer_start(&self->asker));
	BECOME(asker, ALICE);
	EXPECT_EQ(0, ASK());
}

AUDIT_TEST(who, user_asks_root)
{
	BECOME(asker, ALICE);
	EXPECT_EQ(-EPERM, ASK());
}

/* One of the three uids, or gids, that is another one is enough to be refused. */
static long keep_a_root_id(unsigned long which, unsigned long b, long c, long d)
{
	if (setgroups(0, NULL) || setresgid(ALICE, ALICE, which == 1 ? 0 : ALICE) ||
	    setresuid(ALICE, ALICE, which == 0 ? 0 : ALICE))
		return -errno;
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

AUDIT_TEST(who, saved_ids)
{
	BECOME(asker, ALICE);
	for (int which = 0; which < 2; which++) {
		peer_stop(&self->target);
		ASSERT_EQ(0, peer_start(&self->target));
		self->page = peer_call(&self->target, map_kind, BASE, page_size(), 7, 0);
		ASSERT_EQ(0, peer_call(&self->target, keep_a_root_id, which, 0, 0, 0));
		EXPECT_EQ(-EPERM, ASK());
	}
}

AUDIT_TEST(who, not_dumpable)
{
	BECOME(asker, ALICE);
	BECOME(target, ALICE);
	EXPECT_EQ(0, ASK());
	ASSERT_EQ(0, peer_call(&self->target, set_dumpable, 0, 0, 0, 0));
	EXPECT_EQ(-EPERM, ASK());
	/* root may all the same */
	const struct target t = { self->target.pid, self->page };

	EXPECT_EQ(0, clone_errno(&t));
}

/* Root of a user namespace is nobody outside of it, and the owner of it inside. */
AUDIT_TEST(who, user_namespace)
{
	const struct target t = { self->target.pid, self->page };

	BECOME(asker, ALICE);
	if (peer_call(&self->asker, enter_user_ns, 0, 0, 0, 0))
		SKIP(return, "no user namespaces");
	EXPECT_EQ(-EPERM, ASK());
	BECOME(target, BOB);
	EXPECT_EQ(-EPERM, ASK());
	EXPECT_EQ(0, clone_errno(&t));
}

AUDIT_TEST(who, into_user_namespace)
{
	BECOME(target, ALICE);
	if (peer_call(&self->target, enter_user_ns, 0, 0, 0, 0))
		SKIP(return, "no user namespaces");
	/* who made the namespace has it in hand, but what is not dumpable */
	BECOME(asker, BOB);
	EXPECT_EQ(-EPERM, ASK());
	peer_stop(&self->asker);
	ASSERT_EQ(0, peer_start(&self->asker));
	BECOME(asker, ALICE);
	EXPECT_EQ(0, ASK());
	ASSERT_EQ(0, peer_call(&self->target, set_dumpable, 0, 0, 0, 0));
	EXPECT_EQ(-EPERM, ASK());
}

/* Our own memory is ours at any level, also when we are not dumpable. */
static long ask_myself(unsigned long a, unsigned long b, long c, long d)
{
	return ask(getpid(), map_kind(BASE, page_size(), 1, 0), 0, 0);
}

static long make_child(unsigned long page, unsigned long b, long c, long d)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	return pid;
}

AUDIT_TEST(who, yama_0)
{
	if (!self->has_yama)
		SKIP(return, "no yama");
	BECOME(asker, ALICE);
	BECOME(target, ALICE);
	EXPECT_EQ(0, ASK());
}

/* Descendants only, or who was named by the target. */
AUDIT_TEST(who, yama_1)
{
	long child, page;

	if (!self->has_yama)
		SKIP(return, "no yama");
	BECOME(asker, ALICE);
	BECOME(target, ALICE);
	page = peer_call(&self->asker, map_kind, BASE, page_size(), 7, 0);
	child = peer_call(&self->asker, make_child, page, 0, 0, 0);
	write_long(YAMA, 1);
	EXPECT_EQ(-EPERM, ASK());
	EXPECT_EQ(0, peer_call(&self->asker, ask, child, page, 0, 0));
	/* a child does not get at its parent */
	EXPECT_EQ(-EPERM, peer_call(&self->target, ask, self->asker.pid, page, 0, 0));
	ASSERT_EQ(0, peer_call(&self->target, set_ptracer, self->asker.pid, 0, 0, 0));
	EXPECT_EQ(0, ASK());
	EXPECT_EQ(0, peer_call(&self->asker, ask_myself, 0, 0, 0, 0));
	kill(child, SIGKILL);
}

/* Those with CAP_SYS_PTRACE only. */
AUDIT_TEST(who, yama_2)
{
	const struct target t = { self->target.pid, self->page };
	long child, page;

	if (!self->has_yama)
		SKIP(return, "no yama");
	BECOME(asker, ALICE);
	page = peer_call(&self->asker, map_kind, BASE, page_size(), 7, 0);
	child = peer_call(&self->asker, make_child, page, 0, 0, 0);
	BECOME(target, ALICE);
	write_long(YAMA, 2);
	EXPECT_EQ(-EPERM, ASK());
	EXPECT_EQ(-EPERM, peer_call(&self->asker, ask, child, page, 0, 0));
	EXPECT_EQ(0, clone_errno(&t));
	EXPECT_EQ(0, peer_call(&self->asker, ask_myself, 0, 0, 0, 0));
	kill(child, SIGKILL);
}

/*
 * A setuid program in a loop. The page at AT says PUBLIC while the user's own
 * program runs, and SECRET while the setuid one does; it is never to be seen.
 */
static void map_at(unsigned long word)
{
	unsigned long *page = mmap((void *)AT, page_size(), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (page == MAP_FAILED)
		_exit(1);
	*page = word;
}

/* argv[0] of the program says which of the two it is. */
static int user_program(void)
{
	map_at(PUBLIC);
	usleep(rand() % 2000);
	execl(SUID, "audit-secret", NULL);
	return 1;
}

static int setuid_program(void)
{
	if (geteuid())
		return 1;
	map_at(SECRET);
	usleep(2000);
	munmap((void *)AT, page_size());
	if (setresuid(getuid(), getuid(), getuid()))
		return 1;
	execl(SUID "-user", "audit-user", NULL);
	return 1;
}

static int copy_myself(const char *to, mode_t mode)
{
	char buffer[65536];
	int in = open("/proc/self/exe", O_RDONLY);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	ssize_t got;

	if (in < 0 || out < 0)
		return -errno;
	while ((got = read(in, buffer, sizeof(buffer))) > 0)
		if (write(out, buffer, got) != got)
			return -EIO;
	close(in);
	close(out);
	return chmod(to, mode) ? -errno : 0;
}

/* Clone from it for a while: how often PUBLIC was seen, or -1 for anything secret. */
static long spy(unsigned long pid, unsigned long milliseconds, long c, long d)
{
	struct timespec start, now;
	long seen = 0, at;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		at = clone_map(pid, AT, page_size(), 0, 0);
		if (at > 0) {
			unsigned long word = *(volatile unsigned long *)at;

			munmap((void *)at, page_size());
			if (word == SECRET)
				return -1;
			seen += word == PUBLIC;
		} else if (at != -EPERM && at != -EFAULT && at != -ESRCH) {
			return at;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 +
		 (now.tv_nsec - start.tv_nsec) / 1000000 < (long)milliseconds);
	return seen;
}

static long start_loop(unsigned long a, unsigned long b, long c, long d)
{
	pid_t pid = fork();

	if (!pid) {
		execl(SUID "-user", "audit-user", NULL);
		_exit(1);
	}
	return pid;
}

AUDIT_TEST(who, setuid_exec)
{
	long victim;
	int status;

	ASSERT_EQ(0, copy_myself(SUID, 04755));
	ASSERT_EQ(0, copy_myself(SUID "-user", 0755));
	BECOME(asker, ALICE);
	BECOME(target, ALICE);
	victim = peer_call(&self->target, start_loop, 0, 0, 0, 0);
	ASSERT_GT(victim, 0);
	EXPECT_GT(peer_call(&self->asker, spy, victim, 8000, 0, 0), 0);
	/* it has gone round all the while */
	EXPECT_EQ(0, kill(victim, 0));
	kill(victim, SIGKILL);
	waitpid(victim, &status, 0);
	unlink(SUID);
	unlink(SUID "-user");
}

/* The last of all: nobody may, not even root, and there is no way back. */
AUDIT_TEST(who, yama_3)
{
	const struct target t = { self->target.pid, self->page };

	if (!self->has_yama)
		SKIP(return, "no yama");
	ASSERT_EQ(0, write_file(YAMA, "3"));
	EXPECT_EQ(-EPERM, ASK());
	EXPECT_EQ(-EPERM, clone_errno(&t));
	EXPECT_EQ(-EPERM, readv_errno(&t));
	EXPECT_EQ(0, peer_call(&self->asker, ask_myself, 0, 0, 0, 0));
}

int main(int argc, char **argv)
{
	const char *name = argc ? argv[0] : "";

	srand(getpid());
	if (!strcmp(name, "audit-user"))
		return user_program();
	if (!strcmp(name, "audit-secret"))
		return setuid_program();
	return test_harness_run(argc, argv);
}
