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

static long process_vm_mmap(int process, uintptr_t src, size_t size, uintptr_t dst,
			    unsigned long flags)
{
	return syscall(__NR_process_vm_mmap, process, src, size, dst, flags);
}

/* All flag bits: EINVAL from a kernel that has the call, which does nothing then. */
static int clone_probe(void)
{
	if (process_vm_mmap(0, 0, 0, 0, ~0ul) == -1 && errno == EINVAL)
		return 0;
	return vmb_fail(-errno, "process_vm_mmap");
}

/*
 * The series for 6.12 takes a pid, and that for 7.3 a pidfd. No process has the pid -1
 * (ESRCH), and no file the descriptor -1 (EBADF), so the call does nothing either way.
 */
static int takes_pidfd(void)
{
	return process_vm_mmap(-1, 0, vmb_base_page(), 0, 0) == -1 && errno == EBADF;
}

/* ctx->channel is a pidfd of the other process where the kernel takes one, else -1. */
static int clone_setup(struct vmb_ctx *ctx)
{
	if (!takes_pidfd())
		return 0;
	ctx->channel = (int)syscall(SYS_pidfd_open, ctx->other, 0);
	return ctx->channel < 0 ? vmb_fail(-errno, "pidfd_open") : 0;
}

static int clone_range(struct vmb_ctx *ctx, size_t to, size_t from, size_t size,
		       unsigned long flags)
{
	uintptr_t wanted = (uintptr_t)ctx->slot + to;
	int process = ctx->channel < 0 ? (int)ctx->other : ctx->channel;
	long addr = process_vm_mmap(process, ctx->remote_src + from, size, wanted, flags);

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

/* pingpong: the source clones too, and has neither a slot nor a pidfd of its own yet. */
static int clone_reply(struct vmb_ctx *ctx)
{
	int err = ctx->slot ? 0 : vmb_slots_find(ctx->size, 1, &ctx->slot);

	return err || ctx->channel >= 0 ? err : clone_setup(ctx);
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
	.setup = clone_setup,
	.transfer = clone_transfer,
	.scatter = clone_scatter,
	.attach = clone_attach,
	.release = vmb_release_slot,
	.reply = clone_reply,
	.source_teardown = clone_forget,
};
