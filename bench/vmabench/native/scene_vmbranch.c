// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmbranch: a process with a large written memory is branched into several children
 * and goes on writing, as a microVM does that is forked. The source is the process
 * that is branched; its children are the receivers.
 *
 * The source writes each page once, for comparison, and stands still. Where the
 * mechanism can freeze the data, or makes the children itself, the source continues as
 * soon as that is done; otherwise it continues when each child has its memory. Then it
 * writes each page once more while the children read. The pause, the first page that a
 * child has read and the end of the last child are all counted from the moment at
 * which the source stopped, so these phases overlap.
 *
 * Each write stores its number in the first word of its page. Page p has number p + 1
 * at the moment of the branch, and every child is compared with that after the source
 * has written all pages.
 *
 * A process that waits sleeps in a futex: there may be more children than CPUs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "relax.h"

#define SLICE_MS 100 /* how often the source looks whether its children live */

/* What the children do, in this order. */
enum step {
	STEP_NONE,
	STEP_PREPARE,
	STEP_TAKE,
	STEP_READ,
	STEP_CHECK,
	STEP_WRITE,
	STEP_LOOK,
	STEP_END,
	NR_STEPS,
};

/* The extras of the scene, in the order of its row; bytes, of one child unless it says so. */
enum extra {
	EXTRA_READ,	   /* PSS that a child adds when it has read all and nobody has written */
	EXTRA_WRITTEN,	   /* the same, when the source has written each page */
	EXTRA_PRIVATE,	   /* that no other process maps, then */
	EXTRA_SOURCE_HUGE, /* of the source, then */
	EXTRA_CHILD_HUGE,
	NR_EXTRAS,
};

struct seat {
	int32_t err;
	char detail[VMB_DETAIL_SIZE];
	uintptr_t dst;
	uint64_t first_ns, read_ns; /* when it had read one page, and all of them */
	uint64_t torn_pages;
	struct vmb_proof proof; /* after it has read, and again after it was checked */
};

/* Shared by the source and its children. */
struct board {
	uint32_t step;		    /* futex: how far the children are to go */
	uint32_t arrived[NR_STEPS]; /* futexes: how many have done that step */
	struct seat seats[];
};

struct branch {
	struct vmb_ctx *ctx;
	struct board *board;
	size_t board_bytes, pages;
	uint32_t count;
	pid_t pids[VMB_MOST_RECEIVERS];
	struct vmb_ctx there[VMB_MOST_RECEIVERS]; /* what the source has of each, where it acts */
	struct vmb_steps steps;
	struct vmb_evidence *check; /* compare all bytes; or NULL */
	struct vmb_writer *writer;
	uint64_t number; /* of the last write */
	uint64_t period_ns, due_ns, last_ns;
	uint64_t before_bytes; /* PSS of the source before the branch */
};

static int child_receives(const struct branch *branch)
{
	return !!(branch->ctx->mech->flags & VMB_CHILD_RECEIVES);
}

/* Whether the source moves the data itself, to children that are there already. */
static int source_moves(const struct branch *branch)
{
	return branch->ctx->mech->flags & VMB_SOURCE_ACTS && !child_receives(branch);
}

static int has_data(const struct branch *branch)
{
	return branch->ctx->mech->isolation != VMB_MOVES_NOTHING;
}

static uint32_t arrived_at(const struct branch *branch, enum step step)
{
	return __atomic_load_n(&branch->board->arrived[step], __ATOMIC_ACQUIRE);
}

/* The children's side */

static void keep_error(struct seat *seat, int err)
{
	if (!err || seat->err)
		return;
	seat->err = err;
	memcpy(seat->detail, vmb_detail(), sizeof(seat->detail));
}

/* The source's object by its number there: it is made after the child was. */
static int open_object(pid_t source, int number)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)source, number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? vmb_fail(-errno, "open of the source's shared object") : fd;
}

