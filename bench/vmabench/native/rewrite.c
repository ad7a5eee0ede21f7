// SPDX-License-Identifier: GPL-2.0-only
/*
 * The writes of the source between two operations (source:rewritten): one to each
 * base page, after the receiver has released its memory. They are timed as
 * source-rewrite, and they leave each entry writable and its page exclusive to the
 * source (PageAnonExclusive), which is the state that the next operation starts from.
 *
 * Without them a clone or fork finds the entries that the one before it has
 * write-protected, which is less work, and nobody pays for the faults of the source.
 */
#define _GNU_SOURCE
#include <sys/resource.h>

#include "control.h"
#include "marks.h"

static uint64_t minor_faults(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : (uint64_t)usage.ru_minflt;
}

/* In the process that has the region. Without ret the writes are in no phase. */
int vmb_rewrite_region(const struct vmb_ctx *ctx, const struct vmb_region *region,
		       struct vmb_sample *ret)
{
	uint64_t faults = minor_faults(), start_ns = vmb_now_ns(), spent_ns;

	if (ret)
		VMB_MARK(VMB_PHASE_SOURCE_REWRITE);
	vmb_populate(region->addr, region->size);
	if (ret)
		VMB_MARK(VMB_MARK_NONE);
	spent_ns = vmb_now_ns() - start_ns;
	faults = minor_faults() - faults;
	if (ret) {
		ret->time_ns[VMB_PHASE_SOURCE_REWRITE] += spent_ns;
		ret->counts.count[VMB_REWRITE_FAULTS] += faults;
		ret->counts.known |= 1ull << VMB_REWRITE_FAULTS;
	}
	return vmb_region_restore(region, ctx->mech->isolation, faults);
}

static int rewrite_there(struct vmb_ctx *ctx, struct vmb_sample *ret)
{
	const struct vmb_sample *found = &vmb_pair_answer(ctx->pair)->sample;
	int err;

	vmb_pair_request(ctx->pair)->timed = !!ret;
	err = vmb_pair_call(ctx->pair, VMB_CMD_REWRITE);
	if (!ret)
		return err;
	ret->time_ns[VMB_PHASE_SOURCE_REWRITE] += found->time_ns[VMB_PHASE_SOURCE_REWRITE];
	ret->counts.count[VMB_REWRITE_FAULTS] += found->counts.count[VMB_REWRITE_FAULTS];
	ret->counts.known |= found->counts.known;
	return err;
}

/* On either side, after an operation; nothing where the case has an idle source, or none. */
int vmb_rewrite(struct vmb_ctx *ctx, struct vmb_sample *ret)
{
	if (!ctx->params.rewritten || ctx->mech->isolation == VMB_MOVES_NOTHING)
		return 0;
	if (!ctx->pair)
		return vmb_control->request.check
			       ? 0
			       : vmb_rewrite_region(ctx, &vmb_source_region, ret);
	if (ctx->local.addr)
		return vmb_rewrite_region(ctx, &ctx->local, ret);
	return rewrite_there(ctx, ret);
}
