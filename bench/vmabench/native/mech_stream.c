// SPDX-License-Identifier: GPL-2.0-only
/*
 * pipe, vmsplice and socket: the source sends while the receiver takes, through
 * a buffer of the kernel. Both work at once, so the buffer matters: a pipe is
 * made as large as the default limit permits, a socket asks for as much.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "control.h"

#define BUFFER_BYTES (1 << 20)
/* Of seqpacket. A message has to fit into the buffer, and is one piece of kernel memory. */
#define MESSAGE_BYTES (64ul << 10)

static int pipe_setup(struct vmb_ctx *ctx)
{
	int ends[2], size, err;

	if (pipe2(ends, O_CLOEXEC))
		return vmb_fail(-errno, "pipe2");
	ctx->channel = ends[0];
	/* The default size suffices for messages, and pipe-user-pages-soft allows many of it. */
	size = vmb_scene_of(ctx)->flags & VMB_TWO_WAY ? fcntl(ends[1], F_GETPIPE_SZ)
						      : fcntl(ends[1], F_SETPIPE_SZ, BUFFER_BYTES);
	if (size < 0) {
		err = vmb_fail(-errno, "fcntl(F_SETPIPE_SZ, %d)", BUFFER_BYTES);
	} else {
		ctx->channel_bytes = (uint64_t)size;
		err = vmb_pair_send_fd(ctx->pair, ends[1]);
	}
	/* The source has the only one now: when it goes, the pipe ends. */
	close(ends[1]);
	return err;
}

/* pingpong: a second pipe, whose other end the source has. */
static int pipe_reply(struct vmb_ctx *ctx)
{
	int ends[2], err;

	if (!ctx->pair)
		return vmb_fd_receive(VMB_SOCKET_FD, &ctx->reply);
	if (pipe2(ends, O_CLOEXEC))
		return vmb_fail(-errno, "pipe2");
	ctx->reply = ends[1];
	err = vmb_pair_send_fd(ctx->pair, ends[0]);
	close(ends[0]);
	return err;
}

static int socket_setup(struct vmb_ctx *ctx, int type)
{
	int ends[2], size = BUFFER_BYTES, err;
	socklen_t length = sizeof(size);

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends))
		return vmb_fail(-errno, "socketpair");
	ctx->channel = ends[0];
	/* What is on its way counts against the sender alone; the kernel cuts at wmem_max. */
	if (setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) ||
	    getsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, &length)) {
		err = vmb_fail(-errno, "setsockopt(SO_SNDBUF)");
	} else {
		ctx->channel_bytes = (uint64_t)size;
		err = vmb_pair_send_fd(ctx->pair, ends[1]);
	}
	close(ends[1]);
	return err;
}

static int stream_setup(struct vmb_ctx *ctx)
{
	return socket_setup(ctx, SOCK_STREAM);
}

static int seqpacket_setup(struct vmb_ctx *ctx)
{
	return socket_setup(ctx, SOCK_SEQPACKET);
}

/* Every end of a stream is read by read(): it takes a message at a time from seqpacket. */
static int stream_receive(struct vmb_ctx *ctx)
{
	for (size_t done = 0; done < ctx->size;) {
		ssize_t got = read(ctx->channel, ctx->dst + done, ctx->size - done);

		if (got < 0)
			return vmb_fail(-errno, "read");
		if (!got)
			return vmb_fail(-EPIPE, "the source closed its end at %zu of %zu bytes",
					done, ctx->size);
		done += (size_t)got;
	}
	return 0;
}

static int pipe_send(struct vmb_ctx *ctx)
{
	for (size_t done = 0; done < ctx->size;) {
		ssize_t put = write(ctx->channel, ctx->src + done, ctx->size - done);

		if (put < 0)
			return vmb_fail(-errno, "write to the pipe");
		done += (size_t)put;
	}
	return 0;
}

/* The pages themselves are put into the pipe; the source does not write to them meanwhile. */
static int splice_pages(struct vmb_ctx *ctx, unsigned int flags)
{
	for (size_t done = 0; done < ctx->size;) {
		struct iovec rest = { ctx->src + done, ctx->size - done };
		ssize_t put = vmsplice(ctx->channel, &rest, 1, flags);

		if (put < 0)
			return vmb_fail(-errno, "vmsplice");
		done += (size_t)put;
	}
	return 0;
}

static int vmsplice_send(struct vmb_ctx *ctx)
{
	return splice_pages(ctx, 0);
}

static int vmsplice_gift_send(struct vmb_ctx *ctx)
{
	return splice_pages(ctx, SPLICE_F_GIFT);
}

