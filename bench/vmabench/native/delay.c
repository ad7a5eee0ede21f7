// SPDX-License-Identifier: GPL-2.0-only
/*
 * A delay that is put into a mechanism on purpose, to see whether this tool
 * finds it. Off unless a case is opened with params.delay_ns. Which function
 * the timed loop calls is chosen before it, so a loop without a delay is the
 * same as ever.
 */
#include <errno.h>

#include "core.h"

/* At least so long: the last reading of the clock comes on top. */
static void spin(uint64_t ns)
{
	uint64_t end_ns = vmb_now_ns() + ns;

	while (vmb_now_ns() < end_ns)
		;
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

vmb_hook vmb_timed_transfer(const struct vmb_ctx *ctx)
{
	return ctx->params.delay_ns ? delayed_transfer : vmb_operation(ctx);
}

vmb_hook vmb_timed_deliver(const struct vmb_ctx *ctx)
{
	return ctx->params.delay_ns ? delayed_deliver : ctx->mech->deliver;
}

/* Loops of a mechanism's own, and those of two processes at once, have no place for it. */
int vmb_delay_check(const struct vmb_mech *mech, const struct vmb_params *params)
{
	if (!params->delay_ns || (!mech->run && !(mech->flags & VMB_BOTH_ACT)))
		return 0;
	return vmb_fail(-EOPNOTSUPP, "no delay can be injected into %s", mech->name);
}
