// SPDX-License-Identifier: GPL-2.0-only
/*
 * A1: does rmap find every mapping of a page, wherever clones have put it?
 *
 * Whatever has to find all of them is let loose on pages that are mapped 2 to 64
 * times, in several processes and several times in one: reclaim, migration,
 * compaction, soft offlining, COW, exit. A model says who shares what; it is held
 * against pagemap, kpagecount and the contents.
 *
 * With "--scene SHAPE MAPPINGS" it builds one of these, says on its output who
 * maps what, and waits on its input: audit_anon_vma.py looks at it with a
 * debugger.
 */
#include "model.h"

#define CGROUP "audit-rmap"

enum shape { STAR, CHAIN, ONE_MM, FORK_BACK, NR_SHAPES };

static const char *const shape_names[] = { "star", "chain", "one_mm", "fork_back" };

/* All of them from one source, in all processes. */
static long build_star(struct model *m, int count)
{
	long ret = model_source(m, 1);

	for (int i = 1; i < count && ret >= 0; i++)
		ret = model_clone(m, 0, i % m->processes, 0);
	return ret;
}

/* Each one from the one before. */
static long build_chain(struct model *m, int count)
{
	long ret = model_source(m, 1);

	for (int i = 1; i < count && ret >= 0; i++) {
		ret = model_clone(m, i - 1, i % m->processes, 0);
		/* now and then one that has a page of its own */
		if (i % 4 == 2)
			model_write(m, i, i % m->pages);
	}
	return ret;
}

/* All of them in the mm of the source, which no fork() brings about. */
static long build_one_mm(struct model *m, int count)
{
	long ret = model_source(m, 1);

	for (int i = 1; i < count && ret >= 0; i++)
		ret = model_clone(m, i / 2, 1, 0);
	return ret;
}

/*
 * The pages of a child in its parent, and those of its children: the test forks,
 * the child writes, the test takes the pages back, and forks again.
 */
static long build_fork_back(struct model *m, int count)
{
	long ret = model_source(m, 0);

	while (m->mappings < count && ret >= 0) {
		int from = m->mappings - 1;

		/* a new generation; at the end clones between what is there */
		if (m->processes < MODEL_PROCESSES && 2 * m->mappings <= count) {
			ret = model_fork(m);
			from = m->mappings - 1;
			model_write(m, from, from % m->pages);
		}
		if (ret >= 0 && m->mappings < count)
			ret = model_clone(m, from, m->mappings % m->processes, 0);
	}
	return ret;
}

static long build(struct model *m, enum shape shape, int count)
{
	long (*const builders[])(struct model *m, int count) = {
		build_star, build_chain, build_one_mm, build_fork_back,
	};

	m->processes = 1;
	while (shape != FORK_BACK && m->processes < 4)
		if (peer_start(&m->peers[m->processes++]))
			return -ECHILD;
	return builders[shape](m, count);
}

FIXTURE(rmap) {
	struct model *m;
};

FIXTURE_VARIANT(rmap) {
	enum shape shape;
	int count;
	enum kind kind;
};

#define VARIANT(name, ...) FIXTURE_VARIANT_ADD(rmap, name) { __VA_ARGS__ }

VARIANT(star_2, STAR, 2, BASE);
VARIANT(star_64, STAR, 64, BASE);
VARIANT(star_file, STAR, 8, PRIVATE_FILE);
VARIANT(star_mthp, STAR, 8, MTHP);
VARIANT(star_thp, STAR, 8, THP);
VARIANT(chain_8, CHAIN, 8, BASE);
VARIANT(chain_64, CHAIN, 64, BASE);
VARIANT(chain_thp, CHAIN, 8, THP);
VARIANT(one_mm_2, ONE_MM, 2, BASE);
VARIANT(one_mm_64, ONE_MM, 64, BASE);
VARIANT(one_mm_thp, ONE_MM, 8, THP);
VARIANT(fork_back_8, FORK_BACK, 8, BASE);
VARIANT(fork_back_64, FORK_BACK, 64, BASE);
VARIANT(fork_back_thp, FORK_BACK, 8, THP);

FIXTURE_SETUP(rmap)
{
	if (!has_call())
		SKIP(return, "no process_vm_mmap()");
	if (!cgroup_make(CGROUP))
		SKIP(return, "no memory controller");
	self->m = mmap(NULL, sizeof(*self->m), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->m);
	self->m->kind = variant->kind;
	self->m->pages = variant->kind == MTHP ? 32 : 8;
	ASSERT_EQ(0, cgroup_enter(CGROUP, getpid()));
	if (!thp_borrow(&self->m->thp, variant->kind)) {
		thp_restore(&self->m->thp);
		SKIP(return, "the sizes of huge pages can't be set");
	}
	ASSERT_GE(build(self->m, variant->shape, variant->count), 0);
	ASSERT_EQ(variant->count, self->m->mappings);
	if (!frame(getpid(), (unsigned long)&self))
		SKIP(return, "page frames can't be seen");
}

FIXTURE_TEARDOWN(rmap)
{
	model_stop(self->m);
	write_file(CGROUPS "cgroup.procs", "0");
	cgroup_remove(CGROUP);
}

