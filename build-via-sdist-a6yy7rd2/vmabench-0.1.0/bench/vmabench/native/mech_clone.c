// SPDX-License-Identifier: GPL-2.0-only
/*
 * clone: process_vm_mmap(), the call that this project is about. The receiver
 * gets a private mapping of the source's pages; nothing is copied until one
 * side writes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../../kernel/uapi/process_vm_mmap.h"
#include "core.h"

static long process_vm_mmap(pid_t pid, uintptr_t src, size_t size, uintptr_t dst,
			    unsigned long flags)
{
	return syscall(__NR_process_vm_mmap, pid, src, size, dst, flags);
}

/* All flag bits: EINVAL from a kernel that has the call, which does nothing then. */
static int clone_probe(void)
{
	if (process_vm_mmap(0, 0, 0, 0, ~0ul) == -1 && errno == EINVAL)
		return 0;
	return vmb_fail(-errno, "process_vm_mmap");
}

static int clone_range(struct vmb_ctx *ctx, size_t to, size_t from, size_t size,
		       unsigned long flags)
{
	uintptr_t wanted = (uintptr_t)ctx->slot + to;
	long addr = process_vm_mmap(ctx->other, ctx->remote_src + from, size, wanted, flags);

	if (addr == -1)
		return vmb_fail(-errno, "process_vm_mmap");
	if (addr != (long)wanted)
		return vmb_fail(-EIO, "process_vm_mmap chose another address");
	return 0;
}

/* Over the clone before it: the reused buffer of the mechanisms that copy. */
static int clone_transfer(struct vmb_ctx *ctx)
{
	return clone_range(ctx, 0, 0, ctx->size, PVMMAP_FIXED);
}

static int clone_part(struct vmb_ctx *ctx, size_t to, size_t from, size_t size)
{
	return clone_range(ctx, to, from, size, PVMMAP_FIXED);
}

/* The call has no iovec: as many calls as there are segments. */
static int clone_scatter(struct vmb_ctx *ctx)
{
	return vmb_each_segment(ctx, clone_part);
}

static int clone_attach(struct vmb_ctx *ctx)
{
	return clone_range(ctx, 0, 0, ctx->size, PVMMAP_FIXED_NOREPLACE);
}

/* pingpong: the source clones too, and has no slot of its own yet. */
static int clone_reply(struct vmb_ctx *ctx)
{
	return ctx->slot ? 0 : vmb_slots_find(ctx->size, 1, &ctx->slot);
}

static void clone_forget(struct vmb_ctx *ctx)
{
	if (ctx->slot)
		munmap(ctx->slot, ctx->size);
}

const struct vmb_mech vmb_mech_clone = {
	.name = "clone",
	.description = "process_vm_mmap(): the source's pages mapped copy-on-write",
	.flags = VMB_IN_PLACE | VMB_TALKS,
	.memory = VMB_ANON,
	.isolation = VMB_COW,
	.probe = clone_probe,
	.transfer = clone_transfer,
	.scatter = clone_scatter,
	.attach = clone_attach,
	.release = vmb_release_slot,
	.reply = clone_reply,
	.source_teardown = clone_forget,
};
