// SPDX-License-Identifier: GPL-2.0-only
/* How a receiver uses its data: one word of each touched page, or every byte. */
#include "core.h"

static volatile uint64_t sink;

/*
 * A permutation of the numbers up to mask, which is one below a power of two: each
 * step can be undone. No prefetcher knows it, and it costs no memory access.
 */
static size_t scramble(size_t number, size_t mask, unsigned int half)
{
	number ^= number >> half;
	number = number * 0x9e3779b97f4a7c15u & mask;
	number ^= number >> half;
	number = number * 0xbf58476d1ce4e5b9u & mask;
	return number ^ number >> half;
}

/* The number-th of count pages, spread evenly over the range. */
static void touch_page(const struct vmb_ctx *ctx, char *addr, size_t number, size_t count)
{
	size_t pages = ctx->size / ctx->base_page;
	size_t page = count == pages ? number : number * pages / count;
	volatile uint64_t *word = vmb_word(addr, page, ctx->base_page, 0);

	if (ctx->params.touch == VMB_TOUCH_WRITE)
		*word = number;
	else
		(void)*word;
}

/* What is above count is no page: less than half of the numbers, as mask is chosen. */
static void touch_at_random(const struct vmb_ctx *ctx, char *addr, size_t count)
{
	unsigned int bits = 1;
	size_t mask;

	while (count > 1ul << bits)
		bits++;
	mask = (1ul << bits) - 1;
	for (size_t i = 0; i <= mask; i++) {
		size_t number = scramble(i, mask, (bits + 1) / 2);

		if (number < count)
			touch_page(ctx, addr, number, count);
	}
}

/*
 * One access for each base page, which is what takes the fault; the bytes
 * between are left to transfer of memfd-inplace. Below 100 % the touched pages
 * are spread evenly over the range.
 */
void vmb_touch(const struct vmb_ctx *ctx, char *addr)
{
	size_t pages = ctx->size / ctx->base_page;
	size_t count = (pages * ctx->params.touch_pct + 99) / 100;

	if (ctx->params.touch == VMB_TOUCH_NONE || !count)
		return;
	if (ctx->params.touch_random) {
		touch_at_random(ctx, addr, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		touch_page(ctx, addr, i, count);
}

/* The first of the pages that vmb_touch() would use. */
void vmb_touch_first(const struct vmb_ctx *ctx, char *addr)
{
	if (ctx->params.touch != VMB_TOUCH_NONE && ctx->params.touch_pct)
		touch_page(ctx, addr, 0, ctx->size / ctx->base_page);
}

/* What one load reads: a vector register of every 64-bit CPU. */
typedef uint64_t wide __attribute__((vector_size(16)));

/*
 * Reads every byte of whole pages and returns the sum of all words. The four sums
 * are independent, so that a load does not wait for an addition. What bounds it are
 * the load ports where the data is in the L1 or L2 cache (two or three loads of 16
 * bytes a cycle), and the bandwidth of the cache or memory that has the data beyond.
 */
uint64_t vmb_read_all(const char *addr, size_t size)
{
	const wide *from = (const wide *)(const void *)addr;
	wide a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	for (size_t i = 0; i < size / sizeof(*from); i += 4) {
		a += from[i];
		b += from[i + 1];
		c += from[i + 2];
		d += from[i + 3];
	}
	a += b + c + d;
	sink = a[0] + a[1];
	return sink;
}