static int prepare(struct seat *seat, struct vmb_ctx *own)
{
	char *slots[2];
	int err;

	own->remote_src = (uintptr_t)own->src;
	own->remote_fd = vmb_source_region.fd;
	own->src = NULL;
	own->channel = own->fd = -1;
	if (vmb_source_region.fd >= 0) {
		own->fd = open_object(own->other, vmb_source_region.fd);
		if (own->fd < 0)
			return own->fd;
	}
	err = vmb_slots_find(own->size, 2, slots);
	if (err)
		return err;
	own->slot = own->dst = own->view = slots[0];
	own->src_slot = slots[1];
	seat->dst = (uintptr_t)own->dst;
	return own->mech->setup ? own->mech->setup(own) : 0;
}

static int take(const struct branch *branch, struct vmb_ctx *own)
{
	int err = branch->steps.attach(own);

	return err || source_moves(branch) ? err : branch->steps.deliver(own);
}

static int read_pages(const struct branch *branch, struct seat *seat, struct vmb_ctx *own)
{
	if (own->view)
		vmb_read_all(own->view, own->base_page);
	seat->first_ns = vmb_now_ns();
	if (own->view)
		vmb_read_all(own->view, own->size);
	seat->read_ns = vmb_now_ns();
	return branch->check && own->view ? vmb_prove(own->view, own->size, &seat->proof) : 0;
}

/* Whether each page was written last by the write that is first plus its number. */
static int check_pages(const struct branch *branch, const char *addr, uint64_t first,
		       uint64_t *ret_torn)
{
	const struct vmb_ctx *ctx = branch->ctx;
	int err = 0;

	*ret_torn = 0;
	for (size_t page = 0; page < branch->pages && !err; page++) {
		const char *at = addr + page * ctx->base_page;

		*ret_torn += *(const uint64_t *)(const void *)at != first + page;
		if (branch->check)
			err = vmb_pattern_check_page(at, ctx->params.seed,
						     vmb_control->request.generation, page, 1);
	}
	return err;
}

static int check(const struct branch *branch, struct seat *seat, const struct vmb_ctx *own)
{
	int err;

	if (!own->view)
		return 0;
	err = check_pages(branch, own->view, 1, &seat->torn_pages);
	return !err && branch->check ? vmb_prove(own->view, own->size, &seat->proof) : err;
}

/* The word that each child writes, with its own number. */
static volatile uint64_t *mark_of(const struct vmb_ctx *own)
{
	return vmb_word(own->view, own->size / own->base_page / 2, own->base_page, 1);
}

static int look(const struct seat *seat, const struct board *board, const struct vmb_ctx *own)
{
	if (own->view && *mark_of(own) != (uint64_t)(seat - board->seats))
		return vmb_fail(-EBADMSG, "the write of one child reached another");
	return 0;
}

static int obey(const struct branch *branch, struct seat *seat, struct vmb_ctx *own, enum step step)
{
	switch (step) {
	case STEP_PREPARE:
		return prepare(seat, own);
	case STEP_TAKE:
		return take(branch, own);
	case STEP_READ:
		return read_pages(branch, seat, own);
	case STEP_CHECK:
		return check(branch, seat, own);
	case STEP_WRITE:
		if (own->view)
			*mark_of(own) = (uint64_t)(seat - branch->board->seats);
		return 0;
	case STEP_LOOK:
		return look(seat, branch->board, own);
	default:
		return 0;
	}
}

static void arrive(struct board *board, enum step step)
{
	__atomic_add_fetch(&board->arrived[step], 1, __ATOMIC_RELEASE);
	vmb_futex_wake(&board->arrived[step]);
}

/* A child takes every step also after an error, so that the source does not wait in vain. */
static void be_child(const struct branch *branch, uint32_t number, pid_t parent, enum step done)
{
	struct board *board = branch->board;
	struct seat *seat = &board->seats[number];
	struct vmb_ctx own = *branch->ctx;
	uint32_t step;

	vmb_be_child_of(parent);
	own.other = parent;
	own.view = own.src;
	if (done == STEP_NONE)
		munmap(vmb_source_region.addr, vmb_source_region.size);
	arrive(board, done);
	while (done != STEP_END) {
		step = __atomic_load_n(&board->step, __ATOMIC_ACQUIRE);
		if (step <= (uint32_t)done) {
			vmb_futex_wait(&board->step, step, 1000);
			continue;
		}
		done++;
		if (!seat->err)
			keep_error(seat, obey(branch, seat, &own, done));
		arrive(board, done);
	}
	_exit(0);
}

