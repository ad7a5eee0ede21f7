// SPDX-License-Identifier: GPL-2.0-only
/*
 * pingpong: one small message there and back, each round trip timed for itself.
 *
 * The sender composes a message in place, the mechanism's own hooks carry it, and
 * the other side reads and compares all of it; both sides do the same. A mechanism
 * that moves bytes one way gets a second struct vmb_ctx for the other way: the side
 * that takes the message calls transfer(), or with VMB_SOURCE_ACTS the one that sends.
 *
 *   source region   [ back, to the receiver | there, from the receiver ]
 *   receiver region [ back, as it arrives   | there, before it is sent ]
 *
 * One reading of the clock ends a round trip and starts the next one, so nothing
 * is left out; storing the time of one is part of the next.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control.h"
#include "relax.h"

#define WARM_UP	       64u /* round trips before the first that counts */
#define MOST_BYTES     (64u << 10)
#define WORD_STEP      0x9e3779b97f4a7c15u
#define SPINS_A_LOOK   (1u << 22) /* of busy waiting, until the other side is looked at */
#define LEAST_PATIENCE 4000000000u

/* Where a copy of a message in shared memory goes at the source. */
static char landing[MOST_BYTES] __attribute__((aligned(4096)));

/* One side of the talk. */
struct side {
	struct vmb_ctx out, in;
	const struct vmb_mech *mech;
	struct vmb_pair *pair; /* receiver */
	struct vmb_talk *talk;
	uint32_t *told, *heard; /* the words that this side writes, and reads */
	int tell, hear;		/* eventfds */
	enum vmb_wait wait;
	const char *arrived;
	size_t words;
	uint64_t stamp; /* of the talk */
	uint64_t give_up_ns;
};

static int carries(const struct side *side)
{
	return side->mech->isolation != VMB_MOVES_NOTHING;
}

static void compose(const struct side *side, uint32_t number, uint64_t way)
{
	uint64_t *word = (uint64_t *)(void *)side->out.src;
	uint64_t base = side->stamp + 2 * (uint64_t)number + way;

	for (size_t i = 0; i < side->words; i++)
		word[i] = base + i * WORD_STEP;
}

static int compare(const struct side *side, uint32_t number, uint64_t way)
{
	const uint64_t *word = (const uint64_t *)(const void *)side->arrived;
	uint64_t base = side->stamp + 2 * (uint64_t)number + way, wrong = 0;

	for (size_t i = 0; i < side->words; i++)
		wrong |= word[i] ^ (base + i * WORD_STEP);
	return wrong ? vmb_fail(-EBADMSG, "message %u is not what was sent", number) : 0;
}

static int carry_out(struct side *side)
{
	if (side->mech->flags & VMB_SOURCE_ACTS)
		return side->mech->transfer(&side->out);
	return side->mech->flags & VMB_BOTH_ACT ? side->mech->send(&side->out) : 0;
}

/* In place, reading it is all there is to do, and compare() does that. */
static int carry_in(struct side *side)
{
	if (side->mech->flags & VMB_SOURCE_ACTS || side->mech->isolation == VMB_SHARES)
		return 0;
	return side->mech->transfer(&side->in);
}

static int notify(const struct side *side, uint32_t number)
{
	const uint64_t one = 1;

	if (side->wait == VMB_WAIT_CHANNEL)
		return 0;
	__atomic_store_n(side->told, number, __ATOMIC_RELEASE);
	if (side->wait == VMB_WAIT_FUTEX)
		syscall(SYS_futex, side->told, FUTEX_WAKE, 1, NULL, NULL, 0);
	else if (side->wait == VMB_WAIT_EVENTFD && write(side->tell, &one, sizeof(one)) < 0)
		return vmb_fail(-errno, "write to the eventfd");
	return 0;
}

/*
 * Whether the other side still talks. The receiver asks with waitpid(); a source
 * whose receiver dies is killed by the kernel.
 */
