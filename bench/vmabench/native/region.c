// SPDX-License-Identifier: GPL-2.0-only
/* Memory of a known kind, page size and alignment, on either side. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/mman.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core.h"

/*
 * Every region starts at a multiple of 1G: where a range lies within its page
 * tables is then the same in every process, with ASLR on.
 */
#define ALIGNMENT (1ul << 30)

size_t vmb_base_page(void)
{
	static size_t base_page;

	if (!base_page)
		base_page = (size_t)sysconf(_SC_PAGESIZE);
	return base_page;
}

static size_t aligned(size_t size)
{
	return (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

/*
 * Finds count aligned ranges, one behind the other, that are free now. What is
 * mapped there later is mapped with MAP_FIXED_NOREPLACE, so a surprise is an
 * error and not a lost mapping. There is none as long as other mappings are
 * small: new ones go to the top of the hole, which is kept free by the last
 * ALIGNMENT. The first one is for vmb_slots_settle().
 */
int vmb_slots_find(size_t size, int count, char **ret)
{
	size_t reserve = (size_t)count * aligned(size) + 4 * ALIGNMENT;
	uintptr_t start;
	char *addr;

	addr = mmap(NULL, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (addr == MAP_FAILED)
		return vmb_fail(-errno, "no free address range of %zu bytes", reserve);
	munmap(addr, reserve);
	start = aligned((uintptr_t)addr) + 2 * ALIGNMENT;
	for (int i = 0; i < count; i++)
		ret[i] = (char *)(start + (size_t)i * aligned(size));
	return 0;
}

/*
 * A VMA is put into a leaf of the VMA tree, and whether that leaf is full is a
 * matter of what else the process has mapped: then each mmap() splits it and
 * each munmap() joins the halves, which is a third of what a small operation
 * costs, in one process and not in the next. So see to it that the leaf around
 * the slot has room: lay up to three small mappings beside the slot and keep as
 * many as make it cheapest to map and unmap a page there.
 *
 * They lie below the 1G that the slot is in, so that its page tables are its own.
 */
#define PADS  3
#define TRIES 12

static int lay_pad(char *slot, int number)
{
	char *addr = slot - ALIGNMENT - (size_t)(2 * number + 2) * vmb_base_page();

	if (mmap(addr, vmb_base_page(), PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != addr)
		return vmb_fail(-errno, "mmap beside the free range");
	return 0;
}

void vmb_slots_release(char *slot, int pads)
{
	for (int i = 0; i < pads; i++)
		munmap(slot - ALIGNMENT - (size_t)(2 * i + 2) * vmb_base_page(), vmb_base_page());
}

static int cost_of_slot(char *slot, uint64_t *ret)
{
	uint64_t start_ns, spent_ns;
	char *addr;

	*ret = UINT64_MAX;
	for (int i = 0; i < TRIES; i++) {
		start_ns = vmb_now_ns();
		addr = mmap(slot, vmb_base_page(), PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			    0);
		if (addr != slot)
			return vmb_fail(-errno, "mmap of the free range");
		munmap(slot, vmb_base_page());
		spent_ns = vmb_now_ns() - start_ns;
		if (spent_ns < *ret)
			*ret = spent_ns;
	}
	return 0;
}

/* Gives out how many mappings beside the slot vmb_slots_release() has to remove. */
int vmb_slots_settle(char *slot, int *ret)
{
	uint64_t cost_ns, least_ns = UINT64_MAX;
	int best = 0, err;

	for (int pads = 0;; pads++) {
		err = cost_of_slot(slot, &cost_ns);
		if (!err && cost_ns < least_ns) {
			least_ns = cost_ns;
			best = pads;
		}
		if (!err && pads < PADS)
			err = lay_pad(slot, pads);
		if (err) {
			vmb_slots_release(slot, pads);
			return err;
		}
		if (pads == PADS)
			break;
	}
	vmb_slots_release(slot, PADS);
	for (int i = 0; i < best; i++)
		lay_pad(slot, i);
	*ret = best;
	return 0;
}

/* log2 of a size, where MAP_HUGETLB, MFD_HUGETLB and SHM_HUGETLB want it. */
static unsigned int huge_size_flag(size_t page)
{
	return (unsigned int)__builtin_ctzl(page) << MAP_HUGE_SHIFT;
}

/*
 * All memory of a process is advised or none of it: what a case finds is that of
 * a program which does so, or which knows nothing of huge pages.
 */
static int no_advice;

void vmb_advise(int unadvised)
{
	no_advice = unadvised;
}

/*
 * Advice on a mapping that is made in a timed part is given after it: a program
 * advises its buffer once, and a clone needs no advice. An operation maps its ranges
 * in the same order as the one before it, so the first range begins the list anew.
 */
static struct {
	char *addr;
	size_t size;
	int advice;
} deferred[VMB_MOST_SEGMENTS + 1];
static unsigned int nr_deferred;
static int deferring;

static int advise_now(char *addr, size_t size, int advice)
{
	/* EINVAL: a kernel without THP, whose pages are small anyway. */
	if (madvise(addr, size, advice) && (errno != EINVAL || advice == MADV_HUGEPAGE))
		return vmb_fail(-errno, "madvise(%s)",
				advice == MADV_HUGEPAGE ? "MADV_HUGEPAGE" : "MADV_NOHUGEPAGE");
	return 0;
}

static int advise(char *addr, size_t size, size_t page, int hugetlb)
{
	int advice = page > vmb_base_page() ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;

	if (hugetlb || no_advice)
		return 0;
	if (!deferring)
		return advise_now(addr, size, advice);
	if (nr_deferred && addr == deferred[0].addr)
		nr_deferred = 0;
	if (nr_deferred == sizeof(deferred) / sizeof(deferred[0]))
		return vmb_fail(-E2BIG, "advice on %u mappings", nr_deferred);
	deferred[nr_deferred].addr = addr;
	deferred[nr_deferred].size = size;
	deferred[nr_deferred++].advice = advice;
	return 0;
}

void vmb_advice_defer(void)
{
	deferring = 1;
	nr_deferred = 0;
}

/* Gives the advice that was deferred; from now on advice is given at once. */
int vmb_advice_give(void)
{
	int err = 0;

	deferring = 0;
	for (unsigned int i = 0; i < nr_deferred && !err; i++)
		err = advise_now(deferred[i].addr, deferred[i].size, deferred[i].advice);
	nr_deferred = 0;
	return err;
}

/* A file of huge pages needs no flag to be mapped by them. */
static int map_at(char *slot, size_t size, size_t page, int hugetlb, int flags, int fd,
		  size_t offset)
{
	char *addr;

	if (hugetlb && fd < 0)
		flags |= MAP_HUGETLB | (int)huge_size_flag(page);
	addr = mmap(slot, size, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset);
	if (addr == MAP_FAILED)
		return vmb_fail(-errno, "mmap of %zu bytes", size);
	if (addr != slot) {
		munmap(addr, size);
		return vmb_fail(-EEXIST, "mmap did not get the address that it asked for");
	}
	return advise(addr, size, page, hugetlb);
}

/* Fresh anonymous memory. */
int vmb_fresh_map(char *slot, size_t size, size_t page, int hugetlb)
{
	return map_at(slot, size, page, hugetlb, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		      -1, 0);
}

int vmb_fresh_unmap(char *slot, size_t size)
{
	return munmap(slot, size) ? vmb_fail(-errno, "munmap") : 0;
}

int vmb_shared_map(char *slot, size_t size, size_t page, int hugetlb, int fd)
{
	return map_at(slot, size, page, hugetlb, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
}

/* A file over whatever is mapped at the slot; flags say MAP_SHARED or MAP_PRIVATE. */
int vmb_map_over(const struct vmb_ctx *ctx, int flags, int fd)
{
	return map_at(ctx->slot, ctx->size, ctx->page, ctx->hugetlb, flags | MAP_FIXED, fd, 0);
}

/* A part of the case's file at a place in the slot, over whatever is mapped there. */
int vmb_map_part(const struct vmb_ctx *ctx, int flags, size_t to, size_t from, size_t size)
{
	return map_at(ctx->slot + to, size, ctx->page, ctx->hugetlb, flags | MAP_FIXED, ctx->fd,
		      from);
}

int vmb_sysv_map(char *slot, size_t size, size_t page, int hugetlb, int shmid)
{
	char *addr = shmat(shmid, slot, 0);

	if (addr == (void *)-1)
		return vmb_fail(-errno, "shmat");
	return advise(addr, size, page, hugetlb);
}

/* One write for each base page, which is what makes it come into being. */
void vmb_populate(char *addr, size_t size)
{
	for (size_t i = 0; i < size; i += vmb_base_page())
		*(volatile char *)(addr + i) = 0;
}

/* A name by pid would be taken in another PID namespace that has the same /dev/shm. */
static int shm_create(void)
{
	uint64_t number;
	char name[64];
	int fd;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return vmb_fail(-errno, "getrandom");
	snprintf(name, sizeof(name), "/vmabench-%016" PRIx64, number);
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return vmb_fail(-errno, "shm_open");
	/* Unlinked at once: a killed run leaves nothing in /dev/shm. */
	shm_unlink(name);
	return fd;
}

/* A file system that fills up later would end the process with SIGBUS. */
static int check_room(int fd, size_t size)
{
	struct statfs found;

	if (fstatfs(fd, &found) || !found.f_blocks)
		return 0;
	if (found.f_bavail * (uint64_t)found.f_bsize >= size)
		return 0;
	return vmb_fail(-ENOSPC, "shared memory of %zu bytes, with %llu free", size,
			(unsigned long long)found.f_bavail * (unsigned long long)found.f_bsize);
}

static int memfd_of(const struct vmb_region *region)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	if (region->hugetlb)
		flags |= MFD_HUGETLB | huge_size_flag(region->page);
	fd = memfd_create("vmabench", flags);
	return fd < 0 ? vmb_fail(-errno, "memfd_create") : fd;
}

static int object_create(struct vmb_region *region)
{
	int fd = region->memory == VMB_SHM ? shm_create() : memfd_of(region), err;

	if (fd < 0)
		return fd;
	err = ftruncate(fd, (off_t)region->size)
		      ? vmb_fail(-errno, "ftruncate to %zu bytes", region->size)
		      : check_room(fd, region->size);
	if (err) {
		close(fd);
		return err;
	}
	region->fd = fd;
	return 0;
}

/* Removed as soon as it is attached: it lasts until the last process detaches it. */
static int sysv_create(struct vmb_region *region)
{
	int flags = IPC_CREAT | 0600, err;

	if (region->hugetlb)
		flags |= SHM_HUGETLB | (int)huge_size_flag(region->page);
	region->shmid = shmget(IPC_PRIVATE, region->size, flags);
	if (region->shmid < 0)
		return vmb_fail(-errno, "shmget of %zu bytes", region->size);
	err = vmb_sysv_map(region->addr, region->size, region->page, region->hugetlb,
			   region->shmid);
	shmctl(region->shmid, IPC_RMID, NULL);
	return err;
}

static int make_memory(struct vmb_region *region)
{
	int err;

	switch (region->memory) {
	case VMB_ANON:
		return vmb_fresh_map(region->addr, region->size, region->page, region->hugetlb);
	case VMB_SYSV:
		return sysv_create(region);
	case VMB_SEALED: /* comes into being with its data, in vmb_region_fill() */
		return 0;
	case VMB_SHM:
		if (region->hugetlb)
			return vmb_fail(-EOPNOTSUPP, "POSIX shared memory of a hugetlb pool");
		break;
	default:
		break;
	}
	err = object_create(region);
	return err ? err
		   : vmb_shared_map(region->addr, region->size, region->page, region->hugetlb,
				    region->fd);
}

/* Of wanted count memory, page, hugetlb and size. */
int vmb_region_map(const struct vmb_region *wanted, struct vmb_region *ret)
{
	struct vmb_region region = VMB_NO_REGION;
	int err;

	region.memory = wanted->memory;
	region.page = wanted->page;
	region.hugetlb = wanted->hugetlb;
	region.size = wanted->size;
	err = vmb_slots_find(region.size, 1, &region.addr);
	if (err)
		return err;
	err = make_memory(&region);
	if (err) {
		vmb_region_unmap(&region);
		return err;
	}
	*ret = region;
	return 0;
}

/* What the owner of a sealed memfd sees: a private mapping, read so that it is populated. */
static int map_sealed(const struct vmb_region *region, size_t offset, size_t size)
{
	int err = map_at(region->addr + offset, size, region->page, region->hugetlb,
			 MAP_PRIVATE | MAP_FIXED, region->fd, offset);

	if (!err)
		vmb_read_all(region->addr + offset, size);
	return err;
}

/* What is to be sealed later: an object of its own, which its owner can write to so far. */
static int fill_open(struct vmb_region *region, uint32_t seed, uint64_t generation)
{
	int err;

	if (region->fd >= 0)
		close(region->fd);
	region->fd = -1;
	err = object_create(region);
	if (!err)
		err = map_at(region->addr, region->size, region->page, region->hugetlb,
			     MAP_SHARED | MAP_FIXED, region->fd, 0);
	if (!err)
		vmb_pattern_fill(region->addr, region->size, seed, generation);
	return err;
}

static int add_seals(const struct vmb_region *region)
{
	const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

	return fcntl(region->fd, F_ADD_SEALS, seals) ? vmb_fail(-errno, "fcntl(F_ADD_SEALS)") : 0;
}

/* A sealed object is never written again, so each generation is an object of its own. */
static int fill_sealed(struct vmb_region *region, uint32_t seed, uint64_t generation)
{
	int err = fill_open(region, seed, generation);

	if (err)
		return err;
	munmap(region->addr, region->size);
	err = add_seals(region);
	return err ? err : map_sealed(region, 0, region->size);
}

/*
 * What the owner of a memfd does when its data is to be a snapshot: it goes on with
 * private copies, which it gets page by page as it writes. Nothing is populated.
 */
int vmb_region_seal(const struct vmb_region *region)
{
	int err = map_at(region->addr, region->size, region->page, region->hugetlb,
			 MAP_PRIVATE | MAP_FIXED, region->fd, 0);

	return err ? err : add_seals(region);
}

/* Folios between base page and PMD, which a table of 8-byte entries reaches. */
static int is_multi_size(const struct vmb_region *region)
{
	size_t pmd = vmb_base_page() * (vmb_base_page() / sizeof(uint64_t));

	return !region->hugetlb && region->page > vmb_base_page() && region->page < pmd;
}

/*
 * New data. The shared object of a sealed region is another one afterwards.
 *
 * Folios of several sizes are made anew: what was shared by a fork or a clone is
 * copied when it is written, even if nobody shares it any more, and before Linux
 * 6.15 the copies of such folios were base pages.
 */
int vmb_region_fill(struct vmb_region *region, uint32_t seed, uint64_t generation)
{
	int err = 0;

	if (region->memory == VMB_SEALED)
		return fill_sealed(region, seed, generation);
	if (region->memory == VMB_ANON && is_multi_size(region)) {
		munmap(region->addr, region->size);
		err = vmb_fresh_map(region->addr, region->size, region->page, 0);
	}
	if (err)
		return err;
	vmb_pattern_fill(region->addr, region->size, seed, generation);
	return 0;
}

/* New data in new memory that nobody shares; what is to be sealed can be written to so far. */
int vmb_region_remake(struct vmb_region *region, uint32_t seed, uint64_t generation)
{
	int err = 0;

	if (region->memory == VMB_SEALED)
		return fill_open(region, seed, generation);
	if (region->memory == VMB_ANON) {
		munmap(region->addr, region->size);
		err = vmb_fresh_map(region->addr, region->size, region->page, region->hugetlb);
	}
	if (!err)
		vmb_pattern_fill(region->addr, region->size, seed, generation);
	return err;
}

/*
 * Gives the page around offset back and faults a new one in. A write to a huge
 * page that somebody shares splits it; this makes it whole again. Unmapped and
 * not MADV_DONTNEED, which on kernels before 6.14 leaves an empty page table
 * behind, and over a page table there is no huge page.
 */
int vmb_region_renew(const struct vmb_region *region, size_t offset)
{
	size_t start = offset / region->page * region->page;
	char *addr = region->addr + start;
	int err;

	if (region->memory != VMB_ANON && region->memory != VMB_SEALED)
		return 0;
	if (munmap(addr, region->page))
		return vmb_fail(-errno, "munmap of one page of %zu bytes", region->page);
	if (region->memory == VMB_SEALED)
		return map_sealed(region, start, region->page);
	err = vmb_fresh_map(addr, region->page, region->page, region->hugetlb);
	if (!err)
		vmb_populate(addr, region->page);
	return err;
}

/* As it was before it was mapped; the address stays its own. */
static int empty(const struct vmb_region *region)
{
	if (munmap(region->addr, region->size))
		return vmb_fail(-errno, "munmap of the source");
	if (region->memory != VMB_MEMFD && region->memory != VMB_SHM)
		return 0;
	if (ftruncate(region->fd, 0) || ftruncate(region->fd, (off_t)region->size))
		return vmb_fail(-errno, "ftruncate of the shared object");
	return 0;
}

/* What a producer does: memory that nobody has used before, mapped and filled. */
int vmb_region_produce(struct vmb_region *region, uint32_t seed, uint64_t generation,
		       uint64_t *ret_ns)
{
	uint64_t start_ns;
	int err = empty(region);

	if (err)
		return err;
	start_ns = vmb_now_ns();
	if (region->memory == VMB_SEALED)
		err = fill_sealed(region, seed, generation);
	else if (region->memory == VMB_ANON)
		err = vmb_fresh_map(region->addr, region->size, region->page, region->hugetlb);
	else if (region->memory == VMB_SYSV)
		err = vmb_fail(-EOPNOTSUPP, "a System V segment can't be made anew in its place");
	else
		err = vmb_shared_map(region->addr, region->size, region->page, region->hugetlb,
				     region->fd);
	if (!err && region->memory != VMB_SEALED)
		vmb_pattern_fill(region->addr, region->size, seed, generation);
	*ret_ns = vmb_now_ns() - start_ns;
	return err;
}

/* The producer's end of a handover. The receiver has a descriptor of its own of an object. */
int vmb_region_disown(struct vmb_region *region)
{
	return munmap(region->addr, region->size) ? vmb_fail(-errno, "munmap of the source") : 0;
}

/*
 * After the source has written to its pages: nothing to do, but for what a write
 * replaces. What is sealed got private copies, and is mapped anew. Folios of several
 * sizes that were shared became base pages before Linux 6.15, and are made anew. So are
 * huge pages that the writes have split, by the number of faults that these took.
 */
int vmb_region_restore(const struct vmb_region *region, enum vmb_isolation isolation,
		       uint64_t faults)
{
	int split = region->page > vmb_base_page() && !region->hugetlb &&
		    faults > region->size / region->page;
	int err;

	if (region->memory == VMB_SEALED)
		return map_sealed(region, 0, region->size);
	if (isolation != VMB_COW || region->memory != VMB_ANON || !(is_multi_size(region) || split))
		return 0;
	if (munmap(region->addr, region->size))
		return vmb_fail(-errno, "munmap of the source");
	err = vmb_fresh_map(region->addr, region->size, region->page, 0);
	if (!err)
		vmb_populate(region->addr, region->size);
	return err;
}

void vmb_region_unmap(struct vmb_region *region)
{
	if (region->addr)
		munmap(region->addr, region->size);
	if (region->fd >= 0)
		close(region->fd);
	*region = VMB_NO_REGION;
}
