// SPDX-License-Identifier: GPL-2.0-only
/* One case of a pair, as the receiver drives it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control.h"

/* Whether a buffer that the case does not need has to be unmapped before it. */
static int is_scarce(const struct vmb_ctx *ctx)
{
	return ctx->hugetlb || ctx->size >= VMB_LARGE_BYTES ||
	       vmb_scene_of(ctx)->flags & VMB_FRUGAL;
}

/* Where the receiver's bytes go: a populated buffer, or a free range for fresh memory. */
static int prepare_destination(struct vmb_ctx *ctx)
{
	const struct vmb_region *region;

	if (vmb_delivers(ctx) ||
	    (ctx->mech->flags & VMB_IN_PLACE && !(vmb_scene_of(ctx)->flags & VMB_TWO_WAY))) {
		if (is_scarce(ctx))
			vmb_pair_drop_destination(ctx->pair);
		return 0;
	}
	region = vmb_pair_destination(ctx->pair);
	if (!region)
		return -ENOMEM;
	ctx->dst = region->addr;
	return 0;
}

static int prepare_local(struct vmb_ctx *ctx)
{
	const struct vmb_region *region;

	if (!(ctx->mech->flags & VMB_LOCAL) || ctx->mech->isolation == VMB_MOVES_NOTHING) {
		if (is_scarce(ctx))
			vmb_pair_drop_local(ctx->pair);
		return 0;
	}
	region = vmb_pair_local(ctx->pair);
	if (!region)
		return -ENOMEM;
	ctx->local = *region;
	ctx->src = region->addr;
	return 0;
}

/*
 * The threads of the source run beside the operation, on the CPU of the other side first.
 * A mechanism whose receiver is a child of the source works on the CPU of the source alone.
 */
static int choose_thread_cpus(struct vmb_ctx *ctx)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	int in_source = !!(ctx->mech->flags & VMB_CHILD_RECEIVES);
	int taken = in_source ? request->cpu : request->receiver_cpu;
	int first = in_source ? request->receiver_cpu : request->cpu;
	uint32_t count = 0, wanted = ctx->params.source_threads;

	if (wanted > VMB_MOST_THREADS)
		return vmb_fail(-EINVAL, "%u threads of the source", wanted);
	if (count < wanted && first != taken)
		request->thread_cpu[count++] = first;
	for (unsigned int i = 0; i < vmb_cpu_count() && count < wanted; i++) {
		int cpu = vmb_cpu_at(i);

		if (cpu != taken && cpu != first)
			request->thread_cpu[count++] = cpu;
	}
	if (count < wanted)
		return vmb_fail(-EINVAL, "%u threads of the source need as many other CPUs",
				wanted);
	return 0;
}

/* A thread on the CPU of the source keeps it from going idle by itself. */
static int has_relay(const struct vmb_ctx *ctx)
{
	int busy = ctx->params.source_threads && !(ctx->mech->flags & VMB_CHILD_RECEIVES);

	return ctx->params.rewritten && !busy;
}

static int open_in_source(struct vmb_ctx *ctx)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	int err;

	for (int i = 0; i < vmb_mech_count(); i++)
		if (vmb_mech_at(i) == ctx->mech)
			request->mech = i;
	request->params = ctx->params;
	request->remote_dst = (uintptr_t)ctx->dst;
	err = choose_thread_cpus(ctx);
	if (err)
		return err;
	ctx->opened = 1;
	err = vmb_pair_call(ctx->pair, VMB_CMD_OPEN);
	ctx->token = vmb_pair_answer(ctx->pair)->token;
	return err;
}

/*
 * How far the slot is from the multiple of 1G that the source lies at. By a base page, no
 * entry of the source for a huge page can become one of the receiver.
 */
static size_t shift_of(const struct vmb_ctx *ctx)
{
	return ctx->params.incongruent ? ctx->base_page : 0;
}

/* Last of the preparations: what is mapped later could land in the slots. */
static int prepare_slots(struct vmb_ctx *ctx)
{
	char *slots[2];
	int err;

	err = vmb_slots_find(ctx->size + shift_of(ctx), 2, slots);
	if (err)
		return err;
	ctx->slot = slots[0] + shift_of(ctx);
	ctx->src_slot = slots[1];
	if (!ctx->dst)
		ctx->dst = ctx->slot;
	ctx->view = ctx->dst;
	return vmb_slots_settle(slots[0], &ctx->pads);
}