static int look_around(const struct side *side)
{
	int err;

	if (__atomic_load_n(&side->talk->stop, __ATOMIC_ACQUIRE))
		return vmb_fail(-EPIPE, "the other side has given up");
	if (!side->pair)
		return 0;
	err = vmb_pair_check(side->pair);
	if (!err && vmb_now_ns() > side->give_up_ns)
		err = vmb_fail(-ETIMEDOUT, "the source process fell silent");
	return err;
}

static int wait_busy(const struct side *side, uint32_t number)
{
	int err = 0;

	for (uint32_t spins = 1; !err; spins++) {
		if (__atomic_load_n(side->heard, __ATOMIC_ACQUIRE) == number)
			return 0;
		vmb_relax();
		if (!(spins % SPINS_A_LOOK) || __atomic_load_n(&side->talk->stop, __ATOMIC_RELAXED))
			err = look_around(side);
	}
	return err;
}

static int wait_futex(const struct side *side, uint32_t number)
{
	uint32_t seen;
	int err = 0;

	while (!err) {
		seen = __atomic_load_n(side->heard, __ATOMIC_ACQUIRE);
		if (seen == number)
			return 0;
		/* EAGAIN: the word has changed meanwhile, which is no reason to look */
		if (syscall(SYS_futex, side->heard, FUTEX_WAIT, seen, NULL, NULL, 0) &&
		    (errno != EAGAIN || __atomic_load_n(&side->talk->stop, __ATOMIC_RELAXED)))
			err = look_around(side);
	}
	return err;
}

static int wait_eventfd(const struct side *side)
{
	uint64_t count;
	int err = 0;

	while (!err) {
		if (read(side->hear, &count, sizeof(count)) == sizeof(count))
			return 0;
		err = errno == EINTR ? look_around(side)
				     : vmb_fail(-errno, "read from the eventfd");
	}
	return err;
}

static int await(const struct side *side, uint32_t number)
{
	int err = 0;

	switch (side->wait) {
	case VMB_WAIT_CHANNEL:
		return 0;
	case VMB_WAIT_FUTEX:
		err = wait_futex(side, number);
		break;
	case VMB_WAIT_EVENTFD:
		err = wait_eventfd(side);
		break;
	case VMB_WAIT_BUSY:
		err = wait_busy(side, number);
		break;
	}
	if (!err && __atomic_load_n(&side->talk->stop, __ATOMIC_ACQUIRE))
		err = vmb_fail(-EPIPE, "the other side has given up");
	return err;
}

static int say(struct side *side, uint32_t number, uint64_t way)
{
	int err;

	if (carries(side))
		compose(side, number, way);
	err = carries(side) ? carry_out(side) : 0;
	return err ? err : notify(side, number);
}

static int hear(struct side *side, uint32_t number, uint64_t way)
{
	int err = await(side, number);

	if (!err && carries(side))
		err = carry_in(side);
	return !err && carries(side) ? compare(side, number, way) : err;
}

/* Ends the wait of the other side. None of it may fail. */
static void give_up(struct side *side, struct vmb_ctx *ctx)
{
	const uint64_t one = 1;
	ssize_t ignored;

	__atomic_store_n(&side->talk->stop, 1, __ATOMIC_RELEASE);
	__atomic_add_fetch(side->told, 1, __ATOMIC_RELEASE);
	vmb_futex_wake(side->told);
	if (side->tell >= 0)
		ignored = write(side->tell, &one, sizeof(one));
	(void)ignored;
	if (ctx->channel >= 0)
		close(ctx->channel);
	if (ctx->reply >= 0)
		close(ctx->reply);
	ctx->channel = ctx->reply = -1;
}

static void cut_to_message(struct side *side, struct vmb_ctx *ctx)
{
	size_t half = ctx->size / 2;
	/* Whole pages are cloned; what copies bytes copies those of the message. */
	size_t size = ctx->mech->isolation == VMB_COW ? half : ctx->params.size_bytes;

	side->mech = ctx->mech;
	side->wait = ctx->params.wait;
	side->words = ctx->params.size_bytes / sizeof(uint64_t);
	side->out = side->in = *ctx;
	side->out.size = side->in.size = size;
}

