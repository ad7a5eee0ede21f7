// SPDX-License-Identifier: GPL-2.0-only
/* Operations of a worker on its own memory. */
#include "stress.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* Mostly few pages, now and then all of a slot. */
unsigned int pick_pages(struct worker *w)
{
	static const unsigned int most[] = { 16, 16, 16, 128, 128, SLOT_PAGES };

	return 1 + pick(&w->random, most[pick(&w->random, ARRAY_SIZE(most))]);
}

/* Somewhere in a slot, mapped or not. */
static struct run pick_place(struct worker *w)
{
	struct run run = { .slot = pick(&w->random, SLOTS) };

	run.page = pick(&w->random, SLOT_PAGES);
	/* huge pages come into being only where a range begins with one */
	if (!pick(&w->random, 3))
		run.page &= ~511u;
	run.pages = pick_pages(w);
	if (run.pages > SLOT_PAGES - run.page)
		run.pages = SLOT_PAGES - run.page;
	return run;
}

/* Pages that are mapped all in one way, and in none of those of @without. */
bool pick_run(struct worker *w, struct run *run, uint16_t without)
{
	struct run place = pick_place(w);
	struct page_state *pages = w->pages[place.slot];
	unsigned int page = place.page, n = 0;

	for (; n < SLOT_PAGES; n++, page = (page + 1) % SLOT_PAGES)
		if ((pages[page].flags & MAPPED) && !(pages[page].flags & without))
			break;
	if (n == SLOT_PAGES)
		return false;
	*run = (struct run){ place.slot, page, 1 };
	while (run->pages < place.pages && page + run->pages < SLOT_PAGES &&
	       !((pages[page + run->pages].flags ^ pages[page].flags) & ~MAYBE))
		run->pages++;
	w->trace->slot = run->slot;
	w->trace->page = run->page;
	w->trace->pages = run->pages;
	return true;
}

static void *start(struct run run)
{
	return (void *)address(run.slot, run.page);
}

static size_t length(struct run run)
{
	return run.pages * page_size();
}

static uint16_t flags_of(struct worker *w, struct run run)
{
	return w->pages[run.slot][run.page].flags;
}

/* Fresh memory of some kind; a file is of memory, too. */
int op_map(struct worker *w)
{
	struct run run = pick_place(w);
	struct page_state state = { 0, MAPPED };
	unsigned int kind = pick(&w->random, 6);
	bool whole = !pick(&w->random, 3);
	int fd = -1, flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS;
	void *map;

	if (whole)
		run = (struct run){ run.slot, 0, SLOT_PAGES };
	if (kind >= 4) {
		fd = backing_file(PRIVATE_FILE, length(run));
		if (fd < 0)
			return -errno;
		flags = MAP_FIXED | (kind == 4 ? MAP_PRIVATE : MAP_SHARED);
		/* to which a child of ours does not write */
		state.flags |= kind == 4 ? ON_FILE : w->child ? SHARED : SHARED | MINE;
	}
	if (kind == 3)
		state.flags |= MERGEABLE;
	slot_begin(w, run.slot);
	run_set(w, run, state);
	map = mmap(start(run), length(run), PROT_READ | PROT_WRITE, flags, fd, 0);
	if (fd >= 0)
		close(fd);
	if (map == MAP_FAILED) {
		int err = -errno;

		slot_clear(w, run.slot);
		slot_end(w, run.slot);
		return err;
	}
	if (kind < 4)
		madvise(map, length(run), kind < 2 ? MADV_HUGEPAGE :
			kind == 2 ? MADV_NOHUGEPAGE : MADV_MERGEABLE);
	slot_end(w, run.slot);
	w->trace->slot = run.slot;
	w->trace->page = run.page;
	w->trace->pages = run.pages;
	return 0;
}

static void write_page(struct worker *w, struct run run, unsigned int page,
		       uint64_t stamp)
{
	uint64_t *word = (uint64_t *)address(run.slot, page);

	page_set(w, run.slot, page, (struct page_state){
		stamp, w->pages[run.slot][page].flags & ~MAYBE });
	atomic_thread_fence(memory_order_seq_cst);
	*(volatile uint64_t *)&word[0] = stamp;
	*(volatile uint64_t *)&word[page_size() / sizeof(*word) - 1] = ~stamp;
}

static bool pick_writable(struct worker *w, struct run *run, uint16_t without)
{
	uint16_t flags;

	if (!pick_run(w, run, NOREAD | NOWRITE | without))
		return false;
	flags = flags_of(w, *run);
	return !(flags & SHARED) || (flags & MINE);
}

int op_write(struct worker *w)
{
	struct run run;

	if (!pick_writable(w, &run, 0))
		return -ENOENT;
	slot_begin(w, run.slot);
	for (unsigned int i = run.page; i < run.page + run.pages; i++)
		write_page(w, run, i, new_stamp(w, run, i));
	slot_end(w, run.slot);
	return 0;
}

/* From now on, whatever becomes of the advice. Between begin and end. */
static void set_mergeable(struct worker *w, struct run run)
{
	for (unsigned int i = run.page; i < run.page + run.pages; i++) {
		struct page_state state = w->pages[run.slot][i];

		state.flags |= MERGEABLE;
		page_set(w, run.slot, i, state);
	}
}

/* Pages that are equal, in this process and in others: something for KSM. */
int op_common(struct worker *w)
{
	uint64_t stamp = (uint64_t)COMMON << 56 | (1 + pick(&w->random, 4));
	struct run run;

	if (!pick_writable(w, &run, SHARED))
		return -ENOENT;
	slot_begin(w, run.slot);
	for (unsigned int i = run.page; i < run.page + run.pages; i++)
		write_page(w, run, i, stamp);
	set_mergeable(w, run);
	madvise(start(run), length(run), MADV_MERGEABLE);
	slot_end(w, run.slot);
	return 0;
}

