/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The measuring core, as its own files see it. core.cdef.h is what Python sees.
 *
 * Two processes: the receiver is the worker that Python drives, the source is
 * vmabench-source, a program of its own with a small address space. The same
 * table of mechanisms is linked into both, because some mechanisms act in the
 * source (writev, fork).
 *
 * Every function that can fail returns 0 or -errno, leaves one sentence in
 * vmb_detail() and returns its result through a last parameter named ret.
 */
#ifndef VMB_CORE_H
#define VMB_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "latency.h"

#define VMB_DETAIL_SIZE	   192
#define VMB_MOST_RECEIVERS 64
#define VMB_MOST_THREADS   64 /* of a source */

/* What the source's memory is made of. */
enum vmb_memory {
	VMB_ANON,
	VMB_MEMFD,
	VMB_SHM,    /* POSIX */
	VMB_SYSV,   /* System V */
	VMB_SEALED, /* a memfd sealed against writing; new data is a new one */
};

/* How a side learns of a message. */
enum vmb_wait {
	VMB_WAIT_CHANNEL, /* by the message itself: of a pipe, of a socket */
	VMB_WAIT_FUTEX,
	VMB_WAIT_EVENTFD,
	VMB_WAIT_BUSY,
};

enum vmb_touch { VMB_TOUCH_NONE, VMB_TOUCH_READ, VMB_TOUCH_WRITE };

/* Where a delivery arrives, and the mapping that it takes. */
enum vmb_buffer {
	VMB_BUFFER_FRESH,     /* made by each delivery, unpopulated */
	VMB_BUFFER_REUSED,    /* made and used before, and kept */
	VMB_BUFFER_POPULATED, /* made and populated by each delivery, in attach */
};

enum vmb_phase {
	VMB_PHASE_ATTACH,
	VMB_PHASE_TRANSFER,
	VMB_PHASE_TOUCH,
	VMB_PHASE_RELEASE,
	VMB_PHASE_TOTAL,
	/* of some scenarios alone; vmb_phase_name() returns the name of each */
	VMB_PHASE_FILL,	 /* the source fills its memory */
	VMB_PHASE_UNMAP, /* the source unmaps it */
	VMB_PHASE_FIRST, /* the receiver uses one page */
	VMB_PHASE_READY, /* until every receiver has its share */
	VMB_PHASE_WORK,	 /* until every receiver has used it */
	VMB_PHASE_PAUSE, /* the source stands still */
	VMB_PHASE_ALL,	 /* until every receiver has read all, from the beginning on */
	/* of cases with a source that writes, beside the total, which is the receiver's */
	VMB_PHASE_SOURCE_REWRITE, /* the source's first writes afterwards */
	VMB_PHASE_SYSTEM,	  /* both of them */
	VMB_NR_PHASES,
};

/* A set of phases, as the row of a scenario has it. */
#define VMB_BIT(phase)	(1u << VMB_PHASE_##phase)
#define VMB_TOTAL_ALONE VMB_BIT(TOTAL)
#define VMB_DELIVERY                                                                               \
	(VMB_BIT(ATTACH) | VMB_BIT(TRANSFER) | VMB_BIT(TOUCH) | VMB_BIT(RELEASE) | VMB_BIT(TOTAL))

#define VMB_MOST_SEGMENTS 1024 /* IOV_MAX: what one call takes */

/* What holds between the two sides after the operation; vmb_case_verify() tests it. */
enum vmb_isolation {
	VMB_MOVES_NOTHING, /* the baseline without an operation */
	VMB_COPIES,	   /* the receiver has bytes of its own */
	VMB_COW,	   /* pages are shared until one side writes */
	VMB_SHARES,	   /* each side sees the other's writes */
};