/* The source's side */

static int wait_for_all(struct branch *branch, enum step step)
{
	struct board *board = branch->board;
	uint32_t seen;
	int err;

	while ((seen = arrived_at(branch, step)) < branch->count) {
		vmb_futex_wait(&board->arrived[step], seen, SLICE_MS);
		err = arrived_at(branch, step) == seen
			      ? vmb_check_children(branch->pids, branch->count, "child")
			      : 0;
		if (err)
			return err;
	}
	for (uint32_t i = 0; i < branch->count; i++) {
		if (!board->seats[i].err)
			continue;
		vmb_fail(0, "child %u of %u: %.120s", i + 1, branch->count, board->seats[i].detail);
		return board->seats[i].err;
	}
	return 0;
}

static void let_go(struct branch *branch, enum step step)
{
	__atomic_store_n(&branch->board->step, step, __ATOMIC_RELEASE);
	vmb_futex_wake(&branch->board->step);
}

static int pace(struct branch *branch, enum step step)
{
	let_go(branch, step);
	return wait_for_all(branch, step);
}

static int make_children(struct branch *branch, enum step done)
{
	pid_t parent = getpid();
	int err;

	for (uint32_t i = 0; i < branch->count; i++) {
		branch->pids[i] = fork();
		if (!branch->pids[i])
			be_child(branch, i, parent, done);
		if (branch->pids[i] < 0)
			return vmb_fail(-errno, "fork of child %u of %u", i + 1, branch->count);
		/* Before it runs: it would take the writer's CPU. */
		err = vmb_pin_process(branch->pids[i], vmb_control->request.child_cpus[i]);
		if (err)
			return err;
	}
	return 0;
}

/* What the source needs of each child before it can write to its memory. */
static int set_up_there(struct branch *branch)
{
	int err = 0;

	for (uint32_t i = 0; i < branch->count && !err; i++) {
		struct vmb_ctx *there = &branch->there[i];

		*there = *branch->ctx;
		there->other = branch->pids[i];
		there->remote_dst = branch->board->seats[i].dst;
		there->channel = -1;
		if (there->mech->source_setup)
			err = there->mech->source_setup(there);
	}
	return err;
}

static int move_to_all(struct branch *branch)
{
	vmb_hook transfer = vmb_timed_transfer(branch->ctx);
	int err = 0;

	for (uint32_t i = 0; i < branch->count && !err; i++)
		err = transfer(&branch->there[i]);
	return err;
}

/* While the rate limits the writer, it waits; it hurries once all children have read. */
static void wait_until_due(const struct branch *branch)
{
	while (branch->period_ns && vmb_now_ns() < branch->due_ns &&
	       arrived_at(branch, STEP_READ) < branch->count)
		vmb_relax();
}

static void write_page(struct branch *branch, size_t page)
{
	volatile uint64_t *word = vmb_word(branch->ctx->src, page, branch->ctx->base_page, 0);
	struct vmb_writer *writer = branch->writer;
	uint64_t start_ns, gap_ns;

	wait_until_due(branch);
	start_ns = vmb_now_ns();
	*word = ++branch->number;
	gap_ns = branch->last_ns;
	branch->last_ns = vmb_now_ns();
	gap_ns = branch->last_ns - gap_ns;
	branch->due_ns = start_ns + branch->period_ns;
	writer->writes++;
	writer->write_ns += branch->last_ns - start_ns;
	if (gap_ns > writer->longest_ns)
		writer->longest_ns = gap_ns;
	vmb_latency_add(&vmb_control->latency, branch->last_ns - start_ns);
}

