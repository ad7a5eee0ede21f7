// SPDX-License-Identifier: GPL-2.0-only
/*
 * snapshot: the source goes on writing, one page after the other, while the receiver
 * copies or clones its memory. The result is how long the writer is held up.
 *
 * Each write stores its number in the first word of its page, so the state of all
 * pages after a given write is known, and the torn pages of a snapshot that mixes
 * moments are counted. A copy of a running writer may tear; a mechanism that shares
 * pages until they are written, or that stops the writer, must not.
 *
 * One operation: the source's memory is made anew, and it writes for a while
 * without a snapshot, for comparison. Then the snapshot is taken, which is the time
 * of the operation, and the source goes on until it has written each page once or a
 * fifth of a second has passed. The writer keeps the time from the end of one write
 * to the end of the next in the histogram, from when the taking begins.
 *
 * A late writer does not catch up: the rate is a limit. The writes that it left out are
 * part of the analysis, which corrects the gaps for them (analysis/snapshots.py).
 *
 * No process is woken while a snapshot is taken. The source looks for its task between
 * two writes, and the receiver, on a CPU of its own, spins until the source has done it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "relax.h"

#define SPINS_A_LOOK (1u << 16)
#define PLAIN_NS     10000000u
#define WINDOW_NS    200000000u
#define SLICE_MS     50

struct writing {
	struct vmb_ctx *ctx;
	size_t pages;
	uint64_t number; /* of the last write */
	uint64_t period_ns, due_ns, last_ns;
	uint64_t faults_before;
	struct vmb_writer *writer;
	int to_act; /* the source has something to do when it is asked */
	pid_t child;
};

static uint64_t minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_minflt;
}

static uint32_t step_of(void)
{
	return __atomic_load_n(&vmb_control->snapshot.step, __ATOMIC_ACQUIRE);
}

static void raise_word(uint32_t *word)
{
	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
	vmb_futex_wake(word);
}

static int acts(const struct vmb_ctx *ctx)
{
	return ctx->mech->freeze || ctx->mech->flags & (VMB_SOURCE_ACTS | VMB_SNAPSHOTS);
}

/* The write that a page has seen last when write number `last` was the last of all; 0: none. */
static uint64_t last_write_of(size_t page, uint64_t last, size_t pages)
{
	if (last <= page)
		return 0;
	return last - (last - 1 - page) % pages;
}

/*
 * The stamps of all pages against those of the moment of the newest one, which must
 * not be later than the snapshot: what shows the source as it goes on is none.
 */
static int count_torn(const struct vmb_ctx *ctx, const struct vmb_control *control,
		      const char *addr, int whole, uint64_t *ret)
{
	uint64_t generation = control->request.generation;
	size_t pages = ctx->size / ctx->base_page;
	uint64_t newest = 0, stamp;
	int err = 0;

	for (int round = 0; round < 2; round++) {
		*ret = 0;
		for (size_t page = 0; page < pages && !err; page++) {
			stamp = *vmb_word((char *)addr, page, ctx->base_page, 0);
			if (stamp == vmb_pattern_word(ctx->params.seed, generation, page, 0))
				stamp = 0;
			newest = !round && stamp > newest ? stamp : newest;
			*ret += round && stamp != last_write_of(page, newest, pages);
			if (round && whole)
				err = vmb_pattern_check_page(addr + page * ctx->base_page,
							     ctx->params.seed, generation, page, 1);
		}
	}
	if (!err && newest > control->snapshot.taken)
		err = vmb_fail(-EBADMSG, "the snapshot shows writes from after it was taken");
	return err;
}

/* In the forked child: hold what it has until the window is over, then look at it. */
static void be_snapshot(struct vmb_ctx *ctx, pid_t parent)
{
	const struct vmb_request *request = &vmb_control->request;
	struct vmb_child_report *report = &vmb_control->child;
	uint64_t here, there;

	vmb_be_child_of(parent);
	while (!__atomic_load_n(&vmb_control->snapshot.dropped, __ATOMIC_ACQUIRE))
		vmb_futex_wait(&vmb_control->snapshot.dropped, 0, 1000);
	report->err =
		count_torn(ctx, vmb_control, ctx->src, request->offset != 0, &report->torn_pages);
	if (!report->err && request->offset)
		report->err = vmb_prove(ctx->src, ctx->size, &report->evidence.dst);
	if (!report->err && !vmb_page_table_bytes(getpid(), &here) &&
	    !vmb_page_table_bytes(parent, &there))
		report->evidence.page_table_bytes = here + there;
	report->evidence.use = (struct vmb_use){ 0 };
	vmb_use_add(getpid(), &report->evidence.use);
	vmb_use_add(parent, &report->evidence.use);
	memcpy(report->detail, vmb_detail(), sizeof(report->detail));
	_exit(0);
}

