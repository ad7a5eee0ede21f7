// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmabench-source: the process whose memory is transferred. A program of its own,
 * so that a fork of it copies its data and nothing else. It obeys the control page.
 * It has one thread, but for the handler of uffd-wp while a case of that is open.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "control.h"

#define SLICE_MS 1000 /* how often it looks whether the receiver lives */

static struct vmb_ctx ctx;

static int do_start(const struct vmb_request *request, struct vmb_answer *answer)
{
	(void)answer;
	/*
	 * The receiver may read its child anyway, but the processes that it forks may
	 * not under yama 1: this names them too.
	 */
	prctl(PR_SET_PTRACER, request->receiver, 0, 0, 0);
	/* A source that was started with other credentials could not read its own /proc. */
	prctl(PR_SET_DUMPABLE, 1);
	vmb_nodes_forbid((int)request->nodes_forbidden);
	return vmb_pin(request->cpu);
}

/* The shared object, where there is one: its number here, and the file itself. */
static int hand_over(struct vmb_answer *answer)
{
	answer->fd = vmb_source_region.fd;
	return answer->fd < 0 ? 0 : vmb_fd_send(VMB_SOCKET_FD, answer->fd);
}

static int do_map(const struct vmb_request *request, struct vmb_answer *answer)
{
	struct vmb_region wanted = VMB_NO_REGION;
	int err;

	vmb_region_unmap(&vmb_source_region);
	vmb_advise((int)request->unadvised);
	wanted.memory = request->memory;
	wanted.page = request->page;
	wanted.hugetlb = (int)request->hugetlb;
	wanted.size = request->size;
	err = vmb_region_map(&wanted, &vmb_source_region);
	if (err)
		return err;
	err = vmb_region_fill(&vmb_source_region, 0, 0);
	if (err)
		return err;
	answer->addr = (uintptr_t)vmb_source_region.addr;
	answer->shmid = vmb_source_region.shmid;
	err = hand_over(answer);
	if (err)
		return err;
	return vmb_prove(vmb_source_region.addr, vmb_source_region.size, &answer->proof);
}

static int do_fill(const struct vmb_request *request, struct vmb_answer *answer)
{
	const struct vmb_scene *scene = vmb_scene_of(&ctx);
	int err = (scene->source_fill ? scene->source_fill : vmb_region_fill)(
		&vmb_source_region, ctx.params.seed, request->generation);

	answer->fd = -1;
	if (err || vmb_source_region.memory != VMB_SEALED)
		return err;
	ctx.fd = vmb_source_region.fd;
	return hand_over(answer);
}

static int do_prove(const struct vmb_request *request, struct vmb_answer *answer)
{
	(void)request;
	return vmb_prove(vmb_source_region.addr, vmb_source_region.size, &answer->proof);
}

static int do_look(const struct vmb_request *request, struct vmb_answer *answer)
{
	size_t page = request->offset / ctx.base_page;

	(void)answer;
	for (size_t i = 0; i < ctx.base_page / sizeof(uint64_t); i++)
		if (*vmb_word(ctx.src, page, ctx.base_page, i) !=
		    vmb_pattern_word(ctx.params.seed, request->generation, page, i))
			return vmb_fail(-EBADMSG, "page %zu of the source has changed", page);
	return 0;
}

static int do_scribble(const struct vmb_request *request, struct vmb_answer *answer)
{
	uint64_t *word = (uint64_t *)(void *)(ctx.src + request->offset);

	(void)answer;
	*word = ~*word;
	return 0;
}

static int do_renew(const struct vmb_request *request, struct vmb_answer *answer)
{
	(void)answer;
	return vmb_region_renew(&vmb_source_region, request->offset);
}

static int do_produce(const struct vmb_request *request, struct vmb_answer *answer)
{
	int err;

	answer->fd = -1;
	err = vmb_region_produce(&vmb_source_region, ctx.params.seed, request->generation,
				 &answer->sample.time_ns[VMB_PHASE_FILL]);
	if (err || vmb_source_region.memory != VMB_SEALED)
		return err;
	ctx.fd = vmb_source_region.fd;
	return hand_over(answer);
}

static int do_disown(const struct vmb_request *request, struct vmb_answer *answer)
{
	uint64_t start_ns = vmb_now_ns();
	int err = vmb_region_disown(&vmb_source_region);

	(void)request;
	answer->sample.time_ns[VMB_PHASE_UNMAP] = vmb_now_ns() - start_ns;
	return err;
}

static int do_page_out(const struct vmb_request *request, struct vmb_answer *answer)
{
	(void)answer;
	return vmb_page_out(vmb_source_region.addr, vmb_source_region.size, request->pct);
}

static int do_rewrite(const struct vmb_request *request, struct vmb_answer *answer)
{
	answer->sample = (struct vmb_sample){ 0 };
	return vmb_rewrite_region(&ctx, &vmb_source_region,
				  request->timed ? &answer->sample : NULL);
}

/* Whether commands come through the relay, as its turn. */
static int relayed;

static int do_relay(const struct vmb_request *request, struct vmb_answer *answer)
{
	struct vmb_relay *relay = &vmb_control->relay;

	(void)answer;
	relayed = (int)request->relayed;
	if (relayed)
		relay->turn = relay->done = vmb_control->requests;
	return 0;
}

/* Writes beside a receiver split huge pages; the next case of this source finds whole ones. */
static int make_whole(void)
{
	if (!ctx.mech || !(vmb_scene_of(&ctx)->flags & VMB_WRITTEN) || ctx.page == ctx.base_page)
		return 0;
	return vmb_region_remake(&vmb_source_region, ctx.params.seed, 0);
}

