// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why a ping-pong of 8 bytes through a pipe takes tens of microseconds here: what of it
 * is leaving idle? The same ping-pong under several conditions, in turn. It shares no
 * line with the suite's core.
 *
 *   two-cpus   the peer sleeps in read(), and its CPU goes idle meanwhile
 *   spinning   the peer polls a non-blocking pipe: its CPU is never idle
 *   busy       a task of SCHED_IDLE on each of the CPUs keeps them out of idle
 *   latency    /dev/cpu_dma_latency is held at 0: idle states with a latency are off
 *   one-cpu    both sides on one CPU: a switch in place of a wake-up of another CPU
 *
 * Usage: pingpong_idle CPU CPU [ROUNDS [TURNS]]
 * Prints the median, the smallest and the largest time of a round trip over the
 * rounds, in which the conditions take turns.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_ROUNDS 1000

enum { SPINS = 1, BUSY = 2, LATENCY = 4, ONE_CPU = 8 };

static const struct condition {
	const char *name;
	int flags;
} conditions[] = {
	{ "two-cpus", 0 },	{ "spinning", SPINS },	{ "busy", BUSY },
	{ "latency", LATENCY }, { "one-cpu", ONE_CPU },
};

#define CONDITIONS (sizeof(conditions) / sizeof(conditions[0]))

static double found_us[CONDITIONS][MOST_ROUNDS];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("sched_setaffinity");
}

static pid_t child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static pid_t start_busy(int cpu)
{
	const struct sched_param none = { 0 };
	pid_t pid = child();

	if (pid)
		return pid;
	pin(cpu);
	if (sched_setscheduler(0, SCHED_IDLE, &none))
		fail("sched_setscheduler");
	for (;;)
		__asm__ volatile("");
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void receive(int fd)
{
	uint64_t word;
	ssize_t got;

	while ((got = read(fd, &word, sizeof(word))) < 0 && errno == EAGAIN)
		;
	if (got != sizeof(word))
		fail("read");
}

static void answer(int from, int to, int cpu)
{
	const uint64_t word = 1;

	pin(cpu);
	for (;;) {
		receive(from);
		if (write(to, &word, sizeof(word)) != sizeof(word))
			fail("write");
	}
}

static double talk_us(int to, int from, long turns)
{
	const uint64_t word = 1;
	struct timespec start, now;

	for (long i = -turns / 10; i < turns; i++) {
		if (!i) /* what is before is the warm-up */
			clock_gettime(CLOCK_MONOTONIC_RAW, &start);
		if (write(to, &word, sizeof(word)) != sizeof(word))
			fail("write");
		receive(from);
	}
	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return ((double)(now.tv_sec - start.tv_sec) * 1e6 +
		(double)(now.tv_nsec - start.tv_nsec) / 1e3) /
	       (double)turns;
}

/* Both sides poll: one that slept would have its own wake-up in each round trip. */
static double measure_us(int flags, const int *cpus, long turns)
{
	int there[2], back[2], mode = flags & SPINS ? O_NONBLOCK : 0, peer = cpus[1];
	double us;
	pid_t pid;

	if (pipe2(there, mode) || pipe2(back, mode))
		fail("pipe2");
	if (flags & ONE_CPU)
		peer = cpus[0];
	pid = child();
	if (!pid)
		answer(there[0], back[1], peer);
	us = talk_us(there[1], back[0], turns);
	end(pid);
	for (int i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
	return us;
}

/* Negative where the condition cannot be had. */
static double under(const struct condition *condition, const int *cpus, long turns)
{
	const int32_t none = 0;
	pid_t busy[2] = { 0 };
	double us;
	int fd = -1;

	if (condition->flags & LATENCY) {
		fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, &none, sizeof(none)) != sizeof(none))
			return -1;
	}
	for (int i = 0; i < 2 && condition->flags & BUSY; i++)
		busy[i] = start_busy(cpus[i]);
	us = measure_us(condition->flags, cpus, turns);
	for (int i = 0; i < 2 && condition->flags & BUSY; i++)
		end(busy[i]);
	if (fd >= 0)
		close(fd);
	return us;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	long rounds = argc > 3 ? atol(argv[3]) : 11, turns = argc > 4 ? atol(argv[4]) : 5000;
	int cpus[2];

	if (argc < 3 || rounds < 1 || rounds > MOST_ROUNDS || turns < 10)
		return 1;
	cpus[0] = atoi(argv[1]);
	cpus[1] = atoi(argv[2]);
	pin(cpus[0]);
	for (long round = 0; round < rounds; round++)
		for (size_t i = 0; i < CONDITIONS; i++)
			found_us[i][round] = under(&conditions[i], cpus, turns);
	printf("condition   median us   smallest   largest   of %ld rounds\n", rounds);
	for (size_t i = 0; i < CONDITIONS; i++) {
		qsort(found_us[i], (size_t)rounds, sizeof(double), compare);
		if (found_us[i][0] < 0)
			printf("%-10s  can't be had here\n", conditions[i].name);
		else
			printf("%-10s  %9.2f  %9.2f  %8.2f\n", conditions[i].name,
			       found_us[i][rounds / 2], found_us[i][0], found_us[i][rounds - 1]);
	}
	return 0;
}
