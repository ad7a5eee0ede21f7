// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU: how many instructions each function of the guest's kernel
 * executed, for each value and phase that the measuring core marks (native/marks.h).
 *
 * Every instruction is counted for itself, as the clock does: a block that a page
 * fault interrupts is no whole block. The guest notices nothing: what is inserted
 * into its code is no instruction of its clock.
 *
 * Arguments: symbols=FILE (as /proc/kallsyms), out=FILE. A line of it:
 *
 *	NUMBER PHASE NAME=COUNT NAME=COUNT ...
 *
 * NUMBER is that of the value. Everything outside of the kernel is [user]; what
 * lies in no function that is known is [unknown].
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "marks.h"

/* What is used of the interface of plugins, version 1; Debian 12 has no header of it. */
#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;
typedef void (*exec_callback)(unsigned int cpu, void *data);
enum { NO_REGISTERS };
enum { ADD_U64 };

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
					   void (*done)(plugin_id, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_callback done,
					    int registers, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int operation,
						void *counter, uint64_t amount);

/* The kernel's half of the addresses. */
#define KERNEL (1ull << 63)

/* Slots of a table of counts; those of the functions come after them. */
enum { USER, UNKNOWN, FIRST_FUNCTION };

struct function {
	uint64_t address;
	char *name;
};

static struct function *functions;
static size_t nr_functions, nr_slots;

/* By slot: counts since the start, those at the last mark, and what the phases have so far. */
static uint64_t *running, *at_mark, *in_phase[VMB_NR_PHASES];

static unsigned int phase = VMB_MARK_NONE;
static uint64_t value, next_value; /* value 0: none is going on */
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

/* The slot of an address: that of the last function that begins at it or before. */
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
			[VMB_PHASE_ATTACH] = "attach",	 [VMB_PHASE_TOUCH] = "touch",
			[VMB_PHASE_RELEASE] = "release", [VMB_PHASE_TRANSFER] = "transfer",
			[VMB_PHASE_TOTAL] = "total",
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

	(void)cpu;
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
	const unsigned char *bytes = qemu_plugin_insn_data(insn);

	if (qemu_plugin_insn_size(insn) != 7 || qemu_plugin_insn_vaddr(insn) >= KERNEL)
		return false;
	*ret = bytes[3];
	return !memcmp(bytes, "\x0f\x1f\x80", 3) && !memcmp(bytes + 4, "vmb", 3);
}

static void translate(plugin_id id, struct qemu_plugin_tb *block)
{
	size_t count = qemu_plugin_tb_n_insns(block);
	unsigned int code;

	(void)id;
	for (size_t i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
		size_t slot = slot_of(qemu_plugin_insn_vaddr(insn));

		qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &running[slot], 1);
		if (is_mark(insn, &code))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, see_mark, NO_REGISTERS,
							       (void *)(uintptr_t)code);
	}
}

static int make_tables(void)
{
	bool made;

	nr_slots = FIRST_FUNCTION + nr_functions;
	running = calloc(nr_slots, sizeof(uint64_t));
	at_mark = calloc(nr_slots, sizeof(uint64_t));
	made = running && at_mark;
	for (int i = 0; i < VMB_NR_PHASES; i++) {
		in_phase[i] = calloc(nr_slots, sizeof(uint64_t));
		made = made && in_phase[i];
	}
	return made ? 0 : -1;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	const char *symbols = NULL;

	(void)info;
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
