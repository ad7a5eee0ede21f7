// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads of the source that run while its memory is handed over (source_threads). Each
 * writes to pages of its own, so the data of the case is not torn, and its CPU has the mm
 * of the source loaded: a clone or fork that write-protects entries has to interrupt it
 * (TLB shootdown).
 *
 * They are SCHED_IDLE, so the main thread, which may be on the CPU of one of them, runs at
 * once when it gets a command.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "control.h"
#include "relax.h"

#define OWN_PAGES 16

struct busy {
	pthread_t id;
	int cpu, err;
	char *pages;
};

static struct busy threads[VMB_MOST_THREADS];
static uint32_t started, ready, stopping;

static void *keep_busy(void *argument)
{
	static const struct sched_param none;
	struct busy *thread = argument;

	if (vmb_pin(thread->cpu) || sched_setscheduler(0, SCHED_IDLE, &none))
		thread->err = -EINVAL;
	__atomic_add_fetch(&ready, 1, __ATOMIC_RELEASE);
	while (!thread->err && !__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
		vmb_populate(thread->pages, OWN_PAGES * vmb_base_page());
		vmb_relax();
	}
	return NULL;
}

/* The pages stay out of children: a write after a fork would fault and copy. */
static int start_one(struct busy *thread, int cpu)
{
	size_t size = OWN_PAGES * vmb_base_page();
	int err;

	*thread = (struct busy){ .cpu = cpu };
	thread->pages =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (thread->pages == MAP_FAILED)
		return vmb_fail(-errno, "mmap for a thread of the source");
	if (madvise(thread->pages, size, MADV_DONTFORK))
		err = errno;
	else
		err = pthread_create(&thread->id, NULL, keep_busy, thread);
	if (err) {
		munmap(thread->pages, size);
		return vmb_fail(-err, "starting a thread of the source");
	}
	started++;
	return 0;
}

void vmb_threads_stop(void)
{
	__atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
	for (; started; started--) {
		pthread_join(threads[started - 1].id, NULL);
		munmap(threads[started - 1].pages, OWN_PAGES * vmb_base_page());
	}
	stopping = ready = 0;
}

/* Returns when all of them are on their CPUs. */
int vmb_threads_start(const int32_t *cpus, uint32_t count)
{
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++)
		err = start_one(&threads[i], cpus[i]);
	while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) < started)
		sched_yield();
	for (uint32_t i = 0; i < started && !err; i++)
		if (threads[i].err)
			err = vmb_fail(threads[i].err, "pinning a thread of the source to CPU %d",
				       threads[i].cpu);
	if (err)
		vmb_threads_stop();
	return err;
}
