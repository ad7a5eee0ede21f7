// SPDX-License-Identifier: GPL-2.0-only
/*
 * The yardsticks of the core: for each mechanism of the plan quick a loop around its
 * operation and nothing else. It shares no line with the suite's core on purpose.
 *
 * Usage: bare MECHANISM SIZE LOOPS VALUES SOURCE_CPU RECEIVER_CPU
 * Prints nanoseconds an operation, one value a line.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Fixed places, 1G apart, so that page tables are not shared between the buffers. */
#define SOURCE	    ((char *)0x200000000000)
#define DESTINATION ((char *)0x200100000000)

static size_t size;
static pid_t other;
static volatile uint64_t sink;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void move(const char *name, ssize_t moved)
{
	if (moved != (ssize_t)size)
		fail(name);
}

static void by_readv(void)
{
	struct iovec local = { DESTINATION, size }, remote = { SOURCE, size };

	move("process_vm_readv", process_vm_readv(other, &local, 1, &remote, 1, 0));
}

static void by_writev(void)
{
	struct iovec local = { SOURCE, size }, remote = { DESTINATION, size };

	move("process_vm_writev", process_vm_writev(other, &local, 1, &remote, 1, 0));
}

static void by_memcpy(void)
{
	memcpy(DESTINATION, SOURCE, size);
}

static void by_fork(void)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(0);
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		fail("fork");
}

static void by_nothing(void)
{
}

#if defined(__x86_64__)
static void by_reading(void)
{
	const __m128i *from = (const __m128i *)SOURCE;
	__m128i a = _mm_setzero_si128(), b = a, c = a, d = a;

	for (size_t i = 0; i < size / sizeof(*from); i += 4) {
		a = _mm_add_epi64(a, _mm_load_si128(from + i));
		b = _mm_add_epi64(b, _mm_load_si128(from + i + 1));
		c = _mm_add_epi64(c, _mm_load_si128(from + i + 2));
		d = _mm_add_epi64(d, _mm_load_si128(from + i + 3));
	}
	a = _mm_add_epi64(_mm_add_epi64(a, b), _mm_add_epi64(c, d));
	sink = (uint64_t)_mm_cvtsi128_si64(a);
}

static void by_movsb(void)
{
	char *to = DESTINATION, *from = SOURCE;
	size_t left = size;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(left) : : "memory");
}

__attribute__((target("avx"))) static void by_avx(void)
{
	__m256i *to = (__m256i *)DESTINATION;
	const __m256i *from = (const __m256i *)SOURCE;

	for (size_t i = 0; i < size / sizeof(*to); i += 4) {
		__m256i a = _mm256_load_si256(from + i), b = _mm256_load_si256(from + i + 1);
		__m256i c = _mm256_load_si256(from + i + 2), d = _mm256_load_si256(from + i + 3);

		/* Four loads, then four stores: in turns, 16K takes 10 % longer on Zen 3. */
		__asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d));
		_mm256_store_si256(to + i, a);
		_mm256_store_si256(to + i + 1, b);
		_mm256_store_si256(to + i + 2, c);
		_mm256_store_si256(to + i + 3, d);
		__asm__ volatile("" : : : "memory"); /* or the loop becomes a call of memcpy() */
	}
}
#else
static void by_reading(void)
{
	const uint64_t *from = (const uint64_t *)SOURCE;
	uint64_t sum = 0;

	for (size_t i = 0; i < size / sizeof(*from); i++)
		sum += from[i];
	sink = sum;
}
#endif

enum object { PRIVATE, MEMFD, SHM };

static const struct row {
	const char *name;
	void (*operation)(void);
	enum object object; /* of the source's data */
	int in_source;	    /* the source acts, and is timed */
	int alone;	    /* within one process: there is no other side */
	int copies;
} rows[] = {
	{ "readv", by_readv, PRIVATE, 0, 0, 1 },	 { "writev", by_writev, PRIVATE, 1, 0, 1 },
	{ "memfd", by_memcpy, MEMFD, 0, 0, 1 },		 { "shm", by_memcpy, SHM, 0, 0, 1 },
	{ "memfd-inplace", by_reading, MEMFD, 0, 0, 0 }, { "fork", by_fork, PRIVATE, 1, 1, 0 },
	{ "memcpy", by_memcpy, PRIVATE, 0, 1, 1 },	 { "null", by_nothing, PRIVATE, 0, 1, 0 },
#if defined(__x86_64__)
	{ "rep-movsb", by_movsb, PRIVATE, 0, 1, 1 },	 { "avx", by_avx, PRIVATE, 0, 1, 1 },
#endif
};

