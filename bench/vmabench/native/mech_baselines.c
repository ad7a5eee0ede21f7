// SPDX-License-Identifier: GPL-2.0-only
/*
 * rep-movsb, avx and nontemporal: copies within the receiver by one instruction
 * each, beside libc's memcpy, which chooses by size and CPU. The best of them is the
 * baseline. Sizes and segments are whole pages, so the loops have no remainder.
 */
#include <errno.h>

#include "core.h"

#if defined(__x86_64__)

static inline void rep_movsb(char *to, const char *from, size_t size)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

/* 128 bytes a turn: four loads, then four stores. */
static inline void avx(char *to, const char *from, size_t size)
{
	for (char *end = to + size; to < end; to += 128, from += 128)
		__asm__ volatile("vmovdqa (%1), %%ymm0\n\t"
				 "vmovdqa 32(%1), %%ymm1\n\t"
				 "vmovdqa 64(%1), %%ymm2\n\t"
				 "vmovdqa 96(%1), %%ymm3\n\t"
				 "vmovdqa %%ymm0, (%0)\n\t"
				 "vmovdqa %%ymm1, 32(%0)\n\t"
				 "vmovdqa %%ymm2, 64(%0)\n\t"
				 "vmovdqa %%ymm3, 96(%0)"
				 :
				 : "r"(to), "r"(from)
				 : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
	__asm__ volatile("vzeroupper" : : : "memory");
}

/* A cache line a turn. The fence ends the write combining: the bytes are in memory then. */
static inline void nontemporal(char *to, const char *from, size_t size)
{
	for (char *end = to + size; to < end; to += 64, from += 64)
		__asm__ volatile("movdqa (%1), %%xmm0\n\t"
				 "movdqa 16(%1), %%xmm1\n\t"
				 "movdqa 32(%1), %%xmm2\n\t"
				 "movdqa 48(%1), %%xmm3\n\t"
				 "movntdq %%xmm0, (%0)\n\t"
				 "movntdq %%xmm1, 16(%0)\n\t"
				 "movntdq %%xmm2, 32(%0)\n\t"
				 "movntdq %%xmm3, 48(%0)"
				 :
				 : "r"(to), "r"(from)
				 : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
	__asm__ volatile("sfence" : : : "memory");
}

/* Also checks that the kernel saves the AVX state (XSAVE). */
static int avx_probe(void)
{
	return __builtin_cpu_supports("avx") ? 0 : vmb_fail(-EOPNOTSUPP, "AVX on this CPU");
}

static int x86_probe(void)
{
	return 0;
}

#else /* the probes refuse, and nothing else is called */

#include <string.h>

#define rep_movsb   memcpy
#define avx	    memcpy
#define nontemporal memcpy

static int x86_probe(void)
{
	return vmb_fail(-EOPNOTSUPP, "an instruction of x86-64 on this CPU");
}

#define avx_probe x86_probe

#endif

/* The hooks and the row of one copy: transfer is deliver as well. */
#define BASELINE(copy, its_name, its_probe, by)                                                    \
	static int copy##_transfer(struct vmb_ctx *ctx)                                            \
	{                                                                                          \
		copy(ctx->dst, ctx->src, ctx->size);                                               \
		return 0;                                                                          \
	}                                                                                          \
                                                                                                   \
	static int copy##_part(struct vmb_ctx *ctx, size_t to, size_t from, size_t size)           \
	{                                                                                          \
		copy(ctx->dst + to, ctx->src + from, size);                                        \
		return 0;                                                                          \
	}                                                                                          \
                                                                                                   \
	static int copy##_scatter(struct vmb_ctx *ctx)                                             \
	{                                                                                          \
		return vmb_each_segment(ctx, copy##_part);                                         \
	}                                                                                          \
                                                                                                   \
	const struct vmb_mech vmb_mech_##copy = {                                                  \
		.name = its_name,                                                                  \
		.description = "copy within one process by " by ": a baseline",                    \
		.flags = VMB_LOCAL,                                                                \
		.memory = VMB_ANON,                                                                \
		.isolation = VMB_COPIES,                                                           \
		.probe = its_probe,                                                                \
		.transfer = copy##_transfer,                                                       \
		.scatter = copy##_scatter,                                                         \
		.attach = vmb_attach_fresh,                                                        \
		.deliver = copy##_transfer,                                                        \
		.release = vmb_release_slot,                                                       \
	}

BASELINE(rep_movsb, "rep-movsb", x86_probe, "rep movsb");
BASELINE(avx, "avx", avx_probe, "32-byte loads and stores");
BASELINE(nontemporal, "nontemporal", x86_probe, "stores past the caches");
