// SPDX-License-Identifier: GPL-2.0-only
/*
 * uffd-minor: the receiver maps the source's memfd, registers the mapping for minor
 * faults and installs its entries with UFFDIO_CONTINUE, which finds the pages in the
 * page cache: what post-copy migration of shared memory does. Nothing is copied.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core.h"

#define CALL "UFFDIO_CONTINUE"

/* Shared memory came one release after hugetlb pages, so this one asks for both. */
static int minor_probe(void)
{
	int fd = -1, err = vmb_uffd_open(UFFD_FEATURE_MINOR_SHMEM, CALL, &fd);

	if (!err)
		close(fd);
	return err;
}

static int minor_setup(struct vmb_ctx *ctx)
{
	uint64_t feature = ctx->hugetlb ? UFFD_FEATURE_MINOR_HUGETLBFS : UFFD_FEATURE_MINOR_SHMEM;

	return vmb_uffd_open(feature, CALL, &ctx->channel);
}

static int minor_attach(struct vmb_ctx *ctx)
{
	int err = vmb_shared_map(ctx->slot, ctx->size, ctx->page, ctx->hugetlb, ctx->fd);

	return err ? err
		   : vmb_uffd_register(ctx->channel, ctx->slot, ctx->size,
				       UFFDIO_REGISTER_MODE_MINOR);
}

/* EAGAIN: the receiver's mappings were changing, go on where it stopped. */
static int minor_deliver(struct vmb_ctx *ctx)
{
	for (size_t done = 0; done < ctx->size;) {
		struct uffdio_continue request = {
			.range = { .start = (uintptr_t)ctx->slot + done, .len = ctx->size - done },
			.mode = UFFDIO_CONTINUE_MODE_DONTWAKE,
		};

		if (ioctl(ctx->channel, UFFDIO_CONTINUE, &request) && errno != EAGAIN)
			return vmb_fail(-errno, "ioctl(" CALL ")");
		if (request.mapped > 0)
			done += (size_t)request.mapped;
	}
	return 0;
}

const struct vmb_mech vmb_mech_uffd_minor = {
	.name = "uffd-minor",
	.description = "shared memfd, its entries installed by UFFDIO_CONTINUE, nothing copied",
	.flags = VMB_IN_PLACE | VMB_FRESH_ONLY,
	.memory = VMB_MEMFD,
	.isolation = VMB_SHARES,
	.probe = minor_probe,
	.setup = minor_setup,
	.attach = minor_attach,
	.deliver = minor_deliver,
	.release = vmb_release_slot,
};
