// SPDX-License-Identifier: GPL-2.0-only
/*
 * What goes on beside the workers: reclaim, a memory limit, KSM, khugepaged,
 * compaction, migration between nodes, swapoff. One process each, that does the
 * same again and again; the settings are borrowed.
 */
#include "stress.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/swap.h>

#define CGROUP		"/sys/fs/cgroup/pvm-stress"
#define KSM		"/sys/kernel/mm/ksm/"
#define KHUGEPAGED	THP_DIR "khugepaged/"

struct setting {
	const char *path, *value;
	char old[32];
};

static struct setting settings[] = {
	{ .path = KHUGEPAGED "defrag", .value = "1" },
	{ .path = KHUGEPAGED "scan_sleep_millisecs", .value = "20" },
	{ .path = KHUGEPAGED "alloc_sleep_millisecs", .value = "20" },
	{ .path = KHUGEPAGED "pages_to_scan", .value = "4096" },
	{ .path = THP_DIR "enabled", .value = "madvise" },
	{ .path = THP_DIR "hugepages-2048kB/enabled", .value = "inherit" },
	{ .path = THP_DIR "hugepages-64kB/enabled", .value = "madvise" },
	{ .path = KSM "pages_to_scan", .value = "1000" },
	{ .path = KSM "sleep_millisecs", .value = "20" },
	{ .path = KSM "use_zero_pages", .value = "1" },
	{ .path = KSM "run", .value = "1" },
};

static struct board *board;
static char limit_text[32];
static bool in_cgroup;

static void rest(unsigned int ms)
{
	poll(NULL, 0, ms);
}

static pid_t any_worker(struct random *random)
{
	return board->seats[pick(random, board->workers)].pid;
}

/* Pages that were touched lately resist: forget that, then reclaim. */
static void reclaim(struct random *random)
{
	char path[64];

	for (unsigned int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/proc/%d/clear_refs", any_worker(random));
		write_file(path, "1");
	}
	write_file(CGROUP "/memory.reclaim", pick(random, 2) ? "4M" : "16M");
	rest(100 + pick(random, 200));
}

/* Off for a moment, so that what was swapped out is used from memory again. */
static void limit(struct random *random)
{
	write_file(CGROUP "/memory.max", limit_text);
	rest(2000 + pick(random, 4000));
	write_file(CGROUP "/memory.max", "max");
	rest(500);
}

static void ksm(struct random *random)
{
	rest(3000 + pick(random, 3000));
	write_file(KSM "use_zero_pages", pick(random, 2) ? "1" : "0");
	if (!pick(random, 3))
		write_file(KSM "run", "2");
	write_file(KSM "run", "1");
}

static void khugepaged(struct random *random)
{
	rest(2000);
	write_file(THP_DIR "hugepages-64kB/enabled", pick(random, 2) ? "madvise" : "never");
}

static void compaction(struct random *random)
{
	write_file("/proc/sys/vm/compact_memory", "1");
	rest(500 + pick(random, 500));
}

/* All of a worker to one node or the other. */
static void migration(struct random *random)
{
	unsigned long from = 3, to = 1 + pick(random, 2);

	syscall(SYS_migrate_pages, any_worker(random), 8 * sizeof(long), &from, &to);
	rest(200 + pick(random, 300));
}

static bool swap_device(char *name, size_t size)
{
	FILE *file = fopen("/proc/swaps", "r");
	char line[256];
	bool found = false;

	while (file && fgets(line, sizeof(line), file))
		found = sscanf(line, "%200s", name) == 1 && name[0] == '/';
	if (file)
		fclose(file);
	return found;
}

/*
 * Is it read back past the swap cache? 6.12 loses such a page for all who share it when
 * one of them gives it up by MADV_FREE: see base/swap_lazyfree.c.
 */
bool swap_is_direct(void)
{
	char name[256];

	return swap_device(name, sizeof(name)) && strstr(name, "zram");
}

/* Everything back from swap, while it is cloned, unmapped, forked. */
static void swap(struct random *random)
{
	static char name[256];

	rest(10000 + pick(random, 10000));
	if (!name[0] && !swap_device(name, sizeof(name)))
		return;
	if (!swapoff(name) && swapon(name, 0)) {
		printf("# swapon of %s: %s\n", name, strerror(errno));
		fflush(stdout);
	}
}

