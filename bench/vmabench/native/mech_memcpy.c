// SPDX-License-Identifier: GPL-2.0-only
/* memcpy: a copy within the receiver by libc, a baseline. */
#include <string.h>

#include "core.h"

static int memcpy_transfer(struct vmb_ctx *ctx)
{
	memcpy(ctx->dst, ctx->src, ctx->size);
	return 0;
}

const struct vmb_mech vmb_mech_memcpy = {
	.name = "memcpy",
	.description = "copy within one process: the baseline",
	.flags = VMB_LOCAL,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.transfer = memcpy_transfer,
	.scatter = vmb_copy_segments,
	.attach = vmb_attach_fresh,
	.deliver = memcpy_transfer,
	.release = vmb_release_slot,
};
