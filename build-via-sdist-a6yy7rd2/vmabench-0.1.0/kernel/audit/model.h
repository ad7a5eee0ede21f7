/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A model of pages that are mapped many times, held against what the kernel says
 * through interfaces that are no part of the code under test.
 *
 * Every mapping of the model has the same number of pages. Each page of each
 * mapping has a version: a number that is new with each write, and is taken over
 * by a clone or a fork. So two mappings share a page exactly if they have the
 * same version of it, and a page is mapped as often as its version is there.
 */
#ifndef AUDIT_MODEL_H
#define AUDIT_MODEL_H

#include "audit.h"

#define MODEL_PROCESSES	5
#define MODEL_MAPPINGS	200
#define MODEL_PAGES	64

struct mapping {
	int process;
	unsigned long addr;
	unsigned int version[MODEL_PAGES];
	uint64_t entry[MODEL_PAGES];	/* of pagemap, as last read */
};

struct model {
	struct peer peers[MODEL_PROCESSES];	/* [0] is the test itself */
	int processes, mappings, pages;
	unsigned int versions;
	enum kind kind;
	struct thp_state thp;
	struct mapping map[MODEL_MAPPINGS];
};

static inline unsigned long model_len(struct model *m)
{
	return m->kind == THP ? PMD : m->pages * page_size();
}

/* The pages that the model watches of a huge page are spread over it. */
static inline unsigned long model_offset(struct model *m, int page)
{
	return page * (model_len(m) / m->pages);
}

static inline pid_t model_pid(struct model *m, int process)
{
	return process ? m->peers[process].pid : getpid();
}

/* What @process does itself: by a call of its own, or here. */
static inline long model_do(struct model *m, int process, peer_fn fn,
			    unsigned long a, unsigned long b, long c, long d)
{
	return process ? peer_call(&m->peers[process], fn, a, b, c, d) :
			 fn(a, b, c, d);
}

static inline long stamp(unsigned long addr, unsigned long version, long page, long u)
{
	unsigned long *at = (unsigned long *)addr;

	at[0] = at[page_size() / sizeof(long) - 1] = version * 1000003 + page;
	return 0;
}

static inline long is_stamped(unsigned long addr, unsigned long version, long page,
			      long u)
{
	volatile unsigned long *at = (unsigned long *)addr;

	return at[0] == version * 1000003 + page &&
	       at[page_size() / sizeof(long) - 1] == version * 1000003 + page;
}

static inline void model_write(struct model *m, int index, int page)
{
	struct mapping *map = &m->map[index];

	map->version[page] = ++m->versions;
	model_do(m, map->process, stamp, map->addr + model_offset(m, page),
		 map->version[page], page, 0);
}

/* The first mapping, in process @process, with a version of its own each page. */
static inline long model_source(struct model *m, int process)
{
	struct mapping *map = &m->map[0];
	long addr = model_do(m, process, map_kind, m->kind, model_len(m), 1, 0);

	if (addr < 0)
		return addr;
	map->process = process;
	map->addr = addr;
	m->mappings = 1;
	for (int page = 0; page < m->pages; page++)
		model_write(m, 0, page);
	return 0;
}

/* A clone of a mapping in a process, at @dst or where the kernel likes. */
static inline long model_clone(struct model *m, int from, int process,
			       unsigned long dst)
{
	struct mapping *src = &m->map[from], *new = &m->map[m->mappings];
	long addr = model_do(m, process, clone_order, model_pid(m, src->process),
			     src->addr, model_len(m), dst);

	if (addr < 0)
		return addr;
	*new = *src;
	new->process = process;
	new->addr = addr;
	m->mappings++;
	return addr;
}

/* A child of the test, which has all of the test's mappings too. */
static inline int model_fork(struct model *m)
{
	int child = m->processes++, known = m->mappings;
	int err = peer_start(&m->peers[child]);

	for (int i = 0; i < known && !err; i++) {
		if (m->map[i].process)
			continue;
		m->map[m->mappings] = m->map[i];
		m->map[m->mappings++].process = child;
	}
	return err ?: child;
}

static inline void model_forget(struct model *m, int index)
{
	m->map[index] = m->map[--m->mappings];
}

static inline long model_unmap(struct model *m, int index)
{
	struct mapping *map = &m->map[index];
	long err = model_do(m, map->process, unmap, map->addr, model_len(m), 0, 0);

	if (!err)
		model_forget(m, index);
	return err;
}

static inline void model_exit(struct model *m, int process)
{
	peer_stop(&m->peers[process]);
	for (int i = m->mappings - 1; i >= 0; i--)
		if (m->map[i].process == process)
			model_forget(m, i);
}

static inline void model_stop(struct model *m)
{
	for (int i = 1; i < m->processes; i++)
		peer_stop(&m->peers[i]);
	thp_restore(&m->thp);
}

/* Every page of every mapping says what the model says; the number that do not. */
static inline int model_contents(struct model *m)
{
	int wrong = 0;

	for (int i = 0; i < m->mappings; i++)
		for (int page = 0; page < m->pages; page++)
			wrong += !model_do(m, m->map[i].process, is_stamped,
					   m->map[i].addr + model_offset(m, page),
					   m->map[i].version[page], page, 0);
	return wrong;
}

static inline void model_read_entries(struct model *m)
{
	for (int i = 0; i < m->mappings; i++)
		read_entries(model_pid(m, m->map[i].process), m->map[i].addr,
			     model_len(m) / m->pages, m->pages, m->map[i].entry);
}

static inline uint64_t model_frame(struct model *m, int i, int page)
{
	uint64_t entry = m->map[i].entry[page];

	return entry & PM_PRESENT ? entry & PM_ENTRY : 0;
}

/*
 * Are the entries those of the model: one page, or one place in swap, for one
 * version, and another one for another? And is each page mapped as often as its
 * version is there? The number of pages where that is not so.
 */
static inline int model_sharing(struct model *m)
{
	const uint64_t mask = PM_PRESENT | PM_SWAPPED | PM_ENTRY;
	int wrong = 0;

	model_read_entries(m);
	for (int page = 0; page < m->pages; page++) {
		for (int i = 0; i < m->mappings; i++) {
			uint64_t entry = m->map[i].entry[page] & mask;
			long sharers = 0;
			bool bad = !(entry & (PM_PRESENT | PM_SWAPPED));

			for (int k = 0; k < m->mappings; k++) {
				bool same = m->map[k].version[page] ==
					    m->map[i].version[page];

				sharers += same;
				bad |= same != ((m->map[k].entry[page] & mask) == entry);
			}
			if (entry & PM_PRESENT)
				bad |= map_count(entry & PM_ENTRY) != sharers;
			wrong += bad;
		}
	}
	return wrong;
}

static inline int model_swapped(struct model *m)
{
	int swapped = 0;

	model_read_entries(m);
	for (int i = 0; i < m->mappings; i++)
		for (int page = 0; page < m->pages; page++)
			swapped += !!(m->map[i].entry[page] & PM_SWAPPED);
	return swapped;
}

/* Push all of a cgroup, in which every process is, to swap: how many entries are. */
static inline int model_reclaim(struct model *m, const char *cgroup)
{
	int all = m->mappings * m->pages, swapped = 0;

	for (int i = 0; i < 8 && swapped < all; i++) {
		for (int p = 0; p < m->processes; p++)
			if (model_pid(m, p))
				forget_references(model_pid(m, p));
		cgroup_write(cgroup, "memory.reclaim", "64M");
		swapped = model_swapped(m);
	}
	return swapped;
}

#endif /* AUDIT_MODEL_H */
