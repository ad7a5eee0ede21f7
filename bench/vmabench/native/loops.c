// SPDX-License-Identifier: GPL-2.0-only
/*
 * The timed loops. transfer reads the clock twice a value; deliver reads it at
 * each border between two phases, because memory that is attached, filled, used
 * and released in turn has the cache state of real use, which batches of
 * one phase would not have. The null mechanism shows what the readings cost.
 */
#include "control.h"

/* The clock of the loops, for Python. */
uint64_t vmb_now(void)
{
	return vmb_now_ns();
}

static int loop_transfer(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	int (*transfer)(struct vmb_ctx *ctx) = ctx->mech->transfer;
	uint64_t start_ns, i;
	int err = 0;

	start_ns = vmb_now_ns();
	for (i = 0; i < loops && !err; i++)
		err = transfer(ctx);
	ret->time_ns[VMB_PHASE_TOTAL] = vmb_now_ns() - start_ns;
	return err;
}

static int nothing(struct vmb_ctx *ctx)
{
	(void)ctx;
	return 0;
}

/* One transfer on the source's own clock: the handshake belongs to no phase. */
static int deliver_there(struct vmb_ctx *ctx)
{
	vmb_pair_request(ctx->pair)->loops = 1;
	return vmb_pair_call(ctx->pair, VMB_CMD_RUN);
}

struct phases {
	int (*attach)(struct vmb_ctx *ctx);
	int (*deliver)(struct vmb_ctx *ctx);
	int (*release)(struct vmb_ctx *ctx);
	int there; /* deliver is timed by the source */
};

static int deliver_once(struct vmb_ctx *ctx, const struct phases *phases, struct vmb_sample *ret)
{
	uint64_t start_ns, attached_ns, delivered_ns, touched_ns, released_ns;
	int err;

	start_ns = vmb_now_ns();
	err = phases->attach(ctx);
	attached_ns = vmb_now_ns();
	if (err)
		return err;
	err = phases->deliver(ctx);
	delivered_ns = vmb_now_ns();
	if (err)
		return err;
	if (ctx->view)
		vmb_touch(ctx, ctx->view);
	touched_ns = vmb_now_ns();
	err = phases->release(ctx);
	released_ns = vmb_now_ns();

	ret->time_ns[VMB_PHASE_ATTACH] += attached_ns - start_ns;
	ret->time_ns[VMB_PHASE_TRANSFER] +=
		phases->there ? vmb_pair_answer(ctx->pair)->sample.time_ns[VMB_PHASE_TOTAL]
			      : delivered_ns - attached_ns;
	ret->time_ns[VMB_PHASE_TOUCH] += touched_ns - delivered_ns;
	ret->time_ns[VMB_PHASE_RELEASE] += released_ns - touched_ns;
	return err;
}

static int loop_deliver(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	const struct vmb_mech *mech = ctx->mech;
	const struct phases phases = {
		.there = mech->flags & VMB_SOURCE_ACTS,
		.attach = mech->attach ? mech->attach : nothing,
		.deliver = mech->flags & VMB_SOURCE_ACTS ? deliver_there
			   : mech->deliver		 ? mech->deliver
							 : nothing,
		.release = mech->release ? mech->release : nothing,
	};
	int err = 0;

	for (uint64_t i = 0; i < loops && !err; i++)
		err = deliver_once(ctx, &phases, ret);
	for (int phase = 0; phase < VMB_PHASE_TOTAL; phase++)
		ret->time_ns[VMB_PHASE_TOTAL] += ret->time_ns[phase];
	return err;
}

/* In the process that acts. In the source, deliver is one transfer of the other side's loop. */
int vmb_loop(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	*ret = (struct vmb_sample){ .loops = loops };
	if (ctx->mech->run)
		return ctx->mech->run(ctx, loops, ret);
	if (ctx->params.scenario == VMB_DELIVER && ctx->pair)
		return loop_deliver(ctx, loops, ret);
	return loop_transfer(ctx, loops, ret);
}
