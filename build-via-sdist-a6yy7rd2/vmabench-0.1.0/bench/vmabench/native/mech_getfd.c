// SPDX-License-Identifier: GPL-2.0-only
/*
 * memfd-getfd: the memfd of a process that does not cooperate. The receiver takes
 * the file out of the source with pidfd_getfd(), for which it needs what
 * process_vm_readv() needs, and the number of the file there, and maps it.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"

static int take_file(struct vmb_ctx *ctx, int *ret)
{
	int pidfd = (int)syscall(SYS_pidfd_open, ctx->other, 0), fd, err = 0;

	if (pidfd < 0)
		return vmb_fail(-errno, "pidfd_open");
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, ctx->remote_fd, 0);
	if (fd < 0)
		err = vmb_fail(-errno, "pidfd_getfd");
	close(pidfd);
	*ret = fd;
	return err;
}

/* All that a user pays for it, who does not know the process yet. */
static int getfd_attach(struct vmb_ctx *ctx)
{
	int fd = -1, err = take_file(ctx, &fd);

	if (err)
		return err;
	err = vmb_map_over(ctx, MAP_SHARED, fd);
	close(fd);
	return err;
}

const struct vmb_mech vmb_mech_memfd_getfd = {
	.name = "memfd-getfd",
	.description = "memfd taken by pidfd_getfd() and mapped, nothing copied",
	.flags = VMB_IN_PLACE,
	.memory = VMB_MEMFD,
	.isolation = VMB_SHARES,
	.transfer = getfd_attach,
	.attach = getfd_attach,
	.release = vmb_release_slot,
};
