// SPDX-License-Identifier: GPL-2.0-only
/* Children: that are cloned from, that live for a while, that run another program. */
#include "stress.h"

#include <poll.h>

/* A child that writes to its copy, and waits for its parent to have cloned that. */
static void be_cloned(struct worker *w, struct run run, int to, int from)
{
	char byte = 0;

	for (unsigned int i = run.page; i < run.page + run.pages; i++) {
		uint64_t stamp = new_stamp(w, run, i);
		uint64_t *word = (uint64_t *)address(run.slot, i);

		word[0] = stamp;
		word[page_size() / sizeof(*word) - 1] = ~stamp;
		w->pages[run.slot][i].stamp = stamp;
		w->pages[run.slot][i].flags &= ~MAYBE;
	}
	if (write(to, &byte, 1) != 1 || read(from, &byte, 1) < 0)
		_exit(1);
	check_run(w, run);
	_exit(0);
}

static void become_child(struct worker *w)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	w->child = true;
	w->child_gen = first_gen_of_child(w);
	memset(w->children, 0, sizeof(w->children));
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		for (unsigned int page = 0; page < SLOT_PAGES; page++) {
			struct page_state *state = &w->pages[slot][page];

			/* the parent goes on writing, and locks are not inherited */
			state->flags &= ~(MINE | LOCKED);
		}
}

static int wait_for(struct worker *w, pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || (status && !beside_killed(w->board, status)))
		fail(w, "a child ended with status %x", status);
	return 0;
}

/* A child's page into its parent: mapped twice there, from two generations. */
int op_clone_child(struct worker *w)
{
	int to[2], from[2], err = 0;
	char byte;
	struct run run;
	pid_t pid;

	if (!pick_run(w, &run, NOREAD | NOWRITE | SHARED | LOCKED))
		return -ENOENT;
	if (pipe(to) || pipe(from))
		return -errno;
	pid = fork();
	if (!pid) {
		close(from[1]);
		become_child(w);
		be_cloned(w, run, to[1], from[0]);
	}
	close(to[1]);
	close(from[0]);
	if (pid > 0 && read(to[0], &byte, 1) == 1 && w->board->by == BY_CLONE) {
		err = clone_child(w, pid, run);
	}
	close(to[0]);
	close(from[1]);
	return pid < 0 ? -ENOMEM : err ?: wait_for(w, pid);
}

/* One that was killed on purpose has no status to speak of. */
void reap_children(struct worker *w, int options)
{
	int status;

	for (unsigned int i = 0; i < ARRAY_SIZE(w->children); i++) {
		if (!w->children[i])
			continue;
		if (!options)
			kill(w->children[i], SIGKILL);
		if (waitpid(w->children[i], &status, options) != w->children[i])
			continue;
		if (status && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
			fail(w, "a child ended with status %x", status);
		w->children[i] = 0;
	}
}

static void live(struct worker *w, bool for_long)
{
	unsigned int n = 1 + pick(&w->random, 8);

	become_child(w);
	while (n-- && !w->board->stop)
		local_op(w, n);
	check_run(w, (struct run){ pick(&w->random, SLOTS), 0, SLOT_PAGES });
	if (w->board->by == BY_CLONE && !for_long) {
		for (n = pick(&w->random, 3); n; n--)
			op_clone(w);
		if (!pick(&w->random, 3))
			exec_self(-1, "visit", w->index, w->nr);
	}
	while (for_long && !w->board->stop)
		poll(NULL, 0, 100);
	_exit(0);
}

/* A child that lives beside us; in place of clones, one that keeps its copy. */
int op_fork(struct worker *w)
{
	unsigned int i = w->nr % ARRAY_SIZE(w->children);
	bool for_long = w->trace->op == OP_CLONE;
	pid_t pid;

	reap_children(w, WNOHANG);
	if (w->children[i]) {
		kill(w->children[i], SIGKILL);
		waitpid(w->children[i], NULL, 0);
		w->children[i] = 0;
	}
	pid = fork();
	if (!pid)
		live(w, for_long);
	if (pid < 0)
		return -errno;
	w->children[i] = pid;
	return 0;
}
