// SPDX-License-Identifier: GPL-2.0-only
/*
 * tracefs, where it is mounted nowhere: a mount of its own that is attached to no
 * path, so nobody else sees it and it ends with its descriptor.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"

#define FSCONFIG_CREATE 6 /* FSCONFIG_CMD_CREATE; not every linux/mount.h has it */

/* A descriptor of its root directory, or -errno. */
int vmb_tracefs_open(void)
{
	int context = (int)syscall(SYS_fsopen, "tracefs", 0), root = -1, err = 0;

	if (context < 0)
		return vmb_fail(-errno, "fsopen of tracefs");
	if (syscall(SYS_fsconfig, context, FSCONFIG_CREATE, NULL, NULL, 0) ||
	    (root = (int)syscall(SYS_fsmount, context, 0, 0)) < 0)
		err = vmb_fail(-errno, "mounting tracefs");
	close(context);
	return err ? err : root;
}
