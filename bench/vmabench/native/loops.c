// SPDX-License-Identifier: GPL-2.0-only
/*
 * The timed loops. transfer reads the clock twice a value, and from VMB_EACH_BYTES on
 * twice an operation. deliver reads it at each border between two phases, because
 * memory that is attached, filled, used and released in turn has the cache state of
 * real use, which batches of one phase would not have. The null mechanism shows what
 * the readings cost.
 *
 * The time of each operation that was timed for itself goes into the histogram, after
 * the clock was read: what that takes is in no time.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "marks.h"

/* The clock of the loops, for Python. */
uint64_t vmb_now(void)
{
	return vmb_now_ns();
}

/* Tells an emulator that looks on that value number, which is not 0, begins; 0: it has ended. */
void vmb_mark_value(uint64_t number)
{
	for (int bit = 63; bit >= 0; bit--) {
		if (number >> bit & 1)
			VMB_MARK(VMB_MARK_ONE);
		else
			VMB_MARK(VMB_MARK_ZERO);
	}
	VMB_MARK(VMB_MARK_VALUE);
}

static const char *const phase_names[VMB_NR_PHASES] = {
	[VMB_PHASE_ATTACH] = "attach",
	[VMB_PHASE_TRANSFER] = "transfer",
	[VMB_PHASE_TOUCH] = "touch",
	[VMB_PHASE_RELEASE] = "release",
	[VMB_PHASE_TOTAL] = "total",
	[VMB_PHASE_FILL] = "fill",
	[VMB_PHASE_UNMAP] = "unmap",
	[VMB_PHASE_FIRST] = "first",
	[VMB_PHASE_READY] = "ready",
	[VMB_PHASE_WORK] = "work",
	[VMB_PHASE_PAUSE] = "pause",
	[VMB_PHASE_ALL] = "all",
	[VMB_PHASE_SOURCE_REWRITE] = "source-rewrite",
	[VMB_PHASE_SYSTEM] = "system",
};

const char *vmb_phase_name(int phase)
{
	return phase >= 0 && phase < VMB_NR_PHASES ? phase_names[phase] : NULL;
}

/* The end of a timed part that may have failed: the advice on what it has mapped. */
static int advised(int err)
{
	int advice_err = vmb_advice_give();

	return err ? err : advice_err;
}

/*
 * Keeps the time of one operation. A receiver that has joined the case of another one
 * (contention) shares its page with it, and keeps nothing.
 */
void vmb_keep_time(const struct vmb_ctx *ctx, uint64_t time_ns)
{
	if (!ctx->pair)
		vmb_latency_add(&vmb_control->latency, time_ns);
	else if (ctx->opened)
		vmb_latency_add(&vmb_pair_control(ctx->pair)->latency, time_ns);
}

/* Whether the clock is read around each operation, since it is long or the source writes between. */
static int is_timed_apart(const struct vmb_ctx *ctx)
{
	return !vmb_delivers(ctx) && (ctx->params.rewritten || ctx->size >= VMB_EACH_BYTES);
}

static int loop_apart(struct vmb_ctx *ctx, vmb_hook hook, uint64_t loops, struct vmb_sample *ret)
{
	int err = 0;

	for (uint64_t i = 0; i < loops && !err; i++) {
		uint64_t start_ns, spent_ns;

		vmb_advice_defer();
		start_ns = vmb_now_ns();
		VMB_MARK(VMB_PHASE_TOTAL);
		err = hook(ctx);
		VMB_MARK(VMB_MARK_NONE);
		spent_ns = vmb_now_ns() - start_ns;
		ret->time_ns[VMB_PHASE_TOTAL] += spent_ns;
		vmb_keep_time(ctx, spent_ns);
		err = advised(err);
		if (!err)
			err = vmb_rewrite(ctx, ret);
	}
	return err;
}

/* The bare operation, which hook is, loops times. */
int vmb_loop_hook(struct vmb_ctx *ctx, vmb_hook hook, uint64_t loops, struct vmb_sample *ret)
{
	uint64_t start_ns;
	int err = 0;

	if (is_timed_apart(ctx))
		return loop_apart(ctx, hook, loops, ret);
	vmb_advice_defer();
	start_ns = vmb_now_ns();
	VMB_MARK(VMB_PHASE_TOTAL);
	for (uint64_t i = 0; i < loops && !err; i++)
		err = hook(ctx);
	VMB_MARK(VMB_MARK_NONE);
	ret->time_ns[VMB_PHASE_TOTAL] = vmb_now_ns() - start_ns;
	return advised(err);
}

