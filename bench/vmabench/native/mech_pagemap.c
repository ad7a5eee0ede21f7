// SPDX-License-Identifier: GPL-2.0-only
/*
 * pagemap-scan: a snapshot of a source that goes on writing, in two passes, as CRIU's
 * pre-dump does it. The source registers its memory for asynchronous write protection,
 * which the kernel lifts by itself when a page is written. The receiver protects all
 * pages with PAGEMAP_SCAN and reads them while the source runs. Then the source stands
 * still; PAGEMAP_SCAN lists what it has written since, and these ranges are read again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <unistd.h>

#include "core.h"
#include "pagemap.h"

#define RANGES 512

/* Linux kernel commit d61ea1cb0095 ("userfaultfd: UFFD_FEATURE_WP_ASYNC"), in v6.7. */
#define FEATURE_WP_ASYNC (1u << 15)
#define ASYNC		 "UFFD_FEATURE_WP_ASYNC"

static int scan_probe(void)
{
	int fd = -1, err = vmb_uffd_open(FEATURE_WP_ASYNC, ASYNC, &fd);

	if (!err)
		close(fd);
	return err;
}

static int scan_source_setup(struct vmb_ctx *ctx)
{
	uint64_t features = FEATURE_WP_ASYNC | UFFD_FEATURE_PAGEFAULT_FLAG_WP;

	if (ctx->hugetlb)
		features |= UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
	return vmb_uffd_open(features, ASYNC, &ctx->channel);
}

static int scan_watch(struct vmb_ctx *ctx)
{
	return vmb_uffd_register(ctx->channel, ctx->src, ctx->size, UFFDIO_REGISTER_MODE_WP);
}

static int scan_setup(struct vmb_ctx *ctx)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)ctx->other);
	ctx->channel = open(path, O_RDONLY | O_CLOEXEC);
	return ctx->channel < 0 ? vmb_fail(-errno, "open /proc/PID/pagemap") : 0;
}

static int read_again(struct vmb_ctx *ctx, const struct vmb_scan_range *ranges, int count)
{
	int err = 0;

	for (int i = 0; i < count && !err; i++)
		err = vmb_pieces_add(ctx, ctx->slot + (ranges[i].start - ctx->remote_src),
				     ranges[i].start, ranges[i].end - ranges[i].start);
	return err;
}

/* What was written since the last scan; flags: VMB_SCAN_PROTECT, or 0 to read it again. */
static int scan_written(struct vmb_ctx *ctx, uint64_t flags)
{
	struct vmb_scan_range ranges[RANGES];
	struct vmb_scan request = {
		.size = sizeof(request),
		.flags = flags,
		.start = ctx->remote_src,
		.end = ctx->remote_src + ctx->size,
		.vec = (uintptr_t)ranges,
		.vec_len = RANGES,
		.category_mask = VMB_SCAN_WRITTEN,
		.return_mask = VMB_SCAN_WRITTEN,
	};
	int count, err;

	for (; request.start < request.end; request.start = request.walk_end) {
		count = ioctl(ctx->channel, VMB_SCAN, &request);
		if (count < 0)
			return vmb_fail(-errno, "ioctl(PAGEMAP_SCAN)");
		if (request.walk_end <= request.start)
			return vmb_fail(-EIO, "PAGEMAP_SCAN stops at %#llx",
					(unsigned long long)request.start);
		err = flags ? 0 : read_again(ctx, ranges, count);
		if (err)
			return err;
	}
	return vmb_pieces_read(ctx);
}

/* The first pass, while the source runs. */
static int scan_attach(struct vmb_ctx *ctx)
{
	int err = vmb_attach_fresh(ctx);

	if (!err)
		err = scan_written(ctx, VMB_SCAN_PROTECT);
	return err ? err : vmb_read_remote(ctx, ctx->slot, ctx->remote_src, ctx->size);
}

/* The second one, while it stands still. */
static int scan_deliver(struct vmb_ctx *ctx)
{
	return scan_written(ctx, 0);
}

const struct vmb_mech vmb_mech_pagemap_scan = {
	.name = "pagemap-scan",
	.description = "snapshot by process_vm_readv() and, of pages written since, PAGEMAP_SCAN",
	.flags = VMB_SNAPSHOTS | VMB_STOPS | VMB_PINS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.probe = scan_probe,
	.setup = scan_setup,
	.source_setup = scan_source_setup,
	.watch = scan_watch,
	.attach = scan_attach,
	.deliver = scan_deliver,
	.release = vmb_release_slot,
};
