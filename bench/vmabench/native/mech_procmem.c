// SPDX-License-Identifier: GPL-2.0-only
/*
 * procmem-read and procmem-write: pread() and pwrite() of /proc/PID/mem, by the
 * receiver and by the source. The kernel copies page by page through a page of
 * its own, where process_vm_readv() pins a batch and copies straight.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "core.h"

/* The kernel cuts a call at 2G less a page, without an error. */
#define MOST_BYTES (1ul << 30)

typedef ssize_t (*mem_call)(struct vmb_ctx *ctx, size_t done, size_t part);

static int open_memory(struct vmb_ctx *ctx, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)ctx->other);
	ctx->channel = open(path, flags | O_CLOEXEC);
	return ctx->channel < 0 ? vmb_fail(-errno, "open /proc/PID/mem") : 0;
}

static int open_to_read(struct vmb_ctx *ctx)
{
	return open_memory(ctx, O_RDONLY);
}

static int open_to_write(struct vmb_ctx *ctx)
{
	return open_memory(ctx, O_WRONLY);
}

/* pingpong: the side that has the file of the other one's memory is not the only one. */
static int open_other(struct vmb_ctx *ctx, int flags)
{
	return ctx->channel < 0 ? open_memory(ctx, flags) : 0;
}

static int reply_read(struct vmb_ctx *ctx)
{
	return open_other(ctx, O_RDONLY);
}

static int reply_write(struct vmb_ctx *ctx)
{
	return open_other(ctx, O_WRONLY);
}

static ssize_t read_part(struct vmb_ctx *ctx, size_t done, size_t part)
{
	return pread(ctx->channel, ctx->dst + done, part, (off_t)(ctx->remote_src + done));
}

static ssize_t write_part(struct vmb_ctx *ctx, size_t done, size_t part)
{
	return pwrite(ctx->channel, ctx->src + done, part, (off_t)(ctx->remote_dst + done));
}

static int move_all(struct vmb_ctx *ctx, mem_call call, const char *name)
{
	for (size_t done = 0; done < ctx->size; done += MOST_BYTES) {
		size_t left = ctx->size - done, part = left < MOST_BYTES ? left : MOST_BYTES;
		ssize_t moved = call(ctx, done, part);

		if (moved < 0)
			return vmb_fail(-errno, "%s of /proc/PID/mem", name);
		if ((size_t)moved != part)
			return vmb_fail(-EIO, "%s of /proc/PID/mem moved %zd of %zu bytes", name,
					moved, part);
	}
	return 0;
}

static int procmem_read(struct vmb_ctx *ctx)
{
	return move_all(ctx, read_part, "pread");
}

static int procmem_write(struct vmb_ctx *ctx)
{
	return move_all(ctx, write_part, "pwrite");
}

const struct vmb_mech vmb_mech_procmem_read = {
	.name = "procmem-read",
	.description = "pread() of /proc/PID/mem: the receiver copies from the source",
	.flags = VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.setup = open_to_read,
	.reply = reply_read,
	.transfer = procmem_read,
	.attach = vmb_attach_fresh,
	.deliver = procmem_read,
	.release = vmb_release_slot,
};

const struct vmb_mech vmb_mech_procmem_write = {
	.name = "procmem-write",
	.description = "pwrite() of /proc/PID/mem: the source copies into the receiver",
	.flags = VMB_SOURCE_ACTS | VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.source_setup = open_to_write,
	.reply = reply_write,
	.transfer = procmem_write,
	.attach = vmb_attach_fresh,
	.release = vmb_release_slot,
};
