// SPDX-License-Identifier: GPL-2.0-only
/* The table of scenarios. The order is the one of lists and legends. */
#include <stddef.h>
#include <string.h>

#include "core.h"

#define SCENES(ROW)                                                                                \
	ROW(transfer)                                                                              \
	ROW(scatter)                                                                               \
	ROW(deliver)                                                                               \
	ROW(touch)                                                                                 \
	ROW(pingpong)                                                                              \
	ROW(contention)                                                                            \
	ROW(snapshot)                                                                              \
	ROW(swapped)                                                                               \
	ROW(handoff)                                                                               \
	ROW(pageserver)                                                                            \
	ROW(vmbranch)

#define DECLARE(name) extern const struct vmb_scene vmb_scene_##name;
#define ENTER(name)   &vmb_scene_##name,

SCENES(DECLARE)

const struct vmb_scene *const vmb_scenes[] = { SCENES(ENTER) };

int vmb_scene_count(void)
{
	return sizeof(vmb_scenes) / sizeof(vmb_scenes[0]);
}

const struct vmb_scene *vmb_scene_at(int index)
{
	return index >= 0 && index < vmb_scene_count() ? vmb_scenes[index] : NULL;
}

/* -1 if there is no scenario of that name. */
int vmb_scene_index(const char *name)
{
	for (int i = 0; i < vmb_scene_count(); i++)
		if (!strcmp(vmb_scenes[i]->name, name))
			return i;
	return -1;
}

const struct vmb_scene *vmb_scene_of(const struct vmb_ctx *ctx)
{
	return vmb_scenes[ctx->params.scenario];
}

int vmb_has_phase(const struct vmb_ctx *ctx, enum vmb_phase phase)
{
	return vmb_scene_of(ctx)->phases >> phase & 1;
}

/* Whether the receiver's memory is fresh for each operation, in phases. */
int vmb_delivers(const struct vmb_ctx *ctx)
{
	return !(vmb_scene_of(ctx)->flags & VMB_REUSES);
}

/* Whether the data is cut into segments. */
int vmb_is_cut(const struct vmb_ctx *ctx)
{
	return !!(vmb_scene_of(ctx)->flags & VMB_CUT);
}
