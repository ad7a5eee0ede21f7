// SPDX-License-Identifier: GPL-2.0-only
/* Hooks that several mechanisms share: fresh memory at the receiver, a move, a channel. */
#include "control.h"

int vmb_attach_fresh(struct vmb_ctx *ctx)
{
	return vmb_fresh_map(ctx->slot, ctx->size, ctx->page, ctx->hugetlb);
}

int vmb_release_slot(struct vmb_ctx *ctx)
{
	return vmb_fresh_unmap(ctx->slot, ctx->size);
}

/* attach or deliver of memory that moves within one process, to the slot. */
int vmb_move_out(struct vmb_ctx *ctx, vmb_move move)
{
	ctx->view = ctx->slot;
	return move(ctx, ctx->local.addr, ctx->slot, ctx->size);
}

/* Where the next move starts; ctx->view is where it ends. */
static char *turn_round(struct vmb_ctx *ctx)
{
	char *from = ctx->moved ? ctx->slot : ctx->local.addr;

	ctx->view = ctx->moved ? ctx->local.addr : ctx->slot;
	ctx->moved = !ctx->moved;
	return from;
}

/* transfer of such memory: there and back in turn, over the empty mapping of the last move. */
int vmb_swing(struct vmb_ctx *ctx, vmb_move move)
{
	char *from = turn_round(ctx);

	return move(ctx, from, ctx->view, ctx->size);
}

/* scatter of such memory: vmb_swing() segment by segment. */
int vmb_swing_segments(struct vmb_ctx *ctx, vmb_move move)
{
	char *from = turn_round(ctx), *to = ctx->view;
	size_t size = vmb_segment_bytes(ctx);
	int err = 0;

	for (size_t i = 0; i * size < ctx->size && !err; i++)
		err = move(ctx, from + vmb_segment_from(ctx, i) * size, to + i * size, size);
	return err;
}

/* rearm: the source gets its bytes back, or at least as many populated pages. */
int vmb_swing_home(struct vmb_ctx *ctx, vmb_move move)
{
	if (vmb_delivers(ctx)) {
		vmb_populate(ctx->local.addr, ctx->size);
		return 0;
	}
	if (!ctx->moved)
		return 0;
	return vmb_is_cut(ctx) ? vmb_swing_segments(ctx, move) : vmb_swing(ctx, move);
}

/* source_setup: the source's end of what the receiver's setup has sent. */
int vmb_take_channel(struct vmb_ctx *ctx)
{
	return vmb_fd_receive(VMB_SOCKET_FD, &ctx->channel);
}
