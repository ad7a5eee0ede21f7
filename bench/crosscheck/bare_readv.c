// SPDX-License-Identifier: GPL-2.0-only
/*
 * The yardstick for readv: a loop around process_vm_readv() and nothing else.
 * It shares no line with the suite's core on purpose.
 *
 * Usage: bare_readv SIZE LOOPS VALUES SOURCE_CPU RECEIVER_CPU
 * Prints nanoseconds an operation, one value a line.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("sched_setaffinity");
		exit(1);
	}
}

static char *populated(size_t size, int value)
{
	char *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	madvise(addr, size, MADV_NOHUGEPAGE);
	memset(addr, value, size);
	return addr;
}

static double value_ns(pid_t source, char *to, char *from, size_t size, long loops)
{
	struct iovec local = { to, size }, remote = { from, size };
	struct timespec start, end;

	clock_gettime(CLOCK_MONOTONIC_RAW, &start);
	for (long i = 0; i < loops; i++)
		if (process_vm_readv(source, &local, 1, &remote, 1, 0) != (ssize_t)size) {
			perror("process_vm_readv");
			exit(1);
		}
	clock_gettime(CLOCK_MONOTONIC_RAW, &end);
	return ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) /
	       (double)loops;
}

int main(int argc, char **argv)
{
	char *from, *to, ready;
	int pipes[2];
	size_t size;
	pid_t source;

	if (argc != 6 || pipe(pipes))
		return 1;
	size = strtoul(argv[1], NULL, 10);
	from = populated(size, 1);
	source = fork();
	if (!source) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(atoi(argv[4]));
		memset(from, 2, size); /* pages of its own */
		if (write(pipes[1], "", 1) != 1)
			return 1;
		pause();
		return 0;
	}
	pin(atoi(argv[5]));
	to = populated(size, 0);
	if (source < 0 || read(pipes[0], &ready, 1) != 1)
		return 1;
	for (long i = 0; i < atol(argv[3]); i++)
		printf("%.3f\n", value_ns(source, to, from, size, atol(argv[2])));
	kill(source, SIGKILL);
	return to[0] == 2 ? 0 : 1;
}
