/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stress of process_vm_mmap() that knows what each page must hold.
 *
 * Each worker has an arena of slots at addresses that are the same in all of
 * them, and a model of it: for each page what was written there last, and how it
 * is mapped.  It also publishes the model on a board that all share, so that who
 * clones from it can say what it must have got:
 *
 *  - a slot has a sequence number, odd while an operation is under way; the
 *    published model is changed before the memory is;
 *  - who clones reads number and model before and after.  Same even number: the
 *    pages are exactly those of the model.  One operation in between: each page is
 *    as before it or as after it.  More: each page is one that somebody wrote
 *    once.
 *
 * After that a clone is the cloner's own, and part of its model.  Whatever leaks
 * from one process to another, gets lost, or appears again shows up as a page
 * that is not as it should be.
 */
#ifndef STRESS_H
#define STRESS_H

#include "pvm.h"
#include <limits.h>
#include <stdatomic.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define MAX_WORKERS	32
#define SLOTS		6
#define SLOT_PAGES	1024u		/* two PMDs */
#define SLOT_STRIDE	(8 * MB)
#define ARENA		0x200000000000UL
#define TRACE		12

/* How a page is mapped: the flags of a page of the model. */
#define MAPPED		0x01
#define SHARED		0x02
#define MINE		0x04	/* shared, and this process writes to it */
#define MAYBE		0x08	/* MADV_FREE: as it was, or zero */
#define NOREAD		0x10
#define NOWRITE		0x20
#define LOCKED		0x40
#define ON_FILE		0x80
/*
 * KSM may have it, or have had it. No MADV_FREE there, unless the base is fixed: 6.12
 * forgets that a page of KSM is dirty then, and loses it for all who share it, clones or
 * not.
 */
#define MERGEABLE	0x100
#define CLONED		(MAPPED | SHARED | MAYBE | NOREAD | NOWRITE | ON_FILE | MERGEABLE)

#define CHILD		64	/* added to the writer of a stamp */
#define COMMON		255	/* a writer of pages that are equal, for KSM */
#define STAMP_ANY	(~0ULL)	/* published while nobody knows */

enum op {
	OP_MAP, OP_WRITE, OP_COMMON, OP_CHECK, OP_CLONE, OP_CLONE_CHILD,
	OP_FORK, OP_UNMAP, OP_REMAP, OP_PROTECT, OP_ADVISE, OP_DISCARD,
	OP_LOCK, OP_EXEC, OP_EXIT, NR_OPS
};

enum by { BY_CLONE, BY_FORK };

struct page_state {
	uint64_t stamp;
	uint16_t flags;
};

struct published {
	_Atomic uint32_t seq;
	_Atomic uint64_t stamp[SLOT_PAGES];
	_Atomic uint16_t flags[SLOT_PAGES];
};

struct trace {
	uint64_t nr;
	uint32_t op, slot, page, pages, other, other_slot, other_page;
	long ret;
};

/* What clones were like. */
struct clone_counts {
	_Atomic uint64_t exact, raced, wild, refused;
};

struct seat {
	_Atomic pid_t pid;
	_Atomic uint32_t incarnation;
	_Atomic uint64_t ops;		/* the pulse, too */
	_Atomic uint64_t gen;		/* of the last stamp */
	_Atomic uint64_t checked;	/* pages */
	_Atomic uint64_t done[NR_OPS], refused[NR_OPS];
	struct clone_counts clones;
	_Atomic uint32_t next_trace;
	struct trace trace[TRACE];
	struct published slots[SLOTS];
};

struct board {
	_Atomic int stop;
	_Atomic int failed;
	char failure[2048];
	enum by by;
	uint64_t seed;
	unsigned int workers;
	bool fixed_base;		/* with base/madvise-free.patch */
	bool may_free;			/* MADV_FREE */
	_Atomic long killed;		/* workers, and children that were waited for */
	struct seat seats[MAX_WORKERS];
};