/* The same writes without anybody who shares the pages: what they take by themselves. */
static void write_plainly(struct branch *branch)
{
	struct vmb_ctx *ctx = branch->ctx;

	for (size_t page = 0; page < branch->pages; page++) {
		volatile uint64_t *word = vmb_word(ctx->src, page, ctx->base_page, 0);
		uint64_t start_ns = vmb_now_ns();

		*word = ++branch->number;
		branch->last_ns = vmb_now_ns();
		branch->writer->plain_writes++;
		branch->writer->plain_ns += branch->last_ns - start_ns;
	}
}

static uint64_t minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_minflt;
}

/* From when the source stops writing until it may write again. */
static int stand_still(struct branch *branch)
{
	const struct vmb_mech *mech = branch->ctx->mech;
	enum step step = source_moves(branch) ? STEP_TAKE : STEP_READ;
	int err = mech->freeze ? mech->freeze(branch->ctx) : 0;

	if (err)
		return err;
	let_go(branch, step);
	if (child_receives(branch))
		return make_children(branch, STEP_TAKE);
	if (!mech->freeze)
		err = wait_for_all(branch, STEP_TAKE);
	if (!err && source_moves(branch)) {
		err = move_to_all(branch);
		let_go(branch, STEP_READ);
	}
	return err;
}

/* PSS and the rest of the source and all of its children. */
static struct vmb_use weigh(const struct branch *branch)
{
	struct vmb_use use = { 0 };

	vmb_use_add(getpid(), &use);
	for (uint32_t i = 0; i < branch->count; i++)
		if (branch->pids[i] > 0)
			vmb_use_add(branch->pids[i], &use);
	return use;
}

static void set_extra(struct branch *branch, enum extra extra, uint64_t bytes)
{
	branch->check->extra[extra] = bytes;
	branch->check->extra_known |= 1u << extra;
}

static void set_added(struct branch *branch, enum extra extra, const struct vmb_use *use)
{
	uint64_t before = branch->before_bytes;

	if (!use->missing)
		set_extra(branch, extra,
			  use->pss_bytes > before ? (use->pss_bytes - before) / branch->count : 0);
}

/* The check holds the source until the children have read: only then is this a fixed amount. */
static int weigh_readers(struct branch *branch)
{
	struct vmb_evidence *found = branch->check;
	uint64_t tables;
	int err = wait_for_all(branch, STEP_READ);

	if (err || !has_data(branch))
		return err;
	found->use = weigh(branch);
	set_added(branch, EXTRA_READ, &found->use);
	found->dst = branch->board->seats[0].proof;
	found->moved_bytes = branch->count * branch->ctx->size;
	err = vmb_page_table_bytes(getpid(), &found->page_table_bytes);
	for (uint32_t i = 0; i < branch->count && !err; i++) {
		err = vmb_page_table_bytes(branch->pids[i], &tables);
		found->page_table_bytes += tables;
	}
	return err;
}

/* After all writes of the source: what each process has now, and that the pages are their own. */
static int inspect(struct branch *branch)
{
	const struct seat *seats = branch->board->seats;
	struct vmb_proof proof = { 0 };
	uint64_t huge_bytes = 0, torn;
	struct vmb_use use, children = { 0 };
	int err;

	if (!has_data(branch))
		return 0;
	use = weigh(branch);
	set_added(branch, EXTRA_WRITTEN, &use);
	for (uint32_t i = 0; i < branch->count; i++) {
		vmb_use_add(branch->pids[i], &children);
		huge_bytes += seats[i].proof.huge_bytes;
	}
	if (!children.missing)
		set_extra(branch, EXTRA_PRIVATE, children.private_bytes / branch->count);
	set_extra(branch, EXTRA_CHILD_HUGE, huge_bytes / branch->count);
	err = vmb_prove(branch->ctx->src, branch->ctx->size, &proof);
	set_extra(branch, EXTRA_SOURCE_HUGE, proof.huge_bytes);
	if (!err)
		err = pace(branch, STEP_WRITE);
	if (!err)
		err = pace(branch, STEP_LOOK);
	if (!err)
		err = check_pages(branch, branch->ctx->src, branch->pages + 1, &torn);
	return !err && torn ? vmb_fail(-EBADMSG, "writes of a child reached the source") : err;
}

