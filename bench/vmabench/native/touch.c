// SPDX-License-Identifier: GPL-2.0-only
/* How a receiver uses what it got: one word of each touched page, or every byte. */
#include "core.h"

static volatile uint64_t sink;

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
	for (size_t i = 0; i < count; i++) {
		size_t page = count == pages ? i : i * pages / count;
		volatile uint64_t *word = vmb_word(addr, page, ctx->base_page, 0);

		if (ctx->params.touch == VMB_TOUCH_WRITE)
			*word = i;
		else
			(void)*word;
	}
}

/* Four sums, so that the loads don't wait for one another. */
void vmb_read_all(const char *addr, size_t size)
{
	const uint64_t *word = (const uint64_t *)(const void *)addr;
	uint64_t a = 0, b = 0, c = 0, d = 0;

	for (size_t i = 0; i < size / sizeof(*word); i += 4) {
		a += word[i];
		b += word[i + 1];
		c += word[i + 2];
		d += word[i + 3];
	}
	sink = a + b + c + d;
}
