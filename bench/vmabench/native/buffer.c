// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of the receiver in the scenarios that deliver (buffer:fresh, reused or
 * populated): attach() and release() of the mechanism in each delivery, or once for
 * all of them, and with or without MADV_POPULATE_WRITE.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "core.h"

/* Linux kernel commit 4ca9b3859dac ("mm/madvise: introduce MADV_POPULATE_(READ|WRITE)"), in v5.14. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

static int nothing(struct vmb_ctx *ctx)
{
	(void)ctx;
	return 0;
}

static int populate_range(char *addr, size_t size, int advice)
{
	if (madvise(addr, size, advice))
		return vmb_fail(-errno, "madvise(%s)",
				advice == MADV_POPULATE_WRITE ? "MADV_POPULATE_WRITE"
							      : "MADV_POPULATE_READ");
	return 0;
}

/*
 * Memory of the receiver's own is populated to be written; the source's pages, in a
 * mapping of the receiver, to be read: writing would copy what is private.
 */
static int populate(struct vmb_ctx *ctx)
{
	char *mapped = ctx->mech->flags & VMB_IN_PLACE ? ctx->view : ctx->src;
	int err = 0;

	if (!(ctx->mech->flags & VMB_IN_PLACE))
		err = populate_range(ctx->dst, ctx->size, MADV_POPULATE_WRITE);
	if (!err && mapped && !ctx->local.addr)
		err = populate_range(mapped, ctx->size, MADV_POPULATE_READ);
	return err;
}

vmb_hook vmb_buffer_attach(const struct vmb_ctx *ctx)
{
	if (ctx->params.buffer == VMB_BUFFER_REUSED || !ctx->mech->attach)
		return nothing;
	return ctx->mech->attach;
}

vmb_hook vmb_buffer_populate(const struct vmb_ctx *ctx)
{
	return ctx->params.buffer == VMB_BUFFER_POPULATED ? populate : NULL;
}

vmb_hook vmb_buffer_release(const struct vmb_ctx *ctx)
{
	if (ctx->params.buffer == VMB_BUFFER_REUSED || !ctx->mech->release)
		return nothing;
	return ctx->mech->release;
}

/* When the case is set up: a buffer that is reused is made, and used once. */
int vmb_buffer_keep(struct vmb_ctx *ctx)
{
	int err;

	if (ctx->params.buffer != VMB_BUFFER_REUSED)
		return 0;
	err = ctx->mech->attach(ctx);
	if (err)
		return err;
	ctx->kept = 1;
	if (!(ctx->mech->flags & VMB_IN_PLACE))
		vmb_populate(ctx->dst, ctx->size);
	else
		vmb_read_all(ctx->view, ctx->size);
	return 0;
}

/* When the case is closed. */
void vmb_buffer_drop(struct vmb_ctx *ctx)
{
	if (ctx->kept)
		ctx->mech->release(ctx);
	ctx->kept = 0;
}

/*
 * A mechanism whose delivery is the mapping itself, or the memory of the source, has no
 * buffer that could be kept or populated. matrix/table.py has the reasons for each.
 */
int vmb_buffer_check(const struct vmb_mech *mech, const struct vmb_params *params)
{
	int has_none = !mech->attach || mech->rearm || mech->flags & VMB_FRESH_ONLY;

	if (params->buffer == VMB_BUFFER_FRESH)
		return 0;
	if (has_none || (params->buffer == VMB_BUFFER_REUSED && mech->isolation == VMB_COW))
		return vmb_fail(-EOPNOTSUPP, "%s has only fresh buffers", mech->name);
	return 0;
}