/* Every child has each page as it was when the source stopped. */
static int check_children(struct branch *branch)
{
	int err = pace(branch, STEP_CHECK);

	for (uint32_t i = 0; i < branch->count && !err && has_data(branch); i++) {
		uint64_t torn = branch->board->seats[i].torn_pages;

		branch->writer->checked_pages += branch->pages;
		branch->writer->torn_pages += torn;
		if (torn)
			err = vmb_fail(-EBADMSG,
				       "%" PRIu64 " pages of child %u of %u are not those of the "
				       "branch",
				       torn, i + 1, branch->count);
	}
	return !err && branch->check ? inspect(branch) : err;
}

static void add_times(const struct branch *branch, uint64_t start_ns, uint64_t paused_ns,
		      struct vmb_sample *ret)
{
	uint64_t first_ns = UINT64_MAX, all_ns = 0, end_ns = vmb_now_ns();

	for (uint32_t i = 0; i < branch->count; i++) {
		const struct seat *seat = &branch->board->seats[i];

		first_ns = seat->first_ns < first_ns ? seat->first_ns : first_ns;
		all_ns = seat->read_ns > all_ns ? seat->read_ns : all_ns;
	}
	ret->time_ns[VMB_PHASE_PAUSE] += paused_ns - start_ns;
	ret->time_ns[VMB_PHASE_FIRST] += first_ns - start_ns;
	ret->time_ns[VMB_PHASE_ALL] += all_ns - start_ns;
	ret->time_ns[VMB_PHASE_TOTAL] += end_ns - start_ns;
}

/* Until the source has written each page once more and each child has read all. */
static int branch_and_write(struct branch *branch, struct vmb_sample *ret)
{
	uint64_t faults = minor_faults(), start_ns = vmb_now_ns(), paused_ns;
	int err = stand_still(branch);

	paused_ns = vmb_now_ns();
	if (!err && branch->check)
		err = weigh_readers(branch);
	if (err)
		return err;
	branch->due_ns = vmb_now_ns();
	for (size_t page = 0; page < branch->pages; page++)
		write_page(branch, page);
	branch->writer->faults += minor_faults() - faults;
	err = wait_for_all(branch, STEP_READ);
	if (err)
		return err;
	add_times(branch, start_ns, paused_ns, ret);
	return branch->ctx->mech->disarm ? branch->ctx->mech->disarm(branch->ctx) : 0;
}

/* New memory that nobody shares, and children that are ready to receive it. */
static int make_ready(struct branch *branch)
{
	const struct vmb_ctx *ctx = branch->ctx;
	struct vmb_use use = { 0 };
	int err = child_receives(branch) ? 0 : make_children(branch, STEP_NONE);

	if (!err && !child_receives(branch))
		err = wait_for_all(branch, STEP_NONE); /* they have unmapped the memory */
	if (!err)
		err = vmb_region_remake(&vmb_source_region, ctx->params.seed,
					vmb_control->request.generation);
	if (!err && !child_receives(branch))
		err = pace(branch, STEP_PREPARE);
	if (!err && source_moves(branch))
		err = set_up_there(branch);
	if (!err && ctx->mech->watch)
		err = ctx->mech->watch(branch->ctx);
	if (err || !branch->check || !has_data(branch))
		return err;
	use = weigh(branch);
	branch->before_bytes = use.pss_bytes;
	return vmb_prove(ctx->src, ctx->size, &branch->check->src);
}

static void end_all(struct branch *branch, int err)
{
	let_go(branch, STEP_END);
	for (uint32_t i = 0; i < branch->count; i++) {
		struct vmb_ctx *there = &branch->there[i];

		if (branch->pids[i] > 0 && err)
			kill(branch->pids[i], SIGKILL);
		if (branch->pids[i] > 0)
			waitpid(branch->pids[i], NULL, 0);
		if (there->mech && there->mech->source_teardown)
			there->mech->source_teardown(there);
		if (there->mech && there->channel >= 0)
			close(there->channel);
	}
	munmap(branch->board, branch->board_bytes);
}

