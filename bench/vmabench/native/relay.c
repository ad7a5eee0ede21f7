// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process on the CPU of the source that passes commands to it. It spins while the
 * source sleeps, so the CPU does not go idle, and wakes the source by a switch on the
 * same CPU: waking an idle virtual CPU takes tens of microseconds, this takes a few.
 * The source itself must not spin: a CPU that runs in its mm would take part in every
 * TLB shootdown of a clone, and a sleeping source would look like a running one.
 */
#include <unistd.h>

#include "control.h"
#include "relax.h"

#define SLICE_MS 1000

/* The order matters: a request that was made after the relay was switched off is not its own. */
static int is_mine(const struct vmb_relay *relay, uint32_t round)
{
	return __atomic_load_n(&relay->round, __ATOMIC_ACQUIRE) == round;
}

static void pass_on(struct vmb_control *control, uint32_t number)
{
	struct vmb_relay *relay = &control->relay;
	uint32_t done;

	__atomic_store_n(&relay->turn, number, __ATOMIC_RELEASE);
	vmb_futex_wake(&relay->turn);
	while ((done = __atomic_load_n(&relay->done, __ATOMIC_ACQUIRE)) != number)
		vmb_futex_wait(&relay->done, done, SLICE_MS);
	__atomic_store_n(&control->answers, number, __ATOMIC_RELEASE);
	vmb_futex_wake(&control->answers);
}

/* Passes commands on for as long as this round of the relay lasts. */
void vmb_relay_round(struct vmb_control *control, uint32_t round, void (*meanwhile)(void))
{
	uint32_t seen = control->relay.from;

	while (is_mine(&control->relay, round)) {
		uint32_t number = __atomic_load_n(&control->requests, __ATOMIC_ACQUIRE);

		if (number == seen)
			meanwhile();
		else if (is_mine(&control->relay, round))
			pass_on(control, seen = number);
	}
}

/* The life of the process, which ends with the receiver. An odd round is one that relays. */
void vmb_relay_main(struct vmb_control *control)
{
	vmb_be_child_of(control->request.receiver);
	if (vmb_pin(control->request.cpu))
		_exit(1);
	for (;;) {
		uint32_t round = __atomic_load_n(&control->relay.round, __ATOMIC_ACQUIRE);

		if (round % 2)
			vmb_relay_round(control, round, vmb_relax);
		else
			vmb_futex_wait(&control->relay.round, round, SLICE_MS);
	}
}
