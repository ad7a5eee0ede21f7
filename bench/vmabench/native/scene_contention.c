// SPDX-License-Identifier: GPL-2.0-only
/*
 * contention: several receivers at once. Either they pull from one source, or
 * each has a source of its own and pairs work side by side.
 *
 * The worker forks each receiver, which unmaps the buffers that it inherited and
 * maps and populates its own: no page of a timed part is shared with the worker or
 * will be copied on write. Receivers are pinned to the CPUs in turn, start together
 * at a barrier, and live from one check to the next, since a receiver inherits the
 * files of the source.
 *
 * The total of a value is the time from when the first receiver starts until the
 * last one is done. Each one's own time is kept beside it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"

#define SLICE_MS 50

enum order { ORDER_NONE, ORDER_RUN, ORDER_VERIFY, ORDER_PROVE };

struct member {
	pid_t pid;    /* 0: none */
	pid_t source; /* of its own pair, 0: none */
	int32_t err;
	char detail[VMB_DETAIL_SIZE];
	uint64_t start_ns, end_ns, spent_ns;
	struct vmb_counts counts;
	struct vmb_evidence evidence;
};

/* Shared by the worker and its receivers. */
struct crowd {
	uint32_t members;
	uint32_t number;  /* of the order; futex */
	uint32_t done;	  /* how many have done it; futex */
	uint32_t arrived; /* how often a receiver came to a barrier */
	int was_reaper;	  /* whether the worker adopted orphans before */
	enum order order;
	uint64_t loops, generation;
	struct member member[VMB_MOST_RECEIVERS];
};

/* Whether the receivers pull from one source; what acts there needs a source for each. */
int vmb_shares_source(const struct vmb_ctx *ctx)
{
	const unsigned int alone = VMB_SOURCE_ACTS | VMB_BOTH_ACT | VMB_LOCAL;

	return ctx->params.pairs < 2 && !(ctx->mech->flags & alone);
}

static uint32_t members_of(const struct vmb_ctx *ctx)
{
	uint32_t wanted = ctx->params.pairs > 1 ? ctx->params.pairs : ctx->params.receivers;

	return wanted ? wanted : 1;
}

/* A waiting receiver yields its CPU: there may be fewer CPUs than receivers. */
static void meet(struct crowd *crowd)
{
	uint32_t mine = __atomic_add_fetch(&crowd->arrived, 1, __ATOMIC_ACQ_REL);
	uint32_t all = (mine + crowd->members - 1) / crowd->members * crowd->members;

	while (__atomic_load_n(&crowd->arrived, __ATOMIC_ACQUIRE) < all)
		sched_yield();
}

static void keep_error(struct member *member, int err)
{
	if (!err || member->err)
		return;
	member->err = err;
	memcpy(member->detail, vmb_detail(), sizeof(member->detail));
}

/* Of a pair: a CPU of its own where there are enough of them, else the next one. */
static int source_cpu(const struct vmb_ctx *ctx, unsigned int index)
{
	unsigned int members = members_of(ctx);

	return vmb_cpu_at(2 * members <= vmb_cpu_count() ? members + index : index + 1);
}

static int open_own_pair(const struct vmb_ctx *ctx, unsigned int index, struct vmb_params *params,
			 pid_t *ret_source, struct vmb_ctx **ret)
{
	const struct vmb_region *source = vmb_pair_source(ctx->pair);
	struct vmb_proof proof;
	struct vmb_pair *pair;
	int err;

	pair = vmb_pair_open(vmb_pair_program(ctx->pair), source_cpu(ctx, index),
			     vmb_cpu_at(index));
	if (!pair)
		return -ECHILD;
	*ret_source = vmb_pair_pid(pair);
	vmb_pair_set_patience(pair, (unsigned int)(vmb_pair_patience_ns(ctx->pair) / 1000000));
	err = vmb_pair_source_make(pair, source, &proof);
	return err ? err : vmb_case_open(pair, ctx->mech, params, ret);
}

static int prepare_member(const struct vmb_ctx *ctx, unsigned int index, pid_t *ret_source,
			  struct vmb_ctx **ret)
{
	struct vmb_params params = ctx->params;
	int err;

	params.scenario = (uint32_t)vmb_scene_index(vmb_scene_transfer.name);
	params.receivers = params.pairs = 1;
	if (!vmb_shares_source(ctx))
		return open_own_pair(ctx, index, &params, ret_source, ret);
	err = vmb_pin(vmb_cpu_at(index));
	return err ? err : vmb_case_join(ctx, &params, ret);
}

