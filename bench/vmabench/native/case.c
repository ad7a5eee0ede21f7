// SPDX-License-Identifier: GPL-2.0-only
/* One case of a pair, as the receiver drives it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control.h"

/* Scenarios in which a buffer that nobody needs would be in the result. */
static int counts_memory(const struct vmb_ctx *ctx)
{
	return ctx->params.scenario == VMB_HANDOFF || ctx->params.scenario == VMB_PAGESERVER;
}

/* Where the receiver's bytes go: a populated buffer, or a free range for fresh memory. */
static int prepare_destination(struct vmb_ctx *ctx)
{
	const struct vmb_region *region;

	if (vmb_delivers(ctx) || ctx->mech->flags & VMB_IN_PLACE) {
		if (ctx->hugetlb || counts_memory(ctx)) /* a pool is small */
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
		if (ctx->hugetlb || counts_memory(ctx))
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

static int open_in_source(struct vmb_ctx *ctx)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	int err;

	for (int i = 0; i < vmb_mech_count(); i++)
		if (vmb_mech_at(i) == ctx->mech)
			request->mech = i;
	request->params = ctx->params;
	request->remote_dst = (uintptr_t)ctx->dst;
	ctx->opened = 1;
	err = vmb_pair_call(ctx->pair, VMB_CMD_OPEN);
	ctx->token = vmb_pair_answer(ctx->pair)->token;
	return err;
}

/* Last of the preparations: what is mapped later could land in the slots. */
static int prepare_slots(struct vmb_ctx *ctx)
{
	char *slots[2];
	int err;

	err = vmb_slots_find(ctx->size, 2, slots);
	if (err)
		return err;
	ctx->slot = slots[0];
	ctx->src_slot = slots[1];
	if (!ctx->dst)
		ctx->dst = ctx->slot;
	ctx->view = ctx->dst;
	return vmb_slots_settle(ctx->slot, &ctx->pads);
}

static int prepare(struct vmb_ctx *ctx)
{
	int err;

	err = ctx->mech->probe ? ctx->mech->probe() : 0;
	if (!err && ctx->params.scenario == VMB_PAGESERVER) /* all of it is in the source */
		return open_in_source(ctx);
	if (!err)
		err = prepare_destination(ctx);
	if (!err)
		err = prepare_local(ctx);
	if (!err)
		err = prepare_slots(ctx);
	if (!err && ctx->mech->setup)
		err = ctx->mech->setup(ctx);
	if (!err)
		err = open_in_source(ctx);
	if (!err && ctx->mech->connect)
		err = ctx->mech->connect(ctx);
	return err;
}

int vmb_case_open(struct vmb_pair *pair, const struct vmb_mech *mech,
		  const struct vmb_params *params, struct vmb_ctx **ret)
{
	const struct vmb_region *source = vmb_pair_source(pair);
	struct vmb_ctx *ctx;
	int err;

	if (mech->memory != source->memory)
		return vmb_fail(-EINVAL, "%s needs a source of another kind", mech->name);
	if (mech->flags & VMB_FRESH_ONLY && params->scenario == VMB_TRANSFER)
		return vmb_fail(-EOPNOTSUPP, "%s fills fresh memory alone", mech->name);
	err = vmb_delay_check(mech, params);
	if (err)
		return err;
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return vmb_fail(-ENOMEM, "opening a case");
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
	ctx->channel = -1;
	err = prepare(ctx);
	if (err) {
		vmb_case_close(ctx);
		return err;
	}
	*ret = ctx;
	return 0;
}

void vmb_case_close(struct vmb_ctx *ctx)
{
	if (!ctx)
		return;
	if (ctx->mech->teardown)
		ctx->mech->teardown(ctx);
	if (ctx->channel >= 0)
		close(ctx->channel);
	/* A source that is dead, or never got that far, has nothing to close. */
	if (ctx->opened && !vmb_pair_check(ctx->pair))
		vmb_pair_call(ctx->pair, VMB_CMD_CLOSE);
	/* Nothing is left there unless an operation failed half way. */
	if (ctx->slot) {
		munmap(ctx->slot, ctx->size);
		munmap(ctx->src_slot, ctx->size);
		vmb_slots_release(ctx->slot, ctx->pads);
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

static int run_uncounted(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	const struct vmb_scene *scene = vmb_scene_of(ctx);
	unsigned int flags = ctx->mech->flags;

	*ret = (struct vmb_sample){ .loops = loops };
	if (scene->run)
		return scene->run(ctx, loops, ret);
	if (flags & VMB_SOURCE_ACTS && (ctx->mech->run || ctx->params.scenario == VMB_TRANSFER))
		return run_in_source(ctx, loops, ret);
	return vmb_loop(ctx, loops, ret);
}

/* What the scene has counted itself is of the timed part alone, and stays. */
static void keep_counts(const struct vmb_counts *around, struct vmb_counts *counts)
{
	for (int i = 0; i < VMB_NR_COUNTERS; i++)
		if (!(counts->known >> i & 1))
			counts->count[i] = around->count[i];
	counts->known |= around->known;
}

/* One value. The counters are read outside the timed part, around it. */
int vmb_case_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	struct vmb_counts before, after;
	int err;

	err = vmb_counts_read(ctx->other, &before);
	vmb_peak_begin();
	if (!err)
		err = run_uncounted(ctx, loops, ret);
	vmb_peak_end(ret);
	if (!err)
		err = vmb_counts_read(ctx->other, &after);
	if (err) /* a dead source explains any other error */
		return vmb_pair_check(ctx->pair) ? -ESRCH : err;
	vmb_counts_since(&before, &after);
	keep_counts(&after, &ret->counts);
	return vmb_pair_check(ctx->pair);
}
