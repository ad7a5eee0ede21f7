// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data that is moved: a function of seed, generation and page, so that a
 * page that is lost, stale or in the wrong place can't look right.
 */
#include <errno.h>

#include "core.h"

#define WORD_STEP 0x9e3779b97f4a7c15u /* odd: no two words of a page are equal */

/* A finalizer in the manner of splitmix64: each input bit reaches each output bit. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t page_base(uint32_t seed, uint64_t generation, size_t page)
{
	return mix(mix(mix(seed) + generation) + page);
}

uint64_t vmb_pattern_word(uint32_t seed, uint64_t generation, size_t page, size_t word)
{
	return page_base(seed, generation, page) + word * WORD_STEP;
}

void vmb_pattern_fill(char *addr, size_t size, uint32_t seed, uint64_t generation)
{
	size_t base_page = vmb_base_page(), words = base_page / sizeof(uint64_t);

	for (size_t page = 0; page < size / base_page; page++) {
		uint64_t *to = vmb_word(addr, page, base_page, 0);
		uint64_t base = page_base(seed, generation, page);

		for (size_t i = 0; i < words; i++)
			to[i] = base + i * WORD_STEP;
	}
}

/* One page that lies at addr, from word first on. -EBADMSG names the page. */
int vmb_pattern_check_page(const char *addr, uint32_t seed, uint64_t generation, size_t page,
			   size_t first)
{
	size_t words = vmb_base_page() / sizeof(uint64_t);
	const uint64_t *from = (const uint64_t *)(const void *)addr;
	uint64_t base = page_base(seed, generation, page), wrong = 0;

	for (size_t i = first; i < words; i++)
		wrong |= from[i] ^ (base + i * WORD_STEP);
	return wrong ? vmb_fail(-EBADMSG, "page %zu has wrong data", page) : 0;
}

/* -EBADMSG names the first page that is wrong. */
int vmb_pattern_check(const char *addr, size_t size, uint32_t seed, uint64_t generation)
{
	return vmb_pattern_check_from(addr, size, seed, generation, 0);
}

/* The bytes at addr are those of the pattern from its page first on. */
int vmb_pattern_check_from(const char *addr, size_t size, uint32_t seed, uint64_t generation,
			   size_t first)
{
	size_t base_page = vmb_base_page(), words = base_page / sizeof(uint64_t);

	for (size_t page = 0; page < size / base_page; page++) {
		const uint64_t *from = vmb_word((char *)addr, page, base_page, 0);
		uint64_t base = page_base(seed, generation, first + page), wrong = 0;

		for (size_t i = 0; i < words; i++)
			wrong |= from[i] ^ (base + i * WORD_STEP);
		if (wrong)
			return vmb_fail(-EBADMSG, "page %zu of %zu has wrong data", page,
					size / base_page);
	}
	return 0;
}
