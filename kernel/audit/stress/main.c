// SPDX-License-Identifier: GPL-2.0-only
/*
 * Start the workers and what goes on beside them, start new ones for those that
 * leave, look whether all go on, end it, count what is left over. TAP.
 *
 * With "--by fork" each clone is a fork() instead, of a child that lives for a
 * while: to compare with, and to try the program on a kernel without the call.
 */
#include "stress.h"

#include <getopt.h>
#include <poll.h>
#include <time.h>

#define END_S	240		/* to see that it is over, and look at all once more */

static struct board *board;
static int board_fd;
static struct account before;
static unsigned int tests, failures;

static struct options options = {
	.workers = 8, .seconds = 60, .stuck_s = 200, .beside = "none",
	.limit = 128 * MB, .by = { true, false },
};

static const char *const by_names[] = { "clone", "fork" };

static void result(bool good, const char *by, const char *text)
{
	tests++;
	failures += !good;
	printf("%sok %u stress.%s.%s\n", good ? "" : "not ", tests, by, text);
	fflush(stdout);
}

static struct board *map_board(int fd)
{
	void *map = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_POPULATE, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

static bool make_board(void)
{
	board_fd = memfd_create("board", 0);
	if (board_fd < 0 || ftruncate(board_fd, sizeof(struct board)))
		return false;
	board = map_board(board_fd);
	return board != NULL;
}

static void start_worker(unsigned int index)
{
	struct seat *seat = &board->seats[index];
	pid_t pid = fork();

	if (!pid) {
		beside_enter_cgroup();
		exec_self(board_fd, "work", index, seat->incarnation + 1);
	}
	if (pid > 0)
		seat->pid = pid;
}

static struct seat *seat_of(pid_t pid)
{
	for (unsigned int i = 0; i < board->workers; i++)
		if (board->seats[i].pid == pid)
			return &board->seats[i];
	return NULL;
}

/*
 * A worker that ended well, or was the limit's victim, gets a successor; an orphan
 * of one is just buried.
 */
static void bury(pid_t pid, int status)
{
	struct seat *seat = seat_of(pid);
	bool good = !seat || !status || beside_killed(board, status);

	if (!good && !atomic_exchange(&board->failed, 1)) {
		snprintf(board->failure, sizeof(board->failure),
			 "worker %d ended with status %x", pid, status);
		board->stop = 1;
	}
	if (seat && !board->stop)
		start_worker(seat - board->seats);
}

static bool bury_dead(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!beside_owns(pid))
			bury(pid, status);
	return pid < 0;		/* nobody is left */
}

/* Does each worker go on? Says where one is that does not. */
static bool all_go_on(uint64_t *ops, time_t *since)
{
	time_t now = time(NULL);

	for (unsigned int i = 0; i < board->workers; i++) {
		struct seat *seat = &board->seats[i];
		struct trace *t = &seat->trace[(seat->next_trace - 1) % TRACE];

		if (seat->ops != ops[i]) {
			ops[i] = seat->ops;
			since[i] = now;
		}
		if (now - since[i] < options.stuck_s)
			continue;
		printf("# worker %u (%d) has been at %s %u:%u+%u for %ld s\n", i,
		       seat->pid, op_names[t->op], t->slot, t->page, t->pages,
		       (long)(now - since[i]));
		return false;
	}
	return true;
}

static bool run_for(unsigned int seconds)
{
	time_t end = time(NULL) + seconds, since[MAX_WORKERS];
	uint64_t ops[MAX_WORKERS];
	bool good = true;

	for (unsigned int i = 0; i < board->workers; i++) {
		ops[i] = 0;
		since[i] = time(NULL);
		start_worker(i);
	}
	while (good && !board->stop && time(NULL) < end) {
		poll(NULL, 0, 20);
		bury_dead();
		good = all_go_on(ops, since);
	}
	if (!good)	/* who waits for what, into the kernel's log */
		write_file("/proc/sysrq-trigger", "w");
	board->stop = 1;
	return good;
}

/* All children of ours, and theirs that they left to us. */
static bool wait_for_all(void)
{
	time_t end = time(NULL) + END_S;

	while (time(NULL) < end) {
		if (bury_dead())
			return true;
		poll(NULL, 0, 20);
	}
	printf("# some processes do not end\n");
	return false;
}

static uint64_t sum_of(_Atomic uint64_t *first)
{
	uint64_t sum = 0;
	size_t offset = (char *)first - (char *)&board->seats[0];

	for (unsigned int i = 0; i < board->workers; i++)
		sum += *(_Atomic uint64_t *)((char *)&board->seats[i] + offset);
	return sum;
}