#define VMB_SOURCE_ACTS	   0x1u	  /* transfer() or run() is called in the source process */
#define VMB_IN_PLACE	   0x2u	  /* no bytes move: the receiver uses those of the source */
#define VMB_PROXY	   0x4u	  /* stands in for clone on kernels that lack it */
#define VMB_LOCAL	   0x8u	  /* one process only: a baseline, or a proxy for a move */
#define VMB_BOTH_ACT	   0x10u  /* send() in the source and transfer() in the receiver, at once */
#define VMB_FRESH_ONLY	   0x20u  /* needs memory that is not populated: no scenario transfer */
#define VMB_PINS	   0x40u  /* pins source pages (MMF_HAS_PINNED): later copies cost more */
#define VMB_TALKS	   0x80u  /* carries messages both ways: scenario pingpong */
#define VMB_CHILD_RECEIVES 0x100u /* the receiver is a child of the source, made by run() */
#define VMB_SNAPSHOTS	   0x200u /* of a source that goes on writing, and nothing else */
#define VMB_STOPS	   0x400u /* the source stands still during deliver() of a snapshot */
#define VMB_CUT_ONLY	   0x800u /* differs from another row in scatter alone */

/*
 * From this size on, a buffer that a case does not need is unmapped before the
 * case; below, the cases of a block find the buffers of earlier cases populated.
 */
#define VMB_LARGE_BYTES (512ul << 20)

/*
 * The most that one call is asked to move. The kernel stops at MAX_RW_COUNT (2G less
 * a base page) without an error, and a part of 1G keeps every page size aligned.
 */
#define VMB_CALL_BYTES (1ul << 30)

/*
 * From this size on, transfer times each operation for itself. Two readings of the clock
 * take 50 ns or so (the row of null at such a size says how long), which is under 1 % of
 * what copying or reading 1M takes.
 */
#define VMB_EACH_BYTES (1ul << 20)

/* Folios are counted by the power of two of base pages that they have: up to 1G of 4K. */
#define VMB_NR_ORDERS 19

#define VMB_MOST_NODES 64 /* NUMA nodes whose pages are counted */

/*
 * How a range is backed: the bytes that are populated, those that the kernel
 * reports as huge, and those in folios of each size. The folios need CAP_SYS_ADMIN,
 * for page frames; folios_known says whether they are known. A folio that is mapped
 * in part counts in partial_bytes, whatever its size; aligned_bytes are those of
 * whole folios of more than one page whose address is a multiple of their size.
 * node_bytes are those on each NUMA node, if nodes_known.
 */
struct vmb_proof {
	uint64_t size_bytes;
	uint64_t present_bytes;
	uint64_t huge_bytes;
	uint64_t folio_bytes[VMB_NR_ORDERS];
	uint64_t partial_bytes;
	uint64_t aligned_bytes;
	uint64_t node_bytes[VMB_MOST_NODES];
	uint32_t folios_known;
	uint32_t nodes_known;
	uint32_t vmas;
};

/* Memory in use by processes, by /proc/PID/smaps_rollup. */
struct vmb_use {
	uint32_t known, missing; /* how many processes are in it, and how many are not */
	uint64_t rss_bytes, pss_bytes, private_bytes, anon_huge_bytes;
};

#define VMB_MOST_EXTRAS 8 /* of one scenario */

struct vmb_evidence {
	struct vmb_proof src;	   /* after the check, as the timed part will find it */
	struct vmb_proof dst;	   /* at the receiver, after one operation */
	uint64_t page_table_bytes; /* VmPTE of both processes while the data is delivered */
	uint64_t channel_bytes;	   /* the buffer of a pipe or socket, 0 where there is none */
	struct vmb_use use;	   /* of all processes while the data is delivered */
	uint64_t moved_bytes;	   /* of all receivers, where that is more than dst has */
	uint64_t extra_known;	   /* a bit for each of the scene's extras that was found */
	uint64_t extra[VMB_MOST_EXTRAS];
};

/* The counters of a sample; vmb_counter_name() returns the name of each. */
enum vmb_counter {
	VMB_MINOR_FAULTS, /* of both processes and the children they waited for */
	VMB_MAJOR_FAULTS,
	VMB_SWITCHES,	 /* of both processes, voluntary */
	VMB_PREEMPTIONS, /* involuntary */
	VMB_SWAP_IN,	 /* bytes, of the machine */
	VMB_SWAP_OUT,
	VMB_STEAL,	 /* nanoseconds, of all CPUs, in ticks of USER_HZ */
	VMB_DEVICE_READ, /* bytes of the block device that the suite's own swap lies on */
	VMB_DEVICE_WRITTEN,
	/* of scenarios that look between the phases: swap of attach and transfer, and of use */
	VMB_CALL_SWAP_IN,
	VMB_CALL_SWAP_OUT,
	VMB_USE_SWAP_IN,
	VMB_USE_SWAP_OUT,
	VMB_CYCLES,	    /* of the CPUs that the case is pinned to, whatever runs there */
	VMB_TLB_MISSES,	    /* of reads of data */
	VMB_REWRITE_FAULTS, /* minor ones of the source in source-rewrite */
	VMB_TLB_SHOOTDOWNS, /* interrupts for them on all CPUs, whichever process caused them */
	VMB_NR_COUNTERS,
};

