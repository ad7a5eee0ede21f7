// SPDX-License-Identifier: GPL-2.0-only
/* Memory of others, cloned from them, and compared with what they say of it. */
#include "stress.h"

enum trust { EXACT, RACED, WILD };

/* What somebody says of a range of its memory. */
struct account_of {
	uint32_t seq;
	bool quiet;			/* no operation was under way */
	struct page_state pages[SLOT_PAGES];
};

struct source {
	struct seat *seat;
	pid_t pid;
	bool known;			/* its model is ours, or nobody changes it */
	struct run run;
	struct account_of before, now;
};

static struct source source;	/* too large for a stack that forks so often */

static void listen(struct published *pub, struct run run, struct account_of *told)
{
	told->seq = pub->seq;
	for (unsigned int i = 0; i < run.pages; i++) {
		told->pages[i].stamp = pub->stamp[run.page + i];
		told->pages[i].flags = pub->flags[run.page + i];
	}
	told->quiet = !(told->seq & 1) && told->seq == pub->seq;
}

static struct published *published(struct source *s)
{
	return &s->seat->slots[s->run.slot];
}

static void listen_before(struct worker *w, struct source *s)
{
	s->known = s->seat == w->seat && !w->child;
	if (!s->known) {
		listen(published(s), s->run, &s->before);
		return;
	}
	for (unsigned int i = 0; i < s->run.pages; i++)
		s->before.pages[i] = w->pages[s->run.slot][s->run.page + i];
}

static bool same_kind(struct page_state a, struct page_state b)
{
	return !((a.flags ^ b.flags) & ~(MAYBE | LOCKED | MINE)) &&
	       a.stamp != STAMP_ANY && b.stamp != STAMP_ANY;
}

/* How far can what the source says of itself be believed? */
static enum trust listen_after(struct source *s)
{
	uint32_t seq;

	if (s->known)
		return EXACT;
	if (!s->before.quiet)
		return WILD;
	listen(published(s), s->run, &s->now);
	seq = published(s)->seq;
	if (seq == s->before.seq)
		return EXACT;
	if (seq - s->before.seq > 2)
		return WILD;
	for (unsigned int i = 0; i < s->run.pages; i++)
		if (!same_kind(s->before.pages[i], s->now.pages[i]) ||
		    (s->before.pages[i].flags & NOREAD))
			return WILD;
	return RACED;
}

/* Is a word of a page, made a stamp again, what one of two models says? */
static bool expected(struct worker *w, uint64_t found, struct page_state a,
		     struct page_state b)
{
	/* others write to it; before and after it may be another page */
	if (a.flags & SHARED)
		return well_formed(w, found) &&
		       (not_older(found, a.stamp) || b.stamp != a.stamp);
	if (found == a.stamp || found == b.stamp)
		return true;
	return !found && ((a.flags | b.flags) & MAYBE);
}

/* Compare a page of a clone; false if it was caught while it was written. */
static bool accept(struct worker *w, struct run dst, unsigned int i, enum trust trust)
{
	struct page_state a = source.before.pages[i];
	struct page_state b = trust == RACED ? source.now.pages[i] : a;
	struct page_state mine = { a.stamp, (a.flags | (b.flags & MAYBE)) & CLONED };
	uint64_t first, last;

	if (!(a.flags & MAPPED))
		fail(w, "a clone of a page that is not mapped: %u", dst.page + i);
	if (a.flags & NOREAD) {
		page_set(w, dst.slot, dst.page + i, mine);
		return true;
	}
	last = last_of(last_word(dst.slot, dst.page + i));
	first = first_word(dst.slot, dst.page + i);
	if (!first && (mine.flags & MAYBE))
		last = last_of(last_word(dst.slot, dst.page + i));
	if (!expected(w, first, a, b) || (!(a.flags & SHARED) && !expected(w, last, a, b)))
		fail(w, "clone %u:%u (%s) holds %016llx %016llx, not %016llx or %016llx",
		     dst.slot, dst.page + i, trust == EXACT ? "exact" : "raced",
		     (unsigned long long)first, (unsigned long long)last,
		     (unsigned long long)a.stamp, (unsigned long long)b.stamp);
	if (!(first | last))
		mine.flags &= ~MAYBE;
	mine.stamp = first;
	page_set(w, dst.slot, dst.page + i, mine);
	return first == last || (a.flags & SHARED);
}

