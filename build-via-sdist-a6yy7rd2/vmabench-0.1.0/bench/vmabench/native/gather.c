// SPDX-License-Identifier: GPL-2.0-only
/*
 * The source's half of scatter, where bytes go through a channel: it hands out its
 * segments in the order in which the receiver wants them, as many in one call as
 * the channel takes. The receiver then reads them in one piece.
 */
#include <errno.h>

#include "core.h"

static struct iovec pieces[VMB_MOST_SEGMENTS];

/* What is left when done bytes are on their way, most bytes of it; how many pieces. */
static int list_pieces(const struct vmb_ctx *ctx, size_t done, size_t most)
{
	size_t size = vmb_segment_bytes(ctx), left = ctx->size - done;
	size_t segment = done / size, offset = done % size;
	int count = 0;

	if (left > most)
		left = most;
	for (; left; segment++, offset = 0) {
		size_t part = size - offset < left ? size - offset : left;
		size_t from = vmb_segment_from(ctx, segment) * size + offset;

		pieces[count++] = (struct iovec){ ctx->src + from, part };
		left -= part;
	}
	return count;
}

/* A call is given at most most bytes and may take less: then the rest goes into the next one. */
int vmb_gather(struct vmb_ctx *ctx, vmb_gather_call call, const char *name, size_t most)
{
	for (size_t done = 0; done < ctx->size;) {
		ssize_t put = call(ctx->channel, pieces, list_pieces(ctx, done, most));

		if (put < 0)
			return vmb_fail(-errno, "%s", name);
		done += (size_t)put;
	}
	return 0;
}
