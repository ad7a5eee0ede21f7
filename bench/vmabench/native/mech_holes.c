// SPDX-License-Identifier: GPL-2.0-only
/*
 * readv-holes: process_vm_readv() of a list with holes that the caller does not know.
 * Behind each segment but the last one the list has a page that the source has not
 * mapped. The call ends there without an error, short; the caller finds out where,
 * skips the page and calls again with the rest of the list, as CRIU does. readv in
 * scatter is the same list without the holes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/uio.h>

#include "core.h"

#define MOST_PIECES (2 * VMB_MOST_SEGMENTS)

static struct iovec local[MOST_PIECES], remote[MOST_PIECES];
static unsigned long pieces;

/* Below the region, which has 1G of free addresses before it. */
static uintptr_t hole_of(const struct vmb_ctx *ctx)
{
	return ctx->remote_src - ctx->base_page;
}

/* A page that is mapped there would be copied, and no hole be met. */
static int check_hole(const struct vmb_ctx *ctx)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)hole_of(ctx), 1 };

	if (process_vm_readv(ctx->other, &here, 1, &there, 1, 0) < 0)
		return errno == EFAULT ? 0 : vmb_fail(-errno, "process_vm_readv");
	return vmb_fail(-EEXIST, "the source has a page where its hole has to be");
}

static int holes_setup(struct vmb_ctx *ctx)
{
	size_t size = vmb_segment_bytes(ctx);

	if (size > vmb_part_bytes(ctx, size))
		return vmb_fail(-EOPNOTSUPP, "segments of %zu bytes, which take several calls",
				size);
	pieces = 0;
	for (size_t i = 0; i * size < ctx->size; i++) {
		size_t from = vmb_segment_from(ctx, i) * size;

		if (i) {
			local[pieces] = (struct iovec){ ctx->dst + i * size, ctx->base_page };
			remote[pieces++] = (struct iovec){ (void *)hole_of(ctx), ctx->base_page };
		}
		local[pieces] = (struct iovec){ ctx->dst + i * size, size };
		remote[pieces++] = (struct iovec){ (void *)(ctx->remote_src + from), size };
	}
	return check_hole(ctx);
}

/* The piece that a call which moved so many bytes has ended at; it moves whole pieces. */
static unsigned long end_of(unsigned long first, size_t moved)
{
	while (first < pieces && moved >= remote[first].iov_len)
		moved -= remote[first++].iov_len;
	return first;
}

static int holes_scatter(struct vmb_ctx *ctx)
{
	size_t total = 0;

	for (unsigned long first = 0; first < pieces; first++) {
		unsigned long left = pieces - first;
		unsigned long count = left < VMB_MOST_SEGMENTS ? left : VMB_MOST_SEGMENTS;
		ssize_t moved = process_vm_readv(ctx->other, &local[first], count, &remote[first],
						 count, 0);

		if (moved < 0)
			return vmb_fail(-errno, "process_vm_readv");
		total += (size_t)moved;
		first = end_of(first, (size_t)moved);
	}
	if (total != ctx->size)
		return vmb_fail(-EIO, "process_vm_readv moved %zu of %zu bytes", total, ctx->size);
	return 0;
}

const struct vmb_mech vmb_mech_readv_holes = {
	.name = "readv-holes",
	.description = "process_vm_readv() that stops at unmapped pages and is called again",
	.flags = VMB_PINS | VMB_CUT_ONLY,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.setup = holes_setup,
	.scatter = holes_scatter,
};
