// SPDX-License-Identifier: GPL-2.0-only
/*
 * A worker: one operation after the other, each from a number of its own, so that
 * what is tried does not depend on how the ones before have ended.
 */
#include "stress.h"

typedef int (*op_fn)(struct worker *w);

static const struct {
	op_fn fn;
	unsigned int weight;
	bool local;		/* a child does it, too */
} ops[NR_OPS] = {
	[OP_MAP] =		{ op_map, 60, true },
	[OP_WRITE] =		{ op_write, 160, true },
	[OP_COMMON] =		{ op_common, 40, true },
	[OP_CHECK] =		{ op_check, 120, true },
	[OP_CLONE] =		{ op_clone, 300, false },
	[OP_CLONE_CHILD] =	{ op_clone_child, 20, false },
	[OP_FORK] =		{ op_fork, 20, false },
	[OP_UNMAP] =		{ op_unmap, 30, true },
	[OP_REMAP] =		{ op_remap, 50, true },
	[OP_PROTECT] =		{ op_protect, 50, true },
	[OP_ADVISE] =		{ op_advise, 80, true },
	[OP_DISCARD] =		{ op_discard, 30, true },
	[OP_LOCK] =		{ op_lock, 15, true },
	[OP_EXEC] =		{ NULL, 2, false },
	[OP_EXIT] =		{ NULL, 2, false },
};

const char *const op_names[NR_OPS] = {
	"map", "write", "common", "check", "clone", "clone-child", "fork", "unmap",
	"remap", "protect", "advise", "discard", "lock", "exec", "exit",
};

static struct worker self;	/* private, so that a fork() copies it */
static int board_fd;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	unsigned long addr = (unsigned long)info->si_addr;

	fail(&self, "signal %d at %lx, page %lu of slot %lu", sig, addr,
	     (addr - ARENA) % SLOT_STRIDE / page_size(), (addr - ARENA) / SLOT_STRIDE);
}

static void catch_faults(void)
{
	static char stack[64 * 1024];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = on_fault,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigaltstack(&alternate, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

static enum op pick_op(struct random *random, bool local)
{
	unsigned int sum = 0, at;

	for (unsigned int i = 0; i < NR_OPS; i++)
		sum += local && !ops[i].local ? 0 : ops[i].weight;
	at = pick(random, sum);
	for (unsigned int i = 0; i < NR_OPS; i++) {
		unsigned int weight = local && !ops[i].local ? 0 : ops[i].weight;

		if (at < weight)
			return i;
		at -= weight;
	}
	return OP_CHECK;
}

static void count(struct worker *w, enum op op, int err)
{
	w->trace->ret = w->trace->ret ?: err;
	if (err)
		w->seat->refused[op]++;
	else
		w->seat->done[op]++;
}

static void begin_trace(struct worker *w, enum op op)
{
	w->trace = &w->seat->trace[w->seat->next_trace++ % TRACE];
	*w->trace = (struct trace){ .nr = w->nr, .op = op };
}

/* Of a child: not traced, as the trace is the parent's. */
void local_op(struct worker *w, unsigned int nr)
{
	static struct trace unseen;

	w->trace = &unseen;
	w->random.state += nr;
	ops[pick_op(&w->random, true)].fn(w);
}

void exec_self(int fd, const char *role, unsigned int index, uint64_t number)
{
	char words[3][24];

	snprintf(words[0], sizeof(words[0]), "%d", fd < 0 ? board_fd : fd);
	snprintf(words[1], sizeof(words[1]), "%u", index);
	snprintf(words[2], sizeof(words[2]), "%llu", (unsigned long long)number);
	execl("/proc/self/exe", "stress", role, words[0], words[1], words[2], NULL);
	_exit(errno == ENOMEM ? 0 : 1);
}

static void do_op(struct worker *w, enum op op)
{
	begin_trace(w, op);
	if (op == OP_EXEC || op == OP_EXIT) {
		reap_children(w, 0);
		count(w, op, 0);
		if (op == OP_EXIT)
			_exit(0);
		exec_self(board_fd, "work", w->index, w->seat->incarnation + 1);
	}
	if (op == OP_CLONE && w->board->by == BY_FORK)
		count(w, op, op_fork(w));
	else
		count(w, op, ops[op].fn(w));
}

void work(struct board *board, int fd, unsigned int index, uint32_t incarnation)
{
	struct worker *w = &self;

	board_fd = fd;
	w->board = board;
	w->seat = &board->seats[index];
	w->index = index;
	catch_faults();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	w->seat->incarnation = incarnation;
	start_over(w);
	w->seat->pid = getpid();
	while (!board->stop) {
		w->nr = ++w->seat->ops;
		w->random.state = board->seed * 0x100000001b3ULL ^
				  (uint64_t)index << 56 ^ w->nr;
		do_op(w, pick_op(&w->random, false));
	}
	if (!board->failed)
		check_all(w);
	reap_children(w, 0);
	_exit(0);
}
