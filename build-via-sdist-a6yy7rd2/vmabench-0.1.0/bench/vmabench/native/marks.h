/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Marks for an emulator that looks on (guest/functions.c): which phase the
 * instructions from here on belong to. A mark is one long no-op with a number in
 * its displacement; whoever does not look for it sees nothing. It stands right
 * after a reading of the clock, so that what lies between two marks is what lies
 * between two readings.
 *
 * What is counted belongs to the emulator as a whole: the source or a forked
 * child may set the mark of a phase that the receiver ends.
 */
#ifndef VMB_MARKS_H
#define VMB_MARKS_H

/* Below these: enum vmb_phase. */
#define VMB_MARK_NONE  0x40 /* in no phase */
#define VMB_MARK_ZERO  0x50 /* a bit of the number of a value */
#define VMB_MARK_ONE   0x51
#define VMB_MARK_VALUE 0x52 /* its last bit was sent: a value begins; number 0: it has ended */

/* The bytes "vmb" above the code, in an instruction of seven bytes: 0f 1f 80 code 76 6d 62. */
#if defined(__x86_64__)
#define VMB_MARK(code) __asm__ volatile("nopl %c0(%%rax)" : : "i"(0x626d7600 | (code)) : "memory")
#else
#define VMB_MARK(code) ((void)(code))
#endif

#endif /* VMB_MARKS_H */
