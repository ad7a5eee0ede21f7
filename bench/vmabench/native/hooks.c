// SPDX-License-Identifier: GPL-2.0-only
/* Hooks that several mechanisms share: fresh memory at the receiver, and its end. */
#include <errno.h>
#include <sys/mman.h>

#include "core.h"

int vmb_attach_fresh(struct vmb_ctx *ctx)
{
	return vmb_fresh_map(ctx->slot, ctx->size, ctx->page);
}

int vmb_release_slot(struct vmb_ctx *ctx)
{
	return munmap(ctx->slot, ctx->size) ? vmb_fail(-errno, "munmap") : 0;
}
