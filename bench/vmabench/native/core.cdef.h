/* SPDX-License-Identifier: GPL-2.0-only */
/* What Python may see of core.h. cffi checks every line against the compiler. */

#define VMB_WAIT_CHANNEL     ...
#define VMB_WAIT_FUTEX	     ...
#define VMB_WAIT_EVENTFD     ...
#define VMB_WAIT_BUSY	     ...
#define VMB_MOST_RECEIVERS   ...
#define VMB_LATENCY_BITS     ...
#define VMB_LATENCY_BUCKETS  ...
#define VMB_CHART_POINTS     ...
#define VMB_TOUCH_NONE	     ...
#define VMB_TOUCH_READ	     ...
#define VMB_TOUCH_WRITE	     ...
#define VMB_BUFFER_FRESH     ...
#define VMB_BUFFER_REUSED    ...
#define VMB_BUFFER_POPULATED ...
#define VMB_ANON	     ...
#define VMB_MEMFD	     ...
#define VMB_SHM		     ...
#define VMB_SYSV	     ...
#define VMB_SEALED	     ...
#define VMB_LARGE_BYTES	     ...
#define VMB_EACH_BYTES	     ...
#define VMB_NR_PHASES	     ...
#define VMB_NR_COUNTERS	     ...
#define VMB_MOVES_NOTHING    ...
#define VMB_COPIES	     ...
#define VMB_COW		     ...
#define VMB_SHARES	     ...
#define VMB_SOURCE_ACTS	     ...
#define VMB_IN_PLACE	     ...
#define VMB_PROXY	     ...
#define VMB_LOCAL	     ...
#define VMB_BOTH_ACT	     ...
#define VMB_FRESH_ONLY	     ...
#define VMB_PINS	     ...
#define VMB_TALKS	     ...
#define VMB_CHILD_RECEIVES   ...
#define VMB_SNAPSHOTS	     ...
#define VMB_CUT_ONLY	     ...
#define VMB_WRITTEN	     ...
#define VMB_PEAK_GROUP	     ...
#define VMB_PEAK_SAMPLED     ...
#define VMB_NR_EVENTS	     ...

struct vmb_proof {
	uint64_t size_bytes;
	uint64_t present_bytes;
	uint64_t huge_bytes;
	uint64_t folio_bytes[...];
	uint64_t partial_bytes;
	uint64_t aligned_bytes;
	uint64_t node_bytes[...];
	uint32_t folios_known;
	uint32_t nodes_known;
	uint32_t vmas;
	...;
};

struct vmb_use {
	uint32_t known;
	uint32_t missing;
	uint64_t rss_bytes;
	uint64_t pss_bytes;
	uint64_t anon_huge_bytes;
	...;
};

struct vmb_evidence {
	struct vmb_proof src;
	struct vmb_proof dst;
	uint64_t page_table_bytes;
	uint64_t channel_bytes;
	struct vmb_use use;
	uint64_t moved_bytes;
	uint64_t extra_known;
	uint64_t extra[...];
	...;
};

struct vmb_counts {
	uint64_t known;
	uint64_t count[...];
	...;
};

struct vmb_writer {
	uint64_t writes;
	uint64_t write_ns;
	uint64_t faults;
	uint64_t plain_writes;
	uint64_t plain_ns;
	uint64_t longest_ns;
	uint64_t stopped_ns;
	uint64_t checked_pages;
	uint64_t torn_pages;
	...;
};

struct vmb_sample {
	uint64_t loops;
	uint64_t time_ns[...];
	struct vmb_counts counts;
	uint32_t receivers;
	uint64_t receiver_ns[...];
	struct vmb_writer writer;
	uint32_t peak_how;
	uint64_t peak_bytes;
	...;
};

struct vmb_params {
	uint32_t scenario;
	uint32_t touch;
	uint32_t touch_pct;
	uint32_t touch_random;
	uint32_t segments;
	uint32_t seed;
	uint32_t delay_ns;
	uint32_t wait;
	uint32_t receivers;
	uint32_t pairs;
	uint64_t rate;
	uint32_t swapped_pct;
	uint32_t rewritten;
	uint32_t buffer;
	uint32_t source_threads;
	uint32_t incongruent;
	uint64_t size_bytes;
	uint64_t call_bytes;
	...;
};

struct vmb_latency {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint32_t bucket[...];
	uint64_t stride;
	uint64_t started;
	uint32_t points;
	uint64_t point_max_ns[...];
	uint64_t point_sum_ns[...];
	...;
};

