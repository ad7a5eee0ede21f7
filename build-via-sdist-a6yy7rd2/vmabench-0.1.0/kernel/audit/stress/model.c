// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each page must hold: stamps, the model, the published copy of it, and
 * the comparison with the memory.
 *
 * A stamp says who wrote it where and when; a page has it in its first word and
 * its complement in the last.  0 is a page that nobody wrote to.
 */
#include "stress.h"

#include <stdarg.h>

#define GEN_BITS	40
#define PLACE_BITS	16

static void describe(struct worker *w, char *text, size_t size)
{
	unsigned int next = w->seat->next_trace;
	size_t used = 0;

	for (unsigned int i = 0; i < TRACE && used < size; i++) {
		struct trace *t = &w->seat->trace[(next + i) % TRACE];

		if (t->nr)
			used += snprintf(text + used, size - used,
				"\n#   %llu %s %u:%u+%u other %u:%u:%u = %ld",
				(unsigned long long)t->nr, op_names[t->op],
				t->slot, t->page, t->pages, t->other,
				t->other_slot, t->other_page, t->ret);
	}
}

/* The first failure of all is the one that is told.  Ends the process. */
void fail(struct worker *w, const char *format, ...)
{
	struct board *board = w->board;
	char what[256], last[1400] = "";
	va_list args;

	if (!atomic_exchange(&board->failed, 1)) {
		va_start(args, format);
		vsnprintf(what, sizeof(what), format, args);
		va_end(args);
		describe(w, last, sizeof(last));
		snprintf(board->failure, sizeof(board->failure),
			 "worker %u%s incarnation %u operation %llu: %s%s",
			 w->index, w->child ? " (child)" : "",
			 w->seat->incarnation, (unsigned long long)w->nr, what,
			 last);
	}
	board->stop = 1;
	_exit(1);
}

uint64_t new_stamp(struct worker *w, struct run run, unsigned int page)
{
	uint64_t writer = w->index, gen;

	if (w->child) {
		writer += CHILD;
		gen = ++w->child_gen;
	} else {
		gen = ++w->seat->gen;
	}
	return writer << (GEN_BITS + PLACE_BITS) |
	       (uint64_t)(run.slot * SLOT_PAGES + page) << GEN_BITS |
	       (gen & ((1ULL << GEN_BITS) - 1));
}

/* Has anybody ever written this? */
bool well_formed(struct worker *w, uint64_t stamp)
{
	uint64_t writer = stamp >> (GEN_BITS + PLACE_BITS);
	uint64_t place = stamp >> GEN_BITS & ((1 << PLACE_BITS) - 1);
	uint64_t gen = stamp & ((1ULL << GEN_BITS) - 1);

	if (!stamp)
		return true;
	if (!gen || place >= SLOTS * SLOT_PAGES)
		return false;
	if (writer == COMMON)
		return gen <= 4 && !place;
	if (writer >= CHILD)
		return writer - CHILD < w->board->workers;
	return writer < w->board->workers && gen <= w->board->seats[writer].gen;
}

uint64_t first_word(unsigned int slot, unsigned int page)
{
	return *(volatile uint64_t *)address(slot, page);
}

uint64_t last_word(unsigned int slot, unsigned int page)
{
	return *(volatile uint64_t *)(address(slot, page + 1) - sizeof(uint64_t));
}

uint64_t last_of(uint64_t stamp)
{
	return stamp ? ~stamp : 0;
}

void slot_begin(struct worker *w, unsigned int slot)
{
	if (!w->child)
		w->seat->slots[slot].seq++;
}

void slot_end(struct worker *w, unsigned int slot)
{
	slot_begin(w, slot);
}

void page_set(struct worker *w, unsigned int slot, unsigned int page,
	      struct page_state state)
{
	w->pages[slot][page] = state;
	if (w->child)
		return;
	w->seat->slots[slot].stamp[page] = state.stamp;
	w->seat->slots[slot].flags[page] = state.flags;
}

void run_set(struct worker *w, struct run run, struct page_state state)
{
	for (unsigned int i = 0; i < run.pages; i++)
		page_set(w, run.slot, run.page + i, state);
}

/* One writer only, and its stamps grow, wherever it has the page mapped. */
bool not_older(uint64_t stamp, uint64_t than)
{
	const uint64_t gen = (1ULL << GEN_BITS) - 1;

	return !than || (stamp >> (GEN_BITS + PLACE_BITS) == than >> (GEN_BITS + PLACE_BITS) &&
			 (stamp & gen) >= (than & gen));
}

/* Written by somebody else meanwhile, but never back to an older stamp. */
static void check_shared(struct worker *w, struct run run, unsigned int page)
{
	struct page_state *state = &w->pages[run.slot][page];
	uint64_t found = first_word(run.slot, page);

	if (!well_formed(w, found) || !not_older(found, state->stamp))
		fail(w, "shared page %u:%u holds %016llx after %016llx", run.slot,
		     page, (unsigned long long)found,
		     (unsigned long long)state->stamp);
	state->stamp = found;
}

static void check_page(struct worker *w, struct run run, unsigned int page)
{
	struct page_state *state = &w->pages[run.slot][page];
	uint64_t first, last;

	if (!(state->flags & MAPPED) || (state->flags & NOREAD))
		return;
	if ((state->flags & SHARED) && !(state->flags & MINE)) {
		check_shared(w, run, page);
		return;
	}
	last = last_word(run.slot, page);
	first = first_word(run.slot, page);
	/* freed between the two readings: look again, it stays so */
	if ((state->flags & MAYBE) && !first && last)
		last = last_word(run.slot, page);
	if ((state->flags & MAYBE) && !first && !last) {
		state->stamp = 0;
		state->flags &= ~MAYBE;
	}
	if (first != state->stamp || last != last_of(state->stamp))
		fail(w, "page %u:%u flags %02x holds %016llx %016llx, not %016llx",
		     run.slot, page, state->flags, (unsigned long long)first,
		     (unsigned long long)last, (unsigned long long)state->stamp);
}

void check_run(struct worker *w, struct run run)
{
	for (unsigned int i = 0; i < run.pages; i++)
		check_page(w, run, run.page + i);
	w->seat->checked += run.pages;
}

void check_all(struct worker *w)
{
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		check_run(w, (struct run){ slot, 0, SLOT_PAGES });
}

/*
 * A way out of any state that an operation which failed half way has left, between
 * its begin and its end. It counts as one more, so that nobody takes what was
 * there meanwhile for either.
 */
void slot_clear(struct worker *w, unsigned int slot)
{
	if (!w->child)
		w->seat->slots[slot].seq += 2;
	run_set(w, (struct run){ slot, 0, SLOT_PAGES }, (struct page_state){ 0 });
	if (munmap((void *)address(slot, 0), SLOT_PAGES * page_size()))
		fail(w, "munmap of slot %u: %s", slot, strerror(errno));
}

/* What the last incarnation has published is no longer there. */
void start_over(struct worker *w)
{
	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		struct published *pub = &w->seat->slots[slot];

		/* three operations at least, for whoever is at it, and even */
		pub->seq = (pub->seq + 7) & ~1u;
		run_set(w, (struct run){ slot, 0, SLOT_PAGES },
			(struct page_state){ 0 });
	}
}