static int fork_snapshot(struct writing *writing)
{
	pid_t parent = getpid();

	vmb_control->child.err = -ECHILD;
	writing->child = fork();
	if (!writing->child)
		be_snapshot(writing->ctx, parent);
	if (writing->child < 0)
		return vmb_fail(-errno, "fork");
	/* Before it runs: it would take the writer's CPU. */
	return vmb_pin_process(writing->child, vmb_control->request.receiver_cpu);
}

/* What the source has to do itself; it does not write meanwhile. */
static int act(struct writing *writing)
{
	struct vmb_ctx *ctx = writing->ctx;

	if (ctx->mech->flags & VMB_CHILD_RECEIVES)
		return fork_snapshot(writing);
	if (ctx->mech->freeze)
		return ctx->mech->freeze(ctx);
	if (ctx->mech->flags & VMB_SNAPSHOTS)
		return 0;
	return vmb_timed_transfer(ctx)(ctx);
}

/* Until the next write is due, or something has to be done before it. */
static uint32_t wait_until_due(struct writing *writing)
{
	uint32_t step = step_of();

	while (!(step == VMB_STEP_ASKED && writing->to_act) && vmb_now_ns() < writing->due_ns)
		step = step_of();
	return step;
}

static void write_page(struct writing *writing, int plain)
{
	struct vmb_ctx *ctx = writing->ctx;
	struct vmb_writer *writer = writing->writer;
	volatile uint64_t *word =
		vmb_word(ctx->src, writing->number % writing->pages, ctx->base_page, 0);
	uint64_t start_ns = vmb_now_ns(), end_ns, gap_ns;

	*word = ++writing->number;
	end_ns = vmb_now_ns();
	gap_ns = end_ns - writing->last_ns;
	writing->last_ns = end_ns;
	writing->due_ns += writing->period_ns;
	if (writing->due_ns < end_ns)
		writing->due_ns = end_ns;
	if (plain) {
		writer->plain_writes++;
		writer->plain_ns += end_ns - start_ns;
		return;
	}
	writer->writes++;
	writer->write_ns += end_ns - start_ns;
	if (gap_ns > writer->longest_ns)
		writer->longest_ns = gap_ns;
	vmb_latency_add(&vmb_control->latency, gap_ns);
}

static void write_plainly(struct writing *writing)
{
	uint64_t start_ns = vmb_now_ns();
	int told = 0;

	writing->due_ns = writing->last_ns = start_ns;
	while (wait_until_due(writing) == VMB_STEP_PLAIN) {
		write_page(writing, 1);
		if (told || writing->last_ns - start_ns < PLAIN_NS ||
		    writing->writer->plain_writes < 2)
			continue;
		raise_word(&vmb_control->snapshot.writing);
		told = 1;
	}
}

static int act_if_asked(struct writing *writing, uint32_t step)
{
	uint64_t start_ns;
	int err;

	if (step != VMB_STEP_ASKED || !writing->to_act)
		return 0;
	start_ns = vmb_now_ns();
	writing->to_act = 0;
	err = act(writing);
	if (!err)
		__atomic_store_n(&vmb_control->snapshot.acted, 1, __ATOMIC_RELEASE);
	while (!err && writing->ctx->mech->flags & VMB_STOPS && step_of() != VMB_STEP_TAKEN)
		vmb_relax();
	writing->writer->stopped_ns += vmb_now_ns() - start_ns;
	return err;
}

/* The receiver has all of it. */
static int end_taking(struct writing *writing)
{
	struct vmb_ctx *ctx = writing->ctx;
	uint64_t start_ns = vmb_now_ns();
	int err = ctx->mech->disarm ? ctx->mech->disarm(ctx) : 0;

	writing->writer->stopped_ns += ctx->mech->disarm ? vmb_now_ns() - start_ns : 0;
	return err;
}

/* Until the snapshot has been there for long enough. */
static int write_beside(struct writing *writing)
{
	uint64_t taken_ns = 0, writes_before = 0;
	uint32_t step;
	int err;

	writing->faults_before = minor_faults();
	for (;;) {
		step = wait_until_due(writing);
		err = act_if_asked(writing, step);
		if (!err && step == VMB_STEP_TAKEN && !taken_ns)
			err = end_taking(writing);
		if (err)
			return err;
		write_page(writing, 0);
		if (step != VMB_STEP_TAKEN)
			continue;
		if (!taken_ns) {
			taken_ns = writing->last_ns;
			writes_before = writing->writer->writes;
			vmb_control->snapshot.taken = writing->number;
		}
		if (writing->writer->writes - writes_before >= writing->pages ||
		    writing->last_ns - taken_ns > WINDOW_NS)
			return 0;
	}
}

