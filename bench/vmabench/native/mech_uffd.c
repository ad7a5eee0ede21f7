// SPDX-License-Identifier: GPL-2.0-only
/*
 * uffd-copy and uffd-move: memory that is filled through userfaultfd.
 *
 * With uffd-copy the receiver registers fresh memory and the source fills it
 * with UFFDIO_COPY, from its own pages, through the file that it was handed: what
 * post-copy migration does. uffd-move is UFFDIO_MOVE (6.8), which knows one
 * process only: a proxy for a move.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"

/* Linux kernel commit adef440691ba ("userfaultfd: UFFDIO_MOVE uABI"), in v6.8. */
struct move_request {
	uint64_t dst, src, len, mode;
	int64_t moved;
};

#define MOVE	     _IOWR(UFFDIO, 0x05, struct move_request)
#define FEATURE_MOVE (1u << 16)

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/*
 * Handles user-mode faults only, so no privilege is needed. -ENOSYS: the kernel lacks
 * one of the features, which are those of what.
 */
int vmb_uffd_open(uint64_t features, const char *what, int *ret)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY), err;

	if (fd < 0)
		return vmb_fail(-errno, "userfaultfd");
	if (ioctl(fd, UFFDIO_API, &api)) {
		err = errno == EINVAL && features ? -ENOSYS : -errno;
		close(fd);
		return vmb_fail(err, "%s", features ? what : "ioctl(UFFDIO_API)");
	}
	*ret = fd;
	return 0;
}

int vmb_uffd_register(int uffd, const char *addr, size_t size, uint64_t mode)
{
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)addr, .len = size },
		.mode = mode,
	};

	return ioctl(uffd, UFFDIO_REGISTER, &range) ? vmb_fail(-errno, "ioctl(UFFDIO_REGISTER)")
						    : 0;
}

static int expect_missing(const struct vmb_ctx *ctx, const char *addr)
{
	return vmb_uffd_register(ctx->channel, addr, ctx->size, UFFDIO_REGISTER_MODE_MISSING);
}

static int attach_expecting(struct vmb_ctx *ctx)
{
	int err = vmb_attach_fresh(ctx);

	return err ? err : expect_missing(ctx, ctx->slot);
}

static int copy_setup(struct vmb_ctx *ctx)
{
	int err = vmb_uffd_open(0, "", &ctx->channel);

	return err ? err : vmb_pair_send_fd(ctx->pair, ctx->channel);
}

/* In the source. EAGAIN: the receiver's mappings were changing, go on where it stopped. */
static int copy_transfer(struct vmb_ctx *ctx)
{
	for (size_t done = 0; done < ctx->size;) {
		struct uffdio_copy request = {
			.dst = ctx->remote_dst + done,
			.src = (uintptr_t)ctx->src + done,
			.len = ctx->size - done,
			.mode = UFFDIO_COPY_MODE_DONTWAKE,
		};

		if (ioctl(ctx->channel, UFFDIO_COPY, &request) && errno != EAGAIN)
			return vmb_fail(-errno, "ioctl(UFFDIO_COPY)");
		if (request.copy > 0)
			done += (size_t)request.copy;
	}
	return 0;
}

static int move_range(const struct vmb_ctx *ctx, char *from, char *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		struct move_request request = {
			.dst = (uintptr_t)to + done,
			.src = (uintptr_t)from + done,
			.len = size - done,
			.mode = UFFDIO_COPY_MODE_DONTWAKE,
		};

		if (ioctl(ctx->channel, MOVE, &request) && errno != EAGAIN)
			return vmb_fail(-errno, "ioctl(UFFDIO_MOVE)");
		if (request.moved > 0)
			done += (size_t)request.moved;
	}
	return 0;
}

/* Without a pair: is it there at all? */
static int move_probe(void)
{
	int fd = -1, err = vmb_uffd_open(FEATURE_MOVE, "UFFDIO_MOVE", &fd);

	if (!err)
		close(fd);
	return err;
}

/*
 * transfer goes there and back, so both ends are registered. A page that is
 * missing there must not be touched: nobody would fill it.
 */
static int move_setup(struct vmb_ctx *ctx)
{
	int err = vmb_uffd_open(FEATURE_MOVE, "UFFDIO_MOVE", &ctx->channel);

	if (err || vmb_delivers(ctx))
		return err;
	err = attach_expecting(ctx);
	return err ? err : expect_missing(ctx, ctx->local.addr);
}

static int move_transfer(struct vmb_ctx *ctx)
{
	return vmb_swing(ctx, move_range);
}

static int move_scatter(struct vmb_ctx *ctx)
{
	return vmb_swing_segments(ctx, move_range);
}

static int move_deliver(struct vmb_ctx *ctx)
{
	return vmb_move_out(ctx, move_range);
}

static int move_rearm(struct vmb_ctx *ctx)
{
	return vmb_swing_home(ctx, move_range);
}

const struct vmb_mech vmb_mech_uffd_copy = {
	.name = "uffd-copy",
	.description = "UFFDIO_COPY by the source into fresh memory of the receiver",
	.flags = VMB_SOURCE_ACTS | VMB_FRESH_ONLY,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.setup = copy_setup,
	.source_setup = vmb_take_channel,
	.transfer = copy_transfer,
	.attach = attach_expecting,
	.release = vmb_release_slot,
};

const struct vmb_mech vmb_mech_uffd_move = {
	.name = "uffd-move",
	.description = "UFFDIO_MOVE within one process: proxy for a move",
	.flags = VMB_LOCAL | VMB_IN_PLACE | VMB_PROXY,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.probe = move_probe,
	.setup = move_setup,
	.transfer = move_transfer,
	.scatter = move_scatter,
	.attach = attach_expecting,
	.deliver = move_deliver,
	.release = vmb_release_slot,
	.rearm = move_rearm,
};
