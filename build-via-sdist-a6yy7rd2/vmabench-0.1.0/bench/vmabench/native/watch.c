// SPDX-License-Identifier: GPL-2.0-only
/*
 * A blocking call without a limit of its own costs less than one with a limit,
 * and waits for ever for a source that has died. So a timer interrupts it now and
 * then, and who waits looks whether the source lives. A real-time signal: those
 * that Python and its users know by name stay theirs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

#define WATCH_SIGNAL (SIGRTMIN + 5)

/* glibc names this member only lately. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static timer_t timer;
static struct sigaction before;

static void interrupt(int number)
{
	(void)number;
}

/* From now on a call of this thread that blocks fails with EINTR twice a second. */
int vmb_watch_start(void)
{
	const struct itimerspec ticks = { .it_interval.tv_nsec = 500000000,
					  .it_value.tv_nsec = 500000000 };
	struct sigaction action = { .sa_handler = interrupt }; /* without SA_RESTART */
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = WATCH_SIGNAL };

	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (sigaction(WATCH_SIGNAL, &action, &before))
		return vmb_fail(-errno, "sigaction");
	if (timer_create(CLOCK_MONOTONIC, &event, &timer))
		return vmb_fail(-errno, "timer_create");
	if (timer_settime(timer, 0, &ticks, NULL)) {
		timer_delete(timer);
		return vmb_fail(-errno, "timer_settime");
	}
	return 0;
}

void vmb_watch_stop(void)
{
	timer_delete(timer);
	sigaction(WATCH_SIGNAL, &before, NULL);
}