static int socket_send(struct vmb_ctx *ctx, size_t most)
{
	for (size_t done = 0; done < ctx->size;) {
		size_t left = ctx->size - done;
		ssize_t put = send(ctx->channel, ctx->src + done, left < most ? left : most,
				   MSG_NOSIGNAL);

		if (put < 0)
			return vmb_fail(-errno, "send");
		done += (size_t)put;
	}
	return 0;
}

static int stream_send(struct vmb_ctx *ctx)
{
	return socket_send(ctx, SIZE_MAX);
}

static int seqpacket_send(struct vmb_ctx *ctx)
{
	return socket_send(ctx, MESSAGE_BYTES);
}

/* scatter: the same calls, or those of them that take a list of pieces. */
static ssize_t splice_list(int fd, const struct iovec *pieces, int count)
{
	return vmsplice(fd, pieces, (size_t)count, 0);
}

static ssize_t splice_gift_list(int fd, const struct iovec *pieces, int count)
{
	return vmsplice(fd, pieces, (size_t)count, SPLICE_F_GIFT);
}

static ssize_t send_list(int fd, const struct iovec *pieces, int count)
{
	struct msghdr message = {
		.msg_iov = (struct iovec *)pieces,
		.msg_iovlen = (size_t)count,
	};

	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static int pipe_gather(struct vmb_ctx *ctx)
{
	return vmb_gather(ctx, writev, "writev to the pipe", SIZE_MAX);
}

static int vmsplice_gather(struct vmb_ctx *ctx)
{
	return vmb_gather(ctx, splice_list, "vmsplice", SIZE_MAX);
}

static int vmsplice_gift_gather(struct vmb_ctx *ctx)
{
	return vmb_gather(ctx, splice_gift_list, "vmsplice", SIZE_MAX);
}

static int stream_gather(struct vmb_ctx *ctx)
{
	return vmb_gather(ctx, send_list, "sendmsg", SIZE_MAX);
}

static int seqpacket_gather(struct vmb_ctx *ctx)
{
	return vmb_gather(ctx, send_list, "sendmsg", MESSAGE_BYTES);
}

const struct vmb_mech vmb_mech_pipe = {
	.name = "pipe",
	.description = "write() and read() of a 1M pipe, both sides at once",
	.flags = VMB_BOTH_ACT | VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.setup = pipe_setup,
	.source_setup = vmb_take_channel,
	.send = pipe_send,
	.gather = pipe_gather,
	.reply = pipe_reply,
	.transfer = stream_receive,
	.scatter = stream_receive,
	.attach = vmb_attach_fresh,
	.release = vmb_release_slot,
};

const struct vmb_mech vmb_mech_vmsplice = {
	.name = "vmsplice",
	.description = "vmsplice() of the source's pages into a 1M pipe, read() by the receiver",
	.flags = VMB_BOTH_ACT | VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.setup = pipe_setup,
	.source_setup = vmb_take_channel,
	.send = vmsplice_send,
	.gather = vmsplice_gather,
	.reply = pipe_reply,
	.transfer = stream_receive,
	.scatter = stream_receive,
	.attach = vmb_attach_fresh,
	.release = vmb_release_slot,
};

const struct vmb_mech vmb_mech_vmsplice_gift = {
	.name = "vmsplice-gift",
	.description = "vmsplice() with SPLICE_F_GIFT: the pages are given away",
	.flags = VMB_BOTH_ACT | VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.setup = pipe_setup,
	.source_setup = vmb_take_channel,
	.send = vmsplice_gift_send,
	.gather = vmsplice_gift_gather,
	.reply = pipe_reply,
	.transfer = stream_receive,
	.scatter = stream_receive,
	.attach = vmb_attach_fresh,
	.release = vmb_release_slot,
};

const struct vmb_mech vmb_mech_socket = {
	.name = "socket",
	.description = "AF_UNIX stream socket, both sides at once",
	.flags = VMB_BOTH_ACT | VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.setup = stream_setup,
	.source_setup = vmb_take_channel,
	.send = stream_send,
	.gather = stream_gather,
	.transfer = stream_receive,
	.scatter = stream_receive,
	.attach = vmb_attach_fresh,
	.release = vmb_release_slot,
};

const struct vmb_mech vmb_mech_socket_seqpacket = {
	.name = "socket-seqpacket",
	.description = "AF_UNIX seqpacket socket, messages of 64K, both sides at once",
	.flags = VMB_BOTH_ACT | VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.setup = seqpacket_setup,
	.source_setup = vmb_take_channel,
	.send = seqpacket_send,
	.gather = seqpacket_gather,
	.transfer = stream_receive,
	.scatter = stream_receive,
	.attach = vmb_attach_fresh,
	.release = vmb_release_slot,
};
