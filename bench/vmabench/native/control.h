/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page that receiver and source share, and the commands that pass through
 * it. One command at a time: the receiver fills in the request and counts
 * `requests` up, the source answers and counts `answers` up.
 */
#ifndef VMB_CONTROL_H
#define VMB_CONTROL_H

#include "core.h"

#define VMB_CONTROL_FD 3 /* in the source: this page */
#define VMB_SOCKET_FD  4 /* in the source: the way for file descriptors */

enum vmb_command {
	VMB_CMD_START,	  /* pin, take the receiver's pid */
	VMB_CMD_MAP,	  /* make the source region: memory, page, size */
	VMB_CMD_FILL,	  /* fill it with the pattern of generation */
	VMB_CMD_PROVE,	  /* how is it backed */
	VMB_CMD_LOOK,	  /* is the page at offset still the pattern of generation? */
	VMB_CMD_SCRIBBLE, /* write the word at offset */
	VMB_CMD_RENEW,	  /* make the page at offset whole again */
	VMB_CMD_OPEN,	  /* take mechanism, params and remote_dst as the case */
	VMB_CMD_READY,	  /* what the scenario needs in the source */
	VMB_CMD_RUN,	  /* loops of the case, timed here */
	VMB_CMD_VERIFY,	  /* the mechanism's own check */
	VMB_CMD_PRODUCE,  /* fresh memory in place of the region, filled: timed */
	VMB_CMD_DISOWN,	  /* unmap it: timed */
	VMB_CMD_PAGE_OUT, /* pct percent of it */
	VMB_CMD_REWRITE,  /* write each page; timed: by its own clock */
	VMB_CMD_RELAY,	  /* commands come through the relay from now on, or no longer */
	VMB_CMD_CLOSE,	  /* the case is over */
	VMB_CMD_EXIT,
	VMB_NR_COMMANDS,
};

struct vmb_request {
	uint32_t command;
	uint32_t memory;
	uint32_t hugetlb;
	uint32_t unadvised;
	uint64_t page, size;
	uint64_t generation;
	uint64_t offset;
	uint64_t loops;
	uint64_t remote_dst;
	uint32_t pct;	/* of the region, to be paged out; the rest is made resident */
	uint32_t check; /* compare what arrives with generation, in place of using it */
	uint32_t timed;
	uint32_t relayed;
	uint32_t nodes_forbidden;
	int32_t cpu;
	int32_t thread_cpu[VMB_MOST_THREADS]; /* of the threads of the source */
	int32_t receiver_cpu;
	int32_t child_cpus[VMB_MOST_RECEIVERS]; /* of the source's children, where they have some */
	int32_t receiver;
	int32_t mech; /* index into the table, which is the same on both sides */
	struct vmb_params params;
};

struct vmb_answer {
	int32_t err;
	char detail[VMB_DETAIL_SIZE];
	uint64_t addr;	/* of the source region */
	uint64_t token; /* of the case, see struct vmb_ctx */
	int32_t fd;	/* the number of the shared object */
	int32_t shmid;
	struct vmb_proof proof;
	struct vmb_evidence evidence;
	struct vmb_sample sample;
};

/* What the child of fork tells its parent; the clock is the same for all processes. */
struct vmb_child_report {
	uint64_t started_ns, touched_ns;
	uint64_t opened_ns, first_ns, ended_ns; /* where it waits before it uses the data */
	struct vmb_counts used;			/* swap after that */
	int32_t err;
	char detail[VMB_DETAIL_SIZE];
	struct vmb_evidence evidence;
	uint64_t torn_pages;
};

/*
 * Whose turn it is in a talk: the number of the last message each way, in a cache
 * line of its own. A side that gives up sets stop, and then counts its word up so
 * that no wake-up is lost.
 */
struct vmb_talk {
	uint32_t there __attribute__((aligned(64)));
	uint32_t back __attribute__((aligned(64)));
	uint32_t stop __attribute__((aligned(64)));
};

/* How far the taking of a snapshot is. The receiver steps forward, and the source if it acts. */
enum vmb_step {
	VMB_STEP_PLAIN,	 /* there is none: how it is to write without */
	VMB_STEP_TAKING, /* by the receiver */
	VMB_STEP_ASKED,	 /* of the source, which has to act */
	VMB_STEP_TAKEN,
};

struct vmb_snapshot {
	uint64_t taken;	  /* number of a write soon after it was there */
	uint32_t step;	  /* enum vmb_step, by the receiver */
	uint32_t writing; /* futex: the source has written for long enough */
	uint32_t acted;	  /* the source has done what it was asked for */
	uint32_t dropped; /* futex: the forked child may look at what it has, and end */
};

/* See relay.c. Each word has a cache line of its own. */
struct vmb_relay {
	uint32_t round __attribute__((aligned(64))); /* futex, by the receiver; odd: it relays */
	uint32_t from;				     /* the last command before this round */
	uint32_t turn __attribute__((aligned(64)));  /* futex: the command that is the source's */
	uint32_t done __attribute__((aligned(64)));  /* futex: the one that the source has done */
};

struct vmb_control {
	uint32_t requests;   /* futex */
	uint32_t answers;    /* futex */
	uint64_t started_ns; /* when the source began to send */
	struct vmb_request request;
	struct vmb_answer answer;
	struct vmb_child_report child;
	struct vmb_relay relay;
	struct vmb_talk talk;
	struct vmb_snapshot snapshot;
	struct vmb_latency latency; /* of single operations, whichever side times them */
};

/* handshake.c, for mechanisms that act in the source */
extern struct vmb_control *vmb_control;
extern struct vmb_region vmb_source_region;

/* pair.c */
int vmb_pair_call(struct vmb_pair *pair, enum vmb_command command);
int vmb_pair_start(struct vmb_pair *pair, enum vmb_command command);
int vmb_pair_finish(struct vmb_pair *pair);
int vmb_pair_settle(struct vmb_pair *pair, int err);
uint64_t vmb_pair_patience_ns(const struct vmb_pair *pair);
struct vmb_control *vmb_pair_control(struct vmb_pair *pair);
uint64_t vmb_pair_started_ns(const struct vmb_pair *pair);
int vmb_pair_renew_object(struct vmb_pair *pair);
struct vmb_request *vmb_pair_request(struct vmb_pair *pair);
const struct vmb_answer *vmb_pair_answer(const struct vmb_pair *pair);
struct vmb_region *vmb_pair_destination(struct vmb_pair *pair);
struct vmb_region *vmb_pair_local(struct vmb_pair *pair);
void vmb_pair_drop_destination(struct vmb_pair *pair);
void vmb_pair_drop_local(struct vmb_pair *pair);

/* handshake.c */
int vmb_fd_send(int socket, int fd);
int vmb_fd_receive(int socket, int *ret);

/* threads.c */
int vmb_threads_start(const int32_t *cpus, uint32_t count);
void vmb_threads_stop(void);

/* relay.c */
void vmb_relay_round(struct vmb_control *control, uint32_t round, void (*meanwhile)(void));
void vmb_relay_main(struct vmb_control *control) __attribute__((noreturn));

void vmb_futex_wait(uint32_t *word, uint32_t while_value, unsigned int ms);
void vmb_futex_wake(uint32_t *word);

#endif /* VMB_CONTROL_H */
