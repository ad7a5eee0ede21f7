// SPDX-License-Identifier: GPL-2.0-only
/* readv and writev: process_vm_readv() by the receiver, process_vm_writev() by the source. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core.h"

/* The kernel cuts a call at 2G less a page, without an error. */
#define MOST_BYTES (1ul << 30)

typedef ssize_t (*vm_call)(pid_t pid, const struct iovec *local, unsigned long local_count,
			   const struct iovec *remote, unsigned long remote_count,
			   unsigned long flags);

static int move_all(const struct vmb_ctx *ctx, vm_call call, const char *name, uintptr_t here,
		    uintptr_t there)
{
	for (size_t done = 0; done < ctx->size; done += MOST_BYTES) {
		size_t left = ctx->size - done, part = left < MOST_BYTES ? left : MOST_BYTES;
		struct iovec local = { (void *)(here + done), part };
		struct iovec remote = { (void *)(there + done), part };
		ssize_t moved = call(ctx->other, &local, 1, &remote, 1, 0);

		if (moved < 0)
			return vmb_fail(-errno, "%s", name);
		if ((size_t)moved != part)
			return vmb_fail(-EIO, "%s moved %zd of %zu bytes", name, moved, part);
	}
	return 0;
}

/* Of scatter: as the calls take them, made before anything is timed. */
static struct iovec here[VMB_MOST_SEGMENTS], there[VMB_MOST_SEGMENTS];

/* The receiver's segments in their order, the source's in that of segments.c. */
static int list_segments(struct vmb_ctx *ctx)
{
	size_t size = vmb_segment_bytes(ctx);

	for (size_t i = 0; i < ctx->params.segments; i++) {
		size_t from = vmb_segment_from(ctx, i);

		if (ctx->pair) {
			here[i] = (struct iovec){ ctx->dst + i * size, size };
			there[i] = (struct iovec){ (void *)(ctx->remote_src + from * size), size };
		} else {
			here[i] = (struct iovec){ ctx->src + from * size, size };
			there[i] = (struct iovec){ (void *)(ctx->remote_dst + i * size), size };
		}
	}
	return 0;
}

static int move_segments(const struct vmb_ctx *ctx, vm_call call, const char *name)
{
	unsigned long count = ctx->params.segments;
	ssize_t moved = call(ctx->other, here, count, there, count, 0);

	if (moved < 0)
		return vmb_fail(-errno, "%s", name);
	if ((size_t)moved != ctx->size)
		return vmb_fail(-EIO, "%s moved %zd of %zu bytes", name, moved, ctx->size);
	return 0;
}

static int readv_scatter(struct vmb_ctx *ctx)
{
	return move_segments(ctx, process_vm_readv, "process_vm_readv");
}

static int writev_scatter(struct vmb_ctx *ctx)
{
	return move_segments(ctx, process_vm_writev, "process_vm_writev");
}

static int readv_transfer(struct vmb_ctx *ctx)
{
	return move_all(ctx, process_vm_readv, "process_vm_readv", (uintptr_t)ctx->dst,
			ctx->remote_src);
}

static int writev_transfer(struct vmb_ctx *ctx)
{
	return move_all(ctx, process_vm_writev, "process_vm_writev", (uintptr_t)ctx->src,
			ctx->remote_dst);
}

/*
 * process_vm_readv() on the caller itself: no permission rule forbids that, so
 * where it fails the call is missing or filtered.
 */
int vmb_readv_self(void)
{
	char from = 1, to = 0;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1)
		return 0;
	return vmb_fail(-errno, "process_vm_readv of the own process");
}

const struct vmb_mech vmb_mech_readv = {
	.name = "readv",
	.description = "process_vm_readv(): the receiver copies from the source",
	.flags = VMB_PINS | VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.setup = list_segments,
	.transfer = readv_transfer,
	.scatter = readv_scatter,
	.attach = vmb_attach_fresh,
	.deliver = readv_transfer,
	.release = vmb_release_slot,
};

const struct vmb_mech vmb_mech_writev = {
	.name = "writev",
	.description = "process_vm_writev(): the source copies into the receiver",
	.flags = VMB_SOURCE_ACTS | VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.source_setup = list_segments,
	.transfer = writev_transfer,
	.scatter = writev_scatter,
	.attach = vmb_attach_fresh,
	.release = vmb_release_slot,
};