struct vmb_counts {
	uint64_t known; /* a bit for each counter that the machine has */
	uint64_t count[VMB_NR_COUNTERS];
};

/* The writes of the source of a snapshot, while the snapshots exist. */
struct vmb_writer {
	uint64_t writes;
	uint64_t write_ns;	/* in them */
	uint64_t faults;	/* minor ones */
	uint64_t plain_writes;	/* of the same source, before there was a snapshot */
	uint64_t plain_ns;	/* in them */
	uint64_t longest_ns;	/* the longest time between the ends of two writes */
	uint64_t stopped_ns;	/* in what it did for the snapshot, or in waiting for it */
	uint64_t checked_pages; /* of the snapshots */
	uint64_t torn_pages;	/* that are not of the snapshot's moment */
};

/* The origin of a peak. */
enum vmb_peak {
	VMB_PEAK_UNKNOWN,
	VMB_PEAK_GROUP,	  /* of the memory cgroup, by the kernel */
	VMB_PEAK_SAMPLED, /* the largest PSS at the borders of phases */
};

/* Sums over all loops; the peak is that of all of them. */
struct vmb_sample {
	uint64_t loops;
	uint64_t time_ns[VMB_NR_PHASES];
	struct vmb_counts counts;
	uint32_t receivers; /* of contention, with the time of each */
	uint64_t receiver_ns[VMB_MOST_RECEIVERS];
	struct vmb_writer writer;
	uint32_t peak_how; /* enum vmb_peak */
	uint64_t peak_bytes;
};

/* Everything that defines a case, apart from the mechanism. */
struct vmb_params {
	uint32_t scenario;     /* index into vmb_scenes, which is the same on both sides */
	uint32_t touch;	       /* enum vmb_touch */
	uint32_t touch_pct;    /* of the base pages, where the receiver's memory is fresh */
	uint32_t touch_random; /* in an order that no prefetcher predicts */
	uint32_t segments;     /* of scatter, up to VMB_MOST_SEGMENTS; else 1 */
	uint32_t seed;
	uint32_t delay_ns;    /* put into the operation on purpose; 0: none */
	uint32_t wait;	      /* pingpong: enum vmb_wait */
	uint32_t receivers;   /* of one source */
	uint32_t pairs;	      /* contention: side by side */
	uint64_t rate;	      /* snapshot: pages a second that the source writes; 0: all it can */
	uint32_t swapped_pct; /* of the source, before each operation */
	uint32_t rewritten;   /* the source writes each page between two operations */
	uint32_t buffer;      /* deliver, touch: enum vmb_buffer */
	uint32_t source_threads; /* that run while the memory is handed over */
	uint32_t incongruent;	 /* the slot lies otherwise in its page tables than the source */
	uint64_t size_bytes;	 /* of the case: of a message, or of what all receivers hold */
	uint64_t call_bytes;	 /* the most that one call is asked to move; 0: VMB_CALL_BYTES */
};

struct vmb_region {
	char *addr;
	size_t size;
	size_t page;   /* the page size asked for: the base page, or a larger one */
	int hugetlb;   /* of a pool, not transparent */
	int unadvised; /* without madvise(): the kernel chooses its pages */
	enum vmb_memory memory;
	int fd;	       /* of the shared object, or -1 */
	int remote_fd; /* receiver: its number in the source, or -1 */
	int shmid;     /* of a System V segment, or -1 */
};

#define VMB_NO_REGION ((struct vmb_region){ .fd = -1, .remote_fd = -1, .shmid = -1 })

struct vmb_pair;

/*
 * One case, in one of the two processes. A field of one side alone is marked; the
 * others exist on both.
 */
