// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel counts beside the time. All of it is read from /proc, that of
 * the source too, so that nobody is woken for it, and outside the timed part. A
 * counter that this kernel or this user does not have is not known, never 0.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"

static const char *const names[VMB_NR_COUNTERS] = {
	[VMB_MINOR_FAULTS] = "minor_faults",
	[VMB_MAJOR_FAULTS] = "major_faults",
	[VMB_SWITCHES] = "context_switches",
	[VMB_PREEMPTIONS] = "preemptions",
	[VMB_SWAP_IN] = "swap_in_bytes",
	[VMB_SWAP_OUT] = "swap_out_bytes",
	[VMB_STEAL] = "steal_ns",
	[VMB_DEVICE_READ] = "swap_device_read_bytes",
	[VMB_DEVICE_WRITTEN] = "swap_device_written_bytes",
	[VMB_CALL_SWAP_IN] = "call_swap_in_bytes",
	[VMB_CALL_SWAP_OUT] = "call_swap_out_bytes",
	[VMB_USE_SWAP_IN] = "use_swap_in_bytes",
	[VMB_USE_SWAP_OUT] = "use_swap_out_bytes",
	[VMB_CYCLES] = "cycles",
	[VMB_TLB_MISSES] = "tlb_misses",
	[VMB_REWRITE_FAULTS] = "rewrite_faults",
	[VMB_TLB_SHOOTDOWNS] = "tlb_shootdowns",
};

#define SECTOR_BYTES 512 /* in /sys/block, whatever the device's own are */

static int switched_off;
static char device_stat[128]; /* of the block device below the suite's own swap, or empty */

/* For those who want to see what reading them does to the time. */
void vmb_counters_enable(int on)
{
	switched_off = !on;
}

/* An empty path: there is no swap device of the suite's own. */
void vmb_swap_device_set(const char *stat_path)
{
	snprintf(device_stat, sizeof(device_stat), "%s", stat_path);
}

const char *vmb_counter_name(int counter)
{
	return counter >= 0 && counter < VMB_NR_COUNTERS ? names[counter] : NULL;
}

/* At most size - 1 bytes of a file, with a 0 behind them; 0 bytes where it can't be read. */
static size_t read_text(const char *path, char *buffer, size_t size)
{
	size_t got = 0;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	while (got < size - 1 && (n = read(fd, buffer + got, size - 1 - got)) > 0)
		got += (size_t)n;
	close(fd);
	buffer[got] = 0;
	return got;
}

static void add(struct vmb_counts *counts, enum vmb_counter counter, uint64_t count)
{
	counts->known |= 1ull << counter;
	counts->count[counter] += count;
}

/* The number behind a key at the beginning of a line. */
static void add_line(struct vmb_counts *counts, enum vmb_counter counter, const char *text,
		     const char *key, uint64_t unit)
{
	const char *line = strstr(text, key);

	if (line)
		add(counts, counter, unit * strtoull(line + strlen(key), NULL, 10));
}

/* Faults of a process and of its children that were waited for. */
static int add_faults(struct vmb_counts *counts, pid_t pid)
{
	uint64_t minor, child_minor, major, child_major;
	char path[64], buffer[1024];
	const char *after_name;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!read_text(path, buffer, sizeof(buffer)))
		return vmb_fail(-ESRCH, "read %s", path);
	after_name = strrchr(buffer, ')'); /* the name may hold blanks and brackets */
	if (!after_name ||
	    sscanf(after_name + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
		   &minor, &child_minor, &major, &child_major) != 4)
		return vmb_fail(-EIO, "%s has an unknown form", path);
	add(counts, VMB_MINOR_FAULTS, minor + child_minor);
	add(counts, VMB_MAJOR_FAULTS, major + child_major);
	return 0;
}

static void add_switches(struct vmb_counts *counts, pid_t pid)
{
	char path[64], buffer[4096];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (!read_text(path, buffer, sizeof(buffer)))
		return;
	add_line(counts, VMB_SWITCHES, buffer, "\nvoluntary_ctxt_switches:", 1);
	add_line(counts, VMB_PREEMPTIONS, buffer, "\nnonvoluntary_ctxt_switches:", 1);
}

