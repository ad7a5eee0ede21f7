// SPDX-License-Identifier: GPL-2.0-only
/* What processes of a case need to talk and to end: a futex, a passed file, a death signal. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"

/* Set by the program of the source; in the receiver they stay empty. */
struct vmb_control *vmb_control;
struct vmb_region vmb_source_region = { .fd = -1, .remote_fd = -1, .shmid = -1 };

/* From now on the kernel kills this process when its parent dies; -ESRCH if it is dead already. */
int vmb_follow_parent(int parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return vmb_fail(-errno, "prctl(PR_SET_PDEATHSIG)");
	if (getppid() != parent)
		return vmb_fail(-ESRCH, "the parent of this process is gone");
	return 0;
}

/* The first call of a child of parent: it ends with its parent, also with one that is gone. */
void vmb_be_child_of(int parent)
{
	if (vmb_follow_parent(parent))
		_exit(1);
}

/*
 * -ECHILD if a child was killed, as by the OOM killer, or ended with an error. The pid of one that
 * has ended is 0 afterwards; one that ended with status 0 has done its work.
 */
int vmb_check_children(pid_t *pids, uint32_t count, const char *what)
{
	for (uint32_t i = 0; i < count; i++) {
		int status;

		if (pids[i] <= 0 || waitpid(pids[i], &status, WNOHANG) != pids[i])
			continue;
		pids[i] = 0;
		if (WIFSIGNALED(status))
			return vmb_fail(-ECHILD, "%s %u of %u was killed by signal %d (%s)", what,
					i + 1, count, WTERMSIG(status),
					strsignal(WTERMSIG(status)));
		if (WEXITSTATUS(status))
			return vmb_fail(-ECHILD, "%s %u of %u ended with status %d", what, i + 1,
					count, WEXITSTATUS(status));
	}
	return 0;
}

/* Returns when the word changed, was woken, or ms have passed: the caller looks again. */
void vmb_futex_wait(uint32_t *word, uint32_t while_value, unsigned int ms)
{
	struct timespec limit = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	syscall(SYS_futex, word, FUTEX_WAIT, while_value, &limit, NULL, 0);
}

void vmb_futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

union fd_message {
	char buffer[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int vmb_fd_send(int socket, int fd)
{
	char byte = 0;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	union fd_message control = { .buffer = { 0 } };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.buffer,
		.msg_controllen = sizeof(control.buffer),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1)
		return vmb_fail(-errno, "sending the shared object");
	return 0;
}

int vmb_fd_receive(int socket, int *ret)
{
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	union fd_message control;
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.buffer,
		.msg_controllen = sizeof(control.buffer),
	};
	struct cmsghdr *header;

	/* Sent before the answer was: it is there or it never comes. */
	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
		return vmb_fail(-errno, "receiving the shared object");
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return vmb_fail(-EPROTO, "receiving the shared object");
	memcpy(ret, CMSG_DATA(header), sizeof(*ret));
	return 0;
}
