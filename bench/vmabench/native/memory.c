// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much memory processes use: what /proc says of them, and the peak of the
 * cgroup that the caller has put them in. Where there is no cgroup, the peak is
 * the most that was seen at the borders of phases, and is called that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"

static int peak_file = -1;
static uint64_t sampled_bytes;

static uint64_t kib_of(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	return line ? strtoull(line + strlen(key), NULL, 10) << 10 : 0;
}

/* Adds a process; one that can't be looked into, or a kernel without, is missing in it. */
void vmb_use_add(pid_t pid, struct vmb_use *use)
{
	char path[64], buffer[2048];
	ssize_t got = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, buffer, sizeof(buffer) - 1);
		close(fd);
	}
	if (got <= 0) {
		use->missing++;
		return;
	}
	buffer[got] = 0;
	use->known++;
	use->rss_bytes += kib_of(buffer, "\nRss:");
	use->pss_bytes += kib_of(buffer, "\nPss:");
	use->private_bytes +=
		kib_of(buffer, "\nPrivate_Clean:") + kib_of(buffer, "\nPrivate_Dirty:");
	use->anon_huge_bytes += kib_of(buffer, "\nAnonHugePages:");
}

/* Adds what another one has added up. */
void vmb_use_merge(const struct vmb_use *one, struct vmb_use *sum)
{
	sum->known += one->known;
	sum->missing += one->missing;
	sum->rss_bytes += one->rss_bytes;
	sum->pss_bytes += one->pss_bytes;
	sum->private_bytes += one->private_bytes;
	sum->anon_huge_bytes += one->anon_huge_bytes;
}

/*
 * The file of a cgroup that has its peak: memory.max_usage_in_bytes (v1) or
 * memory.peak (v2), which is set back through the same open file. An empty path
 * ends that. -errno where it can't be read, or not be set back.
 */
int vmb_peak_watch(const char *path)
{
	int err = 0;

	if (peak_file >= 0)
		close(peak_file);
	peak_file = -1;
	if (!*path)
		return 0;
	peak_file = open(path, O_RDWR | O_CLOEXEC);
	if (peak_file < 0 || write(peak_file, "0", 1) != 1)
		err = vmb_fail(-errno, "setting back %s", path);
	if (err && peak_file >= 0) {
		close(peak_file);
		peak_file = -1;
	}
	return err;
}

void vmb_peak_begin(void)
{
	sampled_bytes = 0;
	if (peak_file >= 0 && write(peak_file, "0", 1) != 1)
		vmb_peak_watch("");
}

/* Between two phases of a scenario that wants to know; nothing where a cgroup knows better. */
void vmb_peak_sample(const struct vmb_ctx *ctx)
{
	struct vmb_use use = { 0 };

	if (peak_file >= 0)
		return;
	vmb_use_add(getpid(), &use);
	vmb_use_add(ctx->other, &use);
	if (!use.missing && use.pss_bytes > sampled_bytes)
		sampled_bytes = use.pss_bytes;
}

void vmb_peak_end(struct vmb_sample *ret)
{
	char buffer[32];
	ssize_t got;

	ret->peak_how = sampled_bytes ? VMB_PEAK_SAMPLED : VMB_PEAK_UNKNOWN;
	ret->peak_bytes = sampled_bytes;
	if (peak_file < 0)
		return;
	got = pread(peak_file, buffer, sizeof(buffer) - 1, 0);
	if (got <= 0)
		return;
	buffer[got] = 0;
	ret->peak_how = VMB_PEAK_GROUP;
	ret->peak_bytes = strtoull(buffer, NULL, 10);
}
