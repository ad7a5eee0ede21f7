// SPDX-License-Identifier: GPL-2.0-only
/*
 * swapped: a part of the source is paged out before each operation. What is read
 * back during the call is told apart from what is read back when the receiver
 * uses the data; the counters are read between the phases, in none of them.
 */
#include "control.h"

static int page_out(struct vmb_ctx *ctx, uint32_t pct)
{
	vmb_pair_request(ctx->pair)->pct = pct;
	return vmb_pair_call(ctx->pair, VMB_CMD_PAGE_OUT);
}

static int use(struct vmb_ctx *ctx, uint64_t generation, struct vmb_sample *ret)
{
	uint64_t start_ns = vmb_now_ns(), first_ns, end_ns;

	if (!ctx->view) /* null */
		return 0;
	if (generation)
		return vmb_pattern_check(ctx->view, ctx->size, ctx->params.seed, generation);
	vmb_touch_first(ctx, ctx->view);
	first_ns = vmb_now_ns();
	vmb_touch(ctx, ctx->view);
	end_ns = vmb_now_ns();
	ret->time_ns[VMB_PHASE_FIRST] += first_ns - start_ns;
	ret->time_ns[VMB_PHASE_TOUCH] += end_ns - first_ns;
	return 0;
}

/* With a generation, what arrives is compared with it whole, in place of being used. */
static int once(struct vmb_ctx *ctx, const struct vmb_steps *steps, uint64_t generation,
		struct vmb_sample *ret)
{
	struct vmb_counts before = { 0 }, called = { 0 }, used = { 0 };
	uint64_t start_ns;
	int err, released;

	vmb_swap_read(&before);
	err = vmb_hand_over(ctx, steps, ret, &start_ns);
	vmb_swap_read(&called);
	if (err)
		return err;
	err = use(ctx, generation, ret);
	vmb_swap_read(&used);
	start_ns = vmb_now_ns();
	released = steps->release(ctx);
	ret->time_ns[VMB_PHASE_RELEASE] += vmb_now_ns() - start_ns;
	vmb_counts_add_swap(&ret->counts, &before, &called, VMB_CALL_SWAP_IN);
	vmb_counts_add_swap(&ret->counts, &called, &used, VMB_USE_SWAP_IN);
	if (!err)
		err = released;
	if (!err && ctx->mech->rearm)
		err = ctx->mech->rearm(ctx);
	return err;
}

/* One operation in the source, whose child is the receiver. */
static int once_there(struct vmb_ctx *ctx, uint64_t generation, struct vmb_sample *ret)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	const struct vmb_sample *found = &vmb_pair_answer(ctx->pair)->sample;
	int err;

	request->loops = 1;
	request->check = generation != 0;
	request->generation = generation;
	err = vmb_pair_call(ctx->pair, VMB_CMD_RUN);
	request->check = 0;
	for (int i = 0; i < VMB_NR_PHASES; i++)
		ret->time_ns[i] += found->time_ns[i];
	for (int i = 0; i < VMB_NR_COUNTERS; i++)
		ret->counts.count[i] += found->counts.count[i];
	ret->counts.known |= found->counts.known;
	return err;
}

static int any_once(struct vmb_ctx *ctx, const struct vmb_steps *steps, uint64_t generation,
		    struct vmb_sample *ret)
{
	int err = page_out(ctx, ctx->params.swapped_pct);

	if (err)
		return err;
	return ctx->mech->flags & VMB_CHILD_RECEIVES ? once_there(ctx, generation, ret)
						     : once(ctx, steps, generation, ret);
}

/* What was paged out before is no part of the operation: the total is what the parts had. */
static void sum_swap(struct vmb_counts *counts)
{
	for (int i = 0; i < 2; i++) {
		uint64_t both = 1ull << (VMB_CALL_SWAP_IN + i) | 1ull << (VMB_USE_SWAP_IN + i);

		if ((counts->known & both) != both)
			continue;
		counts->known |= 1ull << (VMB_SWAP_IN + i);
		counts->count[VMB_SWAP_IN + i] =
			counts->count[VMB_CALL_SWAP_IN + i] + counts->count[VMB_USE_SWAP_IN + i];
	}
}

static int swapped_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	const struct vmb_steps steps = vmb_steps_of(ctx);
	int err = 0;

	for (uint64_t i = 0; i < loops && !err; i++) {
		err = any_once(ctx, &steps, 0, ret);
		if (!(ctx->mech->flags & VMB_CHILD_RECEIVES)) /* which the source keeps */
			vmb_end_operation(ctx, ret);
	}
	vmb_add_up(ret);
	sum_swap(&ret->counts);
	return err ? err : page_out(ctx, 0); /* the source as other cases expect it */
}

/* Before it is timed: does what comes back from the device arrive whole? */
static int swapped_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	const struct vmb_steps steps = vmb_steps_of(ctx);
	struct vmb_sample unused = { 0 };
	int err;

	err = vmb_verify_delivery(ctx, generation, ret);
	if (err || ctx->mech->isolation == VMB_MOVES_NOTHING)
		return err;
	vmb_pair_request(ctx->pair)->generation = generation;
	err = vmb_pair_call(ctx->pair, VMB_CMD_FILL); /* the check of isolation has written */
	if (!err)
		err = vmb_take_object(ctx);
	if (!err)
		err = any_once(ctx, &steps, generation, &unused);
	return err ? err : page_out(ctx, 0);
}

const struct vmb_scene vmb_scene_swapped = {
	.name = "swapped",
	.axes = "touch swapped",
	.phases = VMB_DELIVERY | VMB_BIT(FIRST),
	.run = swapped_run,
	.verify = swapped_verify,
};