static const char *where_it_arrives(const struct side *side)
{
	switch (side->mech->isolation) {
	case VMB_SHARES:
		return side->in.src;
	case VMB_COW:
		return side->in.slot;
	default:
		return side->in.dst;
	}
}

static int lies_shared(const struct vmb_ctx *ctx)
{
	return ctx->mech->memory != VMB_ANON;
}

static void make_receiver(struct side *side, struct vmb_ctx *ctx)
{
	struct vmb_control *control = vmb_pair_control(ctx->pair);
	size_t half = ctx->size / 2;

	cut_to_message(side, ctx);
	side->pair = ctx->pair;
	side->talk = &control->talk;
	side->told = &control->talk.there;
	side->heard = &control->talk.back;
	side->tell = ctx->events[0];
	side->hear = ctx->events[1];
	side->out.src = (lies_shared(ctx) ? ctx->src : ctx->dst) + half;
	side->out.remote_dst = ctx->remote_src + half;
	side->in.remote_src = ctx->remote_src;
	if (ctx->reply >= 0)
		side->out.channel = ctx->reply;
	side->arrived = where_it_arrives(side);
}

static void make_source(struct side *side, struct vmb_ctx *ctx)
{
	size_t half = ctx->size / 2;

	cut_to_message(side, ctx);
	side->pair = NULL;
	side->talk = &vmb_control->talk;
	side->told = &vmb_control->talk.back;
	side->heard = &vmb_control->talk.there;
	side->tell = ctx->events[1];
	side->hear = ctx->events[0];
	side->in.src = ctx->src + half;
	side->in.dst = lies_shared(ctx) ? landing : ctx->src + half;
	side->in.remote_src = ctx->remote_dst + half;
	if (ctx->reply >= 0)
		side->in.channel = ctx->reply;
	side->arrived = where_it_arrives(side);
}

/* The source answers; its command has the number of round trips. */
static int pingpong_source_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	struct side side;
	int err = 0;

	(void)ret;
	make_source(&side, ctx);
	side.stamp = vmb_control->request.generation;
	for (uint32_t i = 1; i <= loops && !err; i++) {
		err = hear(&side, i, 0);
		if (!err)
			err = say(&side, i, 1);
	}
	if (err)
		give_up(&side, ctx);
	return err;
}

static int round_trip(struct side *side, uint32_t number)
{
	int err = say(side, number, 0);

	return err ? err : hear(side, number, 1);
}

static int time_each(struct side *side, uint64_t loops, uint64_t *ret)
{
	struct vmb_latency *latency = &vmb_pair_control(side->pair)->latency;
	uint64_t start_ns, last_ns, now_ns;
	uint32_t number = 0;
	int err = 0;

	while (number < WARM_UP && !err)
		err = round_trip(side, ++number);
	start_ns = last_ns = vmb_now_ns();
	for (uint64_t i = 0; i < loops && !err; i++) {
		err = round_trip(side, ++number);
		now_ns = vmb_now_ns();
		vmb_latency_add(latency, now_ns - last_ns);
		last_ns = now_ns;
	}
	*ret = last_ns - start_ns;
	return err;
}

static int talk(struct vmb_ctx *ctx, uint64_t loops, uint64_t generation, uint64_t *ret)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	struct side side;
	int err, watched, started;

	make_receiver(&side, ctx);
	*side.talk = (struct vmb_talk){ 0 };
	side.stamp = request->generation = vmb_pattern_word(ctx->params.seed, generation, 0, 0);
	side.give_up_ns = vmb_now_ns() + LEAST_PATIENCE + vmb_pair_patience_ns(ctx->pair);
	request->loops = loops + WARM_UP;
	/* A stream ends with its source by itself, and its read() takes no interruption. */
	watched = side.wait != VMB_WAIT_CHANNEL;
	err = watched ? vmb_watch_start() : 0;
	if (err)
		return err;
	err = vmb_pair_start(ctx->pair, VMB_CMD_RUN);
	started = !err;
	if (!err)
		err = time_each(&side, loops, ret);
	if (watched)
		vmb_watch_stop();
	if (!started)
		return err;
	if (err)
		give_up(&side, ctx);
	return vmb_pair_settle(ctx->pair, err); /* which ends a source that is stuck */
}

