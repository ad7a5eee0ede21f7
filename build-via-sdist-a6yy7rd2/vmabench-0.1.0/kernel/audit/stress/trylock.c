// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the debug kernel has counted of folio_trylock(): runs of failures, the
 * longest of each place in the kernel.
 */
#include "stress.h"

#define DIR	"/sys/kernel/debug/folio_trylock/"
#define SHOWN	12

struct site {
	long long longest, ns, tries, failures, ended, freed, bounds;
	char name[96];
};

static struct site sites[256];

bool trylock_reset(void)
{
	return !write_file(DIR "reset", "1");
}

static int by_longest(const void *left, const void *right)
{
	const struct site *a = left, *b = right;

	if (a->longest != b->longest)
		return a->longest < b->longest ? 1 : -1;
	return (a->failures < b->failures) - (a->failures > b->failures);
}

static unsigned int read_sites(const char *title)
{
	FILE *file = fopen(DIR "sites", "r");
	unsigned int n = 0;
	char line[256];

	while (file && n < ARRAY_SIZE(sites) && fgets(line, sizeof(line), file)) {
		struct site *s = &sites[n];

		if (!strncmp(line, "# lost", 6))
			printf("# audit: trylock by %s: %s", title, line + 2);
		n += sscanf(line, "%lld %lld %lld %lld %lld %lld %lld %95s",
			    &s->longest, &s->ns, &s->tries, &s->failures, &s->ended,
			    &s->freed, &s->bounds, s->name) == 8;
	}
	if (file)
		fclose(file);
	qsort(sites, n, sizeof(*sites), by_longest);
	return n;
}

/* The longest runs by place; false if a run is still going on when all are gone. */
bool trylock_report(const char *title)
{
	unsigned int n = read_sites(title), length;
	FILE *file = fopen(DIR "open", "r");
	long bound = read_long(DIR "bound");
	char line[256], place[96];
	bool good = n && file;

	printf("# audit: trylock by %s: longest run, ms, tries, failures, ended by success, by free\n",
	       title);
	for (unsigned int i = 0; i < n && i < SHOWN && sites[i].longest; i++)
		printf("# audit: trylock by %s: %4lld %9.1f %9lld %7lld %7lld %6lld %s\n",
		       title, sites[i].longest, sites[i].ns / 1e6, sites[i].tries,
		       sites[i].failures, sites[i].ended, sites[i].freed, sites[i].name);
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%u %*d %*s %95s", &length, place) != 2 ||
		    length < bound)
			continue;
		printf("# audit: trylock by %s: still open after %u at %s\n", title,
		       length, place);
		good = false;
	}
	if (file)
		fclose(file);
	return good;
}
