/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hint of a loop that waits for another CPU: it leaves the core's resources to
 * an SMT sibling, and the loop ends without a memory-order violation. Includes
 * nothing, so that a test can preprocess it for other architectures.
 */
#ifndef VMB_RELAX_H
#define VMB_RELAX_H

static inline void vmb_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("pause" : : : "memory");
#elif defined(__aarch64__) || defined(__arm__)
	__asm__ volatile("yield" : : : "memory");
#else
	__asm__ volatile("" : : : "memory");
#endif
}

#endif /* VMB_RELAX_H */
