// SPDX-License-Identifier: GPL-2.0-only
/*
 * memfd, shm, sysv and memfd-inplace: the source's data lies in a shared object.
 * The first three copy it out into memory of the receiver's own; in place, the
 * receiver reads it where it lies, and is not isolated from the source.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "core.h"

static int map_source(struct vmb_ctx *ctx)
{
	int err;

	if (ctx->mech->memory == VMB_SYSV)
		err = vmb_sysv_map(ctx->src_slot, ctx->size, ctx->page, ctx->hugetlb, ctx->shmid);
	else
		err = vmb_shared_map(ctx->src_slot, ctx->size, ctx->page, ctx->hugetlb, ctx->fd);
	ctx->src = err ? NULL : ctx->src_slot;
	return err;
}

static int unmap_source(struct vmb_ctx *ctx)
{
	ctx->src = NULL;
	if (ctx->mech->memory == VMB_SYSV)
		return shmdt(ctx->src_slot) ? vmb_fail(-errno, "shmdt") : 0;
	return munmap(ctx->src_slot, ctx->size) ? vmb_fail(-errno, "munmap") : 0;
}

/* transfer is the bare operation: there the mapping exists and is populated. */
static int shared_setup(struct vmb_ctx *ctx)
{
	int err;

	if (ctx->mech->flags & VMB_IN_PLACE && vmb_is_cut(ctx))
		return 0; /* it is the mappings that are timed, at the slot */
	if (ctx->mech->flags & VMB_IN_PLACE)
		ctx->view = ctx->src_slot;
	if (vmb_delivers(ctx))
		return 0;
	err = map_source(ctx);
	if (!err)
		vmb_read_all(ctx->src, ctx->size);
	return err;
}

static int copied_transfer(struct vmb_ctx *ctx)
{
	memcpy(ctx->dst, ctx->src, ctx->size);
	return 0;
}

static int copied_attach(struct vmb_ctx *ctx)
{
	int err = map_source(ctx);

	return err ? err : vmb_attach_fresh(ctx);
}

static int copied_release(struct vmb_ctx *ctx)
{
	int err = unmap_source(ctx);

	return err ? err : vmb_release_slot(ctx);
}

static int inplace_transfer(struct vmb_ctx *ctx)
{
	vmb_read_all(ctx->src, ctx->size);
	return 0;
}

static int map_part(struct vmb_ctx *ctx, size_t to, size_t from, size_t size)
{
	return vmb_map_part(ctx, MAP_SHARED, to, from, size);
}

static int inplace_scatter(struct vmb_ctx *ctx)
{
	return vmb_each_segment(ctx, map_part);
}

const struct vmb_mech vmb_mech_memfd = {
	.name = "memfd",
	.description = "shared memfd, copied out by the receiver",
	.flags = VMB_TALKS,
	.memory = VMB_MEMFD,
	.isolation = VMB_COPIES,
	.setup = shared_setup,
	.transfer = copied_transfer,
	.scatter = vmb_copy_segments,
	.attach = copied_attach,
	.deliver = copied_transfer,
	.release = copied_release,
};

const struct vmb_mech vmb_mech_shm = {
	.name = "shm",
	.description = "POSIX shared memory, copied out by the receiver",
	.flags = VMB_TALKS,
	.memory = VMB_SHM,
	.isolation = VMB_COPIES,
	.setup = shared_setup,
	.transfer = copied_transfer,
	.scatter = vmb_copy_segments,
	.attach = copied_attach,
	.deliver = copied_transfer,
	.release = copied_release,
};

const struct vmb_mech vmb_mech_sysv = {
	.name = "sysv",
	.description = "System V shared memory, copied out by the receiver",
	.flags = VMB_TALKS,
	.memory = VMB_SYSV,
	.isolation = VMB_COPIES,
	.setup = shared_setup,
	.transfer = copied_transfer,
	.scatter = vmb_copy_segments,
	.attach = copied_attach,
	.deliver = copied_transfer,
	.release = copied_release,
};

const struct vmb_mech vmb_mech_memfd_inplace = {
	.name = "memfd-inplace",
	.description = "shared memfd, every byte read where it lies, nothing copied",
	.flags = VMB_IN_PLACE | VMB_TALKS,
	.memory = VMB_MEMFD,
	.isolation = VMB_SHARES,
	.setup = shared_setup,
	.transfer = inplace_transfer,
	.scatter = inplace_scatter,
	.attach = map_source,
	.release = unmap_source,
};
