// SPDX-License-Identifier: GPL-2.0-only
/*
 * pageserver: one process holds memory and hands each of several others its
 * share; then each uses a part of it. Server and receivers are the source
 * process and its children, all in the cgroup of the source, so that a memory
 * limit applies to them and to nothing else.
 *
 * The server forks the receivers before it fills its memory, and afterwards where
 * forking is the mechanism (VMB_CHILD_RECEIVES). All keep step by a shared board.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"

#define SLICE_MS 100 /* how often the server looks whether its receivers live */

enum step { STEP_NONE, STEP_TAKE, STEP_WORK, STEP_CHECK, STEP_RELEASE };

struct seat {
	int32_t err;
	uintptr_t dst;
	uint64_t page_table_bytes; /* when it has checked what it has */
	struct vmb_use use;
	char detail[VMB_DETAIL_SIZE];
};

struct board {
	uint32_t step;	  /* futex: what the receivers are to do */
	uint32_t arrived; /* futex: how many have done it */
	struct seat seats[];
};

struct server {
	const struct vmb_ctx *ctx;
	struct board *board;
	size_t board_bytes;
	uint32_t count;
	uint64_t generation;
	struct vmb_evidence *check; /* compare all bytes in place of using them; or NULL */
	struct vmb_region *regions; /* one for each receiver */
	pid_t *pids;
	struct vmb_steps steps;
};

static int child_receives(const struct vmb_ctx *ctx)
{
	return !!(ctx->mech->flags & VMB_CHILD_RECEIVES);
}

/* Receivers and server share the CPUs of the pair. */
static int pin(uint32_t number)
{
	const struct vmb_request *request = &vmb_control->request;

	return vmb_pin(number % 2 ? request->cpu : request->receiver_cpu);
}

static struct vmb_ctx context_of(const struct server *server, uint32_t number)
{
	const struct vmb_region *region = &server->regions[number];
	struct vmb_ctx ctx = *server->ctx;

	ctx.params.seed += number;
	ctx.size = region->size;
	ctx.src = region->addr;
	ctx.fd = region->fd;
	ctx.remote_fd = region->fd;
	ctx.shmid = region->shmid;
	ctx.channel = -1;
	return ctx;
}

/* A receiver's own view of the case; it has none of the memory yet. */
static int prepare(const struct server *server, uint32_t number, pid_t parent, struct vmb_ctx *ret)
{
	char *slots[2];
	int err = 0;

	*ret = context_of(server, number);
	ret->other = parent;
	if (child_receives(server->ctx)) { /* forked with its share */
		ret->view = ret->src;
		return 0;
	}
	ret->remote_src = (uintptr_t)ret->src;
	ret->src = NULL;
	for (uint32_t i = 0; i < server->count; i++)
		munmap(server->regions[i].addr, server->regions[i].size);
	err = vmb_slots_find(ret->size, 2, slots);
	if (err)
		return err;
	ret->slot = ret->dst = ret->view = slots[0];
	ret->src_slot = slots[1];
	server->board->seats[number].dst = (uintptr_t)ret->dst;
	return ret->mech->setup ? ret->mech->setup(ret) : 0;
}

static int take(const struct server *server, struct vmb_ctx *ctx)
{
	int err;

	if (child_receives(ctx))
		return 0;
	err = server->steps.attach(ctx);
	if (!err && !(ctx->mech->flags & VMB_SOURCE_ACTS))
		err = server->steps.deliver(ctx);
	return err;
}

static int obey(const struct server *server, struct vmb_ctx *ctx, uint32_t step)
{
	switch (step) {
	case STEP_TAKE:
		return take(server, ctx);
	case STEP_WORK:
		vmb_touch(ctx, ctx->view);
		return 0;
	case STEP_CHECK:
		return vmb_pattern_check(ctx->view, ctx->size, ctx->params.seed,
					 server->generation);
	case STEP_RELEASE:
		return child_receives(ctx) ? 0 : server->steps.release(ctx);
	default:
		return 0;
	}
}

static void arrive(struct board *board)
{
	__atomic_add_fetch(&board->arrived, 1, __ATOMIC_RELEASE);
	vmb_futex_wake(&board->arrived);
}

/* The caller's own page tables and memory, on top of what was added up. */
static int weigh(uint64_t *page_table_bytes, struct vmb_use *use)
{
	uint64_t mine;
	int err = vmb_page_table_bytes(getpid(), &mine);

	if (!err)
		*page_table_bytes += mine;
	vmb_use_add(getpid(), use);
	return err;
}