static const struct {
	const char *name;
	void (*once)(struct random *random);
	bool wants_cgroup;
} besides[] = {
	{ "reclaim", reclaim, true },
	{ "limit", limit, true },
	{ "ksm", ksm, false },
	{ "khugepaged", khugepaged, false },
	{ "compaction", compaction, false },
	{ "migration", migration, false },
	{ "swap", swap, false },
};

static pid_t pids[ARRAY_SIZE(besides)];

static void borrow(struct setting *setting)
{
	FILE *file = fopen(setting->path, "r");
	char text[128];

	if (file && fgets(text, sizeof(text), file)) {
		if (strchr(text, '['))
			thp_read(setting->path, setting->old);
		else
			snprintf(setting->old, sizeof(setting->old), "%.30s", text);
		write_file(setting->path, setting->value);
	}
	if (file)
		fclose(file);
}

static bool is_wanted(const char *list, const char *name)
{
	const char *at = strstr(list, name);

	return at || !strcmp(list, "all");
}

static pid_t start(unsigned int i)
{
	pid_t pid = fork();
	struct random random = { board->seed + i };

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!board->stop)
		besides[i].once(&random);
	/* as it was: swap on, no limit */
	if (besides[i].once == limit)
		write_file(CGROUP "/memory.max", "max");
	_exit(0);
}

static bool make_cgroup(void)
{
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	return !mkdir(CGROUP, 0755) && !access(CGROUP "/memory.reclaim", W_OK);
}

/* How many run now. */
int beside_start(struct board *shared, const struct options *options)
{
	int n = 0;

	board = shared;
	if (!strcmp(options->beside, "none"))
		return 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(settings); i++)
		borrow(&settings[i]);
	in_cgroup = make_cgroup();
	snprintf(limit_text, sizeof(limit_text), "%lu", options->limit);
	for (unsigned int i = 0; i < ARRAY_SIZE(besides); i++) {
		if (!is_wanted(options->beside, besides[i].name) ||
		    (besides[i].wants_cgroup && !in_cgroup))
			continue;
		pids[i] = start(i);
		n++;
	}
	return n;
}

/* They see that it is over, and end between two doings. */
void beside_stop(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(pids); i++)
		if (pids[i] > 0)
			waitpid(pids[i], NULL, 0);
	memset(pids, 0, sizeof(pids));
	write_file(KSM "run", "2");
	for (unsigned int i = ARRAY_SIZE(settings); i--;) {
		if (settings[i].old[0])
			write_file(settings[i].path, settings[i].old);
		settings[i].old[0] = 0;
	}
}

bool beside_owns(pid_t pid)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(pids); i++)
		if (pids[i] == pid) {
			pids[i] = 0;
			return true;
		}
	return false;
}

/* A worker goes there before it maps anything. */
int beside_enter_cgroup(void)
{
	return in_cgroup ? write_file(CGROUP "/cgroup.procs", "0") : 0;
}

/* Of processes of the cgroup, so far; -1 if there is none. */
long beside_oom_kills(void)
{
	return read_field(CGROUP "/memory.events", "oom_kill");
}

/*
 * Was that the OOM killer, below the limit? 6.12 acts there now and then while there
 * is swap left: see "reclaim in a cgroup gives up" in AUDIT.md. No more deaths are
 * taken for its doing than it has counted, before it sends the signal.
 */
bool beside_killed(struct board *shared, int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL &&
	       ++shared->killed <= beside_oom_kills();
}

/* What is charged when all are gone, in kB: anonymous, shmem, page tables; -1 if unknown. */
long beside_leave_cgroup(void)
{
	static const char *const names[] = { "anon", "shmem", "pagetables" };
	long sum = 0;

	if (!in_cgroup)
		return -1;
	for (int try = 0; try < 100; try++) {
		sum = 0;
		for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
			sum += read_field(CGROUP "/memory.stat", names[i]) / KB;
		if (!sum)
			break;
		rest(100);	/* the counters of each CPU are added up now and then */
	}
	in_cgroup = false;
	return rmdir(CGROUP) ? LONG_MAX : sum;
}
