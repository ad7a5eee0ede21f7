// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cycles and misses of the TLB, where the machine counts them. They are counted
 * on the CPUs that the case is pinned to, whatever runs there, and not for the two
 * processes: the kernel switches an event that follows a task with it, and copies
 * it in fork(), which would be in the timed part. Counting on a CPU needs the
 * permission to observe all of it (perf_event_paranoid). A value that can't be
 * counted is unknown, never 0.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"

#define DTLB_READ_MISSES                                                                           \
	(PERF_COUNT_HW_CACHE_DTLB | PERF_COUNT_HW_CACHE_OP_READ << 8 |                             \
	 PERF_COUNT_HW_CACHE_RESULT_MISS << 16)

static struct event {
	enum vmb_counter counter;
	uint32_t type;
	uint64_t config;
} events[VMB_NR_EVENTS] = {
	[VMB_EVENT_CYCLES] = { VMB_CYCLES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
	[VMB_EVENT_TLB] = { VMB_TLB_MISSES, PERF_TYPE_HW_CACHE, DTLB_READ_MISSES },
};

/* What is counted: a descriptor for each CPU of an event, or none of an event (NULL). */
static unsigned int nr_cpus;
static int *counted[VMB_NR_EVENTS];
static int forbidden;

/* What read() gives, in the order of the bits of read_format. */
struct reading {
	uint64_t value, enabled_ns, running_ns;
};

static int open_event(const struct event *event, int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = event->type,
		.config = event->config,
		.pinned = 1, /* all the time or not at all: a share of it would be a guess */
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};

	return (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static void close_event(int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
	free(fds);
}

/* On all of the CPUs, or on none of them. */
static int count_event(int event, const int *cpus, unsigned int count)
{
	int *fds = calloc(count, sizeof(*fds));

	if (!fds)
		return vmb_fail(-ENOMEM, "counting on %u CPUs", count);
	for (unsigned int i = 0; i < count; i++) {
		fds[i] = open_event(&events[event], cpus[i]);
		if (fds[i] < 0) {
			int err = vmb_fail(-errno, "perf_event_open");

			close_event(fds, i);
			return err;
		}
	}
	counted[event] = fds;
	return 0;
}

/*
 * From now on counts on these CPUs, each of them given once, and on no others.
 * Returns -errno if an event can't be counted; the other events are counted then.
 */
int vmb_perf_watch(const int *cpus, unsigned int count)
{
	int err = 0, failed;

	vmb_perf_forget();
	if (forbidden)
		return vmb_fail(-EACCES, "perf_event_open is not called");
	nr_cpus = count;
	for (int i = 0; i < VMB_NR_EVENTS; i++) {
		failed = count_event(i, cpus, count);
		err = err ? err : failed;
	}
	return err;
}

void vmb_perf_forget(void)
{
	for (int i = 0; i < VMB_NR_EVENTS; i++) {
		if (counted[i])
			close_event(counted[i], nr_cpus);
		counted[i] = NULL;
	}
	nr_cpus = 0;
}

/* Never calls perf_event_open() in this process: a seccomp filter would kill it. */
void vmb_perf_forbid(void)
{
	forbidden = 1;
}

/* For tests: another event in the place of one, as not every machine has these. */
void vmb_perf_replace(int event, uint32_t type, uint64_t config)
{
	events[event].type = type;
	events[event].config = config;
}

/* 0 where an event was not counted all the time: the CPU had no counter left for it. */
static int read_event(int event, uint64_t *ret)
{
	struct reading reading;

	*ret = 0;
	for (unsigned int i = 0; i < nr_cpus; i++) {
		ssize_t got = read(counted[event][i], &reading, sizeof(reading));

		if (got != sizeof(reading) || reading.running_ns != reading.enabled_ns)
			return 0;
		*ret += reading.value;
	}
	return nr_cpus > 0;
}

/* The state of these counters now; of what is not known nothing is changed. */
void vmb_perf_read(struct vmb_counts *counts)
{
	uint64_t value;

	for (int i = 0; i < VMB_NR_EVENTS; i++) {
		if (!counted[i] || !read_event(i, &value))
			continue;
		counts->known |= 1ull << events[i].counter;
		counts->count[events[i].counter] = value;
	}
}