AUDIT_TEST(rmap, shared_as_the_model_says)
{
	struct model *m = self->m;

	EXPECT_EQ(0, model_sharing(m));
	EXPECT_EQ(0, model_contents(m));
	/* each one writes a page, and the rest share on */
	for (int i = 0; i < m->mappings; i += 3)
		model_write(m, i, i % m->pages);
	EXPECT_EQ(0, model_contents(m));
	if (variant->kind == BASE)
		EXPECT_EQ(0, model_sharing(m));
}

AUDIT_TEST(rmap, reclaim)
{
	struct model *m = self->m;
	int all = m->mappings * m->pages;

	if (!has_swap())
		SKIP(return, "no swap");
	/* all of them, or rmap has not found all mappings of a page */
	EXPECT_EQ(all, model_reclaim(m, CGROUP));
	EXPECT_EQ(0, model_sharing(m));
	EXPECT_EQ(0, model_contents(m));
	if (variant->kind == BASE)
		EXPECT_EQ(0, model_sharing(m));
	model_write(m, m->mappings - 1, 0);
	EXPECT_EQ(0, model_contents(m));
}

AUDIT_TEST(rmap, migrate)
{
	struct model *m = self->m;
	int pages = variant->kind == THP ? 1 : m->pages;

	if (!has_two_nodes())
		SKIP(return, "one node");
	for (int page = 0; page < pages; page++) {
		/* asked for by way of the first, the last and one in the middle */
		for (int i = 0; i < m->mappings; i += (m->mappings + 1) / 2) {
			struct mapping *map = &m->map[i];
			unsigned long addr = map->addr + model_offset(m, page);
			pid_t pid = model_pid(m, map->process);
			uint64_t was = frame(pid, addr);

			ASSERT_EQ(0, move_to(pid, addr, !node_of(pid, addr)));
			ASSERT_NE(was, frame(pid, addr));
		}
	}
	EXPECT_EQ(0, model_sharing(m));
	EXPECT_EQ(0, model_contents(m));
}

AUDIT_TEST(rmap, compact)
{
	struct model *m = self->m;

	if (write_file("/proc/sys/vm/compact_memory", "1"))
		SKIP(return, "no compaction");
	EXPECT_EQ(0, model_sharing(m));
	EXPECT_EQ(0, model_contents(m));
}

static long soft_offline(unsigned long addr, unsigned long b, long c, long d)
{
	return madvise((void *)addr, page_size(), MADV_SOFT_OFFLINE) ? -errno : 0;
}

AUDIT_TEST(rmap, soft_offline)
{
	struct model *m = self->m;
	struct mapping *map = &m->map[m->mappings / 2];
	pid_t pid = model_pid(m, map->process);
	uint64_t was = frame(pid, map->addr);
	long err = model_do(m, map->process, soft_offline, map->addr, 0, 0, 0);

	if (err == -EINVAL)
		SKIP(return, "no soft offlining");
	EXPECT_EQ(0, err);
	EXPECT_TRUE(frame_is(was, KPF_HWPOISON));
	EXPECT_NE(was, frame(pid, map->addr));
	EXPECT_EQ(0, model_contents(m));
	if (variant->kind == BASE)
		EXPECT_EQ(0, model_sharing(m));
}

/* The first goes, then others in any order, then the process that had it all. */
AUDIT_TEST(rmap, unmap_and_exit)
{
	struct model *m = self->m;

	srand(variant->count);
	ASSERT_EQ(0, model_unmap(m, 0));
	while (m->mappings > variant->count / 2 && m->mappings > 1)
		ASSERT_EQ(0, model_unmap(m, rand() % m->mappings));
	EXPECT_EQ(0, model_sharing(m));
	EXPECT_EQ(0, model_contents(m));
	if (variant->shape == ONE_MM)
		return;
	model_exit(m, 1);
	EXPECT_EQ(0, model_sharing(m));
	EXPECT_EQ(0, model_contents(m));
	/* the rest is found yet */
	for (int i = 0; i < m->mappings && has_two_nodes(); i++) {
		pid_t pid = model_pid(m, m->map[i].process);

		ASSERT_EQ(0, move_to(pid, m->map[i].addr,
				     !node_of(pid, m->map[i].addr)));
	}
	EXPECT_EQ(0, model_sharing(m));
}

static void say_scene(struct model *m)
{
	for (int i = 0; i < m->mappings; i++)
		for (int page = 0; page < m->pages; page++)
			printf("%d %lx %u\n", model_pid(m, m->map[i].process),
			       m->map[i].addr + model_offset(m, page),
			       m->map[i].version[page]);
	printf("end\n");
	fflush(stdout);
}

/* Until the input ends: each line of it is a step that changes the scene. */
static int scene(enum shape shape, int count)
{
	static struct model m = { .kind = BASE, .pages = 4 };
	char line[32];

	if (build(&m, shape, count) < 0)
		return 1;
	say_scene(&m);
	while (fgets(line, sizeof(line), stdin)) {
		for (int i = 0; i < m.mappings && line[0] == 'w'; i += 2)
			model_write(&m, i, i % m.pages);
		if (line[0] == 'u')
			model_unmap(&m, 0);
		if (line[0] == 'x' && m.processes > 1)
			model_exit(&m, 1);
		say_scene(&m);
	}
	model_stop(&m);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 0; argc == 4 && !strcmp(argv[1], "--scene") && i < NR_SHAPES; i++)
		if (!strcmp(argv[2], shape_names[i]))
			return scene(i, atoi(argv[3]));
	return test_harness_run(argc, argv);
}