/* The scenario's own, here and in the source. */
static int prepare_scene(struct vmb_ctx *ctx)
{
	const struct vmb_scene *scene = vmb_scene_of(ctx);
	int err = scene->open ? scene->open(ctx) : 0;

	if (!err && scene->source_open)
		err = vmb_pair_call(ctx->pair, VMB_CMD_READY);
	return err;
}

/* Where the receivers prepare themselves: the source, if it is one for all of them. */
static int prepare_apart(struct vmb_ctx *ctx)
{
	int err = ctx->mech->probe ? ctx->mech->probe() : 0;

	if (!err)
		err = prepare_scene(ctx);
	return !err && vmb_shares_source(ctx) ? open_in_source(ctx) : err;
}

static int prepare(struct vmb_ctx *ctx, int joins)
{
	int err;

	if (vmb_scene_of(ctx)->flags & VMB_APART)
		return prepare_apart(ctx);
	err = ctx->mech->probe ? ctx->mech->probe() : 0;
	if (!err && vmb_scene_of(ctx)->flags & VMB_REMOTE) {
		err = prepare_scene(ctx);
		return err ? err : open_in_source(ctx);
	}
	if (!err)
		err = prepare_destination(ctx);
	if (!err)
		err = prepare_local(ctx);
	if (!err)
		err = prepare_slots(ctx);
	if (!err && ctx->mech->setup)
		err = ctx->mech->setup(ctx);
	if (!err && !joins)
		err = open_in_source(ctx);
	if (!err && ctx->mech->connect)
		err = ctx->mech->connect(ctx);
	if (!err)
		err = prepare_scene(ctx);
	if (!err)
		err = vmb_buffer_keep(ctx);
	if (!err && has_relay(ctx))
		err = vmb_pair_relay(ctx->pair, 1);
	return err;
}

static struct vmb_ctx *new_case(struct vmb_pair *pair, const struct vmb_mech *mech,
				const struct vmb_params *params)
{
	const struct vmb_region *source = vmb_pair_source(pair);
	struct vmb_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	*ctx = VMB_NO_CTX;
	ctx->mech = mech;
	ctx->params = *params;
	ctx->pair = pair;
	ctx->other = vmb_pair_pid(pair);
	ctx->size = source->size;
	ctx->page = source->page;
	ctx->hugetlb = source->hugetlb;
	ctx->base_page = vmb_base_page();
	ctx->remote_src = (uintptr_t)source->addr;
	ctx->fd = source->fd;
	ctx->remote_fd = source->remote_fd;
	ctx->shmid = source->shmid;
	return ctx;
}

static int finish_opening(struct vmb_ctx *ctx, int err, struct vmb_ctx **ret)
{
	if (err)
		vmb_case_close(ctx);
	else
		*ret = ctx;
	return err;
}

/*
 * In a forked child of the receiver: a receiver of its own for a case that is open,
 * with memory of its own. The source knows nothing of it, so it must not act.
 */
int vmb_case_join(const struct vmb_ctx *opened, const struct vmb_params *params,
		  struct vmb_ctx **ret)
{
	struct vmb_ctx *ctx = new_case(opened->pair, opened->mech, params);

	if (!ctx)
		return vmb_fail(-ENOMEM, "joining a case");
	ctx->token = opened->token;
	vmb_pair_drop_destination(ctx->pair);
	return finish_opening(ctx, prepare(ctx, 1), ret);
}

int vmb_case_open(struct vmb_pair *pair, const struct vmb_mech *mech,
		  const struct vmb_params *params, struct vmb_ctx **ret)
{
	const struct vmb_scene *scene = vmb_scene_at((int)params->scenario);
	const struct vmb_region *source = vmb_pair_source(pair);
	struct vmb_ctx *ctx;
	int err;

	if (mech->memory != source->memory)
		return vmb_fail(-EINVAL, "%s needs a source of another kind", mech->name);
	if (!scene)
		return vmb_fail(-EINVAL, "there is no scenario %u", params->scenario);
	if (scene->flags & VMB_CUT && !mech->scatter)
		return vmb_fail(-EOPNOTSUPP, "%s has no segments", mech->name);
	if (params->segments > VMB_MOST_SEGMENTS ||
	    (params->segments && source->size % (params->segments * vmb_base_page())))
		return vmb_fail(-EINVAL, "%u segments of %zu bytes", params->segments,
				source->size);
	err = vmb_delay_check(mech, params);
	if (!err)
		err = vmb_buffer_check(mech, params);
	if (err)
		return err;
	ctx = new_case(pair, mech, params);
	if (!ctx)
		return vmb_fail(-ENOMEM, "opening a case");
	if (mech->flags & VMB_SNAPSHOTS && !(scene->flags & VMB_WRITTEN))
		err = vmb_fail(-EOPNOTSUPP, "%s takes snapshots of a running writer alone",
			       mech->name);
	else if (mech->flags & VMB_CUT_ONLY && !(scene->flags & VMB_CUT))
		err = vmb_fail(-EOPNOTSUPP, "%s moves segments alone", mech->name);
	else if (mech->flags & VMB_FRESH_ONLY && !vmb_delivers(ctx))
		err = vmb_fail(-EOPNOTSUPP, "%s fills fresh memory alone", mech->name);
	else if (params->rewritten && mech->rearm && !vmb_delivers(ctx))
		err = vmb_fail(-EOPNOTSUPP, "%s moves its memory there and back", mech->name);
	else if (params->delay_ns && scene->flags & VMB_TWO_WAY)
		err = vmb_fail(-EOPNOTSUPP, "no delay can be injected into this scenario");
	if (err) {
		free(ctx);
		return err;
	}
	return finish_opening(ctx, prepare(ctx, 0), ret);
}