static const struct row *find(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	fprintf(stderr, "bare: no row for %s\n", name);
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

static void map_at(char *place, int fd, int more)
{
	int flags = MAP_FIXED_NOREPLACE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);

	if (mmap(place, size, PROT_READ | PROT_WRITE, flags | more, fd, 0) != place)
		fail("mmap");
}

/* Base pages at a fixed place, all of them written. */
static void populate(char *place, int fd, int value)
{
	map_at(place, fd, 0);
	madvise(place, size, MADV_NOHUGEPAGE);
	memset(place, value, size);
}

static int make_object(enum object object)
{
	int fd = -1;

	if (object == MEMFD)
		fd = memfd_create("bare", MFD_CLOEXEC);
	if (object == SHM) {
		fd = shm_open("/vmabench-bare", O_RDWR | O_CREAT | O_EXCL, 0600);
		shm_unlink("/vmabench-bare");
	}
	if (object != PRIVATE && (fd < 0 || ftruncate(fd, (off_t)size)))
		fail("shared object");
	return fd;
}

static void measure(const struct row *row, long loops, long values)
{
	void (*volatile chosen)(void) = row->operation;
	void (*operation)(void) = chosen;
	struct timespec start, end;

	operation(); /* warm */
	for (long value = 0; value < values; value++) {
		clock_gettime(CLOCK_MONOTONIC_RAW, &start);
		for (long i = 0; i < loops; i++)
			operation();
		clock_gettime(CLOCK_MONOTONIC_RAW, &end);
		printf("%.3f\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 +
				  (double)(end.tv_nsec - start.tv_nsec)) /
					 (double)loops);
		fflush(stdout); /* or each fork would have what is buffered */
	}
}

static int run_source(const struct row *row, char **argv, int fd, const int *tell, const int *hear)
{
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(argv[5]);
	populate(SOURCE, fd, 2);
	if (write(tell[1], &byte, 1) != 1 || read(hear[0], &byte, 1) != 1)
		return 1;
	other = getppid();
	if (row->in_source)
		measure(row, atol(argv[3]), atol(argv[4]));
	return write(tell[1], &byte, 1) != 1 || read(hear[0], &byte, 1) != 1;
}

static void run_receiver(const struct row *row, char **argv, int fd, const int *tell,
			 const int *hear)
{
	char byte = 0;

	pin(argv[6]);
	populate(DESTINATION, -1, 0);
	prctl(PR_SET_PTRACER, other, 0, 0, 0); /* for writev under yama 1 */
	if (read(hear[0], &byte, 1) != 1)
		fail("the source");
	if (fd >= 0) /* the source alone writes the object: its CPU has the lines last */
		map_at(SOURCE, fd, MAP_POPULATE);
	if (write(tell[1], &byte, 1) != 1)
		fail("the source");
	if (!row->in_source)
		measure(row, atol(argv[3]), atol(argv[4]));
	if (read(hear[0], &byte, 1) != 1)
		fail("the source");
}

static void run_alone(const struct row *row, char **argv)
{
	pin(argv[row->in_source ? 5 : 6]);
	populate(SOURCE, -1, 2);
	if (row->copies)
		populate(DESTINATION, -1, 0);
	measure(row, atol(argv[3]), atol(argv[4]));
}

static void run_pair(const struct row *row, char **argv)
{
	int to_source[2], to_receiver[2], fd = make_object(row->object);

	if (pipe(to_source) || pipe(to_receiver))
		fail("pipe");
	other = fork();
	if (!other)
		exit(run_source(row, argv, fd, to_receiver, to_source));
	run_receiver(row, argv, fd, to_source, to_receiver);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
}

int main(int argc, char **argv)
{
	const struct row *row;

	if (argc != 7)
		return 1;
	row = find(argv[1]);
	size = strtoul(argv[2], NULL, 10);
	if (row->alone)
		run_alone(row, argv);
	else
		run_pair(row, argv);
	if (!row->copies || (DESTINATION[0] == 2 && DESTINATION[size - 1] == 2))
		return 0;
	fprintf(stderr, "bare: the bytes did not arrive\n");
	return 1;
}
