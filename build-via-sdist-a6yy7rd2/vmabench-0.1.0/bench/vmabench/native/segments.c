// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data in segments of one size. At the receiver each two neighbours have changed
 * places: no segment goes on where the one before it ended, neither in the
 * source nor in the file, so that no two mappings of them can be merged.
 * Everything that is no scatter is one segment.
 */
#include <string.h>

#include "core.h"

static size_t count(const struct vmb_ctx *ctx)
{
	return ctx->params.segments ? ctx->params.segments : 1;
}

size_t vmb_segment_bytes(const struct vmb_ctx *ctx)
{
	return ctx->size / count(ctx);
}

/* Which segment of the source is the receiver's, and the other way round. */
size_t vmb_segment_from(const struct vmb_ctx *ctx, size_t segment)
{
	size_t neighbour = segment ^ 1;

	return neighbour < count(ctx) ? neighbour : segment;
}

/* The source's page that is this page of the receiver, and the other way round. */
size_t vmb_source_page(const struct vmb_ctx *ctx, size_t page)
{
	size_t pages = vmb_segment_bytes(ctx) / ctx->base_page;

	return vmb_segment_from(ctx, page / pages) * pages + page % pages;
}

/* A call for each segment, in the order of the receiver's memory. */
int vmb_each_segment(struct vmb_ctx *ctx, vmb_part part)
{
	size_t size = vmb_segment_bytes(ctx), segments = count(ctx);
	int err = 0;

	for (size_t i = 0; i < segments && !err; i++)
		err = part(ctx, i * size, vmb_segment_from(ctx, i) * size, size);
	return err;
}

static int copy_part(struct vmb_ctx *ctx, size_t to, size_t from, size_t size)
{
	memcpy(ctx->dst + to, ctx->src + from, size);
	return 0;
}

/* scatter, where the receiver can address the source's bytes. */
int vmb_copy_segments(struct vmb_ctx *ctx)
{
	return vmb_each_segment(ctx, copy_part);
}

/* Whether every byte of that generation is where its segment has to be. */
int vmb_check_segments(struct vmb_ctx *ctx, uint64_t generation)
{
	size_t size = vmb_segment_bytes(ctx), segments = count(ctx);
	int err = 0;

	for (size_t i = 0; i < segments && !err; i++)
		err = vmb_pattern_check_from(ctx->view + i * size, size, ctx->params.seed,
					     generation,
					     vmb_segment_from(ctx, i) * size / ctx->base_page);
	return err;
}
