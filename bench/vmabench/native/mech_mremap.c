// SPDX-License-Identifier: GPL-2.0-only
/*
 * mremap and mremap-dup: what one process can do to mappings of its own, so both
 * are proxies. mremap moves the entries of private memory to another address and
 * leaves the old one empty (MREMAP_DONTUNMAP); mremap-dup is the old size of 0,
 * which maps shared memory a second time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "core.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static int move_range(const struct vmb_ctx *ctx, char *from, char *to, size_t size)
{
	(void)ctx;
	if (mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) != to)
		return vmb_fail(-errno, "mremap(MREMAP_DONTUNMAP)");
	return 0;
}

static int mremap_transfer(struct vmb_ctx *ctx)
{
	return vmb_swing(ctx, move_range);
}

static int mremap_scatter(struct vmb_ctx *ctx)
{
	return vmb_swing_segments(ctx, move_range);
}

static int mremap_attach(struct vmb_ctx *ctx)
{
	return vmb_move_out(ctx, move_range);
}

static int mremap_rearm(struct vmb_ctx *ctx)
{
	return vmb_swing_home(ctx, move_range);
}

static int dup_part(struct vmb_ctx *ctx, size_t to, size_t from, size_t size)
{
	if (mremap(ctx->src_slot + from, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, ctx->slot + to) !=
	    ctx->slot + to)
		return vmb_fail(-errno, "mremap of old size 0");
	return 0;
}

static int dup_to_slot(struct vmb_ctx *ctx)
{
	return dup_part(ctx, 0, 0, ctx->size);
}

static int dup_scatter(struct vmb_ctx *ctx)
{
	return vmb_each_segment(ctx, dup_part);
}

static int dup_setup(struct vmb_ctx *ctx)
{
	int err = vmb_shared_map(ctx->src_slot, ctx->size, ctx->page, ctx->hugetlb, ctx->fd);

	if (!err)
		vmb_read_all(ctx->src_slot, ctx->size);
	return err;
}

const struct vmb_mech vmb_mech_mremap = {
	.name = "mremap",
	.description = "mremap(MREMAP_DONTUNMAP) within one process: proxy for a move",
	.flags = VMB_LOCAL | VMB_IN_PLACE | VMB_PROXY,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.transfer = mremap_transfer,
	.scatter = mremap_scatter,
	.attach = mremap_attach,
	.release = vmb_release_slot,
	.rearm = mremap_rearm,
};

const struct vmb_mech vmb_mech_mremap_dup = {
	.name = "mremap-dup",
	.description = "mremap() of old size 0: shared memory mapped again, proxy for clone",
	.flags = VMB_IN_PLACE | VMB_PROXY,
	.memory = VMB_MEMFD,
	.isolation = VMB_SHARES,
	.setup = dup_setup,
	.transfer = dup_to_slot,
	.scatter = dup_scatter,
	.attach = dup_to_slot,
	.release = vmb_release_slot,
};