static void drop(struct worker *w, struct run dst)
{
	run_set(w, dst, (struct page_state){ 0 });
	if (munmap((void *)address(dst.slot, dst.page), dst.pages * page_size()))
		slot_clear(w, dst.slot);
}

/* Too much went on: look at it as at something found in the street. */
static void look_and_drop(struct worker *w, struct run dst)
{
	void *start = (void *)address(dst.slot, dst.page);

	if (!mprotect(start, dst.pages * page_size(), PROT_READ)) {
		for (unsigned int i = dst.page; i < dst.page + dst.pages; i++) {
			uint64_t first = first_word(dst.slot, i);
			uint64_t last = last_of(last_word(dst.slot, i));

			if (!well_formed(w, first) || !well_formed(w, last))
				fail(w, "wild clone %u:%u holds %016llx %016llx",
				     dst.slot, i, (unsigned long long)first,
				     (unsigned long long)last);
		}
		w->seat->checked += dst.pages;
	}
	drop(w, dst);
}

static void take_clone(struct worker *w, struct run dst)
{
	enum trust trust = listen_after(&source);
	bool whole = true;

	if (trust == EXACT)
		w->seat->clones.exact++;
	else if (trust == RACED)
		w->seat->clones.raced++;
	else
		w->seat->clones.wild++;
	if (trust == WILD) {
		look_and_drop(w, dst);
		return;
	}
	for (unsigned int i = 0; i < dst.pages; i++)
		whole &= accept(w, dst, i, trust);
	w->seat->checked += dst.pages;
	if (!whole)
		drop(w, dst);
}

/* Anywhere, and then to where it is wanted. */
static long clone_and_move(struct run dst, unsigned long from, unsigned long len)
{
	long addr = clone_map(source.pid, from, len, 0, 0);
	void *map;

	if (addr < 0)
		return addr;
	map = mremap((void *)addr, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		     (void *)address(dst.slot, dst.page));
	if (map != MAP_FAILED)
		return (long)map;
	munmap((void *)addr, len);
	return -ENOMEM;
}

static long call(struct worker *w, struct run dst, unsigned int how)
{
	unsigned long from = address(source.run.slot, source.run.page);
	unsigned long to = address(dst.slot, dst.page);
	unsigned long len = dst.pages * page_size();

	if (how == 0)
		return clone_and_move(dst, from, len);
	if (how == 1) {
		if (munmap((void *)to, len))
			return -ENOMEM;
		return clone_map(source.pid, from, len, to, PVMMAP_FIXED_NOREPLACE);
	}
	return clone_map(source.pid, from, len, to, PVMMAP_FIXED);
}

/* An errno that may come, after which all is as it was but for what @how does first. */
static bool is_refusal(long ret)
{
	return ret == -EFAULT || ret == -ESRCH || ret == -EINVAL;
}

/* Clone source.run to @dst and compare it. */
static int clone_checked(struct worker *w, struct run dst, unsigned int how)
{
	static struct page_state old[SLOT_PAGES];
	long ret;

	memcpy(old, &w->pages[dst.slot][dst.page], dst.pages * sizeof(*old));
	slot_begin(w, dst.slot);
	run_set(w, dst, (struct page_state){ STAMP_ANY, MAPPED });
	ret = call(w, dst, how);
	w->trace->ret = ret;
	if (ret == (long)address(dst.slot, dst.page)) {
		take_clone(w, dst);
	} else if (is_refusal(ret)) {
		for (unsigned int i = 0; i < dst.pages; i++)
			page_set(w, dst.slot, dst.page + i,
				 how == 1 ? (struct page_state){ 0 } : old[i]);
	} else if (ret == -ENOMEM) {
		slot_clear(w, dst.slot);
	} else {
		fail(w, "clone of %d %u:%u+%u: %ld", source.pid, source.run.slot,
		     source.run.page, dst.pages, ret);
	}
	slot_end(w, dst.slot);
	if (ret < 0)
		w->seat->clones.refused++;
	return ret < 0 ? ret : 0;
}