/* How often each operation was done; false if one never was. */
static bool report_counts(const char *by)
{
	struct seat *seat = &board->seats[0];
	bool good = true;

	printf("# audit: stress by %s: seed %llu, %u workers, %u s, %llu operations, %llu pages compared\n",
	       by, (unsigned long long)board->seed, board->workers, options.seconds,
	       (unsigned long long)sum_of(&seat->ops),
	       (unsigned long long)sum_of(&seat->checked));
	printf("# audit: stress by %s: clones exact %llu, raced %llu, wild %llu, refused %llu\n",
	       by, (unsigned long long)sum_of(&seat->clones.exact),
	       (unsigned long long)sum_of(&seat->clones.raced),
	       (unsigned long long)sum_of(&seat->clones.wild),
	       (unsigned long long)sum_of(&seat->clones.refused));
	printf("# audit: stress by %s: done (refused)", by);
	for (unsigned int i = 0; i < NR_OPS; i++) {
		uint64_t done = sum_of(&seat->done[i]);

		printf(" %s %llu (%llu)", op_names[i], (unsigned long long)done,
		       (unsigned long long)sum_of(&seat->refused[i]));
		good &= done || i == OP_EXEC || i == OP_EXIT;
	}
	printf("\n");
	return good;
}

static void report(const char *by, bool going, bool ended, bool has_trylock)
{
	long kills = beside_oom_kills(), left = beside_leave_cgroup();

	if (board->failed)
		printf("# seed %llu: %s\n", (unsigned long long)board->seed,
		       board->failure);
	result(!board->failed, by, "contents");
	result(going, by, "goes_on");
	result(ended, by, "ends");
	result(report_counts(by) || options.seconds < 30, by, "all_operations");
	if (strcmp(options.beside, "none")) {
		result(account_same(&before), by, "accounting");
		printf("# audit: stress by %s: the OOM killer ended %ld processes below the limit\n",
		       by, kills);
		printf("# %ld kB are charged to the cgroup\n", left);
		result(!left, by, "cgroup");
	}
	if (has_trylock)
		result(trylock_report(by), by, "trylock");
}

static void stress(enum by by)
{
	bool has_trylock, going, ended;
	int n;

	memset(board, 0, sizeof(*board));
	board->by = by;
	board->seed = options.seed;
	board->workers = options.workers;
	board->fixed_base = options.fixed_base;
	board->may_free = options.fixed_base || !swap_is_direct();
	account_take(&before);
	n = beside_start(board, &options);
	printf("# stress by %s: seed %llu, %d beside%s\n", by_names[by],
	       (unsigned long long)options.seed, n,
	       board->may_free ? "" : ", no MADV_FREE as swap is on zram");
	fflush(stdout);
	has_trylock = trylock_reset();
	going = run_for(options.seconds);
	ended = wait_for_all();
	beside_stop();
	report(by_names[by], going, ended, has_trylock);
}

static bool parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seed", 1, NULL, 's' }, { "seconds", 1, NULL, 't' },
		{ "workers", 1, NULL, 'w' }, { "by", 1, NULL, 'b' },
		{ "beside", 1, NULL, 'B' }, { "limit-mb", 1, NULL, 'l' },
		{ "stuck", 1, NULL, 'u' }, { "fixed-base", 0, NULL, 'm' },
		{ 0 },
	};
	int c;

	options.seed = time(NULL) ^ getpid();
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 's': options.seed = strtoull(optarg, NULL, 0); break;
		case 't': options.seconds = atoi(optarg); break;
		case 'w': options.workers = atoi(optarg); break;
		case 'B': options.beside = optarg; break;
		case 'l': options.limit = atol(optarg) * MB; break;
		case 'u': options.stuck_s = atoi(optarg); break;
		case 'm': options.fixed_base = true; break;
		case 'b':
			options.by[BY_CLONE] = strstr(optarg, "clone");
			options.by[BY_FORK] = strstr(optarg, "fork");
			break;
		default: return false;
		}
	}
	return options.workers > 0 && options.workers <= MAX_WORKERS && optind == argc;
}

/* What exec_self() has started. */
static int play_role(char **argv)
{
	int fd = atoi(argv[2]);
	unsigned int index = atoi(argv[3]);
	uint64_t number = strtoull(argv[4], NULL, 10);

	board = map_board(fd);
	if (!board)
		return 1;
	if (!strcmp(argv[1], "work"))
		work(board, fd, index, number);
	return visit(board, index, number);
}

int main(int argc, char **argv)
{
	if (argc == 5 && strncmp(argv[1], "--", 2))
		return play_role(argv);
	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: stress [--seed N] [--seconds N] [--workers N] [--by clone,fork]\n"
			"              [--beside all|none|NAME,...] [--limit-mb N] [--stuck N] [--fixed-base]\n");
		return 2;
	}
	printf("TAP version 13\n");
	if (options.by[BY_CLONE] && clone_map(0, 0, 0, 0, -1UL) == -ENOSYS) {
		printf("1..0 # SKIP no process_vm_mmap()\n");
		return 4;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!make_board())
		return 1;
	for (enum by by = BY_CLONE; by <= BY_FORK; by++)
		if (options.by[by])
			stress(by);
	printf("1..%u\n", tests);
	return failures ? 1 : 0;
}
