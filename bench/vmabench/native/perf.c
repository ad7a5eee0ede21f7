// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cycles and misses of the TLB, where the machine counts them. They are counted
 * on the CPUs that the case is pinned to, whoever runs there, and not for the two
 * processes: an event that follows a task is switched with it, and copied when it
 * forks, which would be in the timed part. So it takes the right to look at whole
 * CPUs. What can't be counted is not known, never 0.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/perf_event.h>
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

/* What is counted: a descriptor for each event and CPU, or none of an event. */
static unsigned int nr_cpus;
static int counted[VMB_NR_EVENTS];
static int fds[VMB_NR_EVENTS][VMB_MOST_RECEIVERS];
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

static void close_event(int event, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		close(fds[event][i]);
	counted[event] = 0;
}

/* On all of the CPUs, or on none of them. */
static int count_event(int event, const int *cpus, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		fds[event][i] = open_event(&events[event], cpus[i]);
		if (fds[event][i] < 0) {
			int err = vmb_fail(-errno, "perf_event_open");

			close_event(event, i);
			return err;
		}
	}
	counted[event] = 1;
	return 0;
}

/*
 * From now on these CPUs, each of them once, and no others. -errno says why an
 * event is not counted; the others are all the same.
 */
int vmb_perf_watch(const int *cpus, unsigned int count)
{
	int err = 0, failed;

	vmb_perf_forget();
	if (count > VMB_MOST_RECEIVERS)
		return vmb_fail(-EINVAL, "%u CPUs", count);
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
	for (int i = 0; i < VMB_NR_EVENTS; i++)
		if (counted[i])
			close_event(i, nr_cpus);
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
		ssize_t got = read(fds[event][i], &reading, sizeof(reading));

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
