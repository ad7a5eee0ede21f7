// SPDX-License-Identifier: GPL-2.0-only
/*
 * fork: the source forks and its child is the receiver. fork() copies page tables
 * as clone does and creates and ends a task besides, so it stands in for clone
 * where the kernel lacks it, labelled as a proxy everywhere.
 *
 * All of it happens in the source, on its CPU: attach lasts from before fork()
 * to the first instruction of the child, release from the child's last one
 * until its parent has waited for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "marks.h"

static int wait_for(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child)
		return vmb_fail(-errno, "waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return vmb_fail(-ECHILD, "the forked child ended with status %#x", status);
	return 0;
}

static int fork_transfer(struct vmb_ctx *ctx)
{
	pid_t child = fork();

	(void)ctx;
	if (!child)
		_exit(0);
	if (child < 0)
		return vmb_fail(-errno, "fork");
	return wait_for(child);
}

/*
 * fork() does not copy the entries of file mappings: a child faults in its own text.
 * Attach has these faults, wherever the linker has put what the child calls.
 */
static void fault_in_text(void)
{
	const struct vmb_ctx nothing = { .params.touch = VMB_TOUCH_NONE, .base_page = 1 };

	vmb_touch(&nothing, NULL);
}

static int deliver_once(struct vmb_ctx *ctx, struct vmb_sample *ret)
{
	const struct vmb_child_report *report = &vmb_control->child;
	uint64_t start_ns = vmb_now_ns(), now_ns;
	pid_t child;
	int err;

	VMB_MARK(VMB_PHASE_ATTACH);
	child = fork();
	if (!child) {
		uint64_t started_ns;

		fault_in_text();
		started_ns = vmb_now_ns();
		VMB_MARK(VMB_PHASE_TOUCH);
		vmb_touch(ctx, ctx->src);
		vmb_control->child.touched_ns = vmb_now_ns();
		VMB_MARK(VMB_PHASE_RELEASE);
		vmb_control->child.started_ns = started_ns;
		_exit(0);
	}
	if (child < 0)
		return vmb_fail(-errno, "fork");
	err = wait_for(child);
	VMB_MARK(VMB_MARK_NONE);
	now_ns = vmb_now_ns();
	ret->time_ns[VMB_PHASE_ATTACH] += report->started_ns - start_ns;
	ret->time_ns[VMB_PHASE_TOUCH] += report->touched_ns - report->started_ns;
	ret->time_ns[VMB_PHASE_RELEASE] += now_ns - report->touched_ns;
	ret->time_ns[VMB_PHASE_TOTAL] += now_ns - start_ns;
	vmb_keep_time(ctx, now_ns - start_ns);
	return err;
}

/* In the child: continue after the parent's turn. */
static void pass_turn(int to, int from)
{
	char byte = 0;

	if (write(to, &byte, 1) != 1 || read(from, &byte, 1) != 1)
		_exit(1);
}

/*
 * The child in a scenario whose source acts between the call and the use: it
 * reports that it runs, and continues after the source has acted.
 */
static void wait_and_use(struct vmb_ctx *ctx, const int *pipes, pid_t parent)
{
	const struct vmb_request *request = &vmb_control->request;
	struct vmb_child_report *report = &vmb_control->child;

	report->started_ns = vmb_now_ns();
	report->err = 0;
	vmb_be_child_of(parent); /* it has the other end of its pipe itself, so read() never ends */
	pass_turn(pipes[1], pipes[2]);
	report->opened_ns = vmb_now_ns();
	if (request->check)
		report->err = vmb_pattern_check(ctx->src, ctx->size, ctx->params.seed,
						request->generation);
	else
		vmb_touch_first(ctx, ctx->src);
	report->first_ns = vmb_now_ns();
	if (!request->check)
		vmb_touch(ctx, ctx->src);
	report->touched_ns = vmb_now_ns();
	report->used = (struct vmb_counts){ 0 };
	vmb_swap_read(&report->used);
	memcpy(report->detail, vmb_detail(), sizeof(report->detail));
	report->ended_ns = vmb_now_ns();
	_exit(0);
}