static int end_child(struct writing *writing)
{
	const struct vmb_child_report *report = &vmb_control->child;
	int status;

	if (writing->child <= 0)
		return 0;
	raise_word(&vmb_control->snapshot.dropped);
	if (waitpid(writing->child, &status, 0) != writing->child)
		return vmb_fail(-errno, "waitpid");
	if (report->err)
		vmb_fail(0, "%s", report->detail);
	writing->writer->torn_pages += report->torn_pages;
	return report->err;
}

static int snapshot_source_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	struct writing writing = {
		.ctx = ctx,
		.pages = ctx->size / ctx->base_page,
		.period_ns = ctx->params.rate ? 1000000000u / ctx->params.rate : 0,
		.writer = &ret->writer,
		.to_act = acts(ctx),
	};
	int err, ended;

	(void)loops;
	err = ctx->mech->watch ? ctx->mech->watch(ctx) : 0;
	if (err)
		return err;
	write_plainly(&writing);
	err = write_beside(&writing);
	writing.writer->faults = minor_faults() - writing.faults_before;
	ended = end_child(&writing);
	return err ? err : ended;
}

/* The receiver's side */

static void step_to(struct vmb_ctx *ctx, enum vmb_step step)
{
	__atomic_store_n(&vmb_pair_control(ctx->pair)->snapshot.step, step, __ATOMIC_RELEASE);
}

/* A source that has failed has answered its command, which is not what is waited for. */
static int look_around(struct vmb_ctx *ctx, uint64_t give_up_ns)
{
	const struct vmb_control *control = vmb_pair_control(ctx->pair);
	int err = vmb_pair_check(ctx->pair);

	if (!err && control->answers == control->requests)
		err = vmb_fail(-EPIPE, "the source has stopped writing");
	if (!err && vmb_now_ns() > give_up_ns)
		err = vmb_fail(-ETIMEDOUT, "the source process fell silent");
	return err;
}

static uint64_t give_up_at(const struct vmb_ctx *ctx)
{
	return vmb_now_ns() + vmb_pair_patience_ns(ctx->pair);
}

static int wait_until_written(struct vmb_ctx *ctx)
{
	uint32_t *word = &vmb_pair_control(ctx->pair)->snapshot.writing;
	uint64_t give_up_ns = give_up_at(ctx);
	int err = 0;

	while (!err && !__atomic_load_n(word, __ATOMIC_ACQUIRE)) {
		vmb_futex_wait(word, 0, SLICE_MS);
		err = look_around(ctx, give_up_ns);
	}
	return err;
}

static int ask_source(struct vmb_ctx *ctx)
{
	const uint32_t *word = &vmb_pair_control(ctx->pair)->snapshot.acted;
	uint64_t give_up_ns = give_up_at(ctx);
	int err = 0;

	step_to(ctx, VMB_STEP_ASKED);
	for (uint32_t spins = 1; !err && !__atomic_load_n(word, __ATOMIC_ACQUIRE); spins++) {
		vmb_relax();
		if (!(spins % SPINS_A_LOOK))
			err = look_around(ctx, give_up_ns);
	}
	return err;
}

static int take(struct vmb_ctx *ctx)
{
	const struct vmb_mech *mech = ctx->mech;
	vmb_hook deliver = vmb_timed_deliver(ctx);
	int err = 0;

	if (mech->freeze) /* before that, no page keeps its data */
		err = ask_source(ctx);
	if (!err && mech->attach)
		err = mech->attach(ctx);
	if (!err && !mech->freeze && mech->flags & (VMB_SOURCE_ACTS | VMB_SNAPSHOTS))
		err = ask_source(ctx);
	if (mech->flags & VMB_SOURCE_ACTS)
		return err;
	return !err && deliver ? deliver(ctx) : err;
}

static int take_timed(struct vmb_ctx *ctx, uint64_t *ret)
{
	uint64_t start_ns;
	int err;

	err = wait_until_written(ctx);
	start_ns = vmb_now_ns();
	if (!err) {
		step_to(ctx, VMB_STEP_TAKING);
		err = take(ctx);
	}
	*ret += vmb_now_ns() - start_ns;
	step_to(ctx, VMB_STEP_TAKEN);
	return err;
}

