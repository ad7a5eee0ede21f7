// SPDX-License-Identifier: GPL-2.0-only
/*
 * null: the loop without an operation, and the skeleton of a mechanism.
 *
 * To add a mechanism, copy this file to mech_NAME.c, keep the hooks that it
 * needs, and add its row to mech_table.c. The fields of struct vmb_mech are
 * explained in core.h; what each hook may rely on stands below.
 *
 *   probe	Is the call there at all? Without a pair. 0 or -errno.
 *   setup	In the receiver, before anything is timed. ctx->dst is a populated
 *		buffer in transfer and a free range (ctx->slot) in deliver;
 *		ctx->view, where the receiver will find the bytes, is ctx->dst
 *		unless setup changes it.
 *   source_setup	In the source, after setup: what setup has sent with
 *		vmb_pair_send_fd() is taken with vmb_take_channel(). A handle for the
 *		receiver goes into ctx->token.
 *   connect	In the receiver, after source_setup, when ctx->token is there.
 *   transfer	The bare operation, on ctx->size bytes: from ctx->remote_src of
 *		process ctx->other to ctx->dst. With VMB_SOURCE_ACTS it is called
 *		in the source: from ctx->src to ctx->remote_dst of ctx->other.
 *   scatter	scatter only, instead of transfer: the same bytes in the segments of
 *		segments.c, by one call that takes them all or by a call for each.
 *		NULL: not in this scenario; matrix/table.py then has the reason.
 *   send	With VMB_BOTH_ACT: the source's half, while transfer, in the
 *		receiver, takes what comes. Both go through ctx->channel.
 *   gather	scatter only, instead of send: the segments in the order of the
 *		receiver, which takes them with scatter (vmb_gather()).
 *   attach	deliver only: map the destination, or the source's memory, at
 *		ctx->slot.
 *   deliver	deliver only: make the bytes arrive; NULL if attach did it.
 *		With VMB_SOURCE_ACTS, transfer is called in the source instead,
 *		with VMB_BOTH_ACT send and transfer at once.
 *   release	deliver only: unmap what attach mapped.
 *   rearm	Not timed, after a delivery and after the last transfer of a
 *		value: make the source whole again, where the operation took it away.
 *   freeze	In the source, in scenarios that go on writing: from now on receivers
 *		get the data as it is at this moment, whenever they ask for it. NULL:
 *		the source stands still until each receiver has its data.
 *   reply	pingpong only, on both sides, the receiver's first: what it takes
 *		to send the other way too. With VMB_TALKS the other hooks are
 *		called on either side, on a struct vmb_ctx of that way.
 *   run	Instead of all the timed hooks above, where the common loops of
 *		loops.c can't express the mechanism (see mech_fork.c).
 *   verify	Instead of the common check of verify.c. Comes with run.
 *   teardown	In the receiver; also after a setup that failed half way.
 *   source_teardown	In the source. ctx->channel is closed on both sides anyway.
 *
 * A timed hook reads no clock, allocates nothing and checks every result: a
 * transfer that is short is an error, never a smaller number. All hooks return
 * 0 or -errno and leave the reason with vmb_fail().
 */
#include "core.h"

static int null_transfer(struct vmb_ctx *ctx)
{
	(void)ctx;
	return 0;
}

/* There is nothing to look at afterwards, and so nothing to touch. */
static int null_setup(struct vmb_ctx *ctx)
{
	ctx->view = NULL;
	return 0;
}

const struct vmb_mech vmb_mech_null = {
	.name = "null",
	.description = "no operation: what the timed loop itself costs",
	.flags = VMB_LOCAL | VMB_IN_PLACE | VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_MOVES_NOTHING,
	.setup = null_setup,
	.transfer = null_transfer,
	.scatter = null_transfer,
};