static void run_member(struct crowd *crowd, struct member *member, struct vmb_ctx *own, pid_t other)
{
	struct vmb_sample sample = { 0 };
	struct vmb_counts before;

	keep_error(member, vmb_counts_read_pair(other, &before));
	meet(crowd);
	member->start_ns = vmb_now_ns();
	if (!member->err)
		keep_error(member, vmb_case_run_uncounted(own, crowd->loops, &sample));
	member->end_ns = vmb_now_ns();
	member->spent_ns = sample.time_ns[VMB_PHASE_TOTAL];
	keep_error(member, vmb_counts_read_pair(other, &member->counts));
	vmb_counts_since(&before, &member->counts);
}

/* All pull at once; then each writes, and must not see the write of another one. */
static void check_shared(struct crowd *crowd, struct member *member, struct vmb_ctx *own)
{
	uint64_t mark = (uint64_t)(member - crowd->member) + 1, *word;
	int err;

	meet(crowd);
	err = own->mech->transfer(own);
	if (!err)
		err = vmb_pattern_check(own->view, own->size, own->params.seed, crowd->generation);
	if (!err)
		err = vmb_page_table_bytes(getpid(), &member->evidence.page_table_bytes);
	vmb_use_add(getpid(), &member->evidence.use);
	if (!err)
		err = vmb_prove(own->view, own->size, &member->evidence.dst);
	keep_error(member, err);
	meet(crowd); /* nobody writes while another one still compares */
	word = vmb_word(own->view, 0, own->base_page, 1);
	if (!member->err)
		*(volatile uint64_t *)word = mark;
	meet(crowd);
	if (!member->err && own->mech->isolation != VMB_SHARES &&
	    *(volatile uint64_t *)word != mark)
		keep_error(member, vmb_fail(-EBADMSG, "the write of one receiver reached another"));
}

static void obey(struct crowd *crowd, struct member *member, const struct vmb_ctx *ctx,
		 struct vmb_ctx *own)
{
	int shared = vmb_shares_source(ctx), err;

	member->err = 0;
	member->evidence = (struct vmb_evidence){ 0 };
	if (crowd->order == ORDER_RUN) {
		run_member(crowd, member, own, shared ? 0 : own->other);
		return;
	}
	if (shared && own->mech->isolation != VMB_MOVES_NOTHING && crowd->order == ORDER_VERIFY) {
		check_shared(crowd, member, own);
		return;
	}
	if (crowd->order == ORDER_VERIFY)
		err = vmb_case_verify(own, crowd->generation, &member->evidence);
	else if (shared) /* one control page: the worker asks the source */
		err = vmb_prove_destination(own, &member->evidence.dst);
	else
		err = vmb_case_prove(own, &member->evidence);
	keep_error(member, err);
}

static void tell_done(struct crowd *crowd)
{
	__atomic_add_fetch(&crowd->done, 1, __ATOMIC_RELEASE);
	vmb_futex_wake(&crowd->done);
}

/* The life of a receiver, which ends with the worker. */
static void be_member(struct crowd *crowd, unsigned int index, const struct vmb_ctx *ctx,
		      pid_t parent)
{
	struct member *member = &crowd->member[index];
	struct vmb_ctx *own = NULL;
	uint32_t seen = 0, number;

	vmb_be_child_of(parent);
	keep_error(member, prepare_member(ctx, index, &member->source, &own));
	tell_done(crowd);
	if (!own)
		_exit(0);
	for (;;) {
		number = __atomic_load_n(&crowd->number, __ATOMIC_ACQUIRE);
		if (number == seen) {
			vmb_futex_wait(&crowd->number, seen, 1000);
			continue;
		}
		seen = number;
		obey(crowd, member, ctx, own);
		tell_done(crowd);
	}
}

/*
 * The sources of pairs are children of the receivers, and die with them. The worker
 * adopts them then (PR_SET_CHILD_SUBREAPER) and waits for them, so that none of them
 * still unmaps its memory, or stays as a zombie, in the next case.
 */