/* What the receiver has, after the source has written everywhere since. */
static int inspect(struct vmb_ctx *ctx, int whole, uint64_t *torn, struct vmb_evidence *evidence)
{
	int err;

	if (ctx->mech->flags & VMB_CHILD_RECEIVES) { /* the child has done it */
		const struct vmb_evidence *child = &vmb_pair_control(ctx->pair)->child.evidence;

		evidence->dst = child->dst;
		evidence->use = child->use;
		evidence->page_table_bytes = child->page_table_bytes;
		return 0;
	}
	err = count_torn(ctx, vmb_pair_control(ctx->pair), ctx->view, whole, torn);
	if (!err && whole)
		err = vmb_read_page_tables(ctx, &evidence->page_table_bytes);
	if (!err && whole)
		err = vmb_prove(ctx->view, ctx->size, &evidence->dst);
	if (whole) {
		vmb_use_add(getpid(), &evidence->use);
		vmb_use_add(ctx->other, &evidence->use);
	}
	return err;
}

static void add_writer(struct vmb_writer *to, const struct vmb_writer *from)
{
	to->writes += from->writes;
	to->write_ns += from->write_ns;
	to->faults += from->faults;
	to->plain_writes += from->plain_writes;
	to->plain_ns += from->plain_ns;
	to->stopped_ns += from->stopped_ns;
	to->torn_pages += from->torn_pages;
	if (from->longest_ns > to->longest_ns)
		to->longest_ns = from->longest_ns;
}

/* Whether pages of several moments are no error: a copy is taken while the writer runs. */
static int may_tear(const struct vmb_ctx *ctx)
{
	return ctx->mech->isolation == VMB_COPIES && !acts(ctx);
}

static int snap(struct vmb_ctx *ctx, uint64_t generation, int whole, struct vmb_sample *ret,
		struct vmb_evidence *evidence)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	char reason[VMB_DETAIL_SIZE];
	uint64_t torn = 0;
	int err, source_err;

	err = vmb_fill_source(ctx, generation);
	if (!err && whole)
		err = vmb_pair_call(ctx->pair, VMB_CMD_PROVE);
	evidence->src = vmb_pair_answer(ctx->pair)->proof;
	vmb_pair_control(ctx->pair)->snapshot = (struct vmb_snapshot){ 0 };
	request->offset = (uint64_t)whole;
	if (!err)
		err = vmb_pair_start(ctx->pair, VMB_CMD_RUN);
	if (err)
		return err;
	err = take_timed(ctx, &ret->time_ns[VMB_PHASE_TOTAL]);
	memcpy(reason, vmb_detail(), sizeof(reason));
	source_err = vmb_pair_finish(ctx->pair);
	if (err && !source_err)
		vmb_fail(0, "%s", reason);
	err = source_err ? source_err : err;
	if (err || ctx->mech->isolation == VMB_MOVES_NOTHING)
		goto out;
	err = inspect(ctx, whole, &torn, evidence);
	if (ctx->mech->release && !err)
		err = ctx->mech->release(ctx);
	ret->writer.checked_pages += ctx->size / ctx->base_page;
out:
	add_writer(&ret->writer, &vmb_pair_answer(ctx->pair)->sample.writer);
	ret->writer.torn_pages += torn;
	if (!err && ret->writer.torn_pages && !may_tear(ctx))
		err = vmb_fail(-EBADMSG, "%s shows pages of several moments", ctx->mech->name);
	return err;
}

static int snapshot_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	struct vmb_evidence unused;
	int err = 0;

	for (uint64_t i = 0; i < loops && !err; i++)
		err = snap(ctx, vmb_pair_request(ctx->pair)->generation + 1, 0, ret, &unused);
	return err;
}

static int snapshot_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	struct vmb_sample unused = { 0 };
	int err = snap(ctx, generation << 32, 1, &unused, ret);

	if (ctx->mech->isolation == VMB_MOVES_NOTHING)
		*ret = (struct vmb_evidence){ 0 };
	return err;
}

static int snapshot_open(struct vmb_ctx *ctx)
{
	const struct vmb_mech *mech = ctx->mech;

	if (mech->isolation == VMB_MOVES_NOTHING)
		return 0;
	if (mech->isolation == VMB_SHARES || mech->flags & (VMB_LOCAL | VMB_BOTH_ACT))
		return vmb_fail(-EOPNOTSUPP, "%s takes no snapshot of a running writer",
				mech->name);
	return 0;
}

const struct vmb_scene vmb_scene_snapshot = {
	.name = "snapshot",
	.axes = "rate",
	.phases = VMB_TOTAL_ALONE,
	.flags = VMB_WRITTEN,
	.open = snapshot_open,
	.run = snapshot_run,
	.source_run = snapshot_source_run,
	.source_fill = vmb_region_remake,
	.verify = snapshot_verify,
};