struct vmb_region {
	char *addr;
	size_t size;
	size_t page;
	int hugetlb;
	int unadvised;
	int memory;
	int fd;
	...;
};

struct vmb_ctx;

struct vmb_mech {
	const char *name;
	const char *description;
	unsigned int flags;
	int memory;
	int (*scatter)(struct vmb_ctx *ctx);
	int isolation;
	...;
};

struct vmb_scene {
	const char *name;
	const char *axes;
	unsigned int phases;
	unsigned int flags;
	const char *extras;
	...;
};

struct vmb_ctx {
	char *dst;
	char *view;
	...;
};

typedef int... pid_t;

struct vmb_pair;

int vmb_mech_count(void);
const struct vmb_mech *vmb_mech_at(int index);
const struct vmb_mech *vmb_mech_find(const char *name);
int vmb_scene_count(void);
const struct vmb_scene *vmb_scene_at(int index);
int vmb_scene_index(const char *name);

int vmb_readv_self(void);
const char *vmb_call_name(int index);
int vmb_call_try(const char *name);
int vmb_follow_parent(int parent);
uint64_t vmb_now(void);
void vmb_mark_value(uint64_t number);

const char *vmb_counter_name(int counter);
const char *vmb_phase_name(int phase);
void vmb_counters_enable(int on);
void vmb_swap_device_set(const char *stat_path);
int vmb_peak_watch(const char *path);
int vmb_pair_watch_cpus(const struct vmb_pair *pair);
int vmb_perf_watch(const int *cpus, unsigned int count);
void vmb_perf_forget(void);
int vmb_slots_find(size_t size, int count, char **ret);
int vmb_fresh_map(char *slot, size_t size, size_t page, int hugetlb);
int vmb_fresh_unmap(char *slot, size_t size);
void vmb_advice_defer(void);
int vmb_advice_give(void);
void vmb_perf_forbid(void);
void vmb_nodes_forbid(int on);
void vmb_perf_replace(int event, uint32_t type, uint64_t config);
int vmb_page_out(char *addr, size_t size, uint32_t pct);
const char *vmb_detail(void);
size_t vmb_base_page(void);

int vmb_judge_isolation(int isolation, int seen, const char *writer, const char *reader);
int vmb_check_segments(struct vmb_ctx *ctx, uint64_t generation);
void vmb_pattern_fill(char *addr, size_t size, uint32_t seed, uint64_t generation);
int vmb_pattern_check(const char *addr, size_t size, uint32_t seed, uint64_t generation);
uint64_t vmb_read_all(const char *addr, size_t size);

int vmb_prove_by_scan(const char *addr, size_t size, struct vmb_proof *ret);
int vmb_prove_by_smaps(const char *addr, size_t size, struct vmb_proof *ret);
int vmb_prove_folios(const char *addr, size_t size, struct vmb_proof *ret);

void vmb_latency_reset(struct vmb_latency *latency);
uint32_t vmb_latency_bucket(uint64_t time_ns);
uint64_t vmb_latency_bound(uint32_t bucket);
void vmb_latency_add(struct vmb_latency *latency, uint64_t time_ns);
int vmb_cpu_at(unsigned int index);
unsigned int vmb_cpu_count(void);
int vmb_pin(int cpu);
int vmb_tracefs_open(void);

struct vmb_pair *vmb_pair_open(const char *program, int source_cpu, int receiver_cpu);
void vmb_pair_close(struct vmb_pair *pair);
pid_t vmb_pair_pid(const struct vmb_pair *pair);
void vmb_pair_set_patience(struct vmb_pair *pair, unsigned int ms);
int vmb_pair_check(struct vmb_pair *pair);
int vmb_pair_source_make(struct vmb_pair *pair, const struct vmb_region *wanted,
			 struct vmb_proof *ret);
const struct vmb_region *vmb_pair_source(const struct vmb_pair *pair);

int vmb_case_open(struct vmb_pair *pair, const struct vmb_mech *mech,
		  const struct vmb_params *params, struct vmb_ctx **ret);
int vmb_case_verify(struct vmb_ctx *ctx, uint64_t generation, struct vmb_evidence *ret);
int vmb_case_prove(struct vmb_ctx *ctx, struct vmb_evidence *ret);
int vmb_case_run(struct vmb_ctx *ctx, uint64_t loops, struct vmb_sample *ret);
struct vmb_latency *vmb_case_latency(struct vmb_ctx *ctx);
void vmb_case_close(struct vmb_ctx *ctx);