struct random {
	uint64_t state;
};

/* A worker, or a child of one, whose model nobody else sees. */
struct worker {
	struct board *board;
	struct seat *seat;
	unsigned int index;
	bool child;
	uint64_t child_gen;
	uint64_t nr;			/* of the operation */
	struct random random;
	struct trace *trace;
	struct page_state pages[SLOTS][SLOT_PAGES];
	pid_t children[4];		/* that look at what fork() gave them */
};

/* A run of pages of one slot. */
struct run {
	unsigned int slot, page, pages;
};

struct options {
	uint64_t seed;
	unsigned int workers, seconds, stuck_s;
	bool by[2];
	bool fixed_base;
	const char *beside;
	unsigned long limit;
};

extern const char *const op_names[NR_OPS];

static inline uint64_t next_random(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline unsigned int pick(struct random *random, unsigned int below)
{
	return next_random(random) % below;
}

static inline unsigned long address(unsigned int slot, unsigned int page)
{
	return ARENA + slot * SLOT_STRIDE + page * page_size();
}

/* The children of each operation have generations of their own. */
static inline uint64_t first_gen_of_child(const struct worker *w)
{
	return w->nr << 12;
}

/* model.c */
__attribute__((format(printf, 2, 3)))
void fail(struct worker *w, const char *format, ...);
bool well_formed(struct worker *w, uint64_t stamp);
bool not_older(uint64_t stamp, uint64_t than);
uint64_t new_stamp(struct worker *w, struct run run, unsigned int page);
uint64_t first_word(unsigned int slot, unsigned int page);
uint64_t last_word(unsigned int slot, unsigned int page);
uint64_t last_of(uint64_t stamp);
void slot_begin(struct worker *w, unsigned int slot);
void slot_end(struct worker *w, unsigned int slot);
void page_set(struct worker *w, unsigned int slot, unsigned int page,
	      struct page_state state);
void run_set(struct worker *w, struct run run, struct page_state state);
void check_run(struct worker *w, struct run run);
void check_all(struct worker *w);
void slot_clear(struct worker *w, unsigned int slot);
void start_over(struct worker *w);

/* ops.c: each is 0, or -errno if it was refused */
unsigned int pick_pages(struct worker *w);
bool pick_run(struct worker *w, struct run *run, uint16_t without);
int op_map(struct worker *w);
int op_write(struct worker *w);
int op_common(struct worker *w);
int op_check(struct worker *w);
int op_unmap(struct worker *w);
int op_remap(struct worker *w);
int op_protect(struct worker *w);
int op_advise(struct worker *w);
int op_discard(struct worker *w);
int op_lock(struct worker *w);

/* clone.c */
int op_clone(struct worker *w);
int clone_child(struct worker *w, pid_t pid, struct run run);
int visit(struct board *board, unsigned int index, uint64_t nr);

/* family.c */
int op_clone_child(struct worker *w);
int op_fork(struct worker *w);
void reap_children(struct worker *w, int options);

/* worker.c */
void local_op(struct worker *w, unsigned int nr);
void work(struct board *board, int fd, unsigned int index, uint32_t incarnation);
void exec_self(int fd, const char *role, unsigned int index, uint64_t number);

/* beside.c: what goes on beside the workers, and the settings that it needs */
int beside_start(struct board *board, const struct options *options);
void beside_stop(void);
int beside_enter_cgroup(void);
bool beside_owns(pid_t pid);
long beside_oom_kills(void);
bool beside_killed(struct board *board, int status);
long beside_leave_cgroup(void);
bool swap_is_direct(void);

/* account.c */
#define NR_ACCOUNTS	6

struct account {
	long kb[NR_ACCOUNTS];
};

void account_take(struct account *account);
bool account_same(const struct account *before);

/* trylock.c */
bool trylock_reset(void);
bool trylock_report(const char *title);

#endif /* STRESS_H */