struct vmb_ctx {
	const struct vmb_mech *mech;
	struct vmb_params params;
	struct vmb_pair *pair; /* receiver: the handle of the source process */
	pid_t other;	       /* the process at the other end */
	size_t size;
	size_t page; /* as in struct vmb_region */
	int hugetlb;
	size_t base_page;     /* the step of a touch */
	char *src;	      /* the source's bytes where this process can address them, or NULL */
	uintptr_t remote_src; /* receiver: where they lie in the source */
	uintptr_t remote_dst; /* source: where they have to go in the receiver */
	char *dst;	      /* receiver: where this case's bytes arrive */
	char *view;	      /* receiver: where it finds them afterwards: dst, or src in place */
	char *slot;	      /* receiver: free address range, 1G aligned, for fresh memory */
	char *src_slot;	      /* receiver: another one, for the shared object */
	int pads;	      /* receiver: small mappings beside the slot */
	int fd;		      /* the shared object, or -1 */
	int remote_fd;	      /* receiver: its number in the source, or -1 */
	int shmid;	      /* the System V segment, or -1 */
	int channel;	      /* a file of the mechanism's own, closed at the end; or -1 */
	uint64_t channel_bytes;	 /* its buffer, where it has one */
	uint64_t token;		 /* a handle that the source gave out or the receiver got */
	int opened;		 /* receiver: the source knows of the case */
	int moved;		 /* receiver: the data is at slot, not where it was */
	int kept;		 /* receiver: a reused buffer exists, release() is due */
	struct vmb_region local; /* receiver: the source's bytes of a local baseline */
	int reply;		 /* pingpong: the channel of the other way, or -1: the same one */
	int events[2];		 /* pingpong: eventfds, to the source and back; or -1 */
	void *scene;		 /* of the scenario's own */
};

#define VMB_NO_CTX ((struct vmb_ctx){ .channel = -1, .reply = -1, .events = { -1, -1 } })

/*
 * A mechanism: one row of the table in mech_table.c, one file mech_*.c.
 * mech_null.c is the commented skeleton to copy. NULL means "nothing to do".
 */
struct vmb_mech {
	const char *name;
	const char *description;
	unsigned int flags;
	enum vmb_memory memory;
	enum vmb_isolation isolation;
	int (*probe)(void);			  /* 0, or -errno that says what the kernel lacks */
	int (*setup)(struct vmb_ctx *ctx);	  /* receiver, before anything is timed */
	int (*source_setup)(struct vmb_ctx *ctx); /* source, after setup */
	int (*connect)(struct vmb_ctx *ctx);	  /* receiver, after source_setup */
	int (*transfer)(struct vmb_ctx *ctx);	  /* timed: the bare operation */
	int (*send)(struct vmb_ctx *ctx);	  /* timed: the source's half of it */
	int (*scatter)(struct vmb_ctx *ctx);	  /* timed, scatter: instead of transfer */
	int (*gather)(struct vmb_ctx *ctx);	  /* timed, scatter: instead of send */
	int (*attach)(struct vmb_ctx *ctx);  /* timed, deliver: get fresh memory or the mapping */
	int (*deliver)(struct vmb_ctx *ctx); /* timed, deliver: make the bytes arrive in it */
	int (*release)(struct vmb_ctx *ctx); /* timed, deliver: unmap it */
	int (*rearm)(struct vmb_ctx *ctx);   /* not timed: restore the source */
	int (*freeze)(struct vmb_ctx *ctx);  /* timed, source: keep its data for later receivers */
	int (*reply)(struct vmb_ctx *ctx); /* both sides: what the way back takes; receiver first */
	/* VMB_SNAPSHOTS, in the source: before it writes, and when all was read. */
	int (*watch)(struct vmb_ctx *ctx);
	int (*disarm)(struct vmb_ctx *ctx);
	/* Where the common loops and the common check don't fit. */
	int (*run)(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret);
	int (*verify)(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret);
	void (*teardown)(struct vmb_ctx *ctx); /* receiver; safe after a failed setup */
	void (*source_teardown)(struct vmb_ctx *ctx);
};

/* The hooks of a delivery, chosen before the loop. Only those that say so may be NULL. */
struct vmb_steps {
	int (*attach)(struct vmb_ctx *ctx);
	int (*populate)(struct vmb_ctx *ctx); /* NULL where nothing is populated at once */
	int (*deliver)(struct vmb_ctx *ctx);
	int (*release)(struct vmb_ctx *ctx);
	/* instead of deliver, where the source acts: returns the time itself; else NULL */
	int (*deliver_timed)(struct vmb_ctx *ctx, uint64_t *ret);
};