/*
 * Of all of a slot, take @pages at most from @page on that are mapped in one way, as
 * the source says; a hole if there is nothing else.
 */
static void narrow(struct source *s, unsigned int page, unsigned int pages)
{
	struct page_state *all = s->before.pages;
	unsigned int n;

	for (n = 0; n < SLOT_PAGES && !(all[page].flags & MAPPED); n++)
		page = (page + 1) % SLOT_PAGES;
	s->run = (struct run){ s->run.slot, page, 1 };
	while (s->run.pages < pages && page + s->run.pages < SLOT_PAGES &&
	       !((all[page + s->run.pages].flags ^ all[page].flags) & ~(MAYBE | MINE)))
		s->run.pages++;
	memmove(all, all + page, s->run.pages * sizeof(*all));
}

static struct run place_for(struct worker *w, struct run run)
{
	struct run dst = { pick(&w->random, SLOTS), run.page, run.pages };

	if (pick(&w->random, 2))
		dst.page = pick(&w->random, SLOT_PAGES - run.pages + 1);
	return dst;
}

static void trace_source(struct worker *w, struct run dst)
{
	w->trace->slot = dst.slot;
	w->trace->page = dst.page;
	w->trace->pages = dst.pages;
	w->trace->other = source.seat - w->board->seats;
	w->trace->other_slot = source.run.slot;
	w->trace->other_page = source.run.page;
}

int op_clone(struct worker *w)
{
	struct source *s = &source;
	unsigned int how = pick(&w->random, 8), page, pages;
	struct run dst;

	s->seat = &w->board->seats[pick(&w->random, w->board->workers)];
	s->pid = s->seat->pid;
	s->run = (struct run){ pick(&w->random, SLOTS), 0, SLOT_PAGES };
	page = pick(&w->random, SLOT_PAGES);
	pages = pick_pages(w);
	if (s->pid <= 0)
		return -ESRCH;
	listen_before(w, s);
	narrow(s, page, pages);
	dst = place_for(w, s->run);
	trace_source(w, dst);
	return clone_checked(w, dst, how);
}

/* What a child of ours has written is known here, too. */
static void foresee(struct worker *w, struct run run)
{
	w->child = true;
	w->child_gen = first_gen_of_child(w);
	for (unsigned int i = 0; i < run.pages; i++)
		source.before.pages[i] = (struct page_state){
			new_stamp(w, run, run.page + i),
			w->pages[run.slot][run.page + i].flags & ~MAYBE };
	w->child = false;
}

/* A run that a child has written anew, and waits. */
int clone_child(struct worker *w, pid_t pid, struct run run)
{
	struct run dst;
	int err;

	source.seat = w->seat;
	source.pid = pid;
	source.known = true;
	source.run = run;
	foresee(w, run);
	dst = place_for(w, run);
	trace_source(w, dst);
	err = clone_checked(w, dst, 2 + pick(&w->random, 6));
	check_run(w, dst);
	return err;
}

/* Another program, by the time, that clones from the worker which has forked it. */
int visit(struct board *board, unsigned int index, uint64_t nr)
{
	static struct worker w;
	static struct trace trace;

	w.board = board;
	w.seat = &board->seats[index];
	w.index = index;
	w.nr = nr;
	w.trace = &trace;
	w.random.state = board->seed ^ nr << 20 ^ index;
	w.child = true;
	for (int i = 0; i < 4 && !board->stop; i++) {
		op_clone(&w);
		check_all(&w);
	}
	return 0;
}
