// SPDX-License-Identifier: GPL-2.0-only
/*
 * memfd-private: a private mapping of a sealed memfd, the copy-on-write snapshot
 * that stock kernels offer. The memory must be a memfd from the start, nobody can
 * write to it after it is sealed, and each page takes a minor fault to map it from
 * the page cache, where a clone has its page-table entries at once.
 */
#include <sys/mman.h>

#include "control.h"

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

/* The writer goes on with a private mapping of its own and copies each page that it writes. */
static int private_freeze(struct vmb_ctx *ctx)
{
	(void)ctx;
	return vmb_region_seal(&vmb_source_region);
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
	.freeze = private_freeze,
	.release = vmb_release_slot,
};