/* The first error of a receiver, with the sentence that this process has of it. */
static void keep_error(struct seat *seat, int err)
{
	if (!err || seat->err)
		return;
	seat->err = err;
	memcpy(seat->detail, vmb_detail(), sizeof(seat->detail));
}

/* A receiver keeps step after an error, so that the server does not wait for it in vain. */
static void receive(const struct server *server, uint32_t number, pid_t parent)
{
	struct seat *seat = &server->board->seats[number];
	uint32_t done = STEP_NONE, step;
	struct vmb_ctx ctx;

	vmb_be_child_of(parent);
	keep_error(seat, pin(number));
	keep_error(seat, prepare(server, number, parent, &ctx));
	if (child_receives(&ctx))
		done = STEP_TAKE; /* it has been taken when it runs */
	arrive(server->board);
	while (done != STEP_RELEASE) {
		step = __atomic_load_n(&server->board->step, __ATOMIC_ACQUIRE);
		if (step <= done) {
			vmb_futex_wait(&server->board->step, step, 1000);
			continue;
		}
		if (!seat->err)
			keep_error(seat, obey(server, &ctx, step));
		if (!seat->err && step == STEP_CHECK)
			keep_error(seat, weigh(&seat->page_table_bytes, &seat->use));
		done = step;
		arrive(server->board);
	}
	_exit(0);
}

static int wait_for_all(struct server *server)
{
	struct board *board = server->board;
	uint32_t seen;
	int err;

	while ((seen = __atomic_load_n(&board->arrived, __ATOMIC_ACQUIRE)) < server->count) {
		vmb_futex_wait(&board->arrived, seen, SLICE_MS);
		if (__atomic_load_n(&board->arrived, __ATOMIC_ACQUIRE) != seen)
			continue;
		err = vmb_check_children(server->pids, server->count, "receiver");
		if (err)
			return err;
	}
	for (uint32_t i = 0; i < server->count; i++) {
		if (!board->seats[i].err)
			continue;
		vmb_fail(0, "receiver %u: %.120s", i, board->seats[i].detail);
		return board->seats[i].err;
	}
	return 0;
}

/* All receivers take a step, and the server waits for the last of them. */
static int pace(struct server *server, enum step step)
{
	__atomic_store_n(&server->board->arrived, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&server->board->step, step, __ATOMIC_RELEASE);
	vmb_futex_wake(&server->board->step);
	return wait_for_all(server);
}

static int start_receivers(struct server *server)
{
	pid_t parent = getpid();

	__atomic_store_n(&server->board->arrived, 0, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < server->count; i++) {
		server->pids[i] = fork();
		if (!server->pids[i])
			receive(server, i, parent);
		if (server->pids[i] < 0)
			return vmb_fail(-errno, "fork of receiver %u", i);
	}
	return wait_for_all(server);
}

static int map_regions(struct server *server)
{
	struct vmb_region wanted = vmb_source_region;
	int err = 0;

	wanted.size = server->ctx->params.size_bytes / server->count;
	for (uint32_t i = 0; i < server->count && !err; i++)
		err = vmb_region_map(&wanted, &server->regions[i]);
	return err;
}

static int fill(struct server *server, struct vmb_sample *ret)
{
	uint64_t start_ns = vmb_now_ns();
	int err = 0;

	for (uint32_t i = 0; i < server->count && !err; i++)
		err = vmb_region_fill(&server->regions[i], server->ctx->params.seed + i,
				      server->generation);
	ret->time_ns[VMB_PHASE_FILL] += vmb_now_ns() - start_ns;
	return err;
}

static int write_to_all(struct server *server)
{
	int err = 0;

	for (uint32_t i = 0; i < server->count && !err; i++) {
		struct vmb_ctx ctx = context_of(server, i);

		ctx.other = server->pids[i];
		ctx.remote_dst = server->board->seats[i].dst;
		err = ctx.mech->transfer(&ctx);
	}
	return err;
}

static int hand_out(struct server *server, struct vmb_sample *ret)
{
	unsigned int flags = server->ctx->mech->flags;
	uint64_t start_ns = vmb_now_ns();
	int err;

	if (flags & VMB_CHILD_RECEIVES)
		err = start_receivers(server);
	else
		err = pace(server, STEP_TAKE);
	if (!err && flags & VMB_SOURCE_ACTS && !(flags & VMB_CHILD_RECEIVES))
		err = write_to_all(server);
	ret->time_ns[VMB_PHASE_READY] += vmb_now_ns() - start_ns;
	return err;
}

