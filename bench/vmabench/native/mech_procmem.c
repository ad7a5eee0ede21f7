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

typedef ssize_t (*mem_call)(struct vmb_ctx *ctx, size_t to, size_t from, size_t part);

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

static ssize_t read_part(struct vmb_ctx *ctx, size_t to, size_t from, size_t part)
{
	return pread(ctx->channel, ctx->dst + to, part, (off_t)(ctx->remote_src + from));
}

static ssize_t write_part(struct vmb_ctx *ctx, size_t to, size_t from, size_t part)
{
	return pwrite(ctx->channel, ctx->src + from, part, (off_t)(ctx->remote_dst + to));
}

static int move_range(struct vmb_ctx *ctx, mem_call call, const char *name, size_t to, size_t from,
		      size_t size)
{
	for (size_t done = 0, part; done < size; done += part) {
		ssize_t moved;

		part = vmb_part_bytes(ctx, size - done);
		moved = call(ctx, to + done, from + done, part);

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
	return move_range(ctx, read_part, "pread", 0, 0, ctx->size);
}

static int procmem_write(struct vmb_ctx *ctx)
{
	return move_range(ctx, write_part, "pwrite", 0, 0, ctx->size);
}

static int read_segment(struct vmb_ctx *ctx, size_t to, size_t from, size_t size)
{
	return move_range(ctx, read_part, "pread", to, from, size);
}

static int write_segment(struct vmb_ctx *ctx, size_t to, size_t from, size_t size)
{
	return move_range(ctx, write_part, "pwrite", to, from, size);
}

static int procmem_read_scatter(struct vmb_ctx *ctx)
{
	return vmb_each_segment(ctx, read_segment);
}

static int procmem_write_scatter(struct vmb_ctx *ctx)
{
	return vmb_each_segment(ctx, write_segment);
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
	.scatter = procmem_read_scatter,
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
	.scatter = procmem_write_scatter,
	.attach = vmb_attach_fresh,
	.release = vmb_release_slot,
};
