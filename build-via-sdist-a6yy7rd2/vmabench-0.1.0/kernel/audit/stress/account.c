// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel has counted, before and after: nothing may be left over. */
#include "stress.h"

#include <poll.h>

#define PATIENCE_S	30

/* With what this program itself, and caches of each CPU, may add. */
static const struct {
	const char *name;
	long tolerance_kb;
} fields[NR_ACCOUNTS] = {
	{ "Committed_AS", 64 },
	{ "PageTables", 64 },
	{ "AnonPages", 256 },
	{ "Shmem", 64 },
	{ "SwapFree", 4096 },	/* slots that CPUs keep for next time */
	{ "Mlocked", 0 },
};

void account_take(struct account *account)
{
	write_file("/proc/sys/vm/stat_refresh", "1");
	for (unsigned int i = 0; i < NR_ACCOUNTS; i++)
		account->kb[i] = read_field("/proc/meminfo", fields[i].name);
}

static unsigned int differing(const struct account *before, struct account *now)
{
	unsigned int n = 0;

	account_take(now);
	for (unsigned int i = 0; i < NR_ACCOUNTS; i++)
		n += labs(now->kb[i] - before->kb[i]) > fields[i].tolerance_kb;
	return n;
}

/* Files are closed, and page tables freed, a little after the last process. */
bool account_same(const struct account *before)
{
	struct account now;
	bool same = false;

	for (int i = 0; i < PATIENCE_S * 10 && !same; i++) {
		same = !differing(before, &now);
		if (!same)
			poll(NULL, 0, 100);
	}
	for (unsigned int i = 0; i < NR_ACCOUNTS; i++)
		printf("# %s %ld kB, was %ld kB\n", fields[i].name, now.kb[i],
		       before->kb[i]);
	return same;
}
