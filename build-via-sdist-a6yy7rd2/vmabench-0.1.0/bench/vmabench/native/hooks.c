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

/*
 * There and back in turn, for what is moved within one process: each time over
 * the empty mapping that the last move has left. transfer is nothing else.
 */
int vmb_swing(struct vmb_ctx *ctx, vmb_move move)
{
	char *from = ctx->moved ? ctx->slot : ctx->local.addr;

	ctx->moved = !ctx->moved;
	return move(ctx, from, from == ctx->slot ? ctx->local.addr : ctx->slot);
}

/* rearm: the source has what was taken from it, the same bytes or at least pages. */
int vmb_swing_home(struct vmb_ctx *ctx, vmb_move move)
{
	if (!vmb_delivers(ctx))
		return ctx->moved ? vmb_swing(ctx, move) : 0;
	vmb_populate(ctx->local.addr, ctx->size);
	return 0;
}

/* source_setup: the source's end of what the receiver's setup has sent. */
int vmb_take_channel(struct vmb_ctx *ctx)
{
	return vmb_fd_receive(VMB_SOCKET_FD, &ctx->channel);
}