static void adopt_orphans(struct crowd *crowd)
{
	prctl(PR_GET_CHILD_SUBREAPER, &crowd->was_reaper);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void disband(struct crowd *crowd)
{
	for (uint32_t i = 0; i < crowd->members; i++) {
		const struct member *member = &crowd->member[i];

		if (member->pid > 0) {
			kill(member->pid, SIGKILL);
			waitpid(member->pid, NULL, 0);
		}
		if (member->source > 0) /* ECHILD if the receiver has waited for it */
			waitpid(member->source, NULL, 0);
	}
	prctl(PR_SET_CHILD_SUBREAPER, crowd->was_reaper);
	munmap(crowd, sizeof(*crowd));
}

/* -ESRCH if a receiver is dead without a word. */
static int check_alive(struct crowd *crowd)
{
	int status;

	for (uint32_t i = 0; i < crowd->members; i++) {
		struct member *member = &crowd->member[i];

		if (member->pid <= 0 || waitpid(member->pid, &status, WNOHANG) != member->pid)
			continue;
		member->pid = 0;
		if (WIFSIGNALED(status))
			return vmb_fail(-ESRCH, "receiver %u was killed by signal %d (%s)", i + 1,
					WTERMSIG(status), strsignal(WTERMSIG(status)));
		if (!member->err)
			return vmb_fail(-ESRCH, "receiver %u ended with status %d", i + 1,
					WEXITSTATUS(status));
	}
	return 0;
}

static int wait_for_all(struct crowd *crowd, uint64_t patience_ns)
{
	uint64_t give_up_ns = vmb_now_ns() + crowd->members * patience_ns;
	uint32_t done;
	int err;

	while ((done = __atomic_load_n(&crowd->done, __ATOMIC_ACQUIRE)) < crowd->members) {
		vmb_futex_wait(&crowd->done, done, SLICE_MS);
		err = check_alive(crowd);
		if (err)
			return err;
		if (vmb_now_ns() > give_up_ns)
			return vmb_fail(-ETIMEDOUT, "%u of %u receivers did not answer",
					crowd->members - crowd->done, crowd->members);
	}
	for (uint32_t i = 0; i < crowd->members; i++) {
		if (!crowd->member[i].err)
			continue;
		vmb_fail(0, "receiver %u of %u: %s", i + 1, crowd->members,
			 crowd->member[i].detail);
		return crowd->member[i].err;
	}
	return 0;
}

static int command(struct vmb_ctx *ctx, enum order order)
{
	struct crowd *crowd = ctx->scene;

	crowd->order = order;
	crowd->done = crowd->arrived = 0;
	__atomic_add_fetch(&crowd->number, 1, __ATOMIC_RELEASE);
	vmb_futex_wake(&crowd->number);
	return wait_for_all(crowd, vmb_pair_patience_ns(ctx->pair));
}

/* Counts on all CPUs that they run on; without the right to, there are no such counts. */
static void watch_cpus(const struct vmb_ctx *ctx)
{
	unsigned int used = members_of(ctx) * (vmb_shares_source(ctx) ? 1 : 2);
	int cpus[2 * VMB_MOST_RECEIVERS];

	used = used < vmb_cpu_count() ? used : vmb_cpu_count();
	for (unsigned int i = 0; i < used; i++)
		cpus[i] = vmb_cpu_at(i);
	vmb_perf_watch(cpus, used);
}

/* As many receivers as the case has, each of them ready. */
static int gather(struct vmb_ctx *ctx)
{
	pid_t parent = getpid(), pid;
	struct crowd *crowd;

	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (crowd == MAP_FAILED)
		return vmb_fail(-errno, "mmap of the receivers' page");
	ctx->scene = crowd;
	adopt_orphans(crowd);
	crowd->members = members_of(ctx);
	for (uint32_t i = 0; i < crowd->members; i++) {
		pid = fork();
		if (!pid)
			be_member(crowd, i, ctx, parent);
		crowd->member[i].pid = pid;
		if (pid < 0)
			return vmb_fail(-errno, "fork of receiver %u", i + 1);
	}
	return wait_for_all(crowd, vmb_pair_patience_ns(ctx->pair));
}

static void contention_close(struct vmb_ctx *ctx)
{
	if (!ctx->scene)
		return;
	disband(ctx->scene);
	ctx->scene = NULL;
	vmb_pair_watch_cpus(ctx->pair);
}

static int contention_open(struct vmb_ctx *ctx)
{
	const struct vmb_params *params = &ctx->params;

	if (params->receivers > VMB_MOST_RECEIVERS || params->pairs > VMB_MOST_RECEIVERS)
		return vmb_fail(-EINVAL, "%u at once: contention keeps the times of %d",
				params->receivers > params->pairs ? params->receivers
								  : params->pairs,
				VMB_MOST_RECEIVERS);
	if (params->receivers > 1 && (params->pairs > 1 || !vmb_shares_source(ctx)))
		return vmb_fail(-EOPNOTSUPP, "%s has no receivers that pull from one source",
				ctx->mech->name);
	return 0;
}

static int contention_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	struct crowd *crowd = ctx->scene;
	uint64_t start_ns = UINT64_MAX, end_ns = 0;
	int err;

	if (!crowd)
		return vmb_fail(-EINVAL, "contention is checked before it is timed");
	crowd->loops = loops;
	err = command(ctx, ORDER_RUN);
	if (err)
		return err;
	for (uint32_t i = 0; i < crowd->members; i++) {
		const struct member *member = &crowd->member[i];

		start_ns = member->start_ns < start_ns ? member->start_ns : start_ns;
		end_ns = member->end_ns > end_ns ? member->end_ns : end_ns;
		ret->receiver_ns[i] = member->spent_ns;
		for (int j = 0; j < VMB_NR_COUNTERS; j++)
			ret->counts.count[j] += member->counts.count[j];
	}
	ret->receivers = crowd->members;
	ret->time_ns[VMB_PHASE_TOTAL] = end_ns - start_ns;
	return 0;
}

