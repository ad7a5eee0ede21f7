// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stands in for a kernel that has process_vm_mmap(): preloaded into the
 * receiver, it catches the system call by its number and answers it from user
 * space, by copying. So the whole path of the clone mechanism runs on kernels
 * without the call, down to the number and the flags. What it measures means
 * nothing. Each call is recorded in the file that VMB_STUB_LOG names. With
 * VMB_STUB_PIDFD, the call takes a pidfd, else a pid.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "../../kernel/uapi/process_vm_mmap.h"

static int log_fd = -1, takes_pidfd;

static long place(unsigned long dst, size_t len, unsigned long flags)
{
	int how = MAP_PRIVATE | MAP_ANONYMOUS;
	void *addr;

	if (flags & PVMMAP_FIXED_NOREPLACE)
		how |= MAP_FIXED_NOREPLACE;
	else if (flags & PVMMAP_FIXED)
		how |= MAP_FIXED;
	addr = mmap((void *)dst, len, PROT_READ | PROT_WRITE, how, -1, 0);
	return addr == MAP_FAILED ? -errno : (long)addr;
}

/* The process of a pidfd, or -EBADF. */
static pid_t process_of(int pidfd)
{
	char path[64], line[128];
	int pid = -EBADF;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	if (file)
		fclose(file);
	return pid;
}

static long answer(int process, unsigned long src, size_t len, unsigned long dst,
		   unsigned long flags)
{
	struct iovec local = { .iov_len = len }, remote = { (void *)src, len };
	pid_t pid = takes_pidfd ? process_of(process) : process;
	long addr;

	if (flags & ~(unsigned long)(PVMMAP_FIXED | PVMMAP_FIXED_NOREPLACE) || !len)
		return -EINVAL;
	if (pid <= 0)
		return takes_pidfd ? -EBADF : -ESRCH;
	addr = place(dst, len, flags);
	if (addr < 0)
		return addr;
	local.iov_base = (void *)addr;
	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != (ssize_t)len)
		return -EFAULT;
	return addr;
}

static void on_call(int signal, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	char line[160];
	int length;

	(void)signal;
	(void)info;
	regs[REG_RAX] =
		answer((int)regs[REG_RDI], (unsigned long)regs[REG_RSI], (size_t)regs[REG_RDX],
		       (unsigned long)regs[REG_R10], (unsigned long)regs[REG_R8]);
	length =
		snprintf(line, sizeof(line), "%d %#llx %llu %#llx %#llx %lld\n", (int)regs[REG_RDI],
			 regs[REG_RSI], regs[REG_RDX], regs[REG_R10], regs[REG_R8], regs[REG_RAX]);
	if (log_fd >= 0 && write(log_fd, line, (size_t)length) != length)
		_exit(99);
}

__attribute__((constructor)) static void install(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_process_vm_mmap, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	struct sigaction action = { .sa_sigaction = on_call, .sa_flags = SA_SIGINFO };
	const char *log = getenv("VMB_STUB_LOG");

	takes_pidfd = !!getenv("VMB_STUB_PIDFD");
	if (log)
		log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	sigaction(SIGSYS, &action, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		_exit(98);
}
