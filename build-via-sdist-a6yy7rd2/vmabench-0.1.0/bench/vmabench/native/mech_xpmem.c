// SPDX-License-Identifier: GPL-2.0-only
/*
 * xpmem: the module that MPI libraries use where it is loaded. The source makes
 * a segment of its memory, the receiver gets access to it and attaches it: the
 * same pages in both processes, entered by the module's own fault handler.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core.h"

#define DEVICE "/dev/xpmem"

/* The module's interface: requests of the magic 'x', without sizes in their numbers. */
struct make_request {
	uint64_t vaddr;
	size_t size;
	int permit_type;
	uint64_t permit_value;
	int64_t segid;
};

struct remove_request {
	int64_t segid;
};

struct get_request {
	int64_t segid;
	int flags;
	int permit_type;
	uint64_t permit_value;
	int64_t apid;
};

struct release_request {
	int64_t apid;
};

struct attach_request {
	int64_t apid;
	off_t offset;
	size_t size;
	uint64_t vaddr;
	int fd;
	int flags;
};

struct detach_request {
	uint64_t vaddr;
};

#define MAKE	_IO('x', 1)
#define REMOVE	_IO('x', 2)
#define GET	_IO('x', 3)
#define RELEASE _IO('x', 4)
#define ATTACH	_IO('x', 5)
#define DETACH	_IO('x', 6)

#define PERMIT_MODE 1
#define READ_WRITE  2

static int open_device(struct vmb_ctx *ctx)
{
	ctx->channel = open(DEVICE, O_RDWR | O_CLOEXEC);
	return ctx->channel < 0 ? vmb_fail(-errno, "open " DEVICE) : 0;
}

static int xpmem_probe(void)
{
	struct vmb_ctx ctx;
	int err = open_device(&ctx);

	if (!err)
		close(ctx.channel);
	return err;
}

static int make_segment(struct vmb_ctx *ctx)
{
	struct make_request make = {
		.vaddr = (uintptr_t)ctx->src,
		.size = ctx->size,
		.permit_type = PERMIT_MODE,
		.permit_value = 0600,
	};
	int err = open_device(ctx);

	if (!err && ioctl(ctx->channel, MAKE, &make))
		err = vmb_fail(-errno, "ioctl(XPMEM_CMD_MAKE)");
	ctx->token = (uint64_t)make.segid;
	return err;
}

static void remove_segment(struct vmb_ctx *ctx)
{
	struct remove_request remove = { (int64_t)ctx->token };

	ioctl(ctx->channel, REMOVE, &remove);
}

/* ctx->token is the segment before, and the right to access it afterwards. */
static int get_access(struct vmb_ctx *ctx)
{
	struct get_request get = {
		.segid = (int64_t)ctx->token,
		.flags = READ_WRITE,
		.permit_type = PERMIT_MODE,
	};
	int err = open_device(ctx);

	if (!err && ioctl(ctx->channel, GET, &get))
		err = vmb_fail(-errno, "ioctl(XPMEM_CMD_GET)");
	ctx->token = (uint64_t)get.apid;
	return err;
}

/* In one piece or in segments: each attachment is one of the module's own. */
static int detach_part(struct vmb_ctx *ctx, size_t to, size_t from, size_t size)
{
	struct detach_request request = { (uintptr_t)ctx->slot + to };

	(void)from;
	(void)size;
	if (ioctl(ctx->channel, DETACH, &request))
		return vmb_fail(-errno, "ioctl(XPMEM_CMD_DETACH)");
	return 0;
}

static int attach_part(struct vmb_ctx *ctx, size_t to, size_t from, size_t size)
{
	struct attach_request request = {
		.apid = (int64_t)ctx->token,
		.offset = (off_t)from,
		.size = size,
		.vaddr = (uintptr_t)ctx->slot + to,
		.fd = ctx->channel,
	};

	if (ioctl(ctx->channel, ATTACH, &request))
		return vmb_fail(-errno, "ioctl(XPMEM_CMD_ATTACH)");
	if (request.vaddr != (uintptr_t)ctx->slot + to)
		return vmb_fail(-EIO, "xpmem chose another address");
	return 0;
}

static int detach(struct vmb_ctx *ctx)
{
	ctx->moved = 0;
	return vmb_each_segment(ctx, detach_part);
}

static int attach(struct vmb_ctx *ctx)
{
	int err = vmb_each_segment(ctx, attach_part);

	ctx->moved = !err;
	return err;
}

static int xpmem_transfer(struct vmb_ctx *ctx)
{
	int err = ctx->moved ? detach(ctx) : 0;

	return err ? err : attach(ctx);
}

static void give_back(struct vmb_ctx *ctx)
{
	struct release_request release = { (int64_t)ctx->token };

	if (ctx->channel < 0)
		return;
	if (ctx->moved)
		detach(ctx);
	ioctl(ctx->channel, RELEASE, &release);
}

const struct vmb_mech vmb_mech_xpmem = {
	.name = "xpmem",
	.description = "the source's pages through " DEVICE ", nothing copied",
	.flags = VMB_IN_PLACE,
	.memory = VMB_ANON,
	.isolation = VMB_SHARES,
	.probe = xpmem_probe,
	.source_setup = make_segment,
	.connect = get_access,
	.transfer = xpmem_transfer,
	.scatter = xpmem_transfer,
	.attach = attach,
	.release = detach,
	.teardown = give_back,
	.source_teardown = remove_segment,
};