/* The source is as the timed part will find it, and no write of a receiver came back to it. */
static int check_source(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	uint64_t page_table_bytes;
	int err;

	err = vmb_look_at_source(ctx, generation, 0);
	if (!err)
		err = vmb_pair_call(ctx->pair, VMB_CMD_PROVE);
	if (!err)
		err = vmb_page_table_bytes(ctx->other, &page_table_bytes);
	if (err)
		return err;
	vmb_use_add(ctx->other, &ret->use);
	ret->src = vmb_pair_answer(ctx->pair)->proof;
	ret->page_table_bytes += page_table_bytes;
	return 0;
}

static int contention_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	struct crowd *crowd;
	int err = 0, shared = vmb_shares_source(ctx);

	contention_close(ctx);
	if (shared)
		err = vmb_fill_source(ctx, generation);
	if (!err)
		err = gather(ctx);
	if (err)
		return err;
	watch_cpus(ctx);
	crowd = ctx->scene;
	crowd->generation = generation;
	err = command(ctx, ORDER_VERIFY);
	if (err || ctx->mech->isolation == VMB_MOVES_NOTHING)
		return err;
	*ret = crowd->member[0].evidence;
	for (uint32_t i = 1; i < crowd->members; i++) {
		ret->page_table_bytes += crowd->member[i].evidence.page_table_bytes;
		vmb_use_merge(&crowd->member[i].evidence.use, &ret->use);
	}
	ret->moved_bytes = crowd->members * ctx->size;
	return shared ? check_source(ctx, generation, ret) : 0;
}

static void add_proof(const struct vmb_proof *one, struct vmb_proof *sum)
{
	int first = !sum->size_bytes;

	sum->size_bytes += one->size_bytes;
	sum->present_bytes += one->present_bytes;
	sum->huge_bytes += one->huge_bytes;
	for (int i = 0; i < VMB_NR_ORDERS; i++)
		sum->folio_bytes[i] += one->folio_bytes[i];
	sum->partial_bytes += one->partial_bytes;
	sum->aligned_bytes += one->aligned_bytes;
	sum->folios_known = one->folios_known && (first || sum->folios_known);
	sum->vmas += one->vmas;
}

/* The memory of all receivers together, and of their sources. */
static int contention_prove(struct vmb_ctx *ctx, struct vmb_evidence *ret)
{
	const struct crowd *crowd = ctx->scene;
	int err;

	if (!crowd)
		return 0;
	err = command(ctx, ORDER_PROVE);
	for (uint32_t i = 0; i < crowd->members && !err; i++) {
		add_proof(&crowd->member[i].evidence.dst, &ret->dst);
		add_proof(&crowd->member[i].evidence.src, &ret->src);
	}
	if (err || !vmb_shares_source(ctx))
		return err;
	err = vmb_pair_call(ctx->pair, VMB_CMD_PROVE);
	ret->src = vmb_pair_answer(ctx->pair)->proof;
	return err;
}

const struct vmb_scene vmb_scene_contention = {
	.name = "contention",
	.axes = "crowd",
	.phases = VMB_TOTAL_ALONE,
	.flags = VMB_REUSES | VMB_APART,
	.open = contention_open,
	.run = contention_run,
	.verify = contention_verify,
	.prove = contention_prove,
	.close = contention_close,
};