static int pingpong_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret)
{
	return talk(ctx, loops, loops, &ret->time_ns[VMB_PHASE_TOTAL]);
}

/* Every message is compared as a whole, in the timed part as well. */
static int pingpong_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	struct side side;
	uint64_t unused_ns;
	int err;

	err = talk(ctx, 1, generation, &unused_ns);
	if (err || ctx->mech->isolation == VMB_MOVES_NOTHING)
		return err;
	ret->channel_bytes = ctx->channel_bytes;
	vmb_use_add(getpid(), &ret->use);
	vmb_use_add(ctx->other, &ret->use);
	err = vmb_read_page_tables(ctx, &ret->page_table_bytes);
	if (!err)
		err = vmb_pair_call(ctx->pair, VMB_CMD_PROVE);
	ret->src = vmb_pair_answer(ctx->pair)->proof;
	make_receiver(&side, ctx);
	if (!err)
		err = vmb_prove((char *)(uintptr_t)side.arrived, ctx->size / 2, &ret->dst);
	return err;
}

/* The rules of matrix/scenarios.py, for callers other than the runner. */
static int why_not(const struct vmb_ctx *ctx)
{
	const struct vmb_mech *mech = ctx->mech;
	uint64_t bytes = ctx->params.size_bytes;
	int tells = !!(mech->flags & VMB_BOTH_ACT);

	if (!bytes || bytes % sizeof(uint64_t) || bytes > MOST_BYTES || bytes > ctx->size / 2)
		return vmb_fail(-EINVAL, "a message of %" PRIu64 " bytes", bytes);
	if (!(mech->flags & VMB_TALKS))
		return vmb_fail(-EOPNOTSUPP, "%s carries no messages", mech->name);
	if (tells != (ctx->params.wait == VMB_WAIT_CHANNEL))
		return vmb_fail(-EOPNOTSUPP, "%s is not waited for in that way", mech->name);
	if (ctx->params.wait == VMB_WAIT_BUSY && vmb_pair_on_one_cpu(ctx->pair))
		return vmb_fail(-EOPNOTSUPP, "busy waiting needs a CPU for each side");
	return 0;
}

static int open_events(struct vmb_ctx *ctx)
{
	int err = 0;

	for (int i = 0; i < 2 && !err; i++) {
		ctx->events[i] = eventfd(0, EFD_CLOEXEC);
		err = ctx->events[i] < 0 ? vmb_fail(-errno, "eventfd")
					 : vmb_pair_send_fd(ctx->pair, ctx->events[i]);
	}
	return err;
}

static int pingpong_open(struct vmb_ctx *ctx)
{
	int err = why_not(ctx);

	if (!err && ctx->mech->reply)
		err = ctx->mech->reply(ctx);
	if (!err && ctx->params.wait == VMB_WAIT_EVENTFD)
		err = open_events(ctx);
	return err;
}

static int pingpong_source_open(struct vmb_ctx *ctx)
{
	int err = ctx->mech->reply ? ctx->mech->reply(ctx) : 0;

	for (int i = 0; i < 2 && !err && ctx->params.wait == VMB_WAIT_EVENTFD; i++)
		err = vmb_fd_receive(VMB_SOCKET_FD, &ctx->events[i]);
	return err;
}

static void pingpong_close(struct vmb_ctx *ctx)
{
	for (int i = 0; i < 2; i++)
		if (ctx->events[i] >= 0)
			close(ctx->events[i]);
	if (ctx->reply >= 0)
		close(ctx->reply);
	ctx->reply = ctx->events[0] = ctx->events[1] = -1;
}

const struct vmb_scene vmb_scene_pingpong = {
	.name = "pingpong",
	.axes = "wait",
	.phases = VMB_TOTAL_ALONE,
	.flags = VMB_REUSES | VMB_TWO_WAY,
	.open = pingpong_open,
	.source_open = pingpong_source_open,
	.run = pingpong_run,
	.source_run = pingpong_source_run,
	.verify = pingpong_verify,
	.close = pingpong_close,
	.source_close = pingpong_close,
};