/* Of the single operations since it was reset, where the scenario times them. */
struct vmb_latency *vmb_case_latency(struct vmb_ctx *ctx)
{
	return &vmb_pair_control(ctx->pair)->latency;
}

void vmb_case_close(struct vmb_ctx *ctx)
{
	if (!ctx)
		return;
	vmb_buffer_drop(ctx);
	if (vmb_scene_of(ctx)->close)
		vmb_scene_of(ctx)->close(ctx);
	if (ctx->mech->teardown)
		ctx->mech->teardown(ctx);
	if (ctx->channel >= 0)
		close(ctx->channel);
	/* A source that is dead, or never got that far, has nothing to close. */
	vmb_pair_relay(ctx->pair, 0);
	if (ctx->opened && !vmb_pair_check(ctx->pair))
		vmb_pair_call(ctx->pair, VMB_CMD_CLOSE);
	/* Nothing is left there unless an operation failed half way. */
	if (ctx->slot) {
		munmap(ctx->slot, ctx->size);
		munmap(ctx->src_slot, ctx->size);
		vmb_slots_release(ctx->slot - shift_of(ctx), ctx->pads);
	}
	free(ctx);
}

static int run_in_source(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	int err;

	vmb_pair_request(ctx->pair)->loops = loops;
	err = vmb_pair_call(ctx->pair, VMB_CMD_RUN);
	*ret = vmb_pair_answer(ctx->pair)->sample;
	return err;
}

static int run_any(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	const struct vmb_scene *scene = vmb_scene_of(ctx);
	unsigned int flags = ctx->mech->flags;

	*ret = (struct vmb_sample){ .loops = loops };
	if (scene->run)
		return scene->run(ctx, loops, ret);
	if (flags & VMB_CHILD_RECEIVES || (flags & VMB_SOURCE_ACTS && !vmb_delivers(ctx)))
		return run_in_source(ctx, loops, ret);
	return vmb_loop(ctx, loops, ret);
}

int vmb_case_run_uncounted(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	int err = run_any(ctx, loops, ret);

	if (ctx->params.rewritten)
		ret->time_ns[VMB_PHASE_SYSTEM] =
			ret->time_ns[VMB_PHASE_TOTAL] + ret->time_ns[VMB_PHASE_SOURCE_REWRITE];
	return err;
}

/*
 * What the scene knows by itself is of the timed part alone, and stays. What it has counted
 * without knowing all of it, of processes of its own, comes on top of what was counted around.
 */
static void keep_counts(const struct vmb_counts *around, struct vmb_counts *counts)
{
	for (int i = 0; i < VMB_NR_COUNTERS; i++)
		if (!(counts->known >> i & 1))
			counts->count[i] += around->count[i];
	counts->known |= around->known;
}

/* One value. The counters are read outside the timed part, around it. */
int vmb_case_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	struct vmb_counts before, counted;
	int err;

	vmb_peak_begin();
	err = vmb_rewrite(ctx, NULL); /* the first operation finds what the others find */
	if (!err)
		err = vmb_counts_begin(ctx->other, &before);
	if (!err)
		err = vmb_case_run_uncounted(ctx, loops, ret);
	vmb_peak_end(ret);
	if (!err)
		err = vmb_counts_end(ctx->other, &before, &counted);
	if (err) /* a dead source explains any other error */
		return vmb_pair_check(ctx->pair) ? -ESRCH : err;
	keep_counts(&counted, &ret->counts);
	return vmb_pair_check(ctx->pair);
}
