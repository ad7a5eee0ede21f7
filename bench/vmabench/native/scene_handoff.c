// SPDX-License-Identifier: GPL-2.0-only
/*
 * handoff: the source fills memory that it has just mapped, hands it over and
 * unmaps it; then the receiver uses it. With a mechanism that copies, the data is
 * in memory twice meanwhile.
 */
#include <string.h>

#include "control.h"

static int produce(struct vmb_ctx *ctx, uint64_t generation, uint64_t *ret)
{
	int err;

	vmb_pair_request(ctx->pair)->generation = generation;
	err = vmb_pair_call(ctx->pair, VMB_CMD_PRODUCE);
	*ret = vmb_pair_answer(ctx->pair)->sample.time_ns[VMB_PHASE_FILL];
	return err ? err : vmb_take_object(ctx);
}

static int disown(struct vmb_ctx *ctx, uint64_t *ret)
{
	int err = vmb_pair_call(ctx->pair, VMB_CMD_DISOWN);

	*ret = vmb_pair_answer(ctx->pair)->sample.time_ns[VMB_PHASE_UNMAP];
	return err;
}

static int use(struct vmb_ctx *ctx, uint64_t check, uint64_t *ret)
{
	uint64_t start_ns = vmb_now_ns();
	int err = 0;

	if (check)
		err = vmb_pattern_check(ctx->view, ctx->size, ctx->params.seed, check);
	else if (ctx->view) /* null has none */
		vmb_touch(ctx, ctx->view);
	*ret = vmb_now_ns() - start_ns;
	return err;
}

/* With check, what arrived is compared with that generation in place of being used. */
static int once(struct vmb_ctx *ctx, const struct vmb_steps *steps, uint64_t check,
		struct vmb_sample *ret)
{
	uint64_t fill_ns, unmap_ns, touch_ns, now_ns;
	int err, released;

	err = produce(ctx, check, &fill_ns);
	if (!err)
		err = vmb_hand_over(ctx, steps, ret, &now_ns);
	if (err)
		return err;
	vmb_peak_sample(ctx);
	err = disown(ctx, &unmap_ns);
	if (!err)
		err = use(ctx, check, &touch_ns);
	vmb_peak_sample(ctx);
	now_ns = vmb_now_ns();
	released = steps->release(ctx);
	if (err || released)
		return err ? err : released;
	ret->time_ns[VMB_PHASE_RELEASE] += vmb_now_ns() - now_ns;
	ret->time_ns[VMB_PHASE_FILL] += fill_ns;
	ret->time_ns[VMB_PHASE_UNMAP] += unmap_ns;
	ret->time_ns[VMB_PHASE_TOUCH] += touch_ns;
	return ctx->mech->rearm ? ctx->mech->rearm(ctx) : 0;
}

/* All of it is in the source, whose child is the receiver. */
static int run_there(struct vmb_ctx *ctx, uint64_t loops, uint64_t check, struct vmb_sample *ret)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	int err;

	request->loops = loops;
	request->generation = check;
	request->check = check != 0;
	err = vmb_pair_call(ctx->pair, VMB_CMD_RUN);
	request->check = 0;
	*ret = vmb_pair_answer(ctx->pair)->sample;
	return err;
}

/* The next case finds the source as it was, after an error too, which stays the one to tell. */
static int make_whole(struct vmb_ctx *ctx, uint64_t generation, int err)
{
	char reason[VMB_DETAIL_SIZE];
	uint64_t unused_ns;

	if (!err)
		return produce(ctx, generation, &unused_ns);
	memcpy(reason, vmb_detail(), sizeof(reason));
	if (!vmb_pair_check(ctx->pair))
		produce(ctx, generation, &unused_ns);
	vmb_fail(0, "%s", reason);
	return err;
}

static int handoff(struct vmb_ctx *ctx, uint64_t loops, uint64_t check, struct vmb_sample *ret)
{
	const struct vmb_steps steps = vmb_steps_of(ctx);
	int err = 0;

	if (ctx->mech->flags & VMB_CHILD_RECEIVES) {
		err = run_there(ctx, loops, check, ret);
	} else {
		for (uint64_t i = 0; i < loops && !err; i++) {
			err = once(ctx, &steps, check, ret);
			vmb_end_operation(ctx, ret);
		}
	}
	return make_whole(ctx, check, err);
}

static int handoff_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	return handoff(ctx, loops, 0, ret);
}

static int handoff_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	struct vmb_sample unused = { 0 };
	int err = vmb_verify_delivery(ctx, generation, ret);

	if (err || ctx->mech->isolation == VMB_MOVES_NOTHING)
		return err;
	return handoff(ctx, 1, generation, &unused);
}

static int handoff_source_before(struct vmb_ctx *ctx, struct vmb_sample *ret)
{
	uint64_t fill_ns = 0;
	int err = vmb_region_produce(&vmb_source_region, ctx->params.seed,
				     vmb_control->request.generation, &fill_ns);

	ret->time_ns[VMB_PHASE_FILL] += fill_ns;
	return err;
}

static int handoff_source_between(struct vmb_ctx *ctx, struct vmb_sample *ret)
{
	uint64_t start_ns = vmb_now_ns();
	int err = vmb_region_disown(&vmb_source_region);

	(void)ctx;
	ret->time_ns[VMB_PHASE_UNMAP] += vmb_now_ns() - start_ns;
	return err;
}

const struct vmb_scene vmb_scene_handoff = {
	.name = "handoff",
	.axes = "touch",
	.phases = VMB_DELIVERY | VMB_BIT(FILL) | VMB_BIT(UNMAP),
	.flags = VMB_FRUGAL,
	.run = handoff_run,
	.source_before = handoff_source_before,
	.source_between = handoff_source_between,
	.verify = handoff_verify,
};