static int loop_transfer(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	int err = vmb_loop_hook(ctx, vmb_timed_transfer(ctx), loops, ret);

	if (!err && ctx->mech->rearm)
		err = ctx->mech->rearm(ctx);
	return err;
}

/* In the source: its half of a stream. Where it fails, the receiver sees the end of it. */
static int loop_send(struct vmb_ctx *ctx, uint64_t loops)
{
	vmb_hook send = vmb_is_cut(ctx) ? ctx->mech->gather : ctx->mech->send;
	int err = 0;

	vmb_control->started_ns = vmb_now_ns();
	VMB_MARK(VMB_PHASE_TOTAL);
	for (uint64_t i = 0; i < loops && !err; i++)
		err = send(ctx);
	if (err) {
		close(ctx->channel);
		ctx->channel = -1;
	}
	return err;
}

/* From the end of one operation to that of the next: the first began with the source. */
static int receive_apart(struct vmb_ctx *ctx, vmb_hook receive, uint64_t loops)
{
	uint64_t last_ns = 0, now_ns;
	int err = 0;

	for (uint64_t i = 0; i < loops && !err; i++) {
		err = receive(ctx);
		now_ns = vmb_now_ns();
		vmb_keep_time(ctx, now_ns - (i ? last_ns : vmb_pair_started_ns(ctx->pair)));
		last_ns = now_ns;
	}
	return err;
}

/*
 * The source sends and the receiver takes, both at once, loops times. The time
 * runs from when the source begins, which leaves out how long it takes to wake
 * it, as with mechanisms in which it acts alone, to when the last byte is there.
 */
int vmb_stream(struct vmb_ctx *ctx, uint64_t loops, uint64_t *ret)
{
	vmb_hook receive = vmb_operation(ctx);
	uint64_t end_ns;
	int err;

	vmb_pair_request(ctx->pair)->loops = loops;
	err = vmb_pair_start(ctx->pair, VMB_CMD_RUN);
	if (err)
		return err;
	err = is_timed_apart(ctx) ? receive_apart(ctx, receive, loops) : 0;
	for (uint64_t i = 0; i < loops && !err && !is_timed_apart(ctx); i++)
		err = receive(ctx);
	VMB_MARK(VMB_MARK_NONE);
	end_ns = vmb_now_ns();
	if (err) { /* or the source would wait for ever */
		close(ctx->channel);
		ctx->channel = -1;
	}
	err = vmb_pair_settle(ctx->pair, err);
	*ret = end_ns - vmb_pair_started_ns(ctx->pair);
	return err;
}

static int loop_stream(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	uint64_t spent_ns;
	int err = 0;

	if (!ctx->params.rewritten)
		return vmb_stream(ctx, loops, &ret->time_ns[VMB_PHASE_TOTAL]);
	for (uint64_t i = 0; i < loops && !err; i++) {
		err = vmb_stream(ctx, 1, &spent_ns);
		ret->time_ns[VMB_PHASE_TOTAL] += spent_ns;
		if (!err)
			err = vmb_rewrite(ctx, ret);
	}
	return err;
}

static int nothing(struct vmb_ctx *ctx)
{
	(void)ctx;
	return 0;
}

/* One transfer on the source's own clock: the handshake belongs to no phase. */
static int deliver_there(struct vmb_ctx *ctx, uint64_t *ret)
{
	int err;

	vmb_pair_request(ctx->pair)->loops = 1;
	err = vmb_pair_call(ctx->pair, VMB_CMD_RUN);
	*ret = vmb_pair_answer(ctx->pair)->sample.time_ns[VMB_PHASE_TOTAL];
	return err;
}

static int deliver_stream(struct vmb_ctx *ctx, uint64_t *ret)
{
	return vmb_stream(ctx, 1, ret);
}

static int attach_timed(struct vmb_ctx *ctx, vmb_hook hook, struct vmb_sample *ret)
{
	uint64_t start_ns = vmb_now_ns();
	int err;

	VMB_MARK(VMB_PHASE_ATTACH);
	err = hook(ctx);
	VMB_MARK(VMB_MARK_NONE);
	ret->time_ns[VMB_PHASE_ATTACH] += vmb_now_ns() - start_ns;
	return err;
}

/*
 * Fresh memory or the mapping, and the bytes in it. Advice on the memory comes between
 * the two and is in no phase. Gives out the time at which the bytes are there.
 */
