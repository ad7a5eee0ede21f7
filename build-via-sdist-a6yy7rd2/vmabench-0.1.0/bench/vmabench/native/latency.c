// SPDX-License-Identifier: GPL-2.0-only
/* The histogram and the run chart of single operations; see latency.h. */
#include <string.h>

#include "latency.h"

void vmb_latency_reset(struct vmb_latency *latency)
{
	memset(latency, 0, sizeof(*latency));
	latency->stride = 1;
}

uint32_t vmb_latency_bucket(uint64_t time_ns)
{
	unsigned int octave;

	if (time_ns < VMB_LATENCY_PARTS)
		return (uint32_t)time_ns;
	octave = 63u - (unsigned int)__builtin_clzll(time_ns) - VMB_LATENCY_BITS;
	if (octave >= VMB_LATENCY_OCTAVES)
		return VMB_LATENCY_BUCKETS - 1;
	return octave * VMB_LATENCY_PARTS + (uint32_t)(time_ns >> octave);
}

/* The smallest time that goes into a bucket; that of the one behind it ends it. */
uint64_t vmb_latency_bound(uint32_t bucket)
{
	uint32_t octave = bucket / VMB_LATENCY_PARTS;

	if (octave < 2)
		return bucket;
	return (uint64_t)(bucket - (octave - 1) * VMB_LATENCY_PARTS) << (octave - 1);
}

/* Two neighbours become one point, as often as the chart is full. */
void vmb_latency_halve(struct vmb_latency *latency)
{
	uint64_t *max = latency->point_max_ns, *sum = latency->point_sum_ns;

	for (uint32_t i = 0; i < VMB_CHART_POINTS / 2; i++) {
		max[i] = max[2 * i] > max[2 * i + 1] ? max[2 * i] : max[2 * i + 1];
		sum[i] = sum[2 * i] + sum[2 * i + 1];
	}
	memset(max + VMB_CHART_POINTS / 2, 0, sizeof(*max) * VMB_CHART_POINTS / 2);
	memset(sum + VMB_CHART_POINTS / 2, 0, sizeof(*sum) * VMB_CHART_POINTS / 2);
	latency->points = VMB_CHART_POINTS / 2;
	latency->stride *= 2;
}

void vmb_latency_add(struct vmb_latency *latency, uint64_t time_ns)
{
	uint32_t point;

	latency->count++;
	latency->sum_ns += time_ns;
	if (time_ns > latency->max_ns)
		latency->max_ns = time_ns;
	latency->bucket[vmb_latency_bucket(time_ns)]++;

	if (latency->points == VMB_CHART_POINTS)
		vmb_latency_halve(latency);
	point = latency->points;
	if (time_ns > latency->point_max_ns[point])
		latency->point_max_ns[point] = time_ns;
	latency->point_sum_ns[point] += time_ns;
	if (++latency->started == latency->stride) {
		latency->started = 0;
		latency->points++;
	}
}
