// SPDX-License-Identifier: GPL-2.0-only
/* Hooks that several mechanisms share: fresh memory at the receiver, its end, a channel. */
#include <errno.h>
#include <sys/mman.h>

#include "control.h"

int vmb_attach_fresh(struct vmb_ctx *ctx)
{
	return vmb_fresh_map(ctx->slot, ctx->size, ctx->page, ctx->hugetlb);
}

int vmb_release_slot(struct vmb_ctx *ctx)
{
	return munmap(ctx->slot, ctx->size) ? vmb_fail(-errno, "munmap") : 0;
}

/* source_setup: the source's end of what the receiver's setup has sent. */
int vmb_take_channel(struct vmb_ctx *ctx)
{
	return vmb_fd_receive(VMB_SOCKET_FD, &ctx->channel);
}
