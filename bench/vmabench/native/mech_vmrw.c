// SPDX-License-Identifier: GPL-2.0-only
/* readv and writev: process_vm_readv() by the receiver, process_vm_writev() by the source. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core.h"

typedef ssize_t (*vm_call)(pid_t pid, const struct iovec *local, unsigned long local_count,
			   const struct iovec *remote, unsigned long remote_count,
			   unsigned long flags);

/* One call, for as many bytes as its lists have. */
static int move_lists(const struct vmb_ctx *ctx, vm_call call, const char *name,
		      const struct iovec *local, const struct iovec *remote, unsigned long count,
		      size_t bytes)
{
	ssize_t moved = call(ctx->other, local, count, remote, count, 0);

	if (moved < 0)
		return vmb_fail(-errno, "%s", name);
	if ((size_t)moved != bytes)
		return vmb_fail(-EIO, "%s moved %zd of %zu bytes", name, moved, bytes);
	return 0;
}

static int move_all(const struct vmb_ctx *ctx, vm_call call, const char *name, uintptr_t here,
		    uintptr_t there, size_t size)
{
	int err = 0;

	for (size_t done = 0, part; done < size && !err; done += part) {
		struct iovec local, remote;

		part = vmb_part_bytes(ctx, size - done);
		local = (struct iovec){ (void *)(here + done), part };
		remote = (struct iovec){ (void *)(there + done), part };
		err = move_lists(ctx, call, name, &local, &remote, 1, part);
	}
	return err;
}

/* Of scatter: what the next call is given. */
static struct iovec here[VMB_MOST_SEGMENTS], there[VMB_MOST_SEGMENTS];

/*
 * Lists bytes bytes from offset done of the receiver's memory on: the receiver's
 * segments in their order, the source's in that of segments.c. Returns how many
 * pieces there are.
 */
static unsigned long list_range(const struct vmb_ctx *ctx, size_t done, size_t bytes)
{
	size_t size = vmb_segment_bytes(ctx), part;
	unsigned long count = 0;

	for (size_t end = done + bytes; done < end; done += part, count++) {
		size_t offset = done % size;
		size_t from = vmb_segment_from(ctx, done / size) * size + offset;

		part = size - offset < end - done ? size - offset : end - done;
		if (ctx->pair) {
			here[count] = (struct iovec){ ctx->dst + done, part };
			there[count] = (struct iovec){ (void *)(ctx->remote_src + from), part };
		} else {
			here[count] = (struct iovec){ ctx->src + from, part };
			there[count] = (struct iovec){ (void *)(ctx->remote_dst + done), part };
		}
	}
	return count;
}

/* The lists of a case that one call can move are made before anything is timed. */
static int list_segments(struct vmb_ctx *ctx)
{
	if (vmb_is_cut(ctx) && vmb_part_bytes(ctx, ctx->size) == ctx->size)
		list_range(ctx, 0, ctx->size);
	return 0;
}

static int move_segments(const struct vmb_ctx *ctx, vm_call call, const char *name)
{
	size_t part = vmb_part_bytes(ctx, ctx->size);
	int err = 0;

	if (part == ctx->size)
		return move_lists(ctx, call, name, here, there, ctx->params.segments, part);
	for (size_t done = 0; done < ctx->size && !err; done += part) {
		part = vmb_part_bytes(ctx, ctx->size - done);
		err = move_lists(ctx, call, name, here, there, list_range(ctx, done, part), part);
	}
	return err;
}

/* In the receiver: any bytes of the source, in one call or several. */
int vmb_read_remote(const struct vmb_ctx *ctx, void *to, uintptr_t from, size_t size)
{
	return move_all(ctx, process_vm_readv, "process_vm_readv", (uintptr_t)to, from, size);
}

/* The pieces that the next call reads. */
static unsigned long listed;
static size_t listed_bytes;

int vmb_pieces_read(const struct vmb_ctx *ctx)
{
	int err = listed ? move_lists(ctx, process_vm_readv, "process_vm_readv", here, there,
				      listed, listed_bytes)
			 : 0;

	listed = 0;
	listed_bytes = 0;
	return err;
}

/* Adds a piece of the source to the list, and reads what is listed where it would be too much. */
int vmb_pieces_add(const struct vmb_ctx *ctx, char *to, uintptr_t from, size_t size)
{
	int err = 0;

	if (size > vmb_part_bytes(ctx, size))
		return vmb_read_remote(ctx, to, from, size);
	if (listed == VMB_MOST_SEGMENTS ||
	    vmb_part_bytes(ctx, listed_bytes + size) < listed_bytes + size)
		err = vmb_pieces_read(ctx);
	here[listed] = (struct iovec){ to, size };
	there[listed++] = (struct iovec){ (void *)from, size };
	listed_bytes += size;
	return err;
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
	return vmb_read_remote(ctx, ctx->dst, ctx->remote_src, ctx->size);
}

static int writev_transfer(struct vmb_ctx *ctx)
{
	return move_all(ctx, process_vm_writev, "process_vm_writev", (uintptr_t)ctx->src,
			ctx->remote_dst, ctx->size);
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
