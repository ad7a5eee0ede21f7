// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded into the receiver: every FUTEX_WAIT without a limit fails with EAGAIN,
 * as when the word changes right before the call. Counts these calls, and how
 * often the process looks after its children meanwhile.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/types.h>

unsigned long futex_races, child_looks;

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long args[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		args[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_futex && (args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT && !args[3]) {
		futex_races++;
		sched_yield();
		errno = EAGAIN;
		return -1;
	}
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return next(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
	static pid_t (*next)(pid_t, int *, int);

	child_looks++;
	if (!next)
		next = (pid_t(*)(pid_t, int *, int))dlsym(RTLD_NEXT, "waitpid");
	return next(pid, status, options);
}