/* The parent's side of it: from fork() to the end of the child. */
static int use_between(struct vmb_ctx *ctx, const int *pipes, struct vmb_sample *ret)
{
	const struct vmb_child_report *report = &vmb_control->child;
	const struct vmb_scene *scene = vmb_scene_of(ctx);
	struct vmb_counts before = { 0 }, called = { 0 };
	uint64_t start_ns, now_ns, touching_ns;
	pid_t parent = getpid(), child;
	char byte = 0;
	int err = 0;

	vmb_swap_read(&before);
	start_ns = vmb_now_ns();
	child = fork();
	if (!child)
		wait_and_use(ctx, pipes, parent);
	if (child < 0)
		return vmb_fail(-errno, "fork");
	if (read(pipes[0], &byte, 1) != 1)
		return wait_for(child);
	vmb_swap_read(&called);
	if (scene->source_between)
		err = scene->source_between(ctx, ret);
	if (write(pipes[3], &byte, 1) != 1 && !err)
		err = vmb_fail(-errno, "writing to the child");
	if (wait_for(child) && !err)
		err = -ECHILD;
	now_ns = vmb_now_ns();
	if (!err && report->err)
		err = vmb_fail(report->err, "%s", report->detail);
	ret->time_ns[VMB_PHASE_ATTACH] += report->started_ns - start_ns;
	touching_ns = report->opened_ns;
	if (vmb_has_phase(ctx, VMB_PHASE_FIRST)) {
		ret->time_ns[VMB_PHASE_FIRST] += report->first_ns - report->opened_ns;
		touching_ns = report->first_ns;
	}
	ret->time_ns[VMB_PHASE_TOUCH] += report->touched_ns - touching_ns;
	ret->time_ns[VMB_PHASE_RELEASE] += now_ns - report->ended_ns;
	vmb_counts_add_swap(&ret->counts, &before, &called, VMB_CALL_SWAP_IN);
	vmb_counts_add_swap(&ret->counts, &called, &report->used, VMB_USE_SWAP_IN);
	return err;
}

static int scene_once(struct vmb_ctx *ctx, struct vmb_sample *ret)
{
	const struct vmb_scene *scene = vmb_scene_of(ctx);
	int pipes[4] = { -1, -1, -1, -1 }, err = 0;

	if (pipe(pipes) || pipe(pipes + 2))
		err = vmb_fail(-errno, "pipe");
	if (!err && scene->source_before)
		err = scene->source_before(ctx, ret);
	if (!err)
		err = use_between(ctx, pipes, ret);
	for (int i = 0; i < 4; i++)
		if (pipes[i] >= 0)
			close(pipes[i]);
	return err;
}

static int run_scene(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	int err = 0;

	for (uint64_t i = 0; i < loops && !err; i++) {
		err = scene_once(ctx, ret);
		vmb_end_operation(ctx, ret);
	}
	return err;
}

static int fork_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	int err = 0;

	if (vmb_scene_of(ctx)->run) /* it asks for operations in steps of its own */
		return run_scene(ctx, loops, ret);
	if (!vmb_delivers(ctx))
		return vmb_loop_hook(ctx, fork_transfer, loops, ret);
	for (uint64_t i = 0; i < loops && !err; i++) {
		err = deliver_once(ctx, ret);
		if (!err)
			err = vmb_rewrite(ctx, ret);
	}
	return err;
}

