// SPDX-License-Identifier: GPL-2.0-only
/*
 * uffd-wp: a snapshot of a source that goes on writing, by write protection, as
 * snapshots of virtual machines on stock kernels.
 *
 * The source registers its memory with userfaultfd (vmb_wp_watch) and protects all
 * of it at the moment of the snapshot (vmb_wp_arm). A write then stops in a fault; a
 * handler thread in the source copies the old page, marks it as saved and lifts the
 * protection. Meanwhile the receiver reads the whole range and then takes the saved
 * pages over what it has read (vmb_wp_collect). A page that is not marked after it
 * was read was protected while it was read, so each page is of that moment. At the
 * end the source lifts what is left of the protection (vmb_wp_disarm).
 *
 * The handler runs on the source's CPU: the writer that it serves sleeps meanwhile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core.h"

#define CALL "UFFDIO_WRITEPROTECT"

/* In the source. One case at a time is open there. */
static struct saver {
	int uffd, stop; /* stop: an eventfd that ends the handler */
	char *src;
	size_t size, unit;
	char *pages;	      /* the old pages, each at its offset; its address is the token */
	unsigned char *saved; /* behind them: whether a unit is among them */
	pthread_t handler;
	int running;
	int err; /* -errno of the handler */
} saver = { .uffd = -1, .stop = -1 };

/* In the receiver: its copy of the marks. */
static unsigned char *marks;

/* What one fault saves: a page of a pool is protected as a whole. */
static size_t unit_of(const struct vmb_ctx *ctx)
{
	return ctx->hugetlb ? ctx->page : ctx->base_page;
}

static int protect(const char *addr, size_t size, uint64_t mode)
{
	struct uffdio_writeprotect request = {
		.range = { .start = (uintptr_t)addr, .len = size },
		.mode = mode,
	};

	while (ioctl(saver.uffd, UFFDIO_WRITEPROTECT, &request))
		if (errno != EAGAIN)
			return -errno;
	return 0;
}

/* The mark is there before the writer can go on: the receiver relies on that. */
static int save(uint64_t address)
{
	size_t number = (address - (uintptr_t)saver.src) / saver.unit;
	size_t offset = number * saver.unit;

	if (!saver.saved[number]) {
		memcpy(saver.pages + offset, saver.src + offset, saver.unit);
		__atomic_store_n(&saver.saved[number], 1, __ATOMIC_RELEASE);
	}
	return protect(saver.src + offset, saver.unit, 0);
}

/* The writer must not wait for a handler that has failed: vmb_wp_disarm() has the error. */
static void give_up(int err)
{
	struct uffdio_range range = { .start = (uintptr_t)saver.src, .len = saver.size };

	__atomic_store_n(&saver.err, err, __ATOMIC_RELEASE);
	ioctl(saver.uffd, UFFDIO_UNREGISTER, &range);
}

static void *handle_faults(void *unused)
{
	struct pollfd files[] = {
		{ .fd = saver.uffd, .events = POLLIN },
		{ .fd = saver.stop, .events = POLLIN },
	};
	struct uffd_msg message;
	int err;

	(void)unused;
	while (poll(files, 2, -1) >= 0 || errno == EINTR) {
		if (files[1].revents)
			break;
		if (read(saver.uffd, &message, sizeof(message)) != sizeof(message))
			continue;
		err = message.event == UFFD_EVENT_PAGEFAULT ? save(message.arg.pagefault.address)
							    : -EPROTO;
		if (err)
			give_up(err);
	}
	return NULL;
}

static int start_handler(void)
{
	int err;

	saver.stop = eventfd(0, EFD_CLOEXEC);
	if (saver.stop < 0 || fcntl(saver.uffd, F_SETFL, O_NONBLOCK)) /* for poll() */
		return vmb_fail(-errno, "eventfd");
	err = pthread_create(&saver.handler, NULL, handle_faults, NULL);
	if (err)
		return vmb_fail(-err, "pthread_create");
	saver.running = 1;
	return 0;
}

static size_t area_bytes(void)
{
	return saver.size + saver.size / saver.unit;
}