/*
 * A scenario: one row of the table in scene_table.c, one file scene_*.c. NULL
 * means the common way of loops.c and verify.c.
 *
 * run, verify and prove are called in the receiver, in place of the common ones. run
 * reads the clock itself; the counters are read around it, and the counts that it
 * leaves in its sample are added to them. source_before and source_between are the
 * source's part where the receiver is its child (VMB_CHILD_RECEIVES): before the child is
 * made, and between that and the child's use of the data.
 */
struct vmb_scene {
	const char *name;
	const char *axes;    /* the axes of its cases, by the names of matrix/axes.py */
	unsigned int phases; /* VMB_BIT() of each that it times */
	unsigned int flags;
	const char *extras; /* names of evidence.extra, which verify fills; NULL: none */
	int (*open)(struct vmb_ctx *ctx);	 /* receiver, when the mechanism is set up */
	int (*source_open)(struct vmb_ctx *ctx); /* source, after that */
	int (*run)(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret);
	int (*source_run)(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret);
	int (*source_before)(struct vmb_ctx *ctx, struct vmb_sample *ret);
	int (*source_between)(struct vmb_ctx *ctx, struct vmb_sample *ret);
	int (*verify)(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret);
	int (*prove)(struct vmb_ctx *ctx, struct vmb_evidence *ret);
	int (*source_fill)(struct vmb_region *region, uint32_t seed, uint64_t generation);
	void (*close)(struct vmb_ctx *ctx); /* receiver; safe after a failed open */
	void (*source_close)(struct vmb_ctx *ctx);
};

#define VMB_REUSES  0x1u  /* the receiver's memory is not fresh: transfer() is the operation */
#define VMB_TWO_WAY 0x2u  /* messages both ways: the receiver always has a buffer of its own */
#define VMB_APART   0x4u  /* the receivers are processes of their own */
#define VMB_WRITTEN 0x8u  /* the source's memory is not what it was, after the timed part */
#define VMB_CUT	    0x10u /* in segments: scatter() is the operation */
#define VMB_FRUGAL  0x20u /* memory is measured: an unused buffer would be in the result */
#define VMB_REMOTE  0x40u /* all of the case is in the source and its children */

/* scene_table.c */
extern const struct vmb_scene *const vmb_scenes[];
extern const struct vmb_scene vmb_scene_transfer;
int vmb_scene_count(void);
const struct vmb_scene *vmb_scene_at(int index);
int vmb_scene_index(const char *name);
const struct vmb_scene *vmb_scene_of(const struct vmb_ctx *ctx);
int vmb_has_phase(const struct vmb_ctx *ctx, enum vmb_phase phase);
int vmb_delivers(const struct vmb_ctx *ctx);
int vmb_is_cut(const struct vmb_ctx *ctx);

/* scene_contention.c */
int vmb_shares_source(const struct vmb_ctx *ctx);

/* mech_table.c */
extern const struct vmb_mech *const vmb_mechs[];
int vmb_mech_count(void);
const struct vmb_mech *vmb_mech_at(int index);
const struct vmb_mech *vmb_mech_find(const char *name);

/* calls.c */
const char *vmb_call_name(int index);
int vmb_call_try(const char *name);

/* mech_vmrw.c */
int vmb_readv_self(void);
int vmb_read_remote(const struct vmb_ctx *ctx, void *to, uintptr_t from, size_t size);
int vmb_pieces_add(const struct vmb_ctx *ctx, char *to, uintptr_t from, size_t size);
int vmb_pieces_read(const struct vmb_ctx *ctx);

/* mech_uffd.c */
int vmb_uffd_open(uint64_t features, const char *what, int *ret);
int vmb_uffd_register(int uffd, const char *addr, size_t size, uint64_t mode);