static int do_close(const struct vmb_request *request, struct vmb_answer *answer)
{
	int err = make_whole();

	(void)request;
	(void)answer;
	vmb_threads_stop();
	if (ctx.mech && vmb_scene_of(&ctx)->source_close)
		vmb_scene_of(&ctx)->source_close(&ctx);
	if (ctx.mech && ctx.mech->source_teardown)
		ctx.mech->source_teardown(&ctx);
	if (ctx.mech && ctx.channel >= 0)
		close(ctx.channel);
	ctx = VMB_NO_CTX;
	return err;
}

static int do_open(const struct vmb_request *request, struct vmb_answer *answer)
{
	int err;

	do_close(request, answer);
	ctx = (struct vmb_ctx){
		.mech = vmb_mech_at(request->mech),
		.params = request->params,
		.other = request->receiver,
		.size = vmb_source_region.size,
		.page = vmb_source_region.page,
		.hugetlb = vmb_source_region.hugetlb,
		.base_page = vmb_base_page(),
		.src = vmb_source_region.addr,
		.remote_dst = request->remote_dst,
		.fd = vmb_source_region.fd,
		.shmid = vmb_source_region.shmid,
		.channel = -1,
		.reply = -1,
		.events = { -1, -1 },
	};
	err = ctx.mech->source_setup ? ctx.mech->source_setup(&ctx) : 0;
	answer->token = ctx.token;
	return err ? err : vmb_threads_start(request->thread_cpu, ctx.params.source_threads);
}

static int do_ready(const struct vmb_request *request, struct vmb_answer *answer)
{
	(void)request;
	(void)answer;
	return vmb_scene_of(&ctx)->source_open(&ctx);
}

static int do_run(const struct vmb_request *request, struct vmb_answer *answer)
{
	const struct vmb_scene *scene = vmb_scene_of(&ctx);

	if (scene->source_run) {
		answer->sample = (struct vmb_sample){ .loops = request->loops };
		return scene->source_run(&ctx, request->loops, &answer->sample);
	}
	return vmb_loop(&ctx, request->loops, &answer->sample);
}

static int do_verify(const struct vmb_request *request, struct vmb_answer *answer)
{
	return ctx.mech->verify(&ctx, request->generation, &answer->evidence);
}

static int do_exit(const struct vmb_request *request, struct vmb_answer *answer)
{
	(void)request;
	(void)answer;
	_exit(0);
}

static int (*const commands[VMB_NR_COMMANDS])(const struct vmb_request *, struct vmb_answer *) = {
	[VMB_CMD_START] = do_start,	[VMB_CMD_MAP] = do_map,
	[VMB_CMD_FILL] = do_fill,	[VMB_CMD_PROVE] = do_prove,
	[VMB_CMD_LOOK] = do_look,	[VMB_CMD_SCRIBBLE] = do_scribble,
	[VMB_CMD_RENEW] = do_renew,	[VMB_CMD_OPEN] = do_open,
	[VMB_CMD_RUN] = do_run,		[VMB_CMD_PRODUCE] = do_produce,
	[VMB_CMD_DISOWN] = do_disown,	[VMB_CMD_PAGE_OUT] = do_page_out,
	[VMB_CMD_VERIFY] = do_verify,	[VMB_CMD_READY] = do_ready,
	[VMB_CMD_REWRITE] = do_rewrite, [VMB_CMD_RELAY] = do_relay,
	[VMB_CMD_CLOSE] = do_close,	[VMB_CMD_EXIT] = do_exit,
};

static void obey(uint32_t number)
{
	struct vmb_answer *answer = &vmb_control->answer;
	uint32_t command = vmb_control->request.command;
	uint32_t *answered = relayed ? &vmb_control->relay.done : &vmb_control->answers;

	if (command < VMB_NR_COMMANDS)
		answer->err = commands[command](&vmb_control->request, answer);
	else
		answer->err = vmb_fail(-ENOSYS, "command %u", command);
	if (answer->err)
		memcpy(answer->detail, vmb_detail(), sizeof(answer->detail));
	__atomic_store_n(answered, number, __ATOMIC_RELEASE);
	vmb_futex_wake(answered);
}

/*
 * On one CPU, a source that preempts its waker has the waker go to sleep within the timed
 * part of fork, as soon as the source waits for the child. SCHED_BATCH preempts nothing.
 */
static void wait_for_command(uint32_t *next, uint32_t done)
{
	const struct vmb_request *request = &vmb_control->request;
	const struct sched_param none = { 0 };
	int yields = request->cpu == request->receiver_cpu && sched_getscheduler(0) == SCHED_OTHER;

	if (yields)
		sched_setscheduler(0, SCHED_BATCH, &none);
	vmb_futex_wait(next, done, SLICE_MS);
	if (yields)
		sched_setscheduler(0, SCHED_OTHER, &none);
}

int main(int count, char **arguments)
{
	uint32_t done = 0;
	pid_t parent;

	/* Populated: faults on it, as its histogram fills, would count as those of an operation. */
	vmb_control = mmap(NULL, sizeof(*vmb_control), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, VMB_CONTROL_FD, 0);
	if (vmb_control == MAP_FAILED)
		return 2;
	(void)arguments;
	if (count > 1)
		vmb_relay_main(vmb_control);
	/* Not getppid(): a receiver that was killed meanwhile has left this process to another one. */
	parent = vmb_control->request.receiver;
	vmb_be_child_of(parent);
	signal(SIGPIPE, SIG_IGN); /* a receiver that gave up is an error of the case */
	for (;;) {
		uint32_t *next = relayed ? &vmb_control->relay.turn : &vmb_control->requests;
		uint32_t number = __atomic_load_n(next, __ATOMIC_ACQUIRE);

		if (number != done)
			obey(done = number);
		else if (getppid() != parent)
			return 1;
		else
			wait_for_command(next, done);
	}
}
