// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU plugin: count the instructions that each kernel function of the guest executes,
 * for each value and phase that the measuring core marks (native/marks.h).
 *
 * Instructions are counted one by one, as the instruction clock counts them: a page fault
 * can interrupt a translation block, so counting blocks would be wrong. The inserted code
 * is invisible to the guest and does not advance its clock.
 *
 * One binary works with every plugin API from 1 (QEMU 4.2) on. API 2 (QEMU 9.0) replaced
 * inline counters by scoreboards, and API 3 (QEMU 9.1) made qemu_plugin_insn_data() copy.
 * The functions that only some versions have are weak symbols.
 *
 * Arguments: symbols=FILE (in the format of /proc/kallsyms), out=FILE. Each output line is
 *
 *	NUMBER PHASE NAME=COUNT NAME=COUNT ...
 *
 * NUMBER is the start time of the value. Instructions outside the kernel count as [user],
 * kernel instructions in no known function as [unknown].
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "marks.h"

/* Declared here because Debian 12 does not package qemu-plugin.h. */
#define EXPORT __attribute__((visibility("default")))
#define WEAK   __attribute__((weak))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
typedef uint64_t plugin_id;
typedef void (*exec_callback)(unsigned int cpu, void *data);
enum { NO_REGISTERS };
enum { ADD_U64 };

/* A 64-bit counter inside an element of a scoreboard, which has one element per CPU. */
struct scoreboard_u64 {
	struct qemu_plugin_scoreboard *scoreboard;
	size_t offset;
};

/* The leading members of qemu_info_t. */
struct plugin_info {
	const char *target_name;
	struct {
		int min;
		int cur;
	} version;
};

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(plugin_id id, const struct plugin_info *info, int argc, char **argv);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
					   void (*done)(plugin_id, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_callback done,
					    int registers, void *data);

/* The two forms of one function: APIs 1 and 2 return a pointer, API 3 and later copy. */
const void *insn_bytes(const struct qemu_plugin_insn *insn) __asm__("qemu_plugin_insn_data");
size_t copy_insn_bytes(const struct qemu_plugin_insn *insn, void *bytes,
		       size_t size) __asm__("qemu_plugin_insn_data");

/* API 1 only */
WEAK void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int operation,
						     void *counter, uint64_t amount);
/* API 2 and later */
WEAK struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
WEAK void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *scoreboard, unsigned int cpu);
WEAK void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn,
							      int operation,
							      struct scoreboard_u64 counter,
							      uint64_t amount);

/* Kernel addresses are the upper half. */
#define KERNEL (1ull << 63)

/* Slots of a table of counts; the slots of the functions follow. */
enum { USER, UNKNOWN, FIRST_FUNCTION };

struct function {
	uint64_t address;
	char *name;
};

static struct function *functions;
static size_t nr_functions, nr_slots;

static int api; /* the plugin API version of this QEMU */

/* By slot: counts since the start, counts at the last mark, and counts of each phase so far. */
static uint64_t *running, *at_mark, *in_phase[VMB_NR_PHASES];
static struct qemu_plugin_scoreboard *scoreboard; /* holds running from API 2 on */

static unsigned int phase = VMB_MARK_NONE;
static uint64_t value, next_value; /* value 0: no value is being measured */
static FILE *out;

static int by_address(const void *a, const void *b)
{
	uint64_t left = ((const struct function *)a)->address;
	uint64_t right = ((const struct function *)b)->address;

	return left < right ? -1 : left > right;
}

static int add_function(uint64_t address, const char *name)
{
	struct function *more = functions;

	if (!(nr_functions & (nr_functions - 1)))
		more = realloc(functions, (nr_functions ? 2 * nr_functions : 1) * sizeof(*more));
	if (!more)
		return -1;
	functions = more;
	functions[nr_functions++] = (struct function){ address, strdup(name) };
	return 0;
}

static int read_symbols(const char *path)
{
	char line[512], name[400], type;
	uint64_t address;
	FILE *file = fopen(path, "r");
	int err = 0;

	if (!file)
		return -1;
	while (!err && fgets(line, sizeof(line), file))
		if (sscanf(line, "%" SCNx64 " %c %399s", &address, &type, name) == 3 &&
		    strchr("tTwW", type) && address >= KERNEL)
			err = add_function(address, name);
	fclose(file);
	qsort(functions, nr_functions, sizeof(*functions), by_address);
	return err || !nr_functions ? -1 : 0;
}

