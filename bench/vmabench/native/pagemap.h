/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PAGEMAP_SCAN, of Linux kernel commit 52526ca7fdb9 ("fs/proc/task_mmu: implement
 * IOCTL to get and optionally clear info about PTEs") (in v6.7). Declared here because
 * the headers of Debian 12 are older than that.
 */
#ifndef VMB_PAGEMAP_H
#define VMB_PAGEMAP_H

#include <stdint.h>
#include <sys/ioctl.h>

struct vmb_scan_range {
	uint64_t start, end, categories;
};

struct vmb_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define VMB_SCAN	 _IOWR('f', 16, struct vmb_scan)
#define VMB_SCAN_PROTECT (1u << 0) /* flag: write-protect what is found */
#define VMB_SCAN_WRITTEN (1u << 1) /* category: since it was protected */
#define VMB_SCAN_PRESENT (1u << 3)
#define VMB_SCAN_HUGE	 (1u << 6)

#endif /* VMB_PAGEMAP_H */