/* mech_uffd_wp.c: in the source */
int vmb_wp_open(struct vmb_ctx *ctx);
int vmb_wp_watch(struct vmb_ctx *ctx);
int vmb_wp_arm(struct vmb_ctx *ctx);
int vmb_wp_disarm(struct vmb_ctx *ctx);
void vmb_wp_close(struct vmb_ctx *ctx);
/* in the receiver, with the ctx->token of vmb_wp_open() */
int vmb_wp_collect_open(struct vmb_ctx *ctx);
int vmb_wp_collect(struct vmb_ctx *ctx, char *to);
void vmb_wp_collect_close(struct vmb_ctx *ctx);

/* segments.c */
typedef int (*vmb_part)(struct vmb_ctx *ctx, size_t to, size_t from, size_t size);
size_t vmb_segment_bytes(const struct vmb_ctx *ctx);
size_t vmb_segment_from(const struct vmb_ctx *ctx, size_t segment);
size_t vmb_source_page(const struct vmb_ctx *ctx, size_t page);
int vmb_each_segment(struct vmb_ctx *ctx, vmb_part part);
int vmb_copy_segments(struct vmb_ctx *ctx);
int vmb_check_segments(struct vmb_ctx *ctx, uint64_t generation);

/* gather.c */
typedef ssize_t (*vmb_gather_call)(int fd, const struct iovec *pieces, int count);
int vmb_gather(struct vmb_ctx *ctx, vmb_gather_call call, const char *name, size_t most);

/* detail.c */
const char *vmb_detail(void);
__attribute__((format(printf, 2, 3))) int vmb_fail(int err, const char *format, ...);

/* region.c */
size_t vmb_base_page(void);
void vmb_advise(int unadvised);
void vmb_advice_defer(void);
int vmb_advice_give(void);
int vmb_slots_find(size_t size, int count, char **ret);
int vmb_slots_settle(char *slot, int *ret);
void vmb_slots_release(char *slot, int pads);
int vmb_fresh_map(char *slot, size_t size, size_t page, int hugetlb);
int vmb_fresh_unmap(char *slot, size_t size);
int vmb_shared_map(char *slot, size_t size, size_t page, int hugetlb, int fd);
int vmb_map_over(const struct vmb_ctx *ctx, int flags, int fd);
int vmb_map_part(const struct vmb_ctx *ctx, int flags, size_t to, size_t from, size_t size);
int vmb_sysv_map(char *slot, size_t size, size_t page, int hugetlb, int shmid);
void vmb_populate(char *addr, size_t size);
int vmb_region_map(const struct vmb_region *wanted, struct vmb_region *ret);
int vmb_region_fill(struct vmb_region *region, uint32_t seed, uint64_t generation);
int vmb_region_remake(struct vmb_region *region, uint32_t seed, uint64_t generation);
int vmb_region_seal(const struct vmb_region *region);
int vmb_region_renew(const struct vmb_region *region, size_t offset);
int vmb_region_produce(struct vmb_region *region, uint32_t seed, uint64_t generation,
		       uint64_t *ret_ns);
int vmb_region_disown(struct vmb_region *region);
int vmb_region_restore(const struct vmb_region *region, enum vmb_isolation isolation,
		       uint64_t faults);
void vmb_region_unmap(struct vmb_region *region);

/* rewrite.c: the writes of the source between two operations */
int vmb_rewrite_region(const struct vmb_ctx *ctx, const struct vmb_region *region,
		       struct vmb_sample *ret);
int vmb_rewrite(struct vmb_ctx *ctx, struct vmb_sample *ret);

/* pattern.c: the data is a function of seed, generation and page */
void vmb_pattern_fill(char *addr, size_t size, uint32_t seed, uint64_t generation);
int vmb_pattern_check_page(const char *addr, uint32_t seed, uint64_t generation, size_t page,
			   size_t first);
int vmb_pattern_check(const char *addr, size_t size, uint32_t seed, uint64_t generation);
int vmb_pattern_check_from(const char *addr, size_t size, uint32_t seed, uint64_t generation,
			   size_t first);
uint64_t vmb_pattern_word(uint32_t seed, uint64_t generation, size_t page, size_t word);

/* touch.c */
void vmb_touch_first(const struct vmb_ctx *ctx, char *addr);
void vmb_touch(const struct vmb_ctx *ctx, char *addr);
uint64_t vmb_read_all(const char *addr, size_t size);