/* The slot of the last function that begins at or before an address. */
static size_t slot_of(uint64_t address)
{
	size_t low = 0, high = nr_functions;

	if (address < KERNEL)
		return USER;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (functions[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? FIRST_FUNCTION + low - 1 : UNKNOWN;
}

static const char *slot_name(size_t slot)
{
	if (slot < FIRST_FUNCTION)
		return slot == USER ? "[user]" : "[unknown]";
	return functions[slot - FIRST_FUNCTION].name;
}

static void end_phase(void)
{
	if (phase < VMB_NR_PHASES)
		for (size_t slot = 0; slot < nr_slots; slot++)
			in_phase[phase][slot] += running[slot] - at_mark[slot];
	phase = VMB_MARK_NONE;
}

static void write_value(void)
{
	for (unsigned int i = 0; i < VMB_NR_PHASES; i++) {
		static const char *const names[VMB_NR_PHASES] = {
			[VMB_PHASE_ATTACH] = "attach",
			[VMB_PHASE_TOUCH] = "touch",
			[VMB_PHASE_RELEASE] = "release",
			[VMB_PHASE_TRANSFER] = "transfer",
			[VMB_PHASE_TOTAL] = "total",
			[VMB_PHASE_SOURCE_REWRITE] = "source-rewrite",
		};
		bool any = false;

		for (size_t slot = 0; slot < nr_slots; slot++) {
			if (!in_phase[i][slot] || !names[i])
				continue;
			if (!any)
				fprintf(out, "%" PRIu64 " %s", value, names[i]);
			any = true;
			fprintf(out, " %s=%" PRIu64, slot_name(slot), in_phase[i][slot]);
		}
		if (any)
			fputc('\n', out);
		memset(in_phase[i], 0, nr_slots * sizeof(uint64_t));
	}
	fflush(out); /* QEMU may be killed */
}

static void see_mark(unsigned int cpu, void *data)
{
	unsigned int code = (unsigned int)(uintptr_t)data;

	/* Looked up each time: QEMU may move a scoreboard when a CPU is created. */
	if (scoreboard)
		running = qemu_plugin_scoreboard_find(scoreboard, cpu);
	if (code == VMB_MARK_ZERO || code == VMB_MARK_ONE) {
		next_value = next_value << 1 | (code == VMB_MARK_ONE);
		return;
	}
	end_phase();
	if (code == VMB_MARK_VALUE) {
		if (value)
			write_value();
		value = next_value;
		next_value = 0;
	} else if (value && code < VMB_NR_PHASES) {
		phase = code;
		memcpy(at_mark, running, nr_slots * sizeof(uint64_t));
	}
}

static bool is_mark(const struct qemu_plugin_insn *insn, unsigned int *ret)
{
	unsigned char bytes[7];

	if (qemu_plugin_insn_size(insn) != sizeof(bytes) || qemu_plugin_insn_vaddr(insn) >= KERNEL)
		return false;
	if (api < 3)
		memcpy(bytes, insn_bytes(insn), sizeof(bytes));
	else
		copy_insn_bytes(insn, bytes, sizeof(bytes));
	*ret = bytes[3];
	return !memcmp(bytes, "\x0f\x1f\x80", 3) && !memcmp(bytes + 4, "vmb", 3);
}

static void count(struct qemu_plugin_insn *insn, size_t slot)
{
	struct scoreboard_u64 counter = { scoreboard, slot * sizeof(uint64_t) };

	if (scoreboard)
		qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, ADD_U64, counter, 1);
	else
		qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &running[slot], 1);
}

static void translate(plugin_id id, struct qemu_plugin_tb *block)
{
	size_t nr_insns = qemu_plugin_tb_n_insns(block);
	unsigned int code;

	(void)id;
	for (size_t i = 0; i < nr_insns; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);

		count(insn, slot_of(qemu_plugin_insn_vaddr(insn)));
		if (is_mark(insn, &code))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, see_mark, NO_REGISTERS,
							       (void *)(uintptr_t)code);
	}
}

static int make_tables(void)
{
	bool made;

	nr_slots = FIRST_FUNCTION + nr_functions;
	if (qemu_plugin_scoreboard_new)
		scoreboard = qemu_plugin_scoreboard_new(nr_slots * sizeof(uint64_t));
	else
		running = calloc(nr_slots, sizeof(uint64_t));
	at_mark = calloc(nr_slots, sizeof(uint64_t));
	made = (scoreboard || running) && at_mark;
	for (int i = 0; i < VMB_NR_PHASES; i++) {
		in_phase[i] = calloc(nr_slots, sizeof(uint64_t));
		made = made && in_phase[i];
	}
	return made ? 0 : -1;
}

/* QEMU reads qemu_plugin_version after loading the plugin and refuses a version out of its range. */
__attribute__((constructor)) static void declare_version(void)
{
	if (qemu_plugin_scoreboard_new)
		qemu_plugin_version = 2;
}

EXPORT int qemu_plugin_install(plugin_id id, const struct plugin_info *info, int argc, char **argv)
{
	const char *symbols = NULL;

	api = info->version.cur;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "symbols=", 8))
			symbols = argv[i] + 8;
		else if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
	}
	if (!symbols || !out || read_symbols(symbols) || make_tables()) {
		fprintf(stderr, "functions: give symbols=FILE of a kernel and out=FILE\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
