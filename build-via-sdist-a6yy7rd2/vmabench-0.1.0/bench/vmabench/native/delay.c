// SPDX-License-Identifier: GPL-2.0-only
/*
 * A delay that is put into a mechanism on purpose, to see whether this tool
 * finds it. Off unless a case is opened with params.delay_ns. Which function
 * the timed loop calls is chosen before it, so a loop without a delay is the
 * same as ever.
 */
#include <errno.h>

#include "core.h"

#define CALIBRATION_TURNS (1u << 18)
#define CALIBRATIONS	  8

static double turns_per_ns;

/* Counted, as reading the clock would add a good part of what a small delay is. */
static void turn(uint64_t turns)
{
	for (uint64_t i = 0; i < turns; i++)
		__asm__ volatile("" : "+r"(i));
}

/* By the quickest go, the one that nothing came between. */
static void calibrate(void)
{
	uint64_t best_ns = UINT64_MAX;

	for (int i = 0; i < CALIBRATIONS; i++) {
		uint64_t start_ns = vmb_now_ns(), took_ns;

		turn(CALIBRATION_TURNS);
		took_ns = vmb_now_ns() - start_ns;
		if (took_ns < best_ns)
			best_ns = took_ns;
	}
	turns_per_ns = (double)CALIBRATION_TURNS / (double)(best_ns ? best_ns : 1);
}

static void spin(uint64_t ns)
{
	turn((uint64_t)((double)ns * turns_per_ns));
}

static int delayed_transfer(struct vmb_ctx *ctx)
{
	int err = vmb_operation(ctx)(ctx);

	spin(ctx->params.delay_ns);
	return err;
}

static int delayed_deliver(struct vmb_ctx *ctx)
{
	int err = ctx->mech->deliver ? ctx->mech->deliver(ctx) : 0;

	spin(ctx->params.delay_ns);
	return err;
}

/* In the process that will act, and before any time is taken. */
static int is_delayed(const struct vmb_ctx *ctx)
{
	if (ctx->params.delay_ns && !turns_per_ns)
		calibrate();
	return ctx->params.delay_ns != 0;
}

vmb_hook vmb_timed_transfer(const struct vmb_ctx *ctx)
{
	return is_delayed(ctx) ? delayed_transfer : vmb_operation(ctx);
}

vmb_hook vmb_timed_deliver(const struct vmb_ctx *ctx)
{
	return is_delayed(ctx) ? delayed_deliver : ctx->mech->deliver;
}

/* Loops of a mechanism's own, and those of two processes at once, have no place for it. */
int vmb_delay_check(const struct vmb_mech *mech, const struct vmb_params *params)
{
	if (!params->delay_ns || (!mech->run && !(mech->flags & VMB_BOTH_ACT)))
		return 0;
	return vmb_fail(-EOPNOTSUPP, "no delay can be injected into %s", mech->name);
}
