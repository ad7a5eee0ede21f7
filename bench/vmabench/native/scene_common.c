// SPDX-License-Identifier: GPL-2.0-only
/*
 * transfer, scatter, deliver and touch: the scenarios that the loops of loops.c
 * and the check of verify.c were written for, with hooks of the mechanism alone.
 * touch is deliver with other fractions of the pages.
 */
#include "core.h"

const struct vmb_scene vmb_scene_transfer = {
	.name = "transfer",
	.axes = "thp source source_threads placement congruent",
	.phases = VMB_TOTAL_ALONE,
	.flags = VMB_REUSES,
};

const struct vmb_scene vmb_scene_scatter = {
	.name = "scatter",
	.axes = "segments thp source source_threads placement",
	.phases = VMB_TOTAL_ALONE,
	.flags = VMB_REUSES | VMB_CUT,
};

const struct vmb_scene vmb_scene_deliver = {
	.name = "deliver",
	.axes = "touch thp source source_threads buffer placement congruent",
	.phases = VMB_DELIVERY,
};

const struct vmb_scene vmb_scene_touch = {
	.name = "touch",
	.axes = "touch thp source source_threads buffer placement congruent",
	.phases = VMB_DELIVERY,
};
