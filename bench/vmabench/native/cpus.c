// SPDX-License-Identifier: GPL-2.0-only
/*
 * The CPUs that a process may run on, whatever their number: cpu_set_t has room for
 * 1,024, and sched_getaffinity() fails where the kernel knows of more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/sysinfo.h>

#include "core.h"

#define LEAST_CPUS 1024u
#define MOST_CPUS  (1u << 20)

struct cpus {
	size_t bytes;
	cpu_set_t *set;
};

/* What this process might run on before it was pinned; forked children inherit it. */
static struct cpus allowed;

static void release(struct cpus *cpus)
{
	if (cpus->set)
		CPU_FREE(cpus->set);
	*cpus = (struct cpus){ 0 };
}

/* Empties the set and makes room for the CPUs below count. */
static int reserve(struct cpus *cpus, unsigned int count)
{
	release(cpus);
	cpus->set = CPU_ALLOC(count);
	if (!cpus->set)
		return vmb_fail(-ENOMEM, "a set of %u CPUs", count);
	cpus->bytes = CPU_ALLOC_SIZE(count);
	CPU_ZERO_S(cpus->bytes, cpus->set);
	return 0;
}

/* The CPUs that the caller may run on now; release() frees them. */
static int read_own(struct cpus *ret)
{
	int err = -EINVAL; /* the kernel knows of more CPUs */

	for (unsigned int count = LEAST_CPUS; err == -EINVAL && count <= MOST_CPUS; count *= 2) {
		err = reserve(ret, count);
		if (!err && sched_getaffinity(0, ret->bytes, ret->set))
			err = -errno;
	}
	if (!err)
		return 0;
	release(ret);
	return vmb_fail(err, "sched_getaffinity");
}

/* CPU 0 where the set can't be read: each function below has an answer. */
static const struct cpus *note_allowed(void)
{
	if (!allowed.set && read_own(&allowed) && !reserve(&allowed, LEAST_CPUS))
		CPU_SET_S(0, allowed.bytes, allowed.set);
	return &allowed;
}

/* The CPUs in turn, from the first again after the last. */
int vmb_cpu_at(unsigned int index)
{
	const struct cpus *cpus = note_allowed();
	size_t cpu = 0;

	index %= vmb_cpu_count();
	for (;; cpu++)
		if (CPU_ISSET_S(cpu, cpus->bytes, cpus->set) && !index--)
			return (int)cpu;
}

unsigned int vmb_cpu_count(void)
{
	const struct cpus *cpus = note_allowed();

	return (unsigned int)CPU_COUNT_S(cpus->bytes, cpus->set);
}

/*
 * Pins a process, which is 0 or a child of the caller. -EINVAL: there is no such CPU, or
 * it is not the process's to use.
 */
int vmb_pin_process(pid_t pid, int cpu)
{
	struct cpus one = { 0 };
	int err;

	note_allowed();
	err = reserve(&one, cpu < (int)LEAST_CPUS ? LEAST_CPUS : (unsigned int)cpu + 1);
	if (err)
		return err;
	CPU_SET_S((size_t)cpu, one.bytes, one.set);
	if (sched_setaffinity(pid, one.bytes, one.set))
		err = vmb_fail(-errno, "pinning to CPU %d", cpu);
	release(&one);
	return err;
}

/* Pins the caller, and binds its memory to the node of the CPU. */
int vmb_pin(int cpu)
{
	int err = vmb_pin_process(0, cpu);

	return err ? err : vmb_nodes_bind();
}

/* Calls it on each CPU that the caller can be pinned to; it then runs where it ran before. */
int vmb_on_each_cpu(vmb_on_cpu call, char *addr, size_t size)
{
	struct cpus own = { 0 };
	int err = read_own(&own), count = get_nprocs_conf();

	if (err)
		return err;
	for (int cpu = 0; cpu < count && !err; cpu++)
		if (!vmb_pin_process(0, cpu)) /* else it is offline, or not ours */
			err = call(addr, size);
	if (sched_setaffinity(0, own.bytes, own.set) && !err)
		err = vmb_fail(-errno, "sched_setaffinity");
	release(&own);
	return err;
}
