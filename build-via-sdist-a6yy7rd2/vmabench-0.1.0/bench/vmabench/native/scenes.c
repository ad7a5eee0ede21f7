// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each scenario does differently from the common loops and the common
 * check. A scenario that needs more than they offer has a file scene_*.c and
 * its row here; NULL means the common way.
 */
#include "core.h"

extern const struct vmb_scene vmb_scene_pingpong, vmb_scene_contention, vmb_scene_snapshot;

static const struct vmb_scene transfer = { .flags = VMB_REUSES };
static const struct vmb_scene deliver;

static const struct vmb_scene *const scenes[VMB_NR_SCENARIOS] = {
	[VMB_TRANSFER] = &transfer,
	[VMB_SCATTER] = &transfer,
	[VMB_DELIVER] = &deliver,
	[VMB_PINGPONG] = &vmb_scene_pingpong,
	[VMB_CONTENTION] = &vmb_scene_contention,
	[VMB_SNAPSHOT] = &vmb_scene_snapshot,
	[VMB_SWAPPED] = &vmb_scene_swapped,
	[VMB_HANDOFF] = &vmb_scene_handoff,
	[VMB_PAGESERVER] = &vmb_scene_pageserver,
};

const struct vmb_scene *vmb_scene_of(const struct vmb_ctx *ctx)
{
	return scenes[ctx->params.scenario];
}

/* Whether the receiver's memory is fresh for each operation, in phases. */
int vmb_delivers(const struct vmb_ctx *ctx)
{
	return !(vmb_scene_of(ctx)->flags & VMB_REUSES);
}