int op_check(struct worker *w)
{
	struct run run;

	if (!pick_run(w, &run, NOREAD))
		return -ENOENT;
	check_run(w, run);
	return 0;
}

int op_unmap(struct worker *w)
{
	struct run run;

	if (!pick_run(w, &run, 0))
		return -ENOENT;
	slot_begin(w, run.slot);
	run_set(w, run, (struct page_state){ 0 });
	if (munmap(start(run), length(run))) {
		int err = -errno;

		slot_clear(w, run.slot);
		slot_end(w, run.slot);
		return err;
	}
	slot_end(w, run.slot);
	return 0;
}

/* To another slot, at any distance from the beginning of a huge page. */
int op_remap(struct worker *w)
{
	unsigned int slot = pick(&w->random, SLOTS), page;
	struct run from, to;
	int err = 0;
	void *map;

	/* a lock moves with its pages, and would count in the model */
	if (!pick_run(w, &from, LOCKED) || slot == from.slot)
		return -ENOENT;
	page = pick(&w->random, SLOT_PAGES - from.pages + 1);
	if (pick(&w->random, 2))
		page = from.page;
	to = (struct run){ slot, page, from.pages };
	slot_begin(w, from.slot);
	slot_begin(w, to.slot);
	for (unsigned int i = 0; i < from.pages; i++) {
		page_set(w, to.slot, to.page + i, w->pages[from.slot][from.page + i]);
		page_set(w, from.slot, from.page + i, (struct page_state){ 0 });
	}
	map = mremap(start(from), length(from), length(to),
		     MREMAP_MAYMOVE | MREMAP_FIXED, start(to));
	if (map == MAP_FAILED) {
		err = -errno;
		/* not one mapping, most of the time; the target may be gone */
		slot_clear(w, from.slot);
		slot_clear(w, to.slot);
	}
	slot_end(w, to.slot);
	slot_end(w, from.slot);
	return err;
}

int op_protect(struct worker *w)
{
	static const int prot[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
				    PROT_READ | PROT_WRITE };
	static const uint16_t bits[] = { NOREAD | NOWRITE, NOWRITE, 0, 0 };
	unsigned int to = pick(&w->random, ARRAY_SIZE(prot));
	struct run run;
	int err = 0;

	if (!pick_run(w, &run, 0))
		return -ENOENT;
	slot_begin(w, run.slot);
	for (unsigned int i = run.page; i < run.page + run.pages; i++) {
		struct page_state state = w->pages[run.slot][i];

		state.flags = (state.flags & ~(NOREAD | NOWRITE)) | bits[to];
		page_set(w, run.slot, i, state);
	}
	if (mprotect(start(run), length(run), prot[to]))
		err = -errno;
	if (err)
		slot_clear(w, run.slot);
	slot_end(w, run.slot);
	return err;
}

/* Advice that changes nothing of what is in the pages. */
int op_advise(struct worker *w)
{
	static const int advice[] = {
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE, MADV_COLLAPSE,
		MADV_MERGEABLE, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_COLD,
		MADV_PAGEOUT, MADV_PAGEOUT, MADV_WILLNEED, MADV_POPULATE_READ,
	};
	int which = advice[pick(&w->random, ARRAY_SIZE(advice))], err;
	struct run run;

	if (!pick_run(w, &run, 0))
		return -ENOENT;
	slot_begin(w, run.slot);
	if (which == MADV_MERGEABLE)
		set_mergeable(w, run);
	err = advise(address(run.slot, run.page), length(run), which, 0);
	slot_end(w, run.slot);
	return err;
}

/* Advice that gives pages back, at once or when memory is short. */
int op_discard(struct worker *w)
{
	bool lazy = pick(&w->random, 2) && w->board->may_free;
	uint16_t without = LOCKED | SHARED;
	struct run run;
	int err;

	if (lazy)
		without |= ON_FILE | (w->board->fixed_base ? 0 : MERGEABLE);
	if (!pick_run(w, &run, without))
		return -ENOENT;
	slot_begin(w, run.slot);
	for (unsigned int i = run.page; i < run.page + run.pages; i++) {
		struct page_state state = w->pages[run.slot][i];

		if (!lazy)
			state = (struct page_state){ 0, state.flags & ~MAYBE };
		else if (state.stamp)
			state.flags |= MAYBE;
		page_set(w, run.slot, i, state);
	}
	err = advise(address(run.slot, run.page), length(run),
		     lazy ? MADV_FREE : MADV_DONTNEED, 0);
	if (err)
		slot_clear(w, run.slot);
	slot_end(w, run.slot);
	return err;
}

int op_lock(struct worker *w)
{
	struct run run;
	int err;

	if (!pick_run(w, &run, NOREAD | NOWRITE))
		return -ENOENT;
	slot_begin(w, run.slot);
	if (flags_of(w, run) & LOCKED) {
		err = munlock(start(run), length(run)) ? -errno : 0;
	} else {
		run.pages = run.pages > 16 ? 16 : run.pages;
		err = mlock2(start(run), length(run), pick(&w->random, 2)) ? -errno : 0;
	}
	for (unsigned int i = run.page; i < run.page + run.pages; i++) {
		struct page_state state = w->pages[run.slot][i];

		state.flags ^= LOCKED;
		page_set(w, run.slot, i, state);
	}
	if (err)
		slot_clear(w, run.slot);
	slot_end(w, run.slot);
	return err;
}