/* proof.c */
int vmb_prove(const char *addr, size_t size, struct vmb_proof *ret);
int vmb_prove_folios(const char *addr, size_t size, struct vmb_proof *ret);
int vmb_prove_by_scan(const char *addr, size_t size, struct vmb_proof *ret);
int vmb_prove_by_smaps(const char *addr, size_t size, struct vmb_proof *ret);
int vmb_page_table_bytes(pid_t pid, uint64_t *ret);

/* nodes.c: the NUMA nodes that memory comes from */
void vmb_nodes_forbid(int on);
int vmb_nodes_forbidden(void);
int vmb_nodes_bind(void);
int vmb_prove_nodes(const char *addr, size_t size, struct vmb_proof *ret);

/* counters.c */
const char *vmb_counter_name(int counter);
int vmb_counts_begin(pid_t other, struct vmb_counts *ret);
int vmb_counts_end(pid_t other, const struct vmb_counts *before, struct vmb_counts *ret);
int vmb_counts_read_pair(pid_t other, struct vmb_counts *ret);
void vmb_counts_since(const struct vmb_counts *before, struct vmb_counts *counts);

void vmb_counters_enable(int on);
void vmb_swap_device_set(const char *stat_path);
int vmb_swap_read(struct vmb_counts *ret);
void vmb_counts_add_swap(struct vmb_counts *sum, const struct vmb_counts *from,
			 const struct vmb_counts *to, enum vmb_counter in);

/* perf.c: what the CPUs count */
enum vmb_event { VMB_EVENT_CYCLES, VMB_EVENT_TLB, VMB_NR_EVENTS };
int vmb_perf_watch(const int *cpus, unsigned int count);
void vmb_perf_forget(void);
void vmb_perf_forbid(void);
void vmb_perf_replace(int event, uint32_t type, uint64_t config);
void vmb_perf_read(struct vmb_counts *counts);

/* memory.c: how much of it is in use */
void vmb_use_add(pid_t pid, struct vmb_use *use);
void vmb_use_merge(const struct vmb_use *one, struct vmb_use *sum);
int vmb_peak_watch(const char *path);
void vmb_peak_begin(void);
void vmb_peak_sample(const struct vmb_ctx *ctx);
void vmb_peak_end(struct vmb_sample *ret);

/* evict.c */
int vmb_page_out(char *addr, size_t size, uint32_t pct);

typedef int (*vmb_hook)(struct vmb_ctx *ctx);

/* hooks.c: hooks that several mechanisms share */
int vmb_attach_fresh(struct vmb_ctx *ctx);
int vmb_release_slot(struct vmb_ctx *ctx);
int vmb_take_channel(struct vmb_ctx *ctx);

/* buffer.c: the memory of the receiver in the scenarios that deliver */
int vmb_buffer_check(const struct vmb_mech *mech, const struct vmb_params *params);
vmb_hook vmb_buffer_attach(const struct vmb_ctx *ctx);
vmb_hook vmb_buffer_populate(const struct vmb_ctx *ctx);
vmb_hook vmb_buffer_release(const struct vmb_ctx *ctx);
int vmb_buffer_keep(struct vmb_ctx *ctx);
void vmb_buffer_drop(struct vmb_ctx *ctx);
typedef int (*vmb_move)(const struct vmb_ctx *ctx, char *from, char *to, size_t size);
int vmb_move_out(struct vmb_ctx *ctx, vmb_move move);
int vmb_swing(struct vmb_ctx *ctx, vmb_move move);
int vmb_swing_segments(struct vmb_ctx *ctx, vmb_move move);
int vmb_swing_home(struct vmb_ctx *ctx, vmb_move move);

/* delay.c: what the timed loops call */
vmb_hook vmb_timed_transfer(const struct vmb_ctx *ctx);
vmb_hook vmb_timed_deliver(const struct vmb_ctx *ctx);
int vmb_delay_check(const struct vmb_mech *mech, const struct vmb_params *params);
/* tracefs.c */
int vmb_tracefs_open(void);

/* watch.c */
int vmb_watch_start(void);
void vmb_watch_stop(void);

/* loops.c */
const char *vmb_phase_name(int phase);
struct vmb_steps vmb_steps_of(const struct vmb_ctx *ctx);
int vmb_hand_over(struct vmb_ctx *ctx, const struct vmb_steps *steps, struct vmb_sample *ret,
		  uint64_t *ret_now);
