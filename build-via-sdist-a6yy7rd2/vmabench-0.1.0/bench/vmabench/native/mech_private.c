// SPDX-License-Identifier: GPL-2.0-only
/*
 * memfd-private: a private mapping of a sealed memfd, the copy-on-write snapshot
 * that stock kernels offer. It has to be a memfd to begin with, nobody can write
 * to it any more, and its pages are found by minor faults in the page cache,
 * where a clone has its entries at once.
 */
#include <sys/mman.h>

#include "core.h"

static int map_private(struct vmb_ctx *ctx)
{
	return vmb_map_over(ctx, MAP_PRIVATE, ctx->fd);
}

static int map_part(struct vmb_ctx *ctx, size_t to, size_t from, size_t size)
{
	return vmb_map_part(ctx, MAP_PRIVATE, to, from, size);
}

static int private_scatter(struct vmb_ctx *ctx)
{
	return vmb_each_segment(ctx, map_part);
}

const struct vmb_mech vmb_mech_memfd_private = {
	.name = "memfd-private",
	.description = "MAP_PRIVATE of a sealed memfd: copy-on-write, nothing copied at first",
	.flags = VMB_IN_PLACE,
	.memory = VMB_SEALED,
	.isolation = VMB_COW,
	.transfer = map_private,
	.scatter = private_scatter,
	.attach = map_private,
	.release = vmb_release_slot,
};