static int timed_pace(struct server *server, enum step step, uint64_t *ret)
{
	uint64_t start_ns = vmb_now_ns();
	int err = pace(server, step);

	*ret += vmb_now_ns() - start_ns;
	return err;
}

/* Every byte is compared where it arrived; then what memory all of them have. */
static int check_all(struct server *server)
{
	struct vmb_evidence *found = server->check;
	int err = pace(server, STEP_CHECK);

	*found = (struct vmb_evidence){ 0 };
	for (uint32_t i = 0; i < server->count && !err; i++) {
		found->page_table_bytes += server->board->seats[i].page_table_bytes;
		vmb_use_merge(&server->board->seats[i].use, &found->use);
		found->moved_bytes += server->regions[i].size;
	}
	return err ? err : weigh(&found->page_table_bytes, &found->use);
}

static int run_all(struct server *server, struct vmb_sample *ret)
{
	int err = map_regions(server);

	if (!err && !child_receives(server->ctx))
		err = start_receivers(server);
	if (!err)
		err = fill(server, ret);
	if (!err)
		err = hand_out(server, ret);
	if (!err)
		err = server->check ? check_all(server)
				    : timed_pace(server, STEP_WORK, &ret->time_ns[VMB_PHASE_WORK]);
	if (!err)
		err = timed_pace(server, STEP_RELEASE, &ret->time_ns[VMB_PHASE_RELEASE]);
	return err;
}

static void end_all(struct server *server, int err)
{
	for (uint32_t i = 0; i < server->count; i++) {
		if (server->pids[i] > 0 && err)
			kill(server->pids[i], SIGKILL);
		if (server->pids[i] > 0)
			waitpid(server->pids[i], NULL, 0);
		vmb_region_unmap(&server->regions[i]);
	}
	munmap(server->board, server->board_bytes);
}

/* One operation: fill, hand out, work, release; or with check, see struct server. */
static int serve_once(const struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *check,
		      struct vmb_sample *ret)
{
	struct vmb_region regions[VMB_MOST_RECEIVERS];
	pid_t pids[VMB_MOST_RECEIVERS] = { 0 };
	struct server server = {
		.ctx = ctx,
		.count = ctx->params.receivers,
		.generation = generation,
		.check = check,
		.regions = regions,
		.pids = pids,
		.steps = vmb_steps_of(ctx),
	};
	int err;

	if (!server.count || server.count > VMB_MOST_RECEIVERS)
		return vmb_fail(-EINVAL, "%u receivers: a page server has 1 to %d", server.count,
				VMB_MOST_RECEIVERS);
	for (uint32_t i = 0; i < server.count; i++)
		regions[i] = VMB_NO_REGION;
	server.board_bytes = sizeof(*server.board) + server.count * sizeof(struct seat);
	server.board = mmap(NULL, server.board_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (server.board == MAP_FAILED)
		return vmb_fail(-errno, "mapping the board");
	err = run_all(&server, ret);
	end_all(&server, err);
	vmb_add_up(ret);
	return err;
}

static int pageserver_source_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	const struct vmb_request *request = &vmb_control->request;
	struct vmb_evidence *check = request->check ? &vmb_control->answer.evidence : NULL;
	int err = 0;

	for (uint64_t i = 0; i < loops && !err; i++)
		err = serve_once(ctx, request->generation, check, ret);
	return err;
}

/* The receiver's side */

static int serve(struct vmb_ctx *ctx, uint64_t loops, uint64_t generation, int check,
		 struct vmb_sample *ret)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	int err;

	request->loops = loops;
	request->generation = generation;
	request->check = (uint32_t)check;
	err = vmb_pair_call(ctx->pair, VMB_CMD_RUN);
	request->check = 0;
	*ret = vmb_pair_answer(ctx->pair)->sample;
	return err;
}

static int pageserver_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	return serve(ctx, loops, 0, 0, ret);
}

static int pageserver_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	struct vmb_sample unused;
	int err;

	err = serve(ctx, 1, generation, 1, &unused);
	*ret = vmb_pair_answer(ctx->pair)->evidence;
	return err;
}

const struct vmb_scene vmb_scene_pageserver = {
	.name = "pageserver",
	.axes = "touch swapped receivers limit",
	.phases =
		VMB_BIT(FILL) | VMB_BIT(READY) | VMB_BIT(WORK) | VMB_BIT(RELEASE) | VMB_BIT(TOTAL),
	.flags = VMB_FRUGAL | VMB_REMOTE,
	.run = pageserver_run,
	.source_run = pageserver_source_run,
	.verify = pageserver_verify,
};
