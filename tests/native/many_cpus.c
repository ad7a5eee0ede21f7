// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded, it stands in for a kernel that knows of 4,096 CPUs, two of which are
 * the caller's: 3 and 1500. A smaller set is refused, as such a kernel does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>

#define BYTES (4096 / 8)

/* The CPU that the process was pinned to, -1 without. */
int pinned_to = -1;

int sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set)
{
	(void)pid;
	if (bytes < BYTES) {
		errno = EINVAL;
		return -1;
	}
	CPU_ZERO_S(bytes, set);
	CPU_SET_S(3, bytes, set);
	CPU_SET_S(1500, bytes, set);
	return 0;
}

int sched_setaffinity(pid_t pid, size_t bytes, const cpu_set_t *set)
{
	(void)pid;
	if (bytes * 8 <= 1500 || !CPU_ISSET_S(1500, bytes, set)) {
		errno = EINVAL;
		return -1;
	}
	pinned_to = 1500;
	return 0;
}
