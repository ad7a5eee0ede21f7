// SPDX-License-Identifier: GPL-2.0-only
/*
 * The check that comes before each timed part: new data is delivered once by
 * the case's own operation and compared whole, then each side writes and the
 * other one looks. It is the warm-up at the same time.
 */
#include <errno.h>
#include <unistd.h>

#include "control.h"

/* Pages that the two sides write, different where there are two. */
struct places {
	size_t receiver_page, source_page;
};

static struct places choose_places(const struct vmb_ctx *ctx, uint64_t generation)
{
	size_t pages = ctx->size / ctx->base_page;
	size_t first = vmb_pattern_word(ctx->params.seed, generation, pages, 0) % pages;

	return (struct places){ first, (first + pages / 2) % pages };
}

/* The shared object that came with new data. */
int vmb_take_object(struct vmb_ctx *ctx)
{
	int err = vmb_pair_renew_object(ctx->pair);

	ctx->fd = vmb_pair_source(ctx->pair)->fd;
	ctx->remote_fd = vmb_pair_source(ctx->pair)->remote_fd;
	return err;
}

int vmb_fill_source(struct vmb_ctx *ctx, uint64_t generation)
{
	int err;

	if (ctx->local.addr) {
		vmb_pattern_fill(ctx->local.addr, ctx->size, ctx->params.seed, generation);
		return 0;
	}
	vmb_pair_request(ctx->pair)->generation = generation;
	err = vmb_pair_call(ctx->pair, VMB_CMD_FILL);
	return err ? err : vmb_take_object(ctx);
}

static int operate_there(struct vmb_ctx *ctx)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	int err;

	request->loops = 1;
	request->check = 1; /* the source keeps its data */
	err = vmb_pair_call(ctx->pair, VMB_CMD_RUN);
	request->check = 0;
	return err;
}

static int attach(struct vmb_ctx *ctx)
{
	vmb_hook populate = vmb_buffer_populate(ctx);
	int err = vmb_buffer_attach(ctx)(ctx);

	return !err && populate ? populate(ctx) : err;
}

static int operate(struct vmb_ctx *ctx)
{
	uint64_t unused_ns;
	int err;

	err = vmb_delivers(ctx) ? attach(ctx) : 0;
	if (err)
		return err;
	if (ctx->mech->flags & VMB_SOURCE_ACTS)
		return operate_there(ctx);
	if (ctx->mech->flags & VMB_BOTH_ACT)
		return vmb_stream(ctx, 1, &unused_ns);
	if (!vmb_delivers(ctx))
		return vmb_operation(ctx)(ctx);
	return ctx->mech->deliver ? ctx->mech->deliver(ctx) : 0;
}

/* Whether a write by one side may, or must, be seen by the other. */
int vmb_judge_isolation(enum vmb_isolation isolation, int seen, const char *writer,
			const char *reader)
{
	if (isolation == VMB_SHARES && !seen)
		return vmb_fail(-EBADMSG, "the %s does not see the write of the %s", reader,
				writer);
	if (isolation != VMB_SHARES && seen)
		return vmb_fail(-EBADMSG, "the write of the %s reached the %s", writer, reader);
	return 0;
}

int vmb_look_at_source(struct vmb_ctx *ctx, uint64_t generation, size_t page)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	int changed;

	request->offset = vmb_source_page(ctx, page) * ctx->base_page;
	request->generation = generation;
	changed = vmb_pair_call(ctx->pair, VMB_CMD_LOOK);
	if (changed && changed != -EBADMSG)
		return changed;
	return vmb_judge_isolation(ctx->mech->isolation, changed, "receiver", "source");
}

static int look_at_receiver(struct vmb_ctx *ctx, uint64_t generation, size_t page)
{
	uint64_t expected = vmb_pattern_word(ctx->params.seed, generation, page, 2);
	size_t here = vmb_source_page(ctx, page);
	uint64_t found = *(volatile uint64_t *)vmb_word(ctx->view, here, ctx->base_page, 2);

	return vmb_judge_isolation(ctx->mech->isolation, found != expected, "source", "receiver");
}

/* Word 1 is the receiver's to write, word 2 the source's. */
static int check_isolation(struct vmb_ctx *ctx, uint64_t generation)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	struct places at = choose_places(ctx, generation);
	uint64_t *mine = vmb_word(ctx->view, at.receiver_page, ctx->base_page, 1);
	int err;

	*mine = ~*mine;
	err = vmb_look_at_source(ctx, generation, at.receiver_page);
	if (err)
		return err;
	request->offset = at.source_page * ctx->base_page + 2 * sizeof(uint64_t);
	err = vmb_pair_call(ctx->pair, VMB_CMD_SCRIBBLE);
	if (!err)
		err = look_at_receiver(ctx, generation, at.source_page);
	return err;
}

