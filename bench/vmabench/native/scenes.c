// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each scenario does differently from the common loops and the common
 * check. A scenario that needs more than they offer has a file scene_*.c and
 * its row here; NULL means the common way.
 */
#include "core.h"

static const struct vmb_scene common;

static const struct vmb_scene *const scenes[VMB_NR_SCENARIOS] = {
	[VMB_TRANSFER] = &common,
	[VMB_DELIVER] = &common,
	[VMB_SWAPPED] = &vmb_scene_swapped,
	[VMB_HANDOFF] = &vmb_scene_handoff,
	[VMB_PAGESERVER] = &vmb_scene_pageserver,
};

const struct vmb_scene *vmb_scene_of(const struct vmb_ctx *ctx)
{
	return scenes[ctx->params.scenario];
}