void vmb_add_up(struct vmb_sample *sample);
void vmb_keep_time(const struct vmb_ctx *ctx, uint64_t time_ns);
void vmb_end_operation(const struct vmb_ctx *ctx, struct vmb_sample *sample);
int vmb_loop_hook(struct vmb_ctx *ctx, int (*hook)(struct vmb_ctx *ctx), uint64_t loops,
		  struct vmb_sample *ret);
int vmb_stream(struct vmb_ctx *ctx, uint64_t loops, uint64_t *ret);
int vmb_loop(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret);
uint64_t vmb_now(void);
void vmb_mark_value(uint64_t number);

/* cpus.c */
int vmb_pin(int cpu);
int vmb_pin_process(pid_t pid, int cpu);
typedef int (*vmb_on_cpu)(char *addr, size_t size);
int vmb_on_each_cpu(vmb_on_cpu call, char *addr, size_t size);
int vmb_cpu_at(unsigned int index);
unsigned int vmb_cpu_count(void);

/* handshake.c: no process outlives the one that started it */
int vmb_follow_parent(int parent);
void vmb_be_child_of(int parent);
int vmb_check_children(pid_t *pids, uint32_t count, const char *what);

/* pair.c: the receiver's side */
struct vmb_pair *vmb_pair_open(const char *program, int source_cpu, int receiver_cpu);
void vmb_pair_close(struct vmb_pair *pair);
pid_t vmb_pair_pid(const struct vmb_pair *pair);
void vmb_pair_set_patience(struct vmb_pair *pair, unsigned int ms);
int vmb_pair_check(struct vmb_pair *pair);
int vmb_pair_source_make(struct vmb_pair *pair, const struct vmb_region *wanted,
			 struct vmb_proof *ret);
const struct vmb_region *vmb_pair_source(const struct vmb_pair *pair);
int vmb_pair_send_fd(struct vmb_pair *pair, int fd);
const char *vmb_pair_program(const struct vmb_pair *pair);
int vmb_pair_on_one_cpu(const struct vmb_pair *pair);
int vmb_pair_relay(struct vmb_pair *pair, int on);
int vmb_pair_watch_cpus(const struct vmb_pair *pair);

/* case.c: one case of a pair */
int vmb_case_open(struct vmb_pair *pair, const struct vmb_mech *mech,
		  const struct vmb_params *params, struct vmb_ctx **ret);
int vmb_case_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret);
int vmb_case_run_uncounted(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret);
int vmb_case_join(const struct vmb_ctx *ctx, const struct vmb_params *params, struct vmb_ctx **ret);
struct vmb_latency *vmb_case_latency(struct vmb_ctx *ctx);
void vmb_case_close(struct vmb_ctx *ctx);

/* verify.c */
int vmb_judge_isolation(enum vmb_isolation isolation, int seen, const char *writer,
			const char *reader);
int vmb_fill_source(struct vmb_ctx *ctx, uint64_t generation);
int vmb_look_at_source(struct vmb_ctx *ctx, uint64_t generation, size_t page);
int vmb_read_page_tables(struct vmb_ctx *ctx, uint64_t *ret);
int vmb_case_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret);
int vmb_case_prove(struct vmb_ctx *ctx, struct vmb_evidence *ret);
int vmb_prove_destination(struct vmb_ctx *ctx, struct vmb_proof *ret);
int vmb_verify_delivery(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret);
int vmb_take_object(struct vmb_ctx *ctx);

/* What is timed, where the receiver's memory is not fresh: in one piece or in segments. */
static inline vmb_hook vmb_operation(const struct vmb_ctx *ctx)
{
	return vmb_is_cut(ctx) ? ctx->mech->scatter : ctx->mech->transfer;
}

/* How many of left bytes the next call is asked to move. */
static inline size_t vmb_part_bytes(const struct vmb_ctx *ctx, size_t left)
{
	size_t most = ctx->params.call_bytes ? ctx->params.call_bytes : VMB_CALL_BYTES;

	return left < most ? left : most;
}

static inline uint64_t vmb_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t *vmb_word(char *addr, size_t page, size_t base_page, size_t word)
{
	return (uint64_t *)(void *)(addr + page * base_page) + word;
}

#endif /* VMB_CORE_H */