int vmb_hand_over(struct vmb_ctx *ctx, const struct vmb_steps *steps, struct vmb_sample *ret,
		  uint64_t *ret_now)
{
	uint64_t attached_ns, there_ns = 0;
	int err;

	vmb_advice_defer();
	err = advised(attach_timed(ctx, steps->attach, ret));
	if (!err && steps->populate)
		err = attach_timed(ctx, steps->populate, ret);
	attached_ns = vmb_now_ns();
	if (steps->deliver_timed) /* which sets the marks as it reads the clock */
		VMB_MARK(VMB_MARK_NONE);
	else
		VMB_MARK(VMB_PHASE_TRANSFER);
	if (err)
		return err;
	err = steps->deliver_timed ? steps->deliver_timed(ctx, &there_ns) : steps->deliver(ctx);
	*ret_now = vmb_now_ns();
	ret->time_ns[VMB_PHASE_TRANSFER] +=
		steps->deliver_timed ? there_ns : *ret_now - attached_ns;
	return err;
}

static int deliver_once(struct vmb_ctx *ctx, const struct vmb_steps *steps, struct vmb_sample *ret)
{
	uint64_t delivered_ns, touched_ns, released_ns;
	int err;

	err = vmb_hand_over(ctx, steps, ret, &delivered_ns);
	if (err)
		return err;
	VMB_MARK(VMB_PHASE_TOUCH);
	if (ctx->view)
		vmb_touch(ctx, ctx->view);
	touched_ns = vmb_now_ns();
	VMB_MARK(VMB_PHASE_RELEASE);
	err = steps->release(ctx);
	VMB_MARK(VMB_MARK_NONE);
	released_ns = vmb_now_ns();

	ret->time_ns[VMB_PHASE_TOUCH] += touched_ns - delivered_ns;
	ret->time_ns[VMB_PHASE_RELEASE] += released_ns - touched_ns;
	if (!err)
		err = vmb_rewrite(ctx, ret);
	if (!err && ctx->mech->rearm)
		err = ctx->mech->rearm(ctx);
	return err;
}

struct vmb_steps vmb_steps_of(const struct vmb_ctx *ctx)
{
	const struct vmb_mech *mech = ctx->mech;
	vmb_hook deliver = vmb_timed_deliver(ctx);

	return (struct vmb_steps){
		.attach = vmb_buffer_attach(ctx),
		.populate = vmb_buffer_populate(ctx),
		.deliver = deliver ? deliver : nothing,
		.release = vmb_buffer_release(ctx),
		.deliver_timed = mech->flags & VMB_SOURCE_ACTS ? deliver_there
				 : mech->flags & VMB_BOTH_ACT  ? deliver_stream
							       : NULL,
	};
}

/* The total of a scenario whose phases follow one another: that of the receiver. */
void vmb_add_up(struct vmb_sample *sample)
{
	sample->time_ns[VMB_PHASE_TOTAL] = 0;
	for (int phase = 0; phase < VMB_NR_PHASES; phase++)
		if (phase != VMB_PHASE_TOTAL && phase < VMB_PHASE_SOURCE_REWRITE)
			sample->time_ns[VMB_PHASE_TOTAL] += sample->time_ns[phase];
}

/* The end of an operation that has its times in sample: adds up, and keeps the sum of its phases. */
void vmb_end_operation(const struct vmb_ctx *ctx, struct vmb_sample *sample)
{
	uint64_t before_ns = sample->time_ns[VMB_PHASE_TOTAL];

	vmb_add_up(sample);
	vmb_keep_time(ctx, sample->time_ns[VMB_PHASE_TOTAL] - before_ns);
}

static int loop_deliver(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	const struct vmb_steps steps = vmb_steps_of(ctx);
	int err = 0;

	for (uint64_t i = 0; i < loops && !err; i++) {
		err = deliver_once(ctx, &steps, ret);
		vmb_end_operation(ctx, ret);
	}
	return err;
}

/* In the process that acts. In the source, deliver is one transfer of the other side's loop. */
int vmb_loop(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	*ret = (struct vmb_sample){ .loops = loops };
	if (ctx->mech->run)
		return ctx->mech->run(ctx, loops, ret);
	if (ctx->mech->send && !ctx->pair)
		return loop_send(ctx, loops);
	if (vmb_delivers(ctx) && ctx->pair)
		return loop_deliver(ctx, loops, ret);
	if (ctx->mech->flags & VMB_BOTH_ACT)
		return loop_stream(ctx, loops, ret);
	return loop_transfer(ctx, loops, ret);
}
