// SPDX-License-Identifier: GPL-2.0-only
/*
 * A stand-in for the xpmem module, for LD_PRELOAD: /dev/xpmem is there, and its
 * requests do with a memfd what the module does with page tables. It refuses
 * what the module would refuse: handles that it never gave out.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct make {
	uint64_t vaddr;
	size_t size;
	int type;
	uint64_t value;
	int64_t segid;
};
struct get {
	int64_t segid;
	int flags, type;
	uint64_t value;
	int64_t apid;
};
struct attach {
	int64_t apid;
	off_t offset;
	size_t size;
	uint64_t vaddr;
	int fd, flags;
};

static int device = -1;
static int64_t granted;
static size_t attached_size;

static int open_device(void)
{
	return device = (int)memfd_create("fake-xpmem", MFD_CLOEXEC);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	int mode;

	va_start(args, flags);
	mode = va_arg(args, int);
	va_end(args);
	if (!strcmp(path, "/dev/xpmem"))
		return open_device();
	return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open"))(path, flags, mode);
}

/* Who was built for large files calls it by this name. */
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

static int make(struct make *request)
{
	void *at = (void *)(uintptr_t)request->vaddr;
	int fd = memfd_create("fake-segment", 0);

	if (request->type != 1 || request->value != 0600) {
		errno = EINVAL;
		return -1;
	}
	if (fd < 0 || write(fd, at, request->size) != (ssize_t)request->size ||
	    mmap(at, request->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != at)
		return -1;
	madvise(at, request->size, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < request->size; i += 4096)
		*(volatile char *)(at + i);
	request->segid = (int64_t)getpid() << 16 | fd;
	return 0;
}

static int get(struct get *request)
{
	if (request->flags != 2 || request->type != 1) {
		errno = EINVAL;
		return -1;
	}
	granted = request->apid = request->segid;
	return 0;
}

static int attach(struct attach *request)
{
	void *at = (void *)(uintptr_t)request->vaddr;
	char path[64];
	int fd;

	if (request->apid != granted || request->fd != device) {
		errno = EINVAL;
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)(request->apid >> 16),
		 (int)(request->apid & 0xffff));
	fd = open(path, O_RDWR);
	if (fd < 0)
		return -1;
	at = mmap(at, request->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		  request->offset);
	close(fd);
	if (at == MAP_FAILED)
		return -1;
	madvise(at, request->size, MADV_NOHUGEPAGE);
	attached_size = request->size;
	request->vaddr = (uintptr_t)at;
	return 0;
}

int ioctl(int fd, unsigned long number, ...)
{
	va_list args;
	void *arg;

	va_start(args, number);
	arg = va_arg(args, void *);
	va_end(args);
	if (fd < 0 || fd != device)
		return ((int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl"))(fd, number,
											arg);
	switch (number) {
	case _IO('x', 1):
		return make(arg);
	case _IO('x', 3):
		return get(arg);
	case _IO('x', 5):
		return attach(arg);
	case _IO('x', 6):
		return munmap((void *)*(uintptr_t *)arg, attached_size);
	case _IO('x', 2):
	case _IO('x', 4):
		return 0;
	}
	errno = ENOTTY;
	return -1;
}
