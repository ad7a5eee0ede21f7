// SPDX-License-Identifier: GPL-2.0-only
/*
 * NUMA nodes. Each side takes its memory from the node of its own CPU (MPOL_BIND), whatever
 * policy it has inherited and however full that node is; move_pages(2) tells where the pages
 * lie. With one node there is nothing to bind.
 *
 * The policy is that of the task and not of a mapping, so no mbind() is in a timed attach, and
 * page tables follow it as well. A page belongs to the node of the process that faulted it in:
 * writev into fresh memory populates the receiver's buffer on the source's node.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"

#define MPOL_BIND     2
#define MOST_NODES    1024 /* MAX_NUMNODES of every configuration */
#define BITS_PER_LONG (8 * sizeof(unsigned long))
#define CHUNK	      512

static int forbidden;

void vmb_nodes_forbid(int on)
{
	forbidden = on;
}

int vmb_nodes_forbidden(void)
{
	return forbidden;
}

/* The list of sysfs has a comma or a hyphen if more than one node has memory. */
static int has_many_nodes(void)
{
	char list[256] = "";
	int fd = open("/sys/devices/system/node/has_memory", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, list, sizeof(list) - 1);

	if (fd >= 0)
		close(fd);
	return got > 0 && strpbrk(list, ",-");
}

/*
 * Binds what the caller allocates from now on to the node of the CPU that it runs on. Where a
 * filter of system calls refuses that (EPERM, ENOSYS), or the node has no memory (EINVAL), the
 * kernel takes the nearest node, and the proof has the last word.
 */
int vmb_nodes_bind(void)
{
	unsigned long mask[MOST_NODES / BITS_PER_LONG] = { 0 };
	unsigned int node;

	if (forbidden || !has_many_nodes())
		return 0;
	if (getcpu(NULL, &node))
		return vmb_fail(-errno, "getcpu");
	mask[node / BITS_PER_LONG] = 1ul << node % BITS_PER_LONG;
	/* The kernel takes one bit less than it is told. */
	if (syscall(SYS_set_mempolicy, MPOL_BIND, mask, MOST_NODES + 1ul) && errno != EPERM &&
	    errno != ENOSYS && errno != EINVAL)
		return vmb_fail(-errno, "set_mempolicy(MPOL_BIND) to node %u", node);
	return 0;
}

static int add_chunk(const char *addr, size_t count, uint64_t *bytes)
{
	void *pages[CHUNK];
	int nodes[CHUNK];

	for (size_t i = 0; i < count; i++)
		pages[i] = (void *)(uintptr_t)(addr + i * vmb_base_page());
	if (syscall(SYS_move_pages, 0, count, pages, NULL, nodes, 0))
		return vmb_fail(-errno, "move_pages");
	for (size_t i = 0; i < count; i++) {
		if (nodes[i] >= VMB_MOST_NODES)
			return vmb_fail(-ENOSYS, "node %d", nodes[i]);
		if (nodes[i] >= 0) /* else -errno: not present, or the zero page */
			bytes[nodes[i]] += vmb_base_page();
	}
	return 0;
}

/* Fills the nodes of the proof; they stay unknown where move_pages() is refused. */
int vmb_prove_nodes(const char *addr, size_t size, struct vmb_proof *ret)
{
	uint64_t bytes[VMB_MOST_NODES] = { 0 };
	size_t pages = size / vmb_base_page();
	int err = 0;

	for (size_t i = 0; i < pages && !err && !forbidden; i += CHUNK)
		err = add_chunk(addr + i * vmb_base_page(), pages - i < CHUNK ? pages - i : CHUNK,
				bytes);
	if (forbidden || err == -EPERM || err == -ENOSYS)
		return 0;
	if (err)
		return err;
	memcpy(ret->node_bytes, bytes, sizeof(bytes));
	ret->nodes_known = 1;
	return 0;
}
