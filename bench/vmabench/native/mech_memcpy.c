// SPDX-License-Identifier: GPL-2.0-only
/* memcpy: a copy within the receiver, the baseline that no transfer beats. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core.h"

static int memcpy_transfer(struct vmb_ctx *ctx)
{
	memcpy(ctx->dst, ctx->src, ctx->size);
	return 0;
}

static int memcpy_attach(struct vmb_ctx *ctx)
{
	return vmb_fresh_map(ctx->slot, ctx->size, ctx->page);
}

static int memcpy_release(struct vmb_ctx *ctx)
{
	return munmap(ctx->slot, ctx->size) ? vmb_fail(-errno, "munmap") : 0;
}

const struct vmb_mech vmb_mech_memcpy = {
	.name = "memcpy",
	.description = "copy within one process: the baseline",
	.flags = VMB_LOCAL,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.transfer = memcpy_transfer,
	.attach = memcpy_attach,
	.deliver = memcpy_transfer,
	.release = memcpy_release,
};