/* Of the whole machine: swap has no count for a process. */
int vmb_swap_read(struct vmb_counts *ret)
{
	char buffer[1 << 14];

	if (switched_off || !read_text("/proc/vmstat", buffer, sizeof(buffer)))
		return 0;
	add_line(ret, VMB_SWAP_IN, buffer, "\npswpin ", vmb_base_page());
	add_line(ret, VMB_SWAP_OUT, buffer, "\npswpout ", vmb_base_page());
	return 0;
}

/* Swap between two readings, to a pair of counters of which `in` is the first. */
void vmb_counts_add_swap(struct vmb_counts *sum, const struct vmb_counts *from,
			 const struct vmb_counts *to, enum vmb_counter in)
{
	for (unsigned int i = 0; i < 2; i++)
		if (from->known & to->known & 1ull << (VMB_SWAP_IN + i))
			add(sum, in + i, to->count[VMB_SWAP_IN + i] - from->count[VMB_SWAP_IN + i]);
}

static void add_device(struct vmb_counts *counts)
{
	char buffer[512];
	uint64_t read, written;

	if (!*device_stat || !read_text(device_stat, buffer, sizeof(buffer)))
		return;
	if (sscanf(buffer, "%*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64, &read, &written) != 2)
		return;
	add(counts, VMB_DEVICE_READ, read * SECTOR_BYTES);
	add(counts, VMB_DEVICE_WRITTEN, written * SECTOR_BYTES);
}

/*
 * The row "TLB:" of x86 has a column for each CPU. Other architectures shoot down
 * without interrupts, and have no such row. A table that is longer is not known.
 */
static void add_shootdowns(struct vmb_counts *counts)
{
	static char buffer[1 << 20];
	size_t got = read_text("/proc/interrupts", buffer, sizeof(buffer));
	char *row = got && got < sizeof(buffer) - 1 ? strstr(buffer, "TLB:") : NULL, *end;
	uint64_t sum = 0, count;

	if (!row)
		return;
	for (row += strlen("TLB:"); count = strtoull(row, &end, 10), end != row; row = end)
		sum += count;
	add(counts, VMB_TLB_SHOOTDOWNS, sum);
}

/* Of the whole machine as well: steal is nobody's. */
static void add_machine(struct vmb_counts *counts)
{
	uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK), steal;
	char buffer[1 << 14];

	vmb_swap_read(counts);
	add_device(counts);
	add_shootdowns(counts);
	if (read_text("/proc/stat", buffer, sizeof(buffer)) &&
	    sscanf(buffer, "cpu %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &steal) == 1)
		add(counts, VMB_STEAL, steal * tick_ns);
}

/* What is counted of this process and the other one together; of this one alone if that is 0. */
int vmb_counts_read_pair(pid_t other, struct vmb_counts *ret)
{
	int err;

	*ret = (struct vmb_counts){ 0 };
	if (switched_off)
		return 0;
	err = add_faults(ret, getpid());
	if (!err && other)
		err = add_faults(ret, other);
	if (err)
		return err;
	add_switches(ret, getpid());
	if (other)
		add_switches(ret, other);
	return 0;
}

static int read_all(pid_t other, struct vmb_counts *ret)
{
	int err = vmb_counts_read_pair(other, ret);

	if (!err && !switched_off)
		add_machine(ret);
	return err;
}

/* The state of all counters before a value; the CPUs' own last, so that no other is in them. */
int vmb_counts_begin(pid_t other, struct vmb_counts *ret)
{
	int err = read_all(other, ret);

	if (!err && !switched_off)
		vmb_perf_read(ret);
	return err;
}

/* What was counted since `before`, as far as both times know it; the CPUs' own first. */
int vmb_counts_end(pid_t other, const struct vmb_counts *before, struct vmb_counts *ret)
{
	struct vmb_counts of_cpus = { 0 };
	int err;

	if (!switched_off)
		vmb_perf_read(&of_cpus);
	err = read_all(other, ret);
	ret->known |= of_cpus.known;
	for (int i = 0; i < VMB_NR_COUNTERS; i++)
		ret->count[i] += of_cpus.count[i];
	if (!err)
		vmb_counts_since(before, ret);
	return err;
}

/* What was counted since `before`, as far as both know it. */
void vmb_counts_since(const struct vmb_counts *before, struct vmb_counts *counts)
{
	counts->known &= before->known;
	for (int i = 0; i < VMB_NR_COUNTERS; i++)
		counts->count[i] -= before->count[i];
}
