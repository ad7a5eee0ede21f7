// SPDX-License-Identifier: GPL-2.0-only
/*
 * The system calls that a seccomp filter may kill a process for. A test process
 * makes each with arguments that the kernel refuses: it returns, or it is dead.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../../kernel/uapi/process_vm_mmap.h"
#include "core.h"

static const struct call {
	const char *name;
	long number;
} calls[] = {
	{ "process_vm_readv", SYS_process_vm_readv },
	{ "process_vm_writev", SYS_process_vm_writev },
	{ "process_vm_mmap", __NR_process_vm_mmap },
	{ "userfaultfd", SYS_userfaultfd },
	{ "memfd_create", SYS_memfd_create },
	{ "shmget", SYS_shmget },
	{ "shmat", SYS_shmat },
	{ "pipe2", SYS_pipe2 },
	{ "vmsplice", SYS_vmsplice },
	{ "socketpair", SYS_socketpair },
	{ "pidfd_open", SYS_pidfd_open },
	{ "pidfd_getfd", SYS_pidfd_getfd },
	{ "mremap", SYS_mremap },
	{ "process_madvise", SYS_process_madvise },
	{ "perf_event_open", SYS_perf_event_open },
	{ "sched_setaffinity", SYS_sched_setaffinity },
	{ "fsopen", SYS_fsopen },
	{ "set_mempolicy", SYS_set_mempolicy },
	{ "move_pages", SYS_move_pages },
};

const char *vmb_call_name(int index)
{
	return (size_t)index < sizeof(calls) / sizeof(calls[0]) ? calls[index].name : NULL;
}

/* -errno of the call with every argument -1, which no call accepts. */
int vmb_call_try(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(calls[i].name, name))
			return syscall(calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L) < 0 ? -errno
											  : 0;
	return vmb_fail(-EINVAL, "no such call: %s", name);
}
