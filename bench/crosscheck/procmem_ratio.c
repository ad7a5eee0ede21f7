// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why pread() of /proc/PID/mem takes 1.06 times as long as process_vm_readv() of 16K
 * here, and longer on other machines: the ratio under several conditions, in turn. It
 * shares no line with the suite's core.
 *
 *   as-here    the file is open, one iovec, aligned base pages, populated buffers
 *   open       the file is opened and closed around each pread()
 *   unaligned  source and buffer start 8 bytes behind the start of a page: one page more
 *   huge       both lie in transparent huge pages
 *   fresh      the buffer is unmapped with MADV_DONTNEED before each call: page faults
 *   iovecs     process_vm_readv() gets an iovec for each page
 *   pages      a call for each page, of both
 *
 * The mitigations of the CPU cost both of them an entry of the kernel, and are printed:
 * compare two boots, the second with mitigations=off.
 *
 * Usage: procmem_ratio SOURCE_CPU RECEIVER_CPU [SIZE [ROUNDS [LOOPS]]]
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOURCE	    ((char *)0x200000000000)
#define DESTINATION ((char *)0x200100000000)
#define PAGE	    ((size_t)4096)
#define MOST_PIECES 1024
#define MOST_ROUNDS 1000

enum { OPENS = 1, UNALIGNED = 2, HUGE = 4, FRESH = 8, IOVECS = 16, PAGES = 32 };

static const struct condition {
	const char *name;
	int flags;
} conditions[] = {
	{ "as-here", 0 },   { "open", OPENS },	  { "unaligned", UNALIGNED }, { "huge", HUGE },
	{ "fresh", FRESH }, { "iovecs", IOVECS }, { "pages", PAGES },
};

#define CONDITIONS (sizeof(conditions) / sizeof(conditions[0]))

static size_t size = 16384;
static pid_t source;
static int memory = -1;
static char path[64];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void pin(const char *cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)atoi(cpu), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("sched_setaffinity");
}

/* Room for any condition; the first half has base pages, the second huge ones. */
static size_t half(void)
{
	return (size + 2 * PAGE + (2ul << 20)) & ~((2ul << 20) - 1);
}

static void populate(char *place, int value)
{
	if (mmap(place, 2 * half(), PROT_READ | PROT_WRITE,
		 MAP_FIXED_NOREPLACE | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != place)
		fail("mmap");
	if (madvise(place, half(), MADV_NOHUGEPAGE) ||
	    madvise(place + half(), half(), MADV_HUGEPAGE))
		fail("madvise");
	memset(place, value, 2 * half());
}

static char *at(char *place, int flags)
{
	return place + (flags & HUGE ? half() : 0) + (flags & UNALIGNED ? 8 : 0);
}

static void by_readv(int flags, size_t offset, size_t bytes)
{
	struct iovec local[MOST_PIECES], remote[MOST_PIECES];
	size_t piece = flags & IOVECS ? PAGE : bytes, count = 0;

	for (size_t done = 0; done < bytes; done += piece, count++) {
		local[count] = (struct iovec){ at(DESTINATION, flags) + offset + done, piece };
		remote[count] = (struct iovec){ at(SOURCE, flags) + offset + done, piece };
	}
	if (process_vm_readv(source, local, count, remote, count, 0) != (ssize_t)bytes)
		fail("process_vm_readv");
}

static void by_pread(int flags, size_t offset, size_t bytes)
{
	int fd = flags & OPENS ? open(path, O_RDONLY | O_CLOEXEC) : memory;

	if (pread(fd, at(DESTINATION, flags) + offset, bytes,
		  (off_t)(at(SOURCE, flags) + offset)) != (ssize_t)bytes)
		fail("pread");
	if (flags & OPENS)
		close(fd);
}

static double measure_us(void (*call)(int, size_t, size_t), int flags, long loops)
{
	size_t part = flags & PAGES ? PAGE : size;
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &start);
	for (long i = 0; i < loops; i++) {
		if (flags & FRESH && madvise(DESTINATION, size, MADV_DONTNEED))
			fail("madvise");
		for (size_t done = 0; done < size; done += part)
			call(flags, done, part);
	}
	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return ((double)(now.tv_sec - start.tv_sec) * 1e6 +
		(double)(now.tv_nsec - start.tv_nsec) / 1e3) /
	       (double)loops;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, long count)
{
	qsort(values, (size_t)count, sizeof(*values), compare);
	return values[count / 2];
}

static void compare_all(long rounds, long loops)
{
	static double readv_us[CONDITIONS][MOST_ROUNDS], pread_us[CONDITIONS][MOST_ROUNDS];
	static double ratio[CONDITIONS][MOST_ROUNDS];

	for (long round = -1; round < rounds; round++) /* the first is the warm-up */
		for (size_t i = 0; i < CONDITIONS; i++) {
			int flags = conditions[i].flags;
			long to = round < 0 ? 0 : round;

			readv_us[i][to] = measure_us(by_readv, flags, loops);
			pread_us[i][to] = measure_us(by_pread, flags, loops);
			ratio[i][to] = pread_us[i][to] / readv_us[i][to];
		}
	printf("condition   readv us  pread us  ratio, medians of %ld rounds\n", rounds);
	for (size_t i = 0; i < CONDITIONS; i++)
		printf("%-10s  %8.3f  %8.3f  %5.2f\n", conditions[i].name,
		       median(readv_us[i], rounds), median(pread_us[i], rounds),
		       median(ratio[i], rounds));
}

static void start_source(const char *cpu)
{
	int ready[2];
	char byte = 0;

	if (pipe(ready))
		fail("pipe");
	source = fork();
	if (source < 0)
		fail("fork");
	if (!source) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(cpu);
		populate(SOURCE, 2);
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		fail("the source");
}

int main(int argc, char **argv)
{
	long rounds = argc > 4 ? atol(argv[4]) : 15, loops = argc > 5 ? atol(argv[5]) : 2000;

	if (argc > 3)
		size = strtoul(argv[3], NULL, 10);
	if (argc < 3 || rounds < 1 || rounds > MOST_ROUNDS || loops < 1 || !size || size % PAGE ||
	    size / PAGE > MOST_PIECES)
		return 1;
	start_source(argv[1]);
	pin(argv[2]);
	populate(DESTINATION, 0);
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)source);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	if (memory < 0)
		fail(path);
	fflush(stdout);
	if (system("cd /sys/devices/system/cpu/vulnerabilities && grep -H . *"))
		puts("the mitigations are unknown");
	compare_all(rounds, loops);
	kill(source, SIGKILL);
	waitpid(source, NULL, 0);
	return 0;
}