/* Populated: a real saver uses the same buffers again. Children of the source do not inherit it. */
static int map_area(struct vmb_ctx *ctx)
{
	saver.pages = mmap(NULL, area_bytes(), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (saver.pages == MAP_FAILED) {
		saver.pages = NULL;
		return vmb_fail(-errno, "mmap of %zu bytes for old pages", area_bytes());
	}
	if (madvise(saver.pages, area_bytes(), MADV_DONTFORK))
		return vmb_fail(-errno, "madvise(MADV_DONTFORK)");
	saver.saved = (unsigned char *)saver.pages + saver.size;
	ctx->token = (uintptr_t)saver.pages;
	return 0;
}

int vmb_wp_open(struct vmb_ctx *ctx)
{
	uint64_t features = UFFD_FEATURE_PAGEFAULT_FLAG_WP;
	int err;

	if (ctx->hugetlb || ctx->mech->memory != VMB_ANON)
		features |= UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
	saver.size = ctx->size;
	saver.unit = unit_of(ctx);
	saver.err = 0;
	err = vmb_uffd_open(features, CALL, &saver.uffd);
	if (!err)
		err = map_area(ctx);
	return err ? err : start_handler();
}

/* Whatever vmb_wp_open() has got to. */
void vmb_wp_close(struct vmb_ctx *ctx)
{
	const uint64_t one = 1;

	(void)ctx;
	if (saver.running && write(saver.stop, &one, sizeof(one)) == sizeof(one))
		pthread_join(saver.handler, NULL);
	if (saver.pages)
		munmap(saver.pages, area_bytes());
	if (saver.stop >= 0)
		close(saver.stop);
	if (saver.uffd >= 0)
		close(saver.uffd);
	saver = (struct saver){ .uffd = -1, .stop = -1 };
}

int vmb_wp_watch(struct vmb_ctx *ctx)
{
	saver.src = ctx->src;
	return vmb_uffd_register(saver.uffd, ctx->src, ctx->size, UFFDIO_REGISTER_MODE_WP);
}

int vmb_wp_arm(struct vmb_ctx *ctx)
{
	int err;

	memset(saver.saved, 0, saver.size / saver.unit);
	err = protect(ctx->src, ctx->size, UFFDIO_WRITEPROTECT_MODE_WP);
	return err ? vmb_fail(err, "ioctl(" CALL ")") : 0;
}

int vmb_wp_disarm(struct vmb_ctx *ctx)
{
	int err = protect(ctx->src, ctx->size, 0);

	if (__atomic_load_n(&saver.err, __ATOMIC_ACQUIRE)) /* which has unregistered the range */
		return vmb_fail(saver.err, "the handler of write faults");
	return err ? vmb_fail(err, "ioctl(" CALL ")") : 0;
}

/* Pages in a row that are marked, or that are not, from the first one on. */
static size_t run_length(size_t first, size_t count)
{
	size_t end = first + 1;

	while (end < count && marks[end] == marks[first])
		end++;
	return end - first;
}

/* In the receiver: what ctx->size bytes at `to` have to be. */
int vmb_wp_collect(struct vmb_ctx *ctx, char *to)
{
	size_t unit = unit_of(ctx), count = ctx->size / unit, length;
	int err;

	err = vmb_read_remote(ctx, to, ctx->remote_src, ctx->size);
	if (!err)
		err = vmb_read_remote(ctx, marks, ctx->token + ctx->size, count);
	for (size_t i = 0; i < count && !err; i += length) {
		length = run_length(i, count);
		if (marks[i])
			err = vmb_pieces_add(ctx, to + i * unit, ctx->token + i * unit,
					     length * unit);
	}
	return err ? err : vmb_pieces_read(ctx);
}

int vmb_wp_collect_open(struct vmb_ctx *ctx)
{
	marks = malloc(ctx->size / unit_of(ctx));
	return marks ? 0 : vmb_fail(-ENOMEM, "marks of saved pages");
}

void vmb_wp_collect_close(struct vmb_ctx *ctx)
{
	(void)ctx;
	free(marks);
	marks = NULL;
}

static int wp_probe(void)
{
	int fd = -1, err = vmb_uffd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP, CALL, &fd);

	if (!err)
		close(fd);
	return err;
}

static int wp_deliver(struct vmb_ctx *ctx)
{
	return vmb_wp_collect(ctx, ctx->slot);
}

const struct vmb_mech vmb_mech_uffd_wp = {
	.name = "uffd-wp",
	.description = "snapshot by UFFDIO_WRITEPROTECT: a handler saves what is written meanwhile",
	.flags = VMB_SNAPSHOTS | VMB_PINS,
	.memory = VMB_ANON,
	.isolation = VMB_COPIES,
	.probe = wp_probe,
	.setup = vmb_wp_collect_open,
	.source_setup = vmb_wp_open,
	.watch = vmb_wp_watch,
	.freeze = vmb_wp_arm,
	.disarm = vmb_wp_disarm,
	.attach = vmb_attach_fresh,
	.deliver = wp_deliver,
	.release = vmb_release_slot,
	.teardown = vmb_wp_collect_close,
	.source_teardown = vmb_wp_close,
};
