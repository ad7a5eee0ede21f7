/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long single operations took: a histogram of all of them, and their run
 * chart. Both are of fixed size, so that nothing is allocated in a timed part.
 *
 * The histogram is log-linear. Below VMB_LATENCY_PARTS a bucket is one
 * nanosecond wide; above, each power of two is cut into VMB_LATENCY_PARTS equal
 * buckets, so none is wider than 1/VMB_LATENCY_PARTS of the values in it. A value is
 * the difference of two readings of the clock, and off by up to one step of it. With a
 * counter of 24 MHz (42 ns), as arm64 may have, that is more than a bucket below 5 us.
 *
 * A point of the chart stands for `stride` operations that followed one another;
 * it starts at 1 and doubles whenever the chart is full. A point has the longest
 * of its operations and the sum of all: a slow one is never averaged away.
 */
#ifndef VMB_LATENCY_H
#define VMB_LATENCY_H

#include <stdint.h>

#define VMB_LATENCY_BITS    7
#define VMB_LATENCY_PARTS   (1u << VMB_LATENCY_BITS)
#define VMB_LATENCY_OCTAVES 34 /* up to 2^41 ns, 36 minutes; longer ones go into the last bucket */
#define VMB_LATENCY_BUCKETS ((VMB_LATENCY_OCTAVES + 1) * VMB_LATENCY_PARTS)
#define VMB_CHART_POINTS    1024

struct vmb_latency {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint32_t bucket[VMB_LATENCY_BUCKETS];
	uint64_t stride;  /* operations a point */
	uint64_t started; /* operations in the point that is being filled */
	uint32_t points;  /* full ones; the one that is being filled comes behind them */
	uint64_t point_max_ns[VMB_CHART_POINTS];
	uint64_t point_sum_ns[VMB_CHART_POINTS];
};

/* latency.c */
void vmb_latency_reset(struct vmb_latency *latency);
uint32_t vmb_latency_bucket(uint64_t time_ns);
uint64_t vmb_latency_bound(uint32_t bucket);
void vmb_latency_halve(struct vmb_latency *latency);
void vmb_latency_add(struct vmb_latency *latency, uint64_t time_ns);

#endif /* VMB_LATENCY_H */