static int branch_once(struct vmb_ctx *ctx, struct vmb_evidence *check, struct vmb_sample *ret)
{
	struct branch branch = {
		.ctx = ctx,
		.pages = ctx->size / ctx->base_page,
		.count = ctx->params.receivers,
		.period_ns = ctx->params.rate ? 1000000000u / ctx->params.rate : 0,
		.steps = vmb_steps_of(ctx),
		.check = check,
		.writer = &ret->writer,
	};
	int err;

	branch.board_bytes = sizeof(*branch.board) + branch.count * sizeof(struct seat);
	branch.board = mmap(NULL, branch.board_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (branch.board == MAP_FAILED)
		return vmb_fail(-errno, "mapping the board");
	err = make_ready(&branch);
	if (!err) {
		write_plainly(&branch);
		err = branch_and_write(&branch, ret);
	}
	if (!err)
		err = check_children(&branch);
	end_all(&branch, err);
	return err;
}

static int vmbranch_source_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	const struct vmb_request *request = &vmb_control->request;
	struct vmb_evidence *check = request->check ? &vmb_control->answer.evidence : NULL;
	int err = 0;

	if (check)
		*check = (struct vmb_evidence){ 0 };
	for (uint64_t i = 0; i < loops && !err; i++)
		err = branch_once(ctx, check, ret);
	return err;
}

/* The receiver's side, which only commands the source */

/* The CPUs in turn, from the receiver's on, without the source's where there is another. */
static void choose_cpus(struct vmb_ctx *ctx)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	unsigned int at = 0;

	while (at < vmb_cpu_count() && vmb_cpu_at(at) != request->receiver_cpu)
		at++;
	for (uint32_t i = 0; i < ctx->params.receivers; i++) {
		if (vmb_cpu_at(at) == request->cpu)
			at++;
		request->child_cpus[i] = vmb_cpu_at(at++);
	}
}

static int vmbranch_open(struct vmb_ctx *ctx)
{
	const struct vmb_mech *mech = ctx->mech;

	if (!ctx->params.receivers || ctx->params.receivers > VMB_MOST_RECEIVERS)
		return vmb_fail(-EINVAL, "%u children: a branch has 1 to %d", ctx->params.receivers,
				VMB_MOST_RECEIVERS);
	choose_cpus(ctx);
	if (mech->isolation == VMB_MOVES_NOTHING)
		return 0;
	if (mech->isolation == VMB_SHARES || ctx->hugetlb ||
	    mech->flags & (VMB_LOCAL | VMB_BOTH_ACT | VMB_FRESH_ONLY | VMB_STOPS))
		return vmb_fail(-EOPNOTSUPP, "%s branches no process that goes on writing",
				mech->name);
	return 0;
}

static int run_there(struct vmb_ctx *ctx, uint64_t loops, uint64_t generation, int check)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	int err;

	request->loops = loops;
	request->generation = generation;
	request->check = (uint32_t)check;
	err = vmb_pair_call(ctx->pair, VMB_CMD_RUN);
	request->check = 0;
	return err;
}

static int vmbranch_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	int err = run_there(ctx, loops, 0, 0);

	*ret = vmb_pair_answer(ctx->pair)->sample;
	return err;
}

static int vmbranch_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	int err = run_there(ctx, 1, generation, 1);

	*ret = vmb_pair_answer(ctx->pair)->evidence;
	return err;
}

const struct vmb_scene vmb_scene_vmbranch = {
	.name = "vmbranch",
	.axes = "rate receivers",
	.phases = VMB_BIT(PAUSE) | VMB_BIT(FIRST) | VMB_BIT(ALL) | VMB_BIT(TOTAL),
	.flags = VMB_REMOTE | VMB_WRITTEN,
	.extras = "child_read_bytes child_written_bytes child_private_bytes source_huge_bytes "
		  "child_huge_bytes",
	.open = vmbranch_open,
	.run = vmbranch_run,
	.source_run = vmbranch_source_run,
	.verify = vmbranch_verify,
};