/* What the receiver of another mechanism does, in the child. */
static int check_child(struct vmb_ctx *ctx, uint64_t generation, const int *pipes)
{
	struct vmb_evidence *evidence = &vmb_control->child.evidence;
	size_t last = ctx->size / ctx->base_page - 1;
	uint64_t expected = vmb_pattern_word(ctx->params.seed, generation, last, 2);
	uint64_t here, there;
	int err;

	err = vmb_pattern_check(ctx->src, ctx->size, ctx->params.seed, generation);
	if (!err)
		err = vmb_page_table_bytes(getpid(), &here);
	if (!err)
		err = vmb_page_table_bytes(getppid(), &there);
	if (!err)
		err = vmb_prove(ctx->src, ctx->size, &evidence->dst);
	if (err)
		return err;
	evidence->page_table_bytes = here + there;
	evidence->use = (struct vmb_use){ 0 };
	vmb_use_add(getpid(), &evidence->use);
	vmb_use_add(getppid(), &evidence->use);
	*vmb_word(ctx->src, 0, ctx->base_page, 1) = 0;
	pass_turn(pipes[1], pipes[2]);
	if (*vmb_word(ctx->src, last, ctx->base_page, 2) != expected)
		return vmb_fail(-EBADMSG, "the parent's write reached the child");
	return 0;
}

static void be_child(struct vmb_ctx *ctx, uint64_t generation, const int *pipes, pid_t parent)
{
	struct vmb_child_report *report = &vmb_control->child;

	vmb_be_child_of(parent);
	report->err = check_child(ctx, generation, pipes);
	memcpy(report->detail, vmb_detail(), sizeof(report->detail));
	_exit(0);
}

/* The parent's turn: is the child's write invisible? Then it writes itself. */
static int check_parent(struct vmb_ctx *ctx, uint64_t generation, const int *pipes)
{
	size_t last = ctx->size / ctx->base_page - 1;
	char byte = 0;
	int err = 0;

	if (read(pipes[0], &byte, 1) != 1)
		return 0; /* the child's own report says why */
	if (*vmb_word(ctx->src, 0, ctx->base_page, 1) !=
	    vmb_pattern_word(ctx->params.seed, generation, 0, 1))
		err = vmb_fail(-EBADMSG, "the child's write reached the parent");
	*vmb_word(ctx->src, last, ctx->base_page, 2) = 0;
	if (write(pipes[3], &byte, 1) != 1 && !err)
		err = vmb_fail(-errno, "writing to the child");
	return err;
}

static int verify_with(struct vmb_ctx *ctx, uint64_t generation, int *pipes)
{
	struct vmb_child_report *report = &vmb_control->child;
	pid_t parent = getpid(), child;
	int err, ended;

	report->err = -ECHILD;
	child = fork();
	if (!child)
		be_child(ctx, generation, pipes, parent);
	if (child < 0)
		return vmb_fail(-errno, "fork");
	close(pipes[1]);
	pipes[1] = -1;
	err = check_parent(ctx, generation, pipes);
	ended = wait_for(child);
	if (err || ended)
		return err ? err : ended;
	if (report->err) /* the child's sentence has the reason already */
		vmb_fail(0, "%s", report->detail);
	return report->err;
}

static int fork_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	int pipes[4] = { -1, -1, -1, -1 }, err = 0;

	err = vmb_region_fill(&vmb_source_region, ctx->params.seed, generation);
	if (err)
		return err;
	if (pipe(pipes) || pipe(pipes + 2))
		err = vmb_fail(-errno, "pipe");
	if (!err)
		err = verify_with(ctx, generation, pipes);
	for (int i = 0; i < 4; i++)
		if (pipes[i] >= 0)
			close(pipes[i]);
	*ret = vmb_control->child.evidence;
	/* The parent's write has split the last page if it was a huge one. */
	if (!err && ctx->page > ctx->base_page)
		err = vmb_region_renew(&vmb_source_region, ctx->size - 1);
	if (!err)
		err = vmb_prove(ctx->src, ctx->size, &ret->src);
	return err;
}

const struct vmb_mech vmb_mech_fork = {
	.name = "fork",
	.description = "fork() of the source, its child receives: proxy for clone",
	.flags = VMB_SOURCE_ACTS | VMB_IN_PLACE | VMB_PROXY | VMB_CHILD_RECEIVES,
	.memory = VMB_ANON,
	.isolation = VMB_COW,
	.run = fork_run,
	.verify = fork_verify,
};