int vmb_read_page_tables(struct vmb_ctx *ctx, uint64_t *ret)
{
	uint64_t here, there;
	int err;

	err = vmb_page_table_bytes(getpid(), &here);
	if (!err)
		err = vmb_page_table_bytes(ctx->other, &there);
	if (!err)
		*ret = here + there;
	return err;
}

static int check_delivered(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	int err;

	err = vmb_check_segments(ctx, generation);
	if (!err)
		err = vmb_read_page_tables(ctx, &ret->page_table_bytes);
	vmb_use_add(getpid(), &ret->use);
	vmb_use_add(ctx->other, &ret->use);
	if (!err)
		err = vmb_prove(ctx->view, ctx->size, &ret->dst);
	if (!err && !(ctx->mech->flags & VMB_LOCAL))
		err = check_isolation(ctx, generation);
	return err;
}

/* The source as the timed part will find it: whole, whoever wrote to it. */
static int prove_source(struct vmb_ctx *ctx, uint64_t generation, struct vmb_proof *ret)
{
	struct vmb_request *request = vmb_pair_request(ctx->pair);
	int err;

	if (ctx->mech->flags & VMB_LOCAL)
		return vmb_prove(ctx->local.addr, ctx->size, ret);
	if (ctx->mech->isolation == VMB_COW && ctx->page > ctx->base_page) {
		request->offset = choose_places(ctx, generation).source_page * ctx->base_page;
		err = vmb_pair_call(ctx->pair, VMB_CMD_RENEW);
		if (err)
			return err;
	}
	err = vmb_pair_call(ctx->pair, VMB_CMD_PROVE);
	*ret = vmb_pair_answer(ctx->pair)->proof;
	return err;
}

static int verify_in_source(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	int err;

	vmb_pair_request(ctx->pair)->generation = generation;
	err = vmb_pair_call(ctx->pair, VMB_CMD_VERIFY);
	*ret = vmb_pair_answer(ctx->pair)->evidence;
	return err;
}

int vmb_verify_delivery(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	int err;

	if (ctx->mech->isolation == VMB_MOVES_NOTHING)
		return 0;
	ret->channel_bytes = ctx->channel_bytes;
	if (ctx->mech->verify)
		return verify_in_source(ctx, generation, ret);
	err = vmb_fill_source(ctx, generation);
	if (!err)
		err = operate(ctx);
	if (!err)
		err = check_delivered(ctx, generation, ret);
	if (!err && vmb_delivers(ctx))
		err = vmb_buffer_release(ctx)(ctx);
	if (!err && ctx->mech->rearm)
		err = ctx->mech->rearm(ctx);
	if (!err)
		err = prove_source(ctx, generation, &ret->src);
	return err;
}

int vmb_case_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret)
{
	const struct vmb_scene *scene = vmb_scene_of(ctx);
	int err;

	*ret = (struct vmb_evidence){ 0 };
	err = (scene->verify ? scene->verify : vmb_verify_delivery)(ctx, generation, ret);
	if (err && vmb_pair_check(ctx->pair))
		return -ESRCH;
	return err;
}

/* How things lie after the timed part, as far as anything is left there. */
static int prove_common(struct vmb_ctx *ctx, struct vmb_evidence *ret)
{
	unsigned int flags = ctx->mech->flags;
	int err;

	if (flags & VMB_LOCAL) {
		err = vmb_prove(ctx->local.addr, ctx->size, &ret->src);
	} else {
		err = vmb_pair_call(ctx->pair, VMB_CMD_PROVE);
		ret->src = vmb_pair_answer(ctx->pair)->proof;
	}
	return err ? err : vmb_prove_destination(ctx, &ret->dst);
}

/* The receiver's memory, where it is its own and lasts. */
int vmb_prove_destination(struct vmb_ctx *ctx, struct vmb_proof *ret)
{
	if ((vmb_delivers(ctx) && !ctx->kept) || ctx->mech->flags & VMB_IN_PLACE)
		return 0;
	return vmb_prove(ctx->dst, ctx->size, ret);
}

int vmb_case_prove(struct vmb_ctx *ctx, struct vmb_evidence *ret)
{
	const struct vmb_scene *scene = vmb_scene_of(ctx);
	int err;

	*ret = (struct vmb_evidence){ 0 };
	if (ctx->mech->isolation == VMB_MOVES_NOTHING || scene->flags & VMB_WRITTEN)
		return 0;
	err = (scene->prove ? scene->prove : prove_common)(ctx, ret);
	return err && vmb_pair_check(ctx->pair) ? -ESRCH : err;
}
